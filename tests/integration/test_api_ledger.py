"""The ledger over HTTP: nothing is unaccounted for, at whatever moment and through whatever filter it is read."""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api import documents
from application.messages import ReportedException, ReportedRemark
from domain.coverage import Disposition, FailReason, SkipReason
from domain.manifest import ObjectInfo
from tests.fixtures_api import Api, Document

MODIFIED = datetime(2026, 1, 31, 12, tzinfo=UTC)
Story = tuple[str, Document, list[Document]]
WHILE_READING = (
    (Disposition.SKIPPED, SkipReason.BINARY),
    (Disposition.SKIPPED, SkipReason.ARCHIVED_STORAGE_CLASS),
    (Disposition.FAILED, FailReason.NETWORK),
    (Disposition.FAILED, FailReason.ACCESS_DENIED),
)


def manifest(count: int) -> list[ObjectInfo]:
    """Objects of which some are skipped at planning: empty, archived, of another type, and by a sample."""
    extension = ("csv", "csv", "csv", "bin")
    classes = ("STANDARD", "STANDARD", "STANDARD", "STANDARD", "GLACIER")
    return [
        ObjectInfo(f"k{i:05}.{extension[i % 4]}", 0 if i % 7 == 3 else 2_000_000, f"e{i}", MODIFIED, classes[i % 5])
        for i in range(count)
    ]


def worked(api: Api, scan: str, seed: int) -> None:
    """Complete most chunks with exceptions here and there, give one up, leave two."""
    chance = random.Random(seed)
    scan_state = api.fleet.recorder.scan(scan)
    chunks = sorted(scan_state.pending)
    for number in chunks[1:-1]:
        chunk = scan_state.pending[number].chunk
        eligible = [index for index, _ in api.fleet.recorder.objects(scan, scan_state.pending[number])]
        chosen = chance.sample(eligible, min(len(eligible), chance.randrange(4)))
        exceptions = [
            ReportedException(index=index, disposition=kind, reason=reason, detail=f"at {index}")
            for index in chosen
            for kind, reason in [chance.choice(WHILE_READING)]
        ]
        assert len(eligible) == chunk.files
        api.fleet.complete(scan, number, exceptions=exceptions)
    api.fleet.lose(scan, chunks[0])


def ledger(client: httpx.Client, scan: str, **filters: Any) -> list[Document]:
    """All pages of the ledger."""
    lines: list[Document] = []
    params: dict[str, Any] = {"limit": 100, **filters}
    while True:
        answer = client.get(f"/api/v1/scans/{scan}/objects", params=params)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        lines += body["data"]
        if not body["pagination"]["has_more"]:
            return lines
        params["cursor"] = body["pagination"]["next_cursor"]


@pytest.fixture(scope="module")
def story(api: Api) -> tuple[str, Document, list[Document]]:
    """A scan with every disposition, still running: its id, its document, its whole ledger."""
    scan = api.scan(file_types=["csv"], sample_percent=90)
    api.fleet.list(scan, manifest(2_500), batches=3)
    worked(api, scan, seed=7)
    document = api.settled(scan)
    return scan, document, ledger(api.client(), scan)


def test_every_object_is_in_the_ledger_once_and_the_sums_are_those_of_the_coverage(api: Api, story: Story):
    _, document, lines = story
    coverage = document["coverage"]
    assert [line["index"] for line in lines] == list(range(2_500))
    documents.LedgerLine.model_validate(lines[0])
    by_disposition = Counter(line["disposition"] for line in lines)
    assert {f"total_{name}": count for name, count in by_disposition.items()} == {
        name: coverage[name] for name in ("total_scanned", "total_skipped", "total_failed", "total_remaining")
    }
    assert min(by_disposition.values()) > 0
    for disposition in ("skipped", "failed"):
        reasons = Counter(line["reason"] for line in lines if line["disposition"] == disposition)
        assert reasons == coverage[f"{disposition}_by_reason"]
    assert coverage["failed_by_reason"]["worker_lost"] > 0
    assert coverage["skipped_by_reason"]["not_sampled"] > 0


