"""Events as the world outside sees them: the same bytes for ever."""

import json
from pathlib import Path

import msgspec
import pytest

from application.history import LoggedEvent, cloud_event, cloud_event_headers, event_line

STORED = Path(__file__).parents[1] / "domain" / "events"
STATES = {path.name.removesuffix(".json"): path.read_bytes().strip() for path in sorted(STORED.glob("*.json"))}

CANCELLED = LoggedEvent(
    "scan-1", 7, 42, "scan.cancelled", b'{"schema":1,"at":"2026-01-02T03:04:05.60Z","actor":"key:k1"}'
)


def logged(name: str) -> LoggedEvent:
    family, rest = name.split(".", 1)
    return LoggedEvent(f"{family}-1", 3, 9, f"{family}.{rest.split('.')[0]}", STATES[name])


def test_an_event_is_one_line_of_compact_json_in_the_order_of_the_contract() -> None:
    assert event_line(CANCELLED) == (
        b'{"event_id":"scan-1:7","scan_id":"scan-1","connector_id":null,"version":7,"position":42,'
        b'"kind":"scan.cancelled","schema":1,"occurred_at":"2026-01-02T03:04:05.60Z","actor":"key:k1","data":{}}'
    )


def test_the_line_that_is_sealed_is_a_cloud_event_around_that_line() -> None:
    assert cloud_event(CANCELLED, "t1") == (
        b'{"specversion":"1.0","id":"scan-1:7","source":"/tenants/t1","type":"scanledger.scan.cancelled",'
        b'"subject":"scan-1","time":"2026-01-02T03:04:05.60Z","datacontenttype":"application/json","data":'
        + event_line(CANCELLED)
        + b"}"
    )


@pytest.mark.parametrize("name", STATES)
def test_everything_that_was_ever_stored_is_told_as_it_was_recorded(name: str) -> None:
    event = logged(name)
    stored, told = json.loads(event.state), json.loads(event_line(event))
    envelope = {"schema": told["schema"], "at": told["occurred_at"], "actor": told["actor"]}
    assert envelope | told["data"] == stored
    assert (told["scan_id"] or told["connector_id"]) == event.stream


def test_values_are_told_byte_for_byte() -> None:
    state = b'{"schema":1,"at":"2026-01-02T03:04:05Z","actor":"system:x","share":1.10,"key":"\\u00e9\\/","big":1e2}'
    line = event_line(LoggedEvent("scan-1", 1, 1, "scan.future-kind", state))
    assert line.endswith(b'"data":{"share":1.10,"key":"\\u00e9\\/","big":1e2}}')


def test_headers_and_body_say_what_the_structured_form_says() -> None:
    event = logged("scan.chunk-completed.3")
    structured = json.loads(cloud_event(event, "t1"))
    headers = cloud_event_headers(event, "t1")
    attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
    assert (
        attributes | {"datacontenttype": headers["content-type"], "data": json.loads(event_line(event))} == structured
    )


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="scan-1:1 has no actor"):
        event_line(LoggedEvent("scan-1", 1, 1, "scan.queued", b'{"schema":1,"at":"2026-01-02T03:04:05Z"}'))
