"""Pausing, resuming and redriving scans over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from api import documents
from application.messages import ReportedException
from domain.coverage import Disposition, FailReason
from domain.manifest import ObjectInfo
from domain.scan_events import Paused, Resumed
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.streams import CONTROL, control_subject
from tests.fixtures_api import Api, Document
from tests.integration.test_api_broker import over
from tests.integration.test_api_connectors import S3
from tests.integration.test_api_scans import code_of, objects

SCANS = "/api/v1/scans"
CONNECTORS = "/api/v1/connectors"


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client()


def steered(client: httpx.Client, scan: str, verb: str) -> Document:
    answer = client.post(f"{SCANS}/{scan}/{verb}")
    assert answer.status_code == (201 if verb == "redrive" else 200), answer.text
    return dict(answer.json()["data"])


def ended(api: Api, *, failed: int = 0) -> str:
    """A scan of ten objects that has ended, the first few of them failed."""
    scan = api.scan()
    api.fleet.list(scan, objects(10))
    api.fleet.complete(scan, 0, exceptions=[unreadable(index) for index in range(failed)])
    assert api.settled(scan)["finished_at"]
    return scan


def unreadable(index: int) -> ReportedException:
    return ReportedException(index=index, disposition=Disposition.FAILED, reason=FailReason.NETWORK)


# Pausing and resuming -------------------------------------------------------------------------------------------------


def test_a_paused_scan_is_read_as_paused_at_once_and_a_resumed_one_as_it_was(api: Api, client: httpx.Client):
    scan = api.scan()
    paused = steered(client, scan, "pause")
    assert paused.keys() == documents.PausedScan.model_fields.keys()
    documents.PausedScan.model_validate(paused)
    assert client.get(f"{SCANS}/{scan}").json()["data"]["status"] == "paused"
    resumed = steered(client, scan, "resume")
    assert resumed.keys() == documents.ResumedScan.model_fields.keys()
    documents.ResumedScan.model_validate(resumed)
    assert client.get(f"{SCANS}/{scan}").json()["data"]["status"] == resumed["status"] == "queued"
    assert resumed["resumed_at"] > paused["paused_at"]


def test_repeating_a_pause_or_resume_gives_the_same_answer_made_once(api: Api, client: httpx.Client):
    scan = api.scan()
    for verb, kind in (("pause", Paused), ("resume", Resumed)):
        clients = [api.client() for _ in range(4)]
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = list(pool.map(lambda one, verb=verb: steered(one, scan, verb), clients))  # type: ignore[misc]  # mypy takes no default here
        assert len({str(answer) for answer in (*answers, steered(client, scan, verb))}) == 1
        history = api.fleet.log.history(scan, 0, 100)
        assert sum(isinstance(recorded.event, kind) for recorded in history) == 1


def test_what_is_in_work_when_a_scan_is_paused_finishes_and_counts(api: Api, client: httpx.Client):
    scan = api.scan()
    api.fleet.list(scan, objects(1_200))
    api.fleet.start(scan, 0)
    steered(client, scan, "pause")
    api.fleet.complete(scan, 0)
    document = api.settled(scan)
    assert document["status"] == "paused"
    assert document["progress"]["files_processed"] > 0
    assert steered(client, scan, "resume")["status"] == "running"
    api.fleet.complete_all(scan)
    document = api.settled(scan)
    assert (document["status"], document["coverage"]["total_scanned"]) == ("completed", 1_200)


def test_a_listing_that_a_pause_cut_short_goes_on_as_its_next_attempt(api: Api, client: httpx.Client):
    scan = api.scan()
    steered(client, scan, "pause")
    steered(client, scan, "resume")
    api.fleet.list(scan, objects(3))
    api.fleet.complete_all(scan)
    assert api.settled(scan)["status"] == "completed"


def test_time_that_a_scan_stood_still_is_not_elapsed(api: Api, client: httpx.Client):
    scan = api.scan()
    api.fleet.list(scan, objects(3))
    steered(client, scan, "pause")
    first, second = (client.get(f"{SCANS}/{scan}").json()["data"]["progress"]["elapsed_seconds"] for _ in range(2))
    assert first == second


def test_a_paused_scan_is_found_by_its_status_and_counted(api: Api):
    client = api.client(api.tenant_key("pauser"))
    paused, other = api.scan(client), api.scan(client)
    steered(client, paused, "pause")
    assert [one["scan_id"] for one in client.get(SCANS, params={"status": "paused"}).json()["data"]] == [paused]
    both = client.get(SCANS, params={"status": "paused,queued"}).json()["data"]
    assert {one["scan_id"] for one in both} == {paused, other}
    assert 'scanledger_scans{status="paused"}' in client.get("/metrics").text


def test_a_paused_scan_can_be_cancelled_and_then_neither_paused_nor_resumed(api: Api, client: httpx.Client):
    scan = api.scan()
    steered(client, scan, "pause")
    assert steered(client, scan, "cancel")["status"] == "cancelled"
    for verb in ("pause", "resume"):
        answer = client.post(f"{SCANS}/{scan}/{verb}")
        assert code_of(answer) == (409, "SCAN_ALREADY_FINISHED")
        assert answer.json()["error"]["details"]["status"] == "cancelled"


def test_a_scan_that_never_was_paused_cannot_be_resumed(api: Api, client: httpx.Client):
    answer = client.post(f"{SCANS}/{api.scan()}/resume")
    assert code_of(answer) == (409, "SCAN_NOT_PAUSED")
    assert answer.json()["error"]["details"]["status"] == "queued"


@pytest.mark.parametrize("verb", ["pause", "resume", "redrive"])
def test_steering_takes_an_empty_body_and_nothing_else(api: Api, client: httpx.Client, verb: str):
    scan = api.scan()
    answer = client.post(f"{SCANS}/{scan}/{verb}", json={"force": True})
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "force"
    assert client.post(f"{SCANS}/{scan}/{verb}?now=1").status_code == 400
    assert client.get(f"{SCANS}/{scan}").json()["data"]["version"] == 1
    assert client.post(f"{SCANS}/{scan}/{verb}", json={}).status_code in {200, 409}


@pytest.mark.parametrize("verb", ["pause", "resume", "redrive"])
def test_another_tenants_scan_cannot_be_steered(api: Api, client: httpx.Client, verb: str):
    theirs = api.scan(api.client(api.tenant_key("other")))
    for scan in (theirs, "scan-unknown", "\U0001f600"):
        assert code_of(client.post(f"{SCANS}/{scan}/{verb}")) == (404, "SCAN_NOT_FOUND")


def test_workers_are_told_each_time_before_the_answer(api: Api, client: httpx.Client, nats_server: EmbeddedNats):
    """Also when the same is told twice within the broker's window for duplicates."""
    scan = api.scan()
    for verb, state in (("pause", "pause"), ("resume", "run")) * 2 + (("pause", "pause"), ("cancel", "stop")):
        steered(client, scan, verb)
        told = over(nats_server, lambda broker: broker.latest(CONTROL, control_subject(scan)))
        assert f'"state":"{state}"'.encode() in told


