"""The history over HTTP: a scan as it stood at any version and moment, and all events of a tenant in order."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from api import documents
from application.progress import begin, count, project
from application.scan_documents import document
from domain.manifest import ObjectInfo
from domain.scan_events import Queued
from infrastructure.postgres.event_codec import decode
from tests.fixtures_api import Api, eventually

SCANS = "/api/v1/scans"
EVENTS = "/api/v1/events"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def scan(api: Api) -> str:
    """A finished scan of 30 objects, of a key with a tenant to itself."""
    scan = api.scan(api.client(api.tenant_key("historian")))
    objects = [ObjectInfo(f"{number:03}.txt", 1_000 * number) for number in range(1, 31)]
    api.fleet.list(scan, objects, batches=3)
    api.fleet.complete_all(scan)
    client = api.client(api.tenant_key("historian"))
    assert eventually(lambda: client.get(f"{SCANS}/{scan}").json()["data"]["status"] == "completed")
    return scan


@pytest.fixture(scope="module")
def client(api: Api, scan: str) -> httpx.Client:
    return api.client(api.tenant_key("historian"))


def history(api: Api, scan: str) -> Iterator[tuple[Document, datetime]]:
    """What the pure fold shows after each event, at the moment of that event."""
    fold = None
    with psycopg.connect(api.database_url) as connection:
        rows = connection.execute(
            "SELECT topic, state FROM stored_events WHERE originator_id = %s ORDER BY originator_version", (scan,)
        ).fetchall()
    for kind, state in rows:
        event: Any = decode(kind, state)
        if isinstance(event, Queued):
            fold = begin(scan, event)
        else:
            assert fold is not None
            fold = project(fold, event)
        yield document(fold.view, count(fold.workers), event.at), event.at


def test_a_scan_is_shown_as_it_stood_at_each_of_its_versions(api: Api, client: httpx.Client, scan: str) -> None:
    for version, (shown, at) in enumerate(history(api, scan), 1):
        answer = client.get(f"{SCANS}/{scan}", params={"version": version})
        assert answer.json()["data"] == shown
        assert answer.headers["etag"] == f'"{version}"'
        documents.Scan.model_validate(answer.json()["data"])
        then = client.get(f"{SCANS}/{scan}", params={"at": at.isoformat()}).json()["data"]
        assert then["version"] >= version
        assert (
            version == 1
            or client.get(f"{SCANS}/{scan}", params={"at": (at - timedelta(microseconds=1)).isoformat()}).json()[
                "data"
            ]["version"]
            < version
        )


def test_the_last_version_is_the_scan_as_it_is(client: httpx.Client, scan: str) -> None:
    now = client.get(f"{SCANS}/{scan}").json()["data"]
    assert client.get(f"{SCANS}/{scan}", params={"version": now["version"]}).json()["data"] == now


def test_between_two_events_time_goes_on(api: Api, client: httpx.Client) -> None:
    running = api.scan(client)
    api.fleet.list(running, [ObjectInfo("a.txt", 10)])
    api.fleet.start(running, 0)
    *_, (shown, at) = history(api, running)
    later = client.get(f"{SCANS}/{running}", params={"at": (at + timedelta(hours=1)).isoformat()}).json()["data"]
    elapsed = shown["progress"].pop("elapsed_seconds")
    assert later["progress"].pop("elapsed_seconds") == pytest.approx(elapsed + 3600, abs=0.002)
    assert later == shown


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("version=x", "version"),
        ("version=1&at=2026-01-01T00:00:00Z", "at"),
        ("at=yesterday", "at"),
        ("wait=3", "wait"),
        ("wait=61&version=1", "wait"),
        ("versions=1", "versions"),
    ],
)
def test_what_is_no_version_or_moment_is_a_fault(client: httpx.Client, scan: str, query: str, field: str) -> None:
    answer = client.get(f"{SCANS}/{scan}?{query}")
    assert answer.status_code == 400
    assert [fault["field"] for fault in answer.json()["error"]["details"]["fields"]] == [field]


@pytest.mark.parametrize("query", ["version=0", "version=9999", "at=2020-01-01T00:00:00Z"])
def test_a_version_that_never_was_is_not_found(client: httpx.Client, scan: str, query: str) -> None:
    answer = client.get(f"{SCANS}/{scan}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "VERSION_NOT_FOUND")


@pytest.mark.parametrize("query", ["version=1", "at=2090-01-01T00:00:00Z", "version=1&wait=5"])
def test_another_tenants_past_is_no_scan_at_all(api: Api, scan: str, query: str) -> None:
    answer = api.client(api.tenant_key("curious")).get(f"{SCANS}/{scan}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "SCAN_NOT_FOUND")


# Long polls -----------------------------------------------------------------------------------------------------------


def test_a_long_poll_is_answered_with_the_next_version(api: Api, client: httpx.Client) -> None:
    running = api.scan(client)
    version = client.get(f"{SCANS}/{running}").json()["data"]["version"]
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.get, f"{SCANS}/{running}", params={"wait": 20, "version": version})
        api.fleet.list(running, [ObjectInfo("a.txt", 10)])
        assert asked.result().json()["data"]["version"] > version


def test_a_long_poll_for_what_has_come_already_does_not_wait(client: httpx.Client, scan: str) -> None:
    for version in (0, 1, 9_999):
        answer = client.get(f"{SCANS}/{scan}", params={"wait": 60, "version": version})
        assert answer.json()["data"]["status"] == "completed"


def test_a_long_poll_in_which_nothing_happens_gives_the_scan_as_it_is(api: Api, client: httpx.Client) -> None:
    version = client.get(f"{SCANS}/{api.scan(client)}").json()["data"]["version"]
    running = api.scan(client)
    answer = client.get(f"{SCANS}/{running}", params={"wait": 1, "version": version})
    assert answer.json()["data"]["version"] == version


# All of a tenant ------------------------------------------------------------------------------------------------------


def all_events(client: httpx.Client, **params: Any) -> list[Document]:
    found: list[Document] = []
    while True:
        answer = client.get(EVENTS, params=params).json()
        found += answer["data"]
        if not answer["pagination"]["has_more"]:
            return found
        params["cursor"] = answer["pagination"]["next_cursor"]


def test_the_events_of_a_tenant_are_all_there_in_the_order_of_the_log(api: Api, client: httpx.Client) -> None:
    listed = all_events(client, limit=7)
    with psycopg.connect(api.database_url) as connection:
        logged = connection.execute(
            "WITH ours AS (SELECT scan_id AS stream FROM scan_views WHERE tenant = 'historian' UNION ALL"
            " SELECT connector_id FROM connector_views WHERE tenant = 'historian') SELECT notification_id"
            " FROM stored_events JOIN ours ON stream = originator_id ORDER BY notification_id"
        ).fetchall()
    assert [event["position"] for event in listed] == [position for (position,) in logged]
    for event in listed:
        documents.Event.model_validate(event)
    assert {event["kind"] for event in listed} >= {"connector.created", "scan.queued", "scan.completed"}


def test_as_lines_they_are_the_same_and_byte_for_byte_those_of_the_scan(client: httpx.Client, scan: str) -> None:
    lines = {"Accept": "application/x-ndjson"}
    whole = client.get(EVENTS, headers=lines).content.splitlines()
    assert [json.loads(line) for line in whole] == all_events(client, limit=100)
    of_scan = client.get(f"{SCANS}/{scan}/events", headers=lines).content.splitlines()
    assert [line for line in whole if json.loads(line)["scan_id"] == scan] == of_scan


def test_filters_let_through_what_they_name(client: httpx.Client, scan: str) -> None:
    everything = all_events(client, limit=100)
    kinds = ["scan.queued", "connector.created"]
    assert all_events(client, kind=",".join(kinds)) == [event for event in everything if event["kind"] in kinds]
    connector = client.get(f"{SCANS}/{scan}").json()["data"]["connectors"][0]
    of_connector = [event for event in everything if scan == event["scan_id"] or connector == event["connector_id"]]
    assert all_events(client, connector=connector, limit=100) == of_connector
    middle = everything[len(everything) // 2]["occurred_at"]
    before, after = all_events(client, until=middle, limit=100), all_events(client, since=middle, limit=100)
    assert [event["position"] for event in before + after] == [event["position"] for event in everything]
    assert all(event["occurred_at"] < middle for event in before)


def test_filters_that_name_nothing_are_faults(client: httpx.Client) -> None:
    answer = client.get(EVENTS, params={"kind": "scan.exploded", "since": "noon", "limit": 0})
    assert {fault["field"] for fault in answer.json()["error"]["details"]["fields"]} == {"kind", "since", "limit"}


def test_a_tenant_without_a_past_has_no_events(api: Api) -> None:
    assert all_events(api.client(api.tenant_key("newcomer"))) == []


def test_only_who_may_read_scans_or_audit_reads_history(api: Api) -> None:
    writer = api.client(api.tenant_key("historian", scopes=["scans:write"]))
    for path in (EVENTS, f"{EVENTS}/live"):
        assert writer.get(path).status_code == 403
        assert api.client("").get(path).status_code == 401


# Live -----------------------------------------------------------------------------------------------------------------


class Stream:
    """A live stream, read in a thread of its own until it ends or is closed."""

    def __init__(self, client: httpx.Client, path: str, last: int | None = None) -> None:
        self.frames: list[tuple[int, Document]] = []
        self.ended = threading.Event()
        self.status = 0
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
        self._stopped = False
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(client, path, headers))
        self._thread.start()
        assert self._opened.wait(10)

    def _read(self, client: httpx.Client, path: str, headers: dict[str, str]) -> None:
        identifier = 0
        with client.stream("GET", path, headers=headers) as answer:
            self.status = answer.status_code
            for line in answer.iter_lines():
                self._opened.set()
                if line.startswith("id: "):
                    identifier = int(line[4:])
                elif line.startswith("data: "):
                    self.frames.append((identifier, json.loads(line[6:])))
                if self._stopped:
                    break
        self._opened.set()
        self.ended.set()

    def wait_for(self, kind: str) -> None:
        assert eventually(lambda: any(event["kind"] == kind for _, event in self.frames))

    def leave(self) -> None:
        """Go away with the next thing that comes."""
        self._stopped = True

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_a_scans_stream_tells_every_version_once_and_ends_with_the_scan(api: Api, client: httpx.Client) -> None:
    running = api.scan(client)
    stream = Stream(client, f"{SCANS}/{running}/events/live")
    stream.wait_for("scan.queued")
    api.fleet.list(running, [ObjectInfo(f"{number}.txt", 10) for number in range(5)], batches=5)
    api.fleet.complete_all(running)
    stream.join()
    told = client.get(f"{SCANS}/{running}/events", params={"limit": 100}).json()["data"]
    assert [event for _, event in stream.frames] == told
    assert [identifier for identifier, _ in stream.frames] == [event["version"] for event in told]


def test_a_stream_goes_on_from_the_last_event_that_the_client_had(client: httpx.Client, scan: str) -> None:
    told = client.get(f"{SCANS}/{scan}/events", params={"limit": 100}).json()["data"]
    for last in (0, 3, len(told) - 1):
        stream = Stream(client, f"{SCANS}/{scan}/events/live", last)
        stream.join()
        assert [event for _, event in stream.frames] == told[last:]
    over = client.get(f"{SCANS}/{scan}/events/live", headers={"Last-Event-ID": str(len(told))})
    assert over.status_code == 204


def test_a_tenants_stream_tells_what_comes_and_what_came_since(api: Api, client: httpx.Client) -> None:
    stream = Stream(client, f"{EVENTS}/live")
    api.scan()
    running = api.scan(client)
    stream.wait_for("scan.queued")
    stream.leave()
    api.scan(client)
    stream.join()
    known = all_events(client, limit=100)
    assert [event for _, event in stream.frames][:2] == known[-4:-2]
    assert stream.frames[1][1]["scan_id"] == running
    again = Stream(client, f"{EVENTS}/live", stream.frames[0][0])
    assert eventually(lambda: len(again.frames) >= 3)
    assert [event for _, event in again.frames] == known[-3:]
    again.leave()
    api.connector(client)
    again.join()


def test_where_a_stream_is_to_begin_is_an_event_of_it(client: httpx.Client, scan: str) -> None:
    answer = client.get(f"{SCANS}/{scan}/events/live", headers={"Last-Event-ID": "evt-7"})
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "Last-Event-ID"
    answer = client.get(f"{SCANS}/{scan}/events/live", params={"after": "-1"})
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "after"
