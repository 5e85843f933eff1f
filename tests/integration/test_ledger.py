"""The ledger of a scan whose chunks were parted, and whose objects were read in parts or not at all: its sums are the
scan's own, at every version."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from application.messages import AnyReport
from application.progress import ScanView, begin, project
from application.reading import LedgerEntry
from domain.chunk import HUGE_BYTES
from domain.coverage import Disposition, FailReason, SkipReason
from domain.inventory import Known
from domain.manifest import ObjectInfo
from domain.scan_events import Cancelled, Queued
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.ledger import Ledger
from infrastructure.postgres.manifest import PostgresManifestStore
from infrastructure.postgres.read_pool import ReadPool
from tests.application.ring import RULES, Ring, exception
from tests.domain.given import KEY, LATER

OBJECTS = [
    ObjectInfo("a.csv", 10, "e1"),
    ObjectInfo("b.csv", 10, "e1"),
    ObjectInfo("big.csv", HUGE_BYTES, "e1"),
    *(ObjectInfo(f"k{n}.csv", 10, "e1") for n in range(5)),
]
KNOWN = [
    Known("a.csv", 10, "e1", "scan-0", RULES),
    Known("b.csv", 10, "e1", "scan-0", RULES, SkipReason.BINARY),
]


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def ring(url: str) -> Iterator[Ring]:
    """An incremental scan of OBJECTS: two are settled, one comes in two parts (chunks 0 and 1), five are in chunk 2."""
    log, manifest = PostgresScanLog(url), PostgresManifestStore(url)
    ring = Ring(*KNOWN, store=(log, manifest), type="incremental")
    ring.list_all(*OBJECTS)
    yield ring
    log.close()
    manifest.close()


def views(ring: Ring) -> list[ScanView]:
    """The scan as it stood at each version."""
    first, *rest = (record.event for record in ring.log.history("scan-1", 0, 1_000))
    assert isinstance(first, Queued)
    found = [begin("scan-1", first)]
    for event in rest:
        found.append(project(found[-1], event))
    return [progress.view for progress in found]


def ledger(url: str, *asked: tuple[ScanView, Disposition | None, str | None]) -> list[list[LedgerEntry]]:
    async def read() -> list[list[LedgerEntry]]:
        pool = ReadPool(url, size=1)
        await pool.open()
        try:
            pages = [await Ledger(pool).objects(view, what, why, -1, 100) for view, what, why in asked]
        finally:
            await pool.close()
        return [list(page.entries) for page in pages]

    return asyncio.run(read())


def told(entries: list[LedgerEntry]) -> dict[str, str]:
    return {e.entry.key: e.reason or e.disposition.value for e in entries}


def run_to_its_end(ring: Ring) -> None:
    """k1 kills its worker until it is given up, k3 fails, half of the huge object is read; then it is cancelled."""
    steps: list[Callable[[], AnyReport]] = [
        lambda: ring.lost(2, suspect=4),
        lambda: ring.done(0),
        lambda: ring.lost(4, suspect=4),
        lambda: ring.done(5, exceptions=[exception(6, FailReason.NETWORK)]),
        lambda: ring.lost(4, suspect=4),
    ]
    for step in steps:
        ring.record(step())
    ring.log.append_next("scan-1", [Cancelled(at=LATER, actor=KEY)], unless=[])


def test_every_object_is_told_as_what_became_of_it_and_by_whom(ring: Ring, url: str) -> None:
    run_to_its_end(ring)
    (entries,) = ledger(url, (views(ring)[-1], None, None))
    assert told(entries) == {
        "a.csv": "unchanged",
        "b.csv": "binary",
        "big.csv": "remaining",
        "k0.csv": "remaining",
        "k1.csv": "worker_lost",
        "k2.csv": "scanned",
        "k3.csv": "network",
        "k4.csv": "scanned",
    }
    assert [entry.scanned_by for entry in entries] == ["scan-0", *[None] * 7]
    # Chunk 2 was parted into 3 (k0), 4 (k1) and 5 (the rest).
    assert [entry.chunk for entry in entries] == [None, None, 0, 3, 4, 5, 5, 5]


def test_the_sums_of_the_ledger_are_those_of_the_scan_at_every_version_and_each_filter_gives_its_share(
    ring: Ring, url: str
) -> None:
    run_to_its_end(ring)
    for view in views(ring):
        whole, *parts = ledger(url, (view, None, None), *((view, disposition, None) for disposition in Disposition))
        counts = Counter(entry.disposition for entry in whole)
        coverage = view.coverage
        assert [counts[disposition] for disposition in Disposition] == [
            coverage.scanned,
            coverage.total_skipped,
            coverage.total_failed,
            coverage.remaining,
        ]
        for disposition, part in zip(Disposition, parts, strict=True):
            assert part == [entry for entry in whole if entry.disposition is disposition]


def test_a_reason_gives_just_its_objects_whether_planning_or_reading_found_it(ring: Ring, url: str) -> None:
    run_to_its_end(ring)
    view = views(ring)[-1]
    reasons = ["unchanged", "binary", "network", "worker_lost", "timeout"]
    whole, *some = ledger(url, (view, None, None), *((view, None, reason) for reason in reasons))
    assert some == [[entry for entry in whole if entry.reason == reason] for reason in reasons]
    assert [len(found) for found in some] == [1, 1, 1, 1, 0]


def test_a_huge_object_remains_until_its_last_part_is_in_and_is_then_scanned(ring: Ring, url: str) -> None:
    ring.record(ring.done(1))
    assert told(ledger(url, (views(ring)[-1], None, None))[0])["big.csv"] == "remaining"
    ring.record(ring.done(0))
    assert told(ledger(url, (views(ring)[-1], None, None))[0])["big.csv"] == "scanned"