# Redriving ------------------------------------------------------------------------------------------------------------


def test_a_redrive_is_a_scan_of_its_own_that_names_the_other(api: Api, client: httpx.Client):
    scan = ended(api, failed=2)
    answer = client.post(f"{SCANS}/{scan}/redrive")
    data = answer.json()["data"]
    assert (answer.status_code, data.keys()) == (201, documents.RedrivenScan.model_fields.keys())
    documents.RedrivenScan.model_validate(data)
    assert (data["redrive_of"], data["status"]) == (scan, "queued")
    first, again = (client.get(f"{SCANS}/{one}").json()["data"] for one in (scan, data["scan_id"]))
    assert answer.headers["Location"] == f"{SCANS}/{again['scan_id']}"
    assert (again["redrive_of"], first["redrive_of"]) == (scan, None)
    assert {name: again[name] for name in ("options", "type", "connectors")} == {
        name: first[name] for name in ("options", "type", "connectors")
    }


def test_the_same_key_redrives_once_and_another_scan_needs_another_key(api: Api, client: httpx.Client):
    scan, other = ended(api, failed=1), ended(api, failed=1)
    once = {"Idempotency-Key": f"redrive {scan}"}
    first, again = (client.post(f"{SCANS}/{scan}/redrive", headers=once) for _ in range(2))
    assert (again.status_code, again.json()["data"]) == (201, first.json()["data"])
    assert again.headers["Location"] == first.headers["Location"]
    assert code_of(client.post(f"{SCANS}/{other}/redrive", headers=once)) == (422, "IDEMPOTENCY_KEY_REUSED")
    connector = first.json()["data"]["connectors"][0]
    assert len(client.get(SCANS, params={"connector": connector}).json()["data"]) == 2


def test_a_scan_that_goes_on_is_not_redriven(api: Api, client: httpx.Client):
    scan = api.scan()
    for status in ("queued", "paused"):
        answer = client.post(f"{SCANS}/{scan}/redrive")
        assert code_of(answer) == (409, "SCAN_NOT_FINISHED")
        assert answer.json()["error"]["details"]["status"] == status
        client.post(f"{SCANS}/{scan}/pause")


def test_a_scan_that_left_nothing_is_not_redriven(api: Api, client: httpx.Client):
    assert code_of(client.post(f"{SCANS}/{ended(api)}/redrive")) == (409, "NOTHING_TO_REDRIVE")


