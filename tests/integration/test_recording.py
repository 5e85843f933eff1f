"""The recorder on the real event store: what workers report becomes events and rows, exactly once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest

from application import object_columns
from application.messages import (
    AnyReport,
    ChunkCompleted,
    ChunkFailed,
    ChunkFindings,
    ListingCompleted,
    ListingStarted,
    ObjectsListed,
    ReportedException,
    ReportedFinding,
    ReportedOccurrence,
)
from application.ports import Append
from application.recording import Recorder
from domain.coverage import Disposition, FailReason, SkipReason
from domain.manifest import ObjectInfo
from domain.policy import ScanOptions
from domain.scan import LostReason, Status
from domain.scan_events import Cancelled, ListingUnit, Queued
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.inventory import PostgresInventory
from infrastructure.postgres.manifest import PostgresManifestStore

SCAN = "scan-1"
FILES = 6
AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
PLAN = AT.isoformat(timespec="microseconds")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Bench:
    """A recorder on a database of its own, with one scan that is queued."""

    url: str
    log: PostgresScanLog
    recorder: Recorder

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def list_all(self) -> None:
        """One batch of FILES objects: one of them empty, so that five are in chunk 0."""
        objects = [ObjectInfo(f"k{n}", 0 if n == 2 else 100, "etag") for n in range(FILES)]
        verdict = self.recorder.record(
            [
                ListingStarted(scan=SCAN, worker="l", unit=0, attempt=1),
                ObjectsListed(
                    scan=SCAN,
                    worker="l",
                    unit=0,
                    attempt=1,
                    batch=1,
                    after="",
                    objects=object_columns.to_text(objects),
                ),
                ListingCompleted(scan=SCAN, worker="l", unit=0, attempt=1, batches=1, after=f"k{FILES - 1}"),
            ]
        )
        assert verdict.changed == 3


@pytest.fixture
def bench(new_database: Callable[[], str]) -> Iterator[Bench]:
    url = new_database()
    log, manifest, inventory = PostgresScanLog(url), PostgresManifestStore(url), PostgresInventory(url)
    queued = Queued(
        at=now(),
        actor="key:a",
        tenant="t",
        type="full",
        connectors=("conn-1",),
        units=(ListingUnit("conn-1"),),
        options=ScanOptions(max_files=1000, max_workers=8),
        ruleset="r",
    )
    log.append([Append(SCAN, 0, [queued])])
    yield Bench(url, log, Recorder(log, manifest, inventory, lambda: AT))
    log.close()
    manifest.close()
    inventory.close()


def finding(index: int, detector: str = "pii.email") -> ReportedFinding:
    return ReportedFinding(
        index=index,
        object=f"k{index}",
        detector=detector,
        category="pii",
        confidence=0.9,
        count=2,
        occurrences=[ReportedOccurrence(masked="***\0", line=1)],
    )


def completed(**changes: object) -> ChunkCompleted:
    values: dict[str, object] = {
        "scan": SCAN,
        "worker": "w",
        "chunk": 0,
        "attempt": 1,
        "plan": PLAN,
        "started_at": now(),
        "scanned": 3,
        "bytes_read": 300,
        "exceptions": [
            ReportedException(index=0, disposition=Disposition.FAILED, reason=FailReason.ACCESS_DENIED),
            ReportedException(index=5, disposition=Disposition.SKIPPED, reason=SkipReason.BINARY),
        ],
        "findings": [finding(1), finding(3)],
    }
    return ChunkCompleted.model_validate(values | changes)


def test_findings_and_exceptions_are_committed_with_the_event_that_counts_them(bench: Bench) -> None:
    bench.list_all()
    assert bench.recorder.record([completed()]).changed == 1
    scan = bench.log.scan(SCAN)
    assert scan.status is Status.PARTIAL
    assert (scan.coverage.scanned, scan.coverage.skipped, scan.coverage.failed) == (
        3,
        {"empty": 1, "binary": 1},
        {"access_denied": 1},
    )
    assert bench.rows("SELECT object, count FROM findings ORDER BY 1") == [("k1", 2), ("k3", 2)]
    assert bench.rows("SELECT object_index, reason FROM object_exceptions ORDER BY 1") == [
        (0, "access_denied"),
        (5, "binary"),
    ]


def test_a_report_recorded_by_another_recorder_changes_nothing_here(bench: Bench) -> None:
    bench.list_all()
    other = Recorder(bench.log, PostgresManifestStore(bench.url), PostgresInventory(bench.url), now)
    assert other.record([completed()]).changed == 1
    version = bench.log.scan(SCAN).version
    assert bench.recorder.record([completed(), completed()]).unchanged == 2
    assert bench.log.scan(SCAN).version == version
    assert bench.rows("SELECT count(*) FROM findings") == [(2,)]


def test_a_cancel_between_two_batches_is_seen_and_what_comes_later_changes_nothing(bench: Bench) -> None:
    bench.list_all()
    bench.log.append_next(SCAN, [Cancelled(at=now(), actor="key:a")], unless=[])
    verdict = bench.recorder.record([completed()])
    assert (verdict.changed, verdict.unchanged) == (0, 1)
    assert bench.log.scan(SCAN).status is Status.CANCELLED
    assert bench.rows("SELECT count(*) FROM findings") == [(0,)]


def test_a_report_in_parts_counts_when_its_last_part_is_there(bench: Bench) -> None:
    bench.list_all()
    last = completed(parts=2)
    assert bench.recorder.record([last]).early == [0]
    part = ChunkFindings(
        scan=SCAN, worker="w", chunk=0, attempt=1, plan=PLAN, part=1, findings=[finding(1, "pii.phone")]
    )
    assert bench.recorder.record([part, part]).changed == 2
    assert bench.recorder.record([last]).early == [0]
    second = part.model_copy(update={"part": 2, "findings": [finding(4)]})
    bench.recorder.record([second])
    assert bench.recorder.record([last]).changed == 1
    assert bench.rows("SELECT count(*) FROM findings") == [(4,)]
    assert bench.rows("SELECT count(*) FROM report_parts") == [(0,)]
    with psycopg.connect(bench.url) as connection:
        row = connection.execute(
            "SELECT data ->> 'findings' FROM events WHERE kind = 'scan.chunk-completed'"
        ).fetchone()
    assert row == ("4",)


BAD_REPORTS: dict[str, dict[str, object]] = {
    "too_few_objects": {"scanned": 2},
    "too_many_objects": {"scanned": 4},
    "an_object_of_another_chunk": {"findings": [finding(99)]},
    "the_same_exception_twice": {
        "exceptions": [ReportedException(index=0, disposition=Disposition.FAILED, reason=FailReason.NETWORK)] * 2
    },
    "the_same_finding_twice": {"findings": [finding(1), finding(1)]},
}


@pytest.mark.parametrize("name", BAD_REPORTS)
def test_a_report_that_does_not_add_up_fails_its_attempt_and_counts_nothing(bench: Bench, name: str) -> None:
    bench.list_all()
    bench.recorder.record([completed(**BAD_REPORTS[name])])
    scan = bench.log.scan(SCAN)
    assert scan.status is Status.RUNNING
    assert sum(state.chunk.files for state in scan.pending.values()) == 5
    assert bench.rows("SELECT count(*) FROM findings") == [(0,)]
    assert bench.rows("SELECT count(*) FROM object_exceptions") == [(0,)]


def test_a_bad_report_does_not_keep_the_good_ones_of_its_batch_from_counting(bench: Bench) -> None:
    bench.list_all()
    # An integer that PostgreSQL's bigint cannot hold: the store refuses the row, not our own checks.
    monstrous = completed(findings=[finding(1).model_copy(update={"count": 2**70})])
    halves = [completed(chunk=1, scanned=2, exceptions=[], findings=[])]
    halves.append(completed(chunk=2, scanned=3, exceptions=[], findings=[finding(3)]))
    verdict = bench.recorder.record([monstrous, *halves])
    assert (verdict.refused, verdict.changed) == (1, 3)
    assert bench.log.scan(SCAN).coverage.scanned == 5


def lost(bench: Bench, chunk: int, suspect: int | None = None) -> ChunkFailed:
    """As a worker says of a chunk as it stands now."""
    state = bench.log.scan(SCAN).pending[chunk]
    return ChunkFailed(
        scan=SCAN,
        worker="w",
        chunk=chunk,
        attempt=state.attempt,
        plan=state.plan,
        reason=LostReason.WORKER_LOST,
        started_at=now(),
        suspect=suspect,
    )


def test_an_object_that_keeps_losing_its_worker_is_given_up_alone(bench: Bench) -> None:
    bench.list_all()
    bench.recorder.record([lost(bench, 0, suspect=3)])
    pending = bench.log.scan(SCAN).pending
    assert {number: (state.chunk.start, state.chunk.end) for number, state in pending.items()} == {
        1: (0, 1),
        2: (3, 3),
        3: (4, 5),
    }
    for _ in range(2):
        report = lost(bench, 2, suspect=3)
        bench.recorder.record([report, report])
    for chunk in (1, 3):
        bench.recorder.record([completed(chunk=chunk, scanned=2, exceptions=[], findings=[])])
    scan = bench.log.scan(SCAN)
    assert (scan.status, scan.coverage.scanned, scan.coverage.failed) == (Status.PARTIAL, 4, {"worker_lost": 1})
    assert bench.rows("SELECT object_index, reason FROM object_exceptions") == [(3, "worker_lost")]


def test_listing_batches_out_of_order_wait_for_the_one_before(bench: Bench) -> None:
    def batch(number: int) -> AnyReport:
        objects = object_columns.to_text([ObjectInfo(f"b{number}", 1)])
        after = f"b{number - 1}" if number > 1 else ""
        return ObjectsListed(scan=SCAN, worker="l", unit=0, attempt=1, batch=number, after=after, objects=objects)

    end = ListingCompleted(scan=SCAN, worker="l", unit=0, attempt=1, batches=2, after="b2")
    assert bench.recorder.record([end, batch(2)]).early == [0, 1]
    assert bench.recorder.record([batch(1), batch(1), end, batch(2)]).early == [2]
    assert bench.recorder.record([end]).changed == 1
    assert bench.rows("SELECT first_index, files FROM manifest_pages ORDER BY 1") == [(0, 1), (1, 1)]