@pytest.mark.parametrize(
    "filters",
    [
        {"disposition": "scanned"},
        {"disposition": "skipped"},
        {"disposition": "failed"},
        {"disposition": "remaining"},
        {"reason": "empty"},
        {"reason": "file_type"},
        {"reason": "binary"},
        {"reason": "archived_storage_class"},
        {"reason": "worker_lost"},
        {"reason": "not_sampled"},
        {"reason": "not_sampled", "disposition": "skipped"},
        {"reason": "unchanged"},
        {"reason": "network", "disposition": "failed"},
        {"reason": "network", "disposition": "skipped"},
        {"reason": "encrypted"},
        {"reason": "max_files", "disposition": "skipped"},
    ],
)
def test_a_filter_gives_just_what_it_names_in_the_same_order(api: Api, story: Story, filters: dict[str, str]):
    scan, _, lines = story
    client = api.client()
    wanted = [line for line in lines if all(line[name] == value for name, value in filters.items())]
    for limit in (23, 100):
        assert ledger(client, scan, limit=limit, **filters) == wanted


def test_a_line_tells_what_the_listing_and_the_reader_knew(api: Api, story: Story):
    lines = story[2]
    scanned = next(line for line in lines if line["disposition"] == "scanned")
    index = scanned["index"]
    assert scanned["object"] == f"k{index:05}.csv"
    assert (scanned["size"], scanned["etag"], scanned["storage_class"]) == (2_000_000, f"e{index}", "STANDARD")
    assert scanned["last_modified"] == "2026-01-31T12:00:00.000000Z"
    assert (scanned["reason"], scanned["detail"]) == (None, None)
    failed = next(line for line in lines if line["reason"] == "network")
    assert failed["detail"] == f"at {failed['index']}"
    skipped = next(line for line in lines if line["reason"] == "file_type")
    assert skipped["chunk_id"] is None
    assert isinstance(failed["chunk_id"], int)


def test_what_the_views_do_not_know_yet_remains(api: Api):
    """Rows are committed before the view that counts them; the ledger waits for the view."""
    scan = api.scan()
    api.fleet.list(scan, manifest(40))
    before = api.settled(scan)
    row = api.client().get(f"/api/v1/scans/{scan}").json()["data"]
    assert row["coverage"]["total_remaining"] == before["coverage"]["total_remaining"]
    assert len(ledger(api.client(), scan, disposition="remaining")) == before["coverage"]["total_remaining"]


def test_a_cancelled_scan_has_its_rest_remaining(api: Api):
    scan = api.scan()
    api.fleet.list(scan, manifest(300))
    client = api.client()
    client.post(f"/api/v1/scans/{scan}/cancel")
    coverage = api.settled(scan)["coverage"]
    assert len(ledger(client, scan, disposition="remaining")) == coverage["total_remaining"] > 0
    assert ledger(client, scan, disposition="failed") == []


@pytest.mark.parametrize("query", ["disposition=lost", "reason=weather", "version=3", "limit=0"])
def test_a_wrong_filter_is_named(api: Api, story: Story, query: str):
    answer = api.client().get(f"/api/v1/scans/{story[0]}/objects?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["fields"][0]["field"] == query.partition("=")[0]


def test_a_scanned_object_says_what_was_skipped_in_it_and_counts_as_scanned(api: Api):
    client, scan = api.client(), api.scan()
    api.fleet.list(scan, [ObjectInfo(f"k{number}.zip", 100) for number in range(4)])
    told = "2 of 10 entries skipped: 2 binary; logo.png: PNG image"
    failed = ReportedException(index=2, disposition=Disposition.FAILED, reason=FailReason.ENCRYPTED, detail="locked")
    remarks = [ReportedRemark(index=1, detail=told)]
    api.fleet.complete(scan, 0, exceptions=[failed], remarks=remarks, allowed=3)
    shown = api.settled(scan)
    assert (shown["coverage"]["total_scanned"], shown["coverage"]["total_failed"]) == (3, 1)
    assert shown["progress"]["hits_allowed"] == 3
    lines = ledger(client, scan, disposition="scanned")
    assert [(line["index"], line["reason"], line["detail"]) for line in lines] == [
        (0, None, None),
        (1, None, told),
        (3, None, None),
    ]
    assert [line["index"] for line in ledger(client, scan, disposition="failed")] == [2]
    assert len(ledger(client, scan)) == 4
