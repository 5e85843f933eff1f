"""`scanledger events`: the history of all scans and connectors, and what comes."""

import json

import pytest

from tests.api.cli_documents import Cli, scan_document
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]


def event(position: int, **changes: object) -> dict[str, object]:
    return {
        "event_id": f"scan-1:{position}",
        "scan_id": "scan-1",
        "connector_id": None,
        "version": position,
        "position": position,
        "kind": "scan.paused",
        "schema": 1,
        "occurred_at": "2026-01-31T12:00:00Z",
        "actor": "key:k1",
        "data": {},
    } | changes


def stream(*events: dict[str, object], begin: int | None = None) -> Answer:
    frames = "retry: 1\n" + ("" if begin is None else f"id: {begin}\n") + "\n: nothing new\n\n"
    frames += "".join(f"id: {one['position']}\ndata: {json.dumps(one)}\n\n" for one in events)
    return Answer(200, frames.encode(), {"Content-Type": "text/event-stream"})


def test_a_line_says_when_what_about_what_and_who(scanledger: Cli, service: ScriptedService) -> None:
    created = event(2, scan_id=None, connector_id="conn-1", kind="connector.created", data={"name": "Exports"})
    service.on("GET /events", Answer.data([event(1), created]))
    assert scanledger("events", "--kind", "scan.paused", "--kind", "connector.created").out.splitlines() == [
        "       1  2026-01-31 12:00:00Z  scan.paused  scan-1  key:k1  {}",
        '       2  2026-01-31 12:00:00Z  connector.created  conn-1  key:k1  {"name": "Exports"}',
    ]
    assert service.requests("GET /events")[0].query["kind"] == ["scan.paused", "connector.created"]


def test_following_takes_a_broken_stream_up_where_it_was(scanledger: Cli, service: ScriptedService) -> None:
    service.on_each(
        "GET /events/live",
        stream(begin=7),
        stream(event(9), event(12)),
        Answer.error(503, "SERVICE_UNAVAILABLE", "The database does not answer."),
        Answer(204, b""),
    )
    ran = scanledger("events", "--follow", "--json")
    assert (ran.code, [json.loads(line)["position"] for line in ran.out.splitlines()]) == (0, [9, 12])
    asked = [one.headers.get("last-event-id") for one in service.requests("GET /events/live")]
    assert asked == [None, "7", "12", "12"]


def test_a_key_that_may_not_read_history_is_told_so_at_once(scanledger: Cli, service: ScriptedService) -> None:
    service.on("GET /events/live", Answer.error(403, "FORBIDDEN", "This needs the scope audit:read."))
    ran = scanledger("events", "--follow")
    assert (ran.code, "audit:read" in ran.err) == (1, True)


@pytest.mark.parametrize("arguments", [["--after", "3"], ["--follow", "--limit", "3"], ["--follow", "--kind", "k"]])
def test_what_does_not_go_together_is_misuse(scanledger: Cli, arguments: list[str]) -> None:
    assert scanledger("events", *arguments).code == 2


def test_a_scan_as_it_once_stood_is_shown_without_what_was_found(scanledger: Cli, service: ScriptedService) -> None:
    service.on("GET /scans/scan-1", Answer.data(scan_document("running", findings=4)))
    ran = scanledger("scans", "show", "scan-1", "--version", "3")
    assert (ran.code, "running" in ran.out, "Findings" in ran.out) == (0, True, False)
    assert service.requests("GET /scans/scan-1")[0].query == {"version": ["3"]}