def test_what_remained_of_a_cancelled_scan_is_redriven(api: Api, client: httpx.Client):
    scan = api.scan()
    api.fleet.list(scan, objects(4))
    steered(client, scan, "cancel")
    assert steered(client, scan, "redrive")["redrive_of"] == scan


def test_a_redrive_needs_its_connectors_where_they_were(api: Api, client: httpx.Client):
    scan = ended(api, failed=1)
    connector = client.get(f"{SCANS}/{scan}").json()["data"]["connectors"][0]
    elsewhere = Path(api.folder) / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    path = f"{CONNECTORS}/{connector}"
    assert client.patch(path, json={"config": {"root": str(elsewhere)}}).status_code == 200
    assert code_of(client.post(f"{SCANS}/{scan}/redrive")) == (409, "CONNECTOR_CHANGED")
    client.patch(path, json={"config": {"root": api.folder}, "status": "disabled"})
    assert code_of(client.post(f"{SCANS}/{scan}/redrive")) == (409, "CONNECTOR_DISABLED")
    assert client.delete(path).status_code == 200
    assert code_of(client.post(f"{SCANS}/{scan}/redrive")) == (404, "CONNECTOR_NOT_FOUND")


# Connectors that a scan reads -----------------------------------------------------------------------------------------


MOVES: list[Document] = [{"bucket": "others"}, {**S3["config"], "endpoint_url": "http://127.0.0.1:10"}]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("paused", [False, True])
def test_a_connector_is_neither_moved_nor_deleted_while_an_open_scan_reads_it(
    api: Api, client: httpx.Client, paused: bool, move: Document
):
    connector = api.connector(type="s3", config=S3["config"])
    scan = api.start(connector, "full")
    if paused:
        steered(client, scan, "pause")
    path = f"{CONNECTORS}/{connector}"
    before = client.get(path).json()["data"]
    for refused in (client.patch(path, json={"name": "moved", "config": move}), client.delete(path)):
        assert code_of(refused) == (409, "CONNECTOR_IN_USE")
        assert refused.json()["error"]["details"] == {"connector_id": connector, "scan_id": scan}
    assert client.get(path).json()["data"] == before
    stays = {"name": "renamed", "config": {"bucket": "exports", "prefixes": ["b/"]}}
    assert client.patch(path, json=stays).status_code == 200
    steered(client, scan, "cancel")
    assert client.patch(path, json={"config": move}).status_code == 200


def test_nothing_is_known_of_the_place_that_a_connector_was_moved_to(api: Api, client: httpx.Client):
    connector = api.connector()
    scanned(api, connector, listed("a"))
    elsewhere = Path(api.folder) / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    client.patch(f"{CONNECTORS}/{connector}", json={"config": {"root": str(elsewhere)}})
    [line] = ledger(client, scanned(api, connector, listed("a")))
    assert line["disposition"] == "scanned"


# Incremental scans ----------------------------------------------------------------------------------------------------


def listed(*names: str, etag: str = "1") -> list[ObjectInfo]:
    return [ObjectInfo(name, 100, etag) for name in sorted(names)]


def scanned(api: Api, connector: str, entries: list[ObjectInfo], type_: str = "incremental", **options: object) -> str:
    """A scan that the fleet has worked through to its end; its id."""
    scan = api.start(connector, type_, **options)
    api.fleet.list(scan, entries)
    api.fleet.complete_all(scan)
    api.settled(scan)
    return scan


def ledger(client: httpx.Client, scan: str, **filters: str) -> list[Document]:
    return list(client.get(f"{SCANS}/{scan}/objects", params={"limit": 100, **filters}).json()["data"])


def test_unchanged_objects_name_the_scan_that_read_them_and_count_as_covered(api: Api, client: httpx.Client):
    connector = api.connector()
    first = scanned(api, connector, listed("a", "b", "c"))
    second = scanned(api, connector, listed("a", "b", "c"))
    third = scanned(api, connector, [*listed("a"), *listed("b", etag="2"), *listed("c")], coverage_target=1)
    document = client.get(f"{SCANS}/{second}").json()["data"]
    assert (document["status"], document["coverage"]["coverage_pct"]) == ("completed", 1.0)
    assert document["coverage"]["skipped_by_reason"] == {"unchanged": 3}
    for filters in ({"reason": "unchanged"}, {"disposition": "skipped"}, {}):
        lines = ledger(client, second, **filters)
        assert [(line["object"], line["reason"], line["scanned_by"]) for line in lines] == [
            (name, "unchanged", first) for name in "abc"
        ]
    assert lines[0].keys() == documents.LedgerLine.model_fields.keys()
    assert [(line["object"], line["scanned_by"]) for line in ledger(client, third)] == [
        ("a", first),
        ("b", None),
        ("c", first),
    ]
    assert client.get(f"{SCANS}/{third}").json()["data"]["status"] == "completed"
    fourth = scanned(api, connector, [*listed("a"), *listed("b", etag="2")])
    assert [line["scanned_by"] for line in ledger(client, fourth)] == [first, third]


