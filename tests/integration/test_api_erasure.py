"""Erasing over HTTP: what is gone is said to be gone, and nothing counts as looked at because of it."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from api import retention_schemas as documents
from application.messages import ListingFailed, ReportedException, ReportedFinding, ReportedOccurrence
from application.ports import Append, Rows
from domain.coverage import Disposition, FailReason
from domain.errors import Conflict
from domain.manifest import ObjectInfo
from domain.scan import Status
from domain.scan_events import DataErased, Queued
from infrastructure.postgres.eraser import LOCK, Eraser
from infrastructure.postgres.erasure import BATCHES
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.replay import rebuild
from tests.fixtures_api import Api, Document, eventually

DATA = ("findings", "findings?category=pii", "findings/export?format=csv", "objects")


def objects(*keys: str) -> list[ObjectInfo]:
    return [ObjectInfo(key, 100, f"etag of {key}") for key in keys]


def found_in(index: int, key: str) -> ReportedFinding:
    occurrence = ReportedOccurrence(masked="***1", byte_offset=4, length=4, line=1)
    return ReportedFinding(
        index=index, object=key, detector="pii.email", category="pii", confidence=0.9, count=1, occurrences=[occurrence]
    )


def scanned(api: Api, connector: str, keys: Sequence[str], type_: str = "full", *, fails: Sequence[int] = ()) -> str:
    """A scan from its beginning to its end, with a finding in every object that it read."""
    scan = api.start(connector, type_, coverage_target=0.0)
    api.fleet.list(scan, objects(*keys))
    for chunk in sorted(api.fleet.scan(scan).pending):
        read = [index for index, _ in api.fleet.recorder.objects(scan, api.fleet.scan(scan).pending[chunk])]
        failed = [
            ReportedException(index=i, disposition=Disposition.FAILED, reason=FailReason.NETWORK, detail=keys[i])
            for i in read
            if i in fails
        ]
        findings = [found_in(i, keys[i]) for i in read if i not in fails]
        api.fleet.complete(scan, chunk, exceptions=failed, findings=findings)
    api.settled(scan)
    return scan


def erase(api: Api, path: str) -> Document:
    """Ask for it until it is done."""
    client = api.client()
    answers: list[httpx.Response] = []

    def done() -> bool:
        answers.append(client.delete(f"/api/v1/{path}/data"))
        assert answers[-1].status_code == 200, answers[-1].text
        return bool(answers[-1].json()["data"]["state"] == "erased")

    assert eventually(done)
    return dict(answers[-1].json()["data"])


def rows(api: Api, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(api.database_url) as connection:
        return connection.execute(query.encode(), values).fetchall()


def left_of(api: Api, scan: str) -> dict[str, int]:
    return {t: rows(api, f"SELECT count(*) FROM {t} WHERE scan_id = %s", scan)[0][0] for t in BATCHES}


def reasons(api: Api, scan: str) -> dict[str, int]:
    return dict(api.settled(scan)["coverage"]["skipped_by_reason"])


def test_a_scan_is_erased_and_says_so_while_its_history_and_sums_stay(api: Api):
    scan = scanned(api, api.connector(), ["a", "b", "c"], fails=[2])
    client = api.client()
    before = client.get(f"/api/v1/scans/{scan}").json()["data"]
    erased = erase(api, f"scans/{scan}")
    documents.ErasedScan.model_validate(erased)
    assert {name: count for name, count in erased["erased"].items() if count} == {
        "findings": 2,
        "manifest_pages": 1,
        "object_exceptions": 1,
    }
    assert not any(left_of(api, scan).values())
    for what in DATA:
        answer = client.get(f"/api/v1/scans/{scan}/{what}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "DATA_ERASED")
        told = answer.json()["error"]["details"]
        assert told == {name: erased[name] for name in ("scan_id", "erased_at", "erased_by")}
    after = client.get(f"/api/v1/scans/{scan}").json()["data"]
    assert after.pop("data_erased_at") == erased["erased_at"]
    changed = {"version", "data_erased_at"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}
    [*_, last] = client.get(f"/api/v1/scans/{scan}/events?limit=100").json()["data"]
    assert (last["kind"], last["actor"]) == ("scan.data-erased", erased["erased_by"])
    assert last["data"]["rows"] == erased["erased"]


def test_erasing_again_gives_the_same_answer_and_no_further_event(api: Api):
    scan = scanned(api, api.connector(), ["a"])
    first = erase(api, f"scans/{scan}")
    version = api.settled(scan)["version"]
    assert erase(api, f"scans/{scan}") == first
    assert api.settled(scan)["version"] == version


def test_an_open_scan_and_another_tenants_are_not_erased(api: Api):
    scan = api.scan()
    answer = api.client().delete(f"/api/v1/scans/{scan}/data")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SCAN_NOT_FINISHED")
    stranger = api.client(api.tenant_key("stranger"))
    for path, code in ((f"scans/{scan}", "SCAN_NOT_FINISHED"), (f"connectors/{api.connector()}", "CONNECTOR")):
        answer = stranger.delete(f"/api/v1/{path}/data")
        assert answer.status_code == 404, code


def test_what_only_an_erased_scan_had_read_is_read_again_by_the_next_incremental_one(api: Api):
    connector = api.connector()
    first = scanned(api, connector, ["a", "b"])
    second = scanned(api, connector, ["a", "b", "c"], "incremental")
    assert reasons(api, second) == {"unchanged": 2}
    erase(api, f"scans/{first}")
    third = scanned(api, connector, ["a", "b", "c"], "incremental")
    assert reasons(api, third) == {"unchanged": 1}
    assert api.settled(third)["coverage"]["total_scanned"] == 2


def test_no_key_of_an_erased_scan_stays_in_the_inventory_unless_another_scans_findings_name_it(api: Api):
    connector = api.connector()
    kept = scanned(api, connector, ["jane"])
    erased = scanned(api, connector, ["jane", "john"])
    erase(api, f"scans/{erased}")
    known = api.fleet.inventory.known(connector, api.fleet.scan(kept).locations[connector], "", "z")
    assert {key: one.etag for key, one in known.items()} == {"jane": ""}
    scanned(api, connector, ["x"])
    gone = rows(api, "SELECT object FROM findings WHERE scan_id = %s AND gone_at IS NOT NULL", kept)
    assert gone == [("jane",)]


def test_an_erased_scan_is_not_redriven_and_an_open_redrive_holds_the_erasure_off(api: Api):
    client, connector = api.client(), api.connector()
    scan = scanned(api, connector, ["a", "b"], fails=[1])
    redrive = client.post(f"/api/v1/scans/{scan}/redrive", json={}).json()["data"]["scan_id"]
    answer = client.delete(f"/api/v1/scans/{scan}/data")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SCAN_IN_USE")
    assert answer.json()["error"]["details"] == {"scan_id": redrive}
    client.post(f"/api/v1/scans/{redrive}/cancel")
    erase(api, f"scans/{scan}")
    answer = client.post(f"/api/v1/scans/{scan}/redrive", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "DATA_ERASED")


def test_a_connector_is_erased_with_all_its_scans_even_after_it_was_deleted(api: Api):
    client, connector, other = api.client(), api.connector(), api.connector()
    scans = [scanned(api, connector, ["a"]), scanned(api, connector, ["a", "b"], "incremental")]
    apart = scanned(api, other, ["a"])
    assert client.delete(f"/api/v1/connectors/{connector}").status_code == 200
    erased = erase(api, f"connectors/{connector}")
    documents.ErasedConnector.model_validate(erased)
    assert (erased["scans"], erased["erased"]["findings"]) == (2, 2)
    for scan in scans:
        assert not any(left_of(api, scan).values())
        answer = client.get(f"/api/v1/scans/{scan}/findings")
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "DATA_ERASED")
        last = client.get(f"/api/v1/scans/{scan}/events?limit=100").json()["data"][-1]
        assert (last["data"]["connector"], last["actor"]) == (connector, erased["erased_by"])
    assert rows(api, "SELECT 1 FROM inventory_pages WHERE connector_id = %s", connector) == []
    assert client.get(f"/api/v1/scans/{apart}/findings").status_code == 200
    assert erase(api, f"connectors/{connector}") == erased


def test_a_connector_that_a_scan_reads_is_not_erased_and_a_later_scan_is_erased_by_a_later_request(api: Api):
    client, connector = api.client(), api.connector()
    scanned(api, connector, ["a"])
    scan = api.start(connector, "full")
    answer = client.delete(f"/api/v1/connectors/{connector}/data")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONNECTOR_IN_USE")
    client.post(f"/api/v1/scans/{scan}/cancel")
    first = erase(api, f"connectors/{connector}")
    scanned(api, connector, ["a"])
    second = erase(api, f"connectors/{connector}")
    assert (first["scans"], second["scans"]) == (2, 1)
    assert second["erased_at"] > first["erased_at"]


def test_an_eraser_that_is_stopped_after_any_batch_is_finished_by_the_next_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    """The eraser of the service is kept from working by the lock of another."""
    scan = scanned(api, api.connector(), [f"k{number}" for number in range(7)], fails=[0, 1, 2])
    monkeypatch.setitem(BATCHES, "findings", 2)
    monkeypatch.setitem(BATCHES, "object_exceptions", 2)
    with psycopg.connect(api.database_url, autocommit=True) as connection:
        assert eventually(lambda: connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchall()[0][0])
        answer = api.client().delete(f"/api/v1/scans/{scan}/data").json()["data"]
        assert answer["state"] == "erasing"
        assert api.client().get(f"/api/v1/scans/{scan}/findings").status_code == 410
        stop = threading.Event()
        stop.set()
        seen = [sum(left_of(api, scan).values())]
        while not Eraser(api.database_url).catch_up(connection, stop):
            seen.append(sum(left_of(api, scan).values()))
        assert sorted(set(seen), reverse=True)[:4] == [8, 6, 4, 3]
    assert erase(api, f"scans/{scan}")["erased"] == answer["erased"]
    assert not any(left_of(api, scan).values())


def test_a_redrive_that_was_decided_on_before_the_erasure_is_not_begun_after_it(api: Api):
    scan = scanned(api, api.connector(), ["a"], fails=[0])
    queued = api.fleet.log.history(scan, 0, 1)[0].event
    erase(api, f"scans/{scan}")
    assert isinstance(queued, Queued)
    late = [Append("scan-late", 0, [replace(queued, redrive_of=scan)])]
    with pytest.raises(Conflict, match="is erased"):
        api.fleet.log.append(late, Rows(sources=[scan]))
    assert api.fleet.log.history("scan-late", 0, 1) == []


def stored(api: Api, scan: str) -> list[tuple[str, bytes]]:
    query = "SELECT topic, state FROM stored_events WHERE originator_id = %s ORDER BY originator_version"
    return [(kind, bytes(state)) for kind, state in rows(api, query, scan)]


def test_no_event_shows_an_objects_key_and_the_service_knows_it_until_it_is_erased(api: Api):
    keys = [f"customers/jane-{number}.csv" for number in range(3)]
    scan = scanned(api, api.connector(), keys)
    before = stored(api, scan)
    shown = api.client().get(f"/api/v1/scans/{scan}/events?limit=100").text
    assert b"jane" not in b"".join(state for _, state in before)
    assert "jane" not in shown
    assert '"last_key":"siv1:' in shown
    assert api.fleet.scan(scan).units[0].last_key == keys[-1]
    erase(api, f"scans/{scan}")
    assert stored(api, scan)[: len(before)] == before
    assert rows(api, "SELECT FROM scan_keys WHERE scan_id = %s", scan) == []
    after = PostgresScanLog(api.database_url, pool_size=1)
    folded = after.scan(scan)
    assert (folded.units[0].last_key, folded.status, folded.coverage.enumerated) == ("", Status.COMPLETED, 3)
    after.close()


def test_the_views_of_erased_scans_are_what_their_history_says(api: Api):
    scan = scanned(api, api.connector(), ["a", "b"])
    failing = api.scan(coverage_target=0.0)
    who: Document = {"scan": failing, "worker": "w", "unit": 0, "attempt": 1}
    api.fleet.report(ListingFailed(**who, reason="source_denied", detail="no right to list jane/", permanent=True))
    told = api.settled(failing)["coverage"]["listing"]
    assert [unit["detail"] for unit in told] == ["no right to list jane/"]
    for each in (scan, failing):
        erase(api, f"scans/{each}")
    assert [unit["detail"] for unit in api.settled(failing)["coverage"]["listing"]] == [None]
    assert rebuild(api.database_url, dry_run=True).differing == 0


def test_a_live_stream_of_an_erased_scan_ends_with_the_erasure(api: Api):
    scan = scanned(api, api.connector(), ["a"])
    ended = api.settled(scan)["version"]
    erase(api, f"scans/{scan}")
    client = api.client()
    assert "scan.data-erased" in client.get(f"/api/v1/scans/{scan}/events/live?after={ended}").text
    assert client.get(f"/api/v1/scans/{scan}/events/live?after={ended + 1}").status_code == 204


def test_no_answer_shows_what_was_left_when_the_erasure_began_meanwhile(api: Api):
    """The request has found the scan whole, and reads its findings when it is being erased."""
    scan = scanned(api, api.connector(), ["a", "b"])
    outcomes: list[httpx.Response] = []
    with psycopg.connect(api.database_url) as connection:
        connection.execute("LOCK TABLE findings IN ACCESS EXCLUSIVE MODE")
        reader = threading.Thread(target=lambda: outcomes.append(api.client().get(f"/api/v1/scans/{scan}/findings")))
        reader.start()
        waiting = "SELECT FROM pg_locks WHERE relation = 'findings'::regclass AND NOT granted"
        assert eventually(lambda: bool(rows(api, waiting)))
        api.fleet.log.append_next(scan, [DataErased(at=datetime.now(UTC), actor="key:k", rows={})], unless=[])
        connection.execute("INSERT INTO erasures SELECT %s, max(notification_id) FROM stored_events", (scan,))
    reader.join()
    assert (outcomes[0].status_code, outcomes[0].json()["error"]["code"]) == (410, "DATA_ERASED")
