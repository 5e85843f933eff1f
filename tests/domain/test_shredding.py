"""What events say of objects' keys is stored hidden, comes back as it was, and is empty once the key is destroyed."""

import msgspec
import pytest

from infrastructure.postgres.event_codec import Event, decode, encode
from infrastructure.postgres.shredding import MARK, VEILED, new_key, unveiled, veiled
from tests.domain.samples import SAMPLES

KEY = new_key()
STREAM = "scan-1"
every_sample = pytest.mark.parametrize("event", SAMPLES, ids=[event.kind for event in SAMPLES])
hidden = pytest.mark.parametrize("event", [e for e in SAMPLES if e.kind in VEILED], ids=lambda event: event.kind)


@every_sample
def test_every_event_comes_back_byte_for_byte(event: Event) -> None:
    assert unveiled(event.kind, veiled(event.kind, encode(event), STREAM, KEY), STREAM, KEY) == encode(event)


@every_sample
def test_only_events_that_name_keys_are_changed_and_those_always_alike(event: Event) -> None:
    stored = veiled(event.kind, encode(event), STREAM, KEY)
    assert (stored != encode(event)) is (event.kind in VEILED)
    assert veiled(event.kind, encode(event), STREAM, KEY) == stored


@hidden
def test_without_the_key_the_event_is_read_with_nothing_in_the_place_of_what_was_hidden(event: Event) -> None:
    stored = veiled(event.kind, encode(event), STREAM, KEY)
    was, read = (
        msgspec.to_builtins(event),
        msgspec.to_builtins(decode(event.kind, unveiled(event.kind, stored, STREAM, None))),
    )
    changed = {name for name in was if was[name] != read[name]}
    assert changed == {name for name in ("last_key", "until", "units", "detail") if name in was}
    assert MARK.encode() not in unveiled(event.kind, stored, STREAM, None)
    for unit in read.get("units", ()):
        assert (unit["after"], unit["until"]) == ("", "")
    assert [unit["prefix"] for unit in read.get("units", ())] == [unit["prefix"] for unit in was.get("units", ())]


@hidden
def test_another_scans_key_and_another_stream_show_nothing(event: Event) -> None:
    stored = veiled(event.kind, encode(event), STREAM, KEY)
    assert unveiled(event.kind, stored, STREAM, new_key()) == stored
    assert unveiled(event.kind, stored, "scan-2", KEY) == stored


@hidden
@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with one"])
def test_what_was_stored_before_there_were_keys_is_read_as_it_is(event: Event, key: bytes | None) -> None:
    assert veiled(event.kind, encode(event), STREAM, None) == encode(event)
    assert unveiled(event.kind, encode(event), STREAM, key) == encode(event)


def test_a_key_that_looks_as_if_it_were_hidden_is_not_mistaken_for_that() -> None:
    event = next(event for event in SAMPLES if event.kind == "scan.objects-listed")
    state = encode(event).replace(encode(event).split(b'"last_key":"')[1].split(b'","first_chunk')[0], b"siv1:AAAA")
    assert unveiled(event.kind, state, STREAM, KEY) == state
    assert unveiled(event.kind, veiled(event.kind, state, STREAM, KEY), STREAM, KEY) == state