def test_other_detectors_make_everything_new(api: Api, client: httpx.Client):
    connector = api.connector()
    narrow = scanned(api, connector, listed("a"), detectors=["pii"])
    wide = scanned(api, connector, listed("a"), detectors=["payment", "pii"])
    part = scanned(api, connector, listed("a"), detectors=["pii.email"])
    [again], [less] = ledger(client, wide), ledger(client, part)
    assert (again["disposition"], again["scanned_by"]) == ("scanned", None)
    assert (less["reason"], less["scanned_by"]) == ("unchanged", wide)
    assert narrow != wide


def test_one_incremental_scan_of_a_connector_is_open_at_a_time(api: Api, client: httpx.Client):
    connector, other = api.connector(), api.connector()
    running = api.start(connector)
    body = {"connectors": [other, connector], "type": "incremental"}
    refused = client.post(f"{SCANS}/parallel", json=body)
    assert code_of(refused) == (409, "INCREMENTAL_SCAN_RUNNING")
    assert refused.json()["error"]["details"] == {"connector_id": connector, "scan_id": running}
    assert client.get(SCANS, params={"connector": other}).json()["data"] == []
    for body in ({"connectors": [connector], "type": "full"}, {"connectors": [other], "type": "incremental"}):
        assert client.post(f"{SCANS}/parallel", json=body).status_code == 201
    steered(client, running, "pause")
    assert code_of(client.post(f"{SCANS}/parallel", json={**body, "connectors": [connector]}))[0] == 409
    steered(client, running, "cancel")
    once = {"Idempotency-Key": f"claim {connector}"}
    body = {"connectors": [connector], "type": "incremental"}
    first, again = (client.post(f"{SCANS}/parallel", json=body, headers=once) for _ in range(2))
    assert (first.status_code, again.json()["data"]) == (201, first.json()["data"])


def test_a_redrive_of_an_incremental_scan_waits_for_the_next_one(api: Api, client: httpx.Client):
    connector = api.connector()
    scan = api.start(connector)
    api.fleet.list(scan, listed("a"))
    api.fleet.complete(scan, 0, exceptions=[unreadable(0)])
    api.settled(scan)
    running = api.start(connector)
    assert code_of(client.post(f"{SCANS}/{scan}/redrive")) == (409, "INCREMENTAL_SCAN_RUNNING")
    steered(client, running, "cancel")
    assert steered(client, scan, "redrive")["type"] == "incremental"


# Options --------------------------------------------------------------------------------------------------------------


def test_a_scan_shows_the_options_it_was_started_with(api: Api, client: httpx.Client):
    given = {"sample_percent": 40, "detectors": ["pii", "payment.card"], "priority": 9}
    shown = client.get(f"{SCANS}/{api.start(api.connector(), **given)}").json()["data"]
    assert {name: shown["options"][name] for name in given} == given
    assert (shown["type"], shown["options"]["llm_assist"]) == ("incremental", False)
    plain = client.get(f"{SCANS}/{api.scan()}").json()["data"]
    assert {name: plain["options"][name] for name in given} == {"sample_percent": 100, "detectors": [], "priority": 5}
    documents.Scan.model_validate(plain)


def test_a_sample_leaves_out_the_rest_and_takes_the_same_again(api: Api, client: httpx.Client):
    connector = api.connector()
    names = [f"n{number}" for number in range(60)]
    first, second = (scanned(api, connector, listed(*names), "full", sample_percent=50) for _ in range(2))
    left = [[line["object"] for line in ledger(client, scan, reason="not_sampled")] for scan in (first, second)]
    assert left[0] == left[1]
    assert 10 < len(left[0]) < 50
    assert client.get(f"{SCANS}/{first}").json()["data"]["coverage"]["skipped_by_reason"] == {
        "not_sampled": len(left[0])
    }


def test_a_strict_target_above_the_sample_and_every_other_fault_are_told_at_once(api: Api, client: httpx.Client):
    options = {"coverage_strategy": "strict", "sample_percent": 50, "detectors": ["pii", "weather"], "max_workers": 0}
    answer = client.post(f"{SCANS}/parallel", json={"connectors": [], "type": "full", "options": options})
    assert code_of(answer) == (400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in answer.json()["error"]["details"]["fields"]} == {
        "connectors",
        "options.coverage_target",
        "options.detectors[1]",
        "options.max_workers",
    }
