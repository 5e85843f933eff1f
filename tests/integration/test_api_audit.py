"""For auditors, over HTTP: checkpoints, proofs and exports of a service whose seal is at work."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import tamperlog

from domain.checkpoint import read
from domain.manifest import ObjectInfo
from infrastructure.audit import verify as verifier
from infrastructure.audit.outside import OutsideFolder
from infrastructure.audit.signing import SealKey
from infrastructure.postgres.notary import Notary, Policy
from infrastructure.postgres.seal_follower import SealFollower
from tests.fixtures_api import Api, eventually

AUDIT = "/api/v1/audit"
SEALER = SealKey(bytes(range(32)))
PUBLIC = base64.b64encode(SEALER.public).decode()


@contextmanager
def sealing(database_url: str, folder: Path) -> Iterator[None]:
    """The seal at work, for as long as the context lasts."""
    stop = threading.Event()
    seal = SealFollower(database_url, Notary(SEALER, OutsideFolder(folder), Policy(1_000, 0.2)))
    threads = [threading.Thread(target=work, args=(stop,)) for work in (seal.run, seal.sign)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def client(api: Api) -> httpx.Client:
    return api.client(api.tenant_key("auditor"))


@pytest.fixture(scope="module")
def scan(api: Api, client: httpx.Client) -> str:
    """A finished scan, of a tenant that is sealed for the first time after it."""
    scan = api.scan(client)
    api.fleet.list(scan, [ObjectInfo(f"{number:03}.txt", 1_000) for number in range(9)])
    assert_not_sealed(client, scan)
    api.fleet.complete_all(scan)
    return scan


def assert_not_sealed(client: httpx.Client, scan: str) -> None:
    for path in (
        f"/export?scan={scan}",
        "/export?since=2026-01-01T00:00:00Z",
        f"/proof?event={scan}:1",
        "/proof?from=1&to=2",
    ):
        answer = client.get(f"{AUDIT}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "NOT_SEALED_YET"), path
        assert answer.headers["Retry-After"] == "1"
    assert client.get(f"{AUDIT}/checkpoints").json()["data"] == []


@pytest.fixture(scope="module")
def sealed(api: Api, scan: str, client: httpx.Client, folder: Path) -> Iterator[str]:
    with sealing(api.database_url, folder):
        assert eventually(lambda: client.get(f"{AUDIT}/export?scan={scan}").status_code == 200)
        assert eventually(lambda: client.get(f"{AUDIT}/checkpoints").json()["data"][0]["published"])
        yield scan


def data(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_checkpoints_are_listed_newest_first_as_signed_notes(client: httpx.Client, sealed: str, folder: Path) -> None:
    connector = client.get("/api/v1/connectors").json()["data"][0]["connector_id"]
    assert client.patch(f"/api/v1/connectors/{connector}", json={"name": "renamed"}).status_code == 200
    assert eventually(lambda: len(data(client.get(f"{AUDIT}/checkpoints"))) > 1)
    pages = []
    address: str | None = f"{AUDIT}/checkpoints?limit=1"
    while address:
        answer = client.get(address)
        pages += data(answer)
        address = answer.links.get("next", {}).get("url")
    sizes = [page["tree_size"] for page in pages]
    assert sizes == sorted(sizes, reverse=True)
    for page in pages:
        told = read(page["note"])
        assert (told.origin, told.size) == (page["origin"], page["tree_size"])
        assert base64.b64encode(told.root).decode() == page["root_hash"]
    assert eventually(lambda: len(list((folder / "auditor").iterdir())) >= len(pages))


def test_every_event_of_a_scan_is_proven_to_be_in_the_log(client: httpx.Client, sealed: str) -> None:
    events = client.get(f"/api/v1/scans/{sealed}/events", headers={"Accept": "application/x-ndjson"}).text.splitlines()
    for line in events:
        event = json.loads(line)
        proof = data(client.get(f"{AUDIT}/proof", params={"event": event["event_id"]}))
        told = read(proof["checkpoints"][0])
        assert json.loads(proof["line"])["data"] == event
        assert base64.b64decode(proof["leaf_hash"]) == tamperlog.hash_leaf(proof["line"].encode())
        tamperlog.verify_inclusion(
            proof["leaf_index"],
            told.size,
            base64.b64decode(proof["leaf_hash"]),
            [base64.b64decode(hash_) for hash_ in proof["hashes"]],
            told.root,
        )


def test_the_log_is_proven_to_have_been_only_added_to(client: httpx.Client, sealed: str) -> None:
    size = data(client.get(f"{AUDIT}/checkpoints"))[0]["tree_size"]
    for older in range(1, size + 1):
        proof = data(client.get(f"{AUDIT}/proof", params={"from": older, "to": size}))
        roots = [base64.b64decode(proof[name]) for name in ("from_root", "to_root")]
        hashes = [base64.b64decode(hash_) for hash_ in proof["hashes"]]
        tamperlog.verify_consistency(older, roots[0], size, roots[1], hashes)
    assert read(proof["checkpoints"][-1]).root == roots[1]


def test_an_export_holds_cloud_events_and_verifies(
    client: httpx.Client, sealed: str, folder: Path, tmp_path: Path
) -> None:
    for query in (
        f"scan={sealed}",
        "since=2020-01-01T00:00:00Z",
        "since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z",
    ):
        answer = client.get(f"{AUDIT}/export?{query}")
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        file = tmp_path / "export.jsonl"
        file.write_bytes(answer.content)
        assert verifier.main([str(file), "--key", PUBLIC, "--checkpoints", str(folder)]) == 0
    events = [json.loads(line) for line in client.get(f"{AUDIT}/export?scan={sealed}").text.splitlines()]
    events = [event for event in events if "specversion" in event]
    assert [event["id"] for event in events] == [f"{sealed}:{n + 1}" for n in range(len(events))]
    assert {event["source"] for event in events} == {"/tenants/auditor"}
    assert events[-1]["type"] == "scanledger.scan.completed"


def test_the_public_key_is_told(client: httpx.Client, sealed: str) -> None:
    told = data(client.get(f"{AUDIT}/key"))
    (key,) = told["keys"]
    assert key["public_key"] == PUBLIC
    assert key["verifier_key"].startswith(f"{told['origin']}+")


def test_what_belongs_to_others_is_not_there_and_a_key_needs_the_scope(api: Api, sealed: str) -> None:
    stranger = api.client(api.tenant_key("stranger"))
    assert stranger.get(f"{AUDIT}/proof?event={sealed}:1").json()["error"]["code"] == "EVENT_NOT_FOUND"
    assert stranger.get(f"{AUDIT}/export?scan={sealed}").json()["error"]["code"] == "SCAN_NOT_FOUND"
    assert stranger.get(f"{AUDIT}/checkpoints").json()["data"] == []
    reader = api.client(api.tenant_key("auditor", scopes=("scans:read",)))
    for path in ("checkpoints", "key", f"proof?event={sealed}:1", f"export?scan={sealed}"):
        assert reader.get(f"{AUDIT}/{path}").status_code == 403


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("proof", "event"),
        ("proof?event=a:1&from=1&to=2", "event"),
        ("proof?from=1", "to"),
        ("proof?from=3&to=2", "from"),
        ("proof?from=0&to=2", "from"),
        ("proof?from=x&to=2", "from"),
        ("export", "scan"),
        ("export?scan=scan-1&since=2026-01-01T00:00:00Z", "scan"),
        ("export?since=yesterday", "since"),
        ("export?since=2026-01-01T00:00:00Z&until=2025-01-01T00:00:00Z", "until"),
        ("export?scan=scan-1&until=2025-01-01T00:00:00Z", "until"),
        ("key?of=me", "of"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused_by_its_field(client: httpx.Client, path: str, field: str) -> None:
    answer = client.get(f"{AUDIT}/{path}")
    assert answer.status_code == 400, answer.text
    assert field in [fault["field"] for fault in answer.json()["error"]["details"]["fields"]]


@pytest.mark.parametrize("event", ["a", "a:b", ":1", "scan-1:99999999999999999999", "scan-1:1"])
def test_an_event_that_is_none_is_not_found(client: httpx.Client, event: str) -> None:
    answer = client.get(f"{AUDIT}/proof", params={"event": event})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "EVENT_NOT_FOUND")


def test_metrics_tell_of_what_is_not_sealed(api: Api, client: httpx.Client, sealed: str) -> None:
    def unpublished() -> str:
        lines = client.get("/metrics").text.splitlines()
        return next(line for line in lines if line.startswith("scanledger_seal_unpublished_events"))

    assert eventually(lambda: unpublished().endswith(" 0.0"), seconds=15)
    assert "scanledger_seal_troubled_logs 0.0" in client.get("/metrics").text
