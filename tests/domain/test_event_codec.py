"""How events are stored: plain JSON that every later version can read."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from domain.scan_events import Cancelled, ScanEvent
from infrastructure.postgres import event_codec
from infrastructure.postgres.event_codec import CLASSES, Event, decode, encode
from tests.domain.given import KEY, NOON
from tests.domain.histories import histories
from tests.domain.samples import FIRST_SAMPLES, SAMPLES, SECOND_SAMPLES

STORED = Path(__file__).parent / "events"
every_sample = pytest.mark.parametrize("event", SAMPLES, ids=[event.kind for event in SAMPLES])


def test_there_is_a_sample_of_every_kind() -> None:
    assert {event.kind for event in SAMPLES} == set(CLASSES)


@every_sample
def test_every_kind_is_read_back_as_it_was_written(event: Event) -> None:
    read = decode(event.kind, encode(event))
    assert read == event
    assert type(read) is type(event)


@given(history=histories())
def test_whole_histories_are_read_back_as_they_were_written(history: list[ScanEvent]) -> None:
    assert [decode(event.kind, encode(event)) for event in history] == history


@every_sample
def test_what_is_stored_is_plain_json_with_its_schema_first(event: Event) -> None:
    data: dict[str, Any] = json.loads(encode(event))
    assert list(data) == ["schema", *(field.name for field in fields(event))]
    assert data["schema"] == event.schema
    assert data["at"] == event.at.isoformat().replace("+00:00", "Z")


@every_sample
def test_what_is_stored_today_can_always_be_read(event: Event) -> None:
    """A shape that changes needs a new schema and an upcast; these files are never edited."""
    assert decode(event.kind, stored(event.kind, event.schema)) == event


@pytest.mark.parametrize("event", FIRST_SAMPLES, ids=[event.kind for event in FIRST_SAMPLES])
def test_what_was_stored_under_an_earlier_schema_can_still_be_read(event: Event) -> None:
    assert decode(event.kind, stored(event.kind, 1)) == event


@pytest.mark.parametrize("event", SECOND_SAMPLES, ids=[event.kind for event in SECOND_SAMPLES])
def test_what_was_stored_under_the_second_schema_can_still_be_read(event: Event) -> None:
    assert decode(event.kind, stored(event.kind, 2)) == event


def stored(kind: str, schema: int) -> bytes:
    """The file of the first schema bears no number."""
    name = kind if schema == 1 else f"{kind}.{schema}"
    return (STORED / f"{name}.json").read_bytes()


def test_nothing_that_was_stored_once_is_forgotten() -> None:
    expected = {kind if schema == 1 else f"{kind}.{schema}" for kind in CLASSES for schema in schemas(kind)}
    assert {path.name.removesuffix(".json") for path in STORED.glob("*.json")} == expected


def schemas(kind: str) -> range:
    return range(1, CLASSES[kind].schema + 1)


def test_an_unknown_kind_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match=r"'scan\.exploded'.*older than the log"):
        decode("scan.exploded", b'{"schema":1}')


def test_a_newer_schema_is_refused_with_its_number() -> None:
    newer = encode(Cancelled(at=NOON, actor=KEY)).replace(b'"schema":1', b'"schema":12')
    with pytest.raises(ValueError, match=r"scan\.cancelled of schema 12.*older than the log"):
        decode("scan.cancelled", newer)


@pytest.mark.parametrize("state", [b"", b"[]", b"{}", b"no json", b'{"schema":1,"at":"noon"}', b'{"schema":1}'])
def test_what_is_no_event_is_refused(state: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — each fault has its own words
        decode("scan.cancelled", state)


def test_json_written_by_another_hand_is_read_all_the_same() -> None:
    state = b'{ "actor": "key:k1", "note": "of a later version", "at": "2025-06-01T12:00:00Z", "schema": 1 }'
    assert decode("scan.cancelled", state) == Cancelled(at=NOON, actor=KEY)


def test_an_older_schema_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {"actor": f"key:{data['by']}", "at": data["at"]}

    def dated(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "at": data["day"] + "T12:00:00Z"}

    monkeypatch.setitem(event_codec.UPCASTS, ("scan.cancelled", -1), dated)
    monkeypatch.setitem(event_codec.UPCASTS, ("scan.cancelled", 0), renamed)
    old = b'{"schema":-1,"day":"2025-06-01","by":"k1"}'
    assert decode("scan.cancelled", old) == Cancelled(at=NOON, actor=KEY)
