"""Scans over HTTP: starting, watching and cancelling, as api.md promises it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api import documents
from application.messages import ReportedException
from domain.coverage import Disposition, FailReason, SkipReason
from domain.manifest import ObjectInfo
from infrastructure.postgres.event_log import PostgresScanLog
from tests.fixtures_api import WORKER, Api

SCANS = "/api/v1/scans"
START = f"{SCANS}/parallel"


def objects(count: int, prefix: str = "f") -> list[ObjectInfo]:
    return [ObjectInfo(f"{prefix}{number:05}.csv", 1_000) for number in range(count)]


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client()


def holds(model: Any, data: Any) -> None:
    """`data` is what the model says, and nothing that the model leaves out."""
    assert model.model_validate(data).model_dump(mode="json", by_alias=True).keys() == data.keys()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(data.get(field.alias or name), dict) and hasattr(inner, "model_fields"):
            holds(inner, data[field.alias or name])


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_started_scan_is_found_by_the_next_read(api: Api, client: httpx.Client):
    connector = api.connector()
    body = {"connectors": [connector], "type": "full", "options": {"max_workers": 3, "max_files": 50}}
    for _ in range(5):
        started = client.post(START, json=body)
        assert started.status_code == 201
        data = started.json()["data"]
        holds(documents.StartedScan, data)
        assert (data["status"], data["connectors"], data["workers_requested"]) == ("queued", [connector], 3)
        found = client.get(started.headers["Location"])
        assert found.status_code == 200
        assert found.json()["data"]["created_at"] == data["created_at"]


def test_a_scan_has_every_field_that_the_contract_names(api: Api, client: httpx.Client):
    scan = api.scan(max_files=500)
    api.fleet.list(scan, objects(10))
    api.fleet.complete(scan, 0, exceptions=[unreadable(0)])
    data = api.settled(scan)
    holds(documents.Scan, data)
    assert data["progress"]["files_total"] == 10
    assert data["coverage"]["failed_by_reason"] == {"network": 1}
    assert data["status"] == "completed"
    assert data["workers"] == {"total": 1, "active": 0, "completed": 1, "failed": 0}


def unreadable(index: int) -> ReportedException:
    return ReportedException(index=index, disposition=Disposition.FAILED, reason=FailReason.NETWORK)


def test_the_etag_is_the_version_and_saves_the_body(api: Api, client: httpx.Client):
    scan = api.scan()
    first = client.get(f"{SCANS}/{scan}")
    assert first.headers["ETag"] == '"1"'
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        again = client.get(f"{SCANS}/{scan}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == '"1"'
    api.fleet.list(scan, objects(3))
    api.settled(scan)
    changed = client.get(f"{SCANS}/{scan}", headers={"If-None-Match": '"1"'})
    assert changed.status_code == 200


def test_a_list_that_has_not_changed_is_304(api: Api, client: httpx.Client):
    scan = api.scan()
    for path in (SCANS, f"{SCANS}/{scan}/workers", f"{SCANS}/{scan}/events", f"{SCANS}/{scan}/findings"):
        tag = client.get(path).headers["ETag"]
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_unknown_connectors_are_all_named(api: Api, client: httpx.Client):
    mine = api.connector()
    answer = client.post(START, json={"connectors": [mine, "conn-x", "\U0001f600"], "type": "full"})
    assert code_of(answer) == (404, "CONNECTOR_NOT_FOUND")
    assert answer.json()["error"]["details"]["connectors"] == ["conn-x", "\U0001f600"]


def test_another_tenants_connector_and_scan_do_not_exist(api: Api, client: httpx.Client):
    other = api.client(api.tenant_key("other"))
    theirs, scan = api.connector(other), api.scan(other)
    refused = client.post(START, json={"connectors": [theirs], "type": "full"})
    assert code_of(refused) == (404, "CONNECTOR_NOT_FOUND")
    for path in ("", "/workers", "/findings", "/objects", "/events"):
        unknown = client.get(f"{SCANS}/scan-unknown{path}").json()["error"]
        foreign = client.get(f"{SCANS}/{scan}{path}").json()["error"]
        assert foreign["code"] == unknown["code"] == "SCAN_NOT_FOUND"
        assert foreign["message"].replace(scan, "scan-unknown") == unknown["message"]
    assert code_of(client.post(f"{SCANS}/{scan}/cancel")) == (404, "SCAN_NOT_FOUND")
    assert scan not in client.get(SCANS, params={"limit": 100}).text


def test_more_than_the_tier_allows_is_refused_with_the_limit(api: Api):
    client = api.client(api.tenant_key("poor", tier="free"))
    connector = api.connector(client)
    for option, limit in (("max_files", 100), ("max_workers", 2)):
        body = {"connectors": [connector], "type": "full", "options": {option: limit + 1}}
        answer = client.post(START, json=body)
        assert code_of(answer) == (403, "TIER_LIMIT_EXCEEDED")
        assert answer.json()["error"]["details"]["limit"] == limit
    body = {"connectors": [connector], "type": "full", "options": {"max_files": 100}}
    assert client.post(START, json=body).json()["data"]["workers_requested"] == 2


def test_a_client_over_its_rate_is_told_when_to_come_back(api: Api):
    client = api.client(api.tenant_key("hasty", tier="free"))
    answers = [client.get(SCANS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert code_of(answers[-1]) == (429, "RATE_LIMITED")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 13
    assert client.get("/healthz").status_code == 200


def test_a_language_model_is_refused_before_connectors_are_looked_at(client: httpx.Client):
    body = {"connectors": ["conn-x"], "type": "full", "options": {"llm_assist": True}}
    assert code_of(client.post(START, json=body)) == (409, "LLM_NOT_CONFIGURED")


def test_a_refused_start_leaves_nothing_behind(api: Api, client: httpx.Client):
    log = PostgresScanLog(api.database_url, pool_size=1)
    connector = api.connector()
    before = log.position()
    for body in (
        {"connectors": [connector], "type": "full", "options": {"detectors": ["weather"]}},
        {"connectors": [connector, "conn-x"], "type": "full"},
        {"connectors": [connector], "type": "full", "options": {"llm_assist": True}},
        {"connectors": [connector], "type": "full", "options": {"max_workers": 10**9}},
    ):
        assert client.post(START, json=body).status_code in {400, 403, 404, 409}
    assert log.position() == before
    log.close()


# Idempotency ----------------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_give_the_same_answer_made_once(api: Api, client: httpx.Client):
    body = {"connectors": [api.connector()], "type": "full"}
    first = client.post(START, json=body, headers={"Idempotency-Key": "once"})
    spaced = b" " + first.request.content
    json = {"Content-Type": "application/json", "Idempotency-Key": "once"}
    again = client.post(START, content=spaced, headers=json)
    assert first.status_code == 201
    assert (again.status_code, again.json()["data"]) == (201, first.json()["data"])
    assert again.headers["Location"] == first.headers["Location"]
    assert len(client.get(SCANS, params={"connector": body["connectors"][0]}).json()["data"]) == 1


def test_the_same_key_with_another_body_or_route_is_refused(api: Api, client: httpx.Client):
    connector = api.connector()
    headers = {"Idempotency-Key": "taken"}
    assert client.post(START, json={"connectors": [connector], "type": "full"}, headers=headers).status_code == 201
    other = {"connectors": [connector], "type": "full", "options": {"max_files": 5}}
    assert code_of(client.post(START, json=other, headers=headers)) == (422, "IDEMPOTENCY_KEY_REUSED")
    folder = {"name": "x", "type": "filesystem", "config": {"root": api.folder}}
    reused = client.post("/api/v1/connectors", json=folder, headers=headers)
    assert code_of(reused) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_every_limit_of_the_tier_that_a_request_exceeds_is_told(api: Api):
    client = api.client(api.tenant_key("greedy", tier="free"))
    body = {"connectors": [api.connector(client)], "type": "full", "options": {"max_files": 101, "max_workers": 3}}
    error = client.post(START, json=body).json()["error"]
    assert (error["code"], error["details"]["field"]) == ("TIER_LIMIT_EXCEEDED", "options.max_files")
    assert error["details"]["exceeded"] == [
        {"field": "options.max_files", "requested": 101, "limit": 100},
        {"field": "options.max_workers", "requested": 3, "limit": 2},
    ]


def test_a_key_is_the_tenants_own(api: Api, client: httpx.Client):
    other = api.client(api.tenant_key("keyed"))
    headers = {"Idempotency-Key": "shared"}
    scans = set()
    for who in (client, other):
        body = {"connectors": [api.connector(who)], "type": "full"}
        scans.add(who.post(START, json=body, headers=headers).json()["data"]["scan_id"])
    assert len(scans) == 2


def test_a_key_whose_request_was_refused_is_free_again(api: Api, client: httpx.Client):
    headers = {"Idempotency-Key": "second chance"}
    wrong = {"connectors": ["conn-x"], "type": "full"}
    assert client.post(START, json=wrong, headers=headers).status_code == 404
    right = {"connectors": [api.connector()], "type": "full"}
    assert client.post(START, json=right, headers=headers).status_code == 201


def test_requests_with_one_key_at_the_same_moment_make_one_scan(api: Api):
    connector = api.connector()
    body, headers = {"connectors": [connector], "type": "full"}, {"Idempotency-Key": "crowd"}
    clients = [api.client() for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(lambda c: c.post(START, json=body, headers=headers), clients))
    made = {answer.json()["data"]["scan_id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert {code_of(a)[1] for a in answers if a.status_code != 201} <= {"IDEMPOTENCY_IN_PROGRESS"}
    assert len(clients[0].get(SCANS, params={"connector": connector}).json()["data"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_a_fault(client: httpx.Client, key: str):
    body = {"connectors": ["conn-x"], "type": "full"}
    answer = client.post(START, json=body, headers={"Idempotency-Key": key})
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "Idempotency-Key"


# Lists ----------------------------------------------------------------------------------------------------------------


def test_pages_give_every_scan_once_newest_first(api: Api):
    client = api.client(api.tenant_key("reader"))
    connector = api.connector(client)
    body = {"connectors": [connector], "type": "full"}
    made = [client.post(START, json=body).json()["data"]["scan_id"] for _ in range(7)]
    seen: list[str] = []
    url = f"{SCANS}?limit=3&connector={connector}"
    sizes = []
    while url:
        answer = client.get(url)
        page = answer.json()
        sizes.append(len(page["data"]))
        seen += [item["scan_id"] for item in page["data"]]
        assert page["pagination"]["has_more"] == bool(page["pagination"]["next_cursor"])
        url = answer.links["next"]["url"] if "next" in answer.links else ""
        assert bool(url) == page["pagination"]["has_more"]
    assert (seen, sizes) == (made[::-1], [3, 3, 1])


def test_a_listed_scan_is_the_scan_without_workers(api: Api, client: httpx.Client):
    scan = api.scan()
    item = next(item for item in client.get(SCANS).json()["data"] if item["scan_id"] == scan)
    whole = client.get(f"{SCANS}/{scan}").json()["data"]
    holds(documents.ListedScan, item)
    del whole["workers"]
    assert item == whole


def test_filters_narrow_and_are_bound_to_the_cursor(api: Api):
    client = api.client(api.tenant_key("filterer"))
    queued = [api.scan(client) for _ in range(3)]
    cancelled = api.scan(client)
    client.post(f"{SCANS}/{cancelled}/cancel")

    def listed(**params: Any) -> set[str]:
        return {item["scan_id"] for item in client.get(SCANS, params=params).json()["data"]}

    assert listed(status="cancelled") == {cancelled}
    assert listed(status=["cancelled", "queued"]) == listed(status="cancelled,queued") == {*queued, cancelled}
    assert listed(type="incremental") == set()
    since = client.get(f"{SCANS}/{queued[1]}").json()["data"]["created_at"]
    assert listed(since=since) == {queued[2], cancelled}
    cursor = client.get(SCANS, params={"limit": 1}).json()["pagination"]["next_cursor"]
    carried = client.get(SCANS, params={"limit": 1, "cursor": cursor, "status": "queued"})
    assert carried.json()["error"]["details"]["fields"][0]["field"] == "cursor"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=%2B5", ["limit"]),
        ("limit=1&limit=2", ["limit"]),
        ("status=gone", ["status"]),
        ("status=", ["status"]),
        ("type=partial", ["type"]),
        ("since=yesterday", ["since"]),
        ("since=2026-13-01T00:00:00Z", ["since"]),
        ("since=0001-01-01T00:00:00%2B14:00", ["since"]),
        ("cursor=", ["cursor"]),
        ("connector=%00", ["connector"]),
        ("connector=%ff", ["connector"]),
        ("at=1&version=2", ["at", "version"]),
        ("limit=0&bogus=1", ["bogus", "limit"]),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx.Client, query: str, fields: list[str]):
    answer = client.get(f"{SCANS}?{query}")
    assert code_of(answer) == (400, "VALIDATION_ERROR")
    assert sorted(fault["field"] for fault in answer.json()["error"]["details"]["fields"]) == fields


# Cancelling -----------------------------------------------------------------------------------------------------------


def test_cancelling_keeps_what_was_found_and_says_the_same_again(api: Api, client: httpx.Client):
    scan = api.scan(max_workers=1)
    api.fleet.list(scan, objects(1_200))
    api.fleet.complete(scan, 0)
    done = api.fleet.recorder.scan(scan).coverage.processed
    first = client.post(f"{SCANS}/{scan}/cancel")
    data = first.json()["data"]
    holds(documents.CancelledScan, data)
    assert (data["status"], data["partial_results"]["files_processed"]) == ("cancelled", done)
    api.fleet.start(scan, 1)
    again = client.post(f"{SCANS}/{scan}/cancel", json={})
    assert again.json()["data"] == data
    after = api.settled(scan)
    assert (after["status"], after["progress"]["files_processed"]) == ("cancelled", done)
    assert after["finished_at"] == data["cancelled_at"]


def test_a_scan_that_ended_otherwise_cannot_be_cancelled(api: Api, client: httpx.Client):
    scan = api.scan()
    api.fleet.list(scan, [])
    assert api.settled(scan)["status"] == "completed"
    answer = client.post(f"{SCANS}/{scan}/cancel")
    assert code_of(answer) == (409, "SCAN_ALREADY_FINISHED")
    assert answer.json()["error"]["details"]["status"] == "completed"


def test_cancel_takes_no_options(api: Api, client: httpx.Client):
    scan = api.scan()
    answer = client.post(f"{SCANS}/{scan}/cancel", json={"force": True})
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "force"
    assert client.get(f"{SCANS}/{scan}").json()["data"]["status"] == "queued"


# Workers --------------------------------------------------------------------------------------------------------------


def test_workers_are_listed_with_the_chunk_in_work(api: Api, client: httpx.Client):
    scan = api.scan()
    api.fleet.list(scan, objects(1_200))
    api.fleet.complete(scan, 0, worker="worker-a")
    api.fleet.start(scan, 1, worker="worker-b")
    api.settled(scan)
    first, second = client.get(f"{SCANS}/{scan}/workers").json()["data"]
    holds(documents.Worker, second)
    assert (first["worker_id"], first["status"], first["chunks_completed"], first["chunk"]) == (
        "worker-a",
        "idle",
        1,
        None,
    )
    assert (second["status"], second["chunk"]["chunk_id"]) == ("running", 1)
    files = second["chunk"]["file_count"]
    assert second["chunk"]["end_index"] - second["chunk"]["start_index"] + 1 == files
    assert second["progress"] == {"files_processed": 0, "findings_count": 0, "percent_complete": 0}
    page = client.get(f"{SCANS}/{scan}/workers", params={"limit": 1}).json()
    rest = client.get(f"{SCANS}/{scan}/workers", params={"cursor": page["pagination"]["next_cursor"]}).json()
    assert [w["worker_id"] for w in page["data"] + rest["data"]] == ["worker-a", "worker-b"]


def test_a_skipped_object_counts_where_it_was_skipped(api: Api, client: httpx.Client):
    scan = api.scan(file_types=["CSV"])
    api.fleet.list(scan, [*objects(5), ObjectInfo("z.bin", 10), ObjectInfo("zero.csv", 0)])
    skipped = ReportedException(index=1, disposition=Disposition.SKIPPED, reason=SkipReason.BINARY)
    api.fleet.complete(scan, 0, exceptions=[skipped], worker=WORKER)
    coverage = api.settled(scan)["coverage"]
    assert coverage["skipped_by_reason"] == {"binary": 1, "empty": 1, "file_type": 1}
    assert coverage["total_scanned"] == 4
