"""The recorder: batches of reports in, events and the rows they count out. On the log in memory."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application import messages as wire
from application.messages import AnyReport, ReportedException, ReportedFinding
from application.object_columns import to_text
from application.ports import Append, ConcurrentAppend, Refused, Rows
from application.recording import Recorder
from domain.coverage import Disposition, FailReason, SkipReason
from domain.errors import ServiceUnavailable
from domain.manifest import ObjectInfo
from domain.scan import Scan, Status
from domain.scan_events import ENDINGS, Cancelled
from tests.application.memory_log import MemoryInventory, MemoryManifest, MemoryScanLog
from tests.domain.given import KEY, LATER, NOON, objects, queued

BY: dict[str, Any] = {"scan": "scan-1", "worker": "w1"}
PLAN = LATER.isoformat(timespec="microseconds")
SMALL = [ObjectInfo(f"k{n}.csv", 10) for n in range(3)] + [ObjectInfo("k3.csv", 0), ObjectInfo("k4.csv", 10)]
"""One chunk of the positions 0 to 4, of which 3 is skipped."""


def listed(entries: Sequence[ObjectInfo] = SMALL, batch: int = 1) -> list[AnyReport]:
    unit = {**BY, "unit": 0, "attempt": 1}
    return [
        wire.ListingStarted(**unit),
        wire.ObjectsListed(**unit, batch=batch, after="", objects=to_text(entries)),
        wire.ListingCompleted(**unit, batches=batch, after=entries[-1].key),
    ]


def finding(index: int, detector: str = "pii.email", column: str | None = None) -> ReportedFinding:
    return ReportedFinding(
        index=index,
        object=f"k{index}.csv",
        detector=detector,
        category="pii",
        confidence=1,
        count=2,
        column=column,
        occurrences=[],
    )


def exception(index: int, reason: SkipReason | FailReason = FailReason.NETWORK, **changes: Any) -> ReportedException:
    disposition = Disposition.SKIPPED if isinstance(reason, SkipReason) else Disposition.FAILED
    return ReportedException(**{"index": index, "disposition": disposition, "reason": reason, **changes})


def done(scanned: int, *, chunk: int = 0, attempt: int = 1, **changes: Any) -> wire.ChunkCompleted:
    parts: dict[str, Any] = {"exceptions": [], "findings": [], **changes}
    return wire.ChunkCompleted(
        **{**BY, "plan": PLAN, "chunk": chunk, "attempt": attempt, "scanned": scanned, **parts},
        started_at=NOON,
        bytes_read=9,
    )


class Ring:
    """A queued scan and its recorder."""

    def __init__(self, log: MemoryScanLog | None = None) -> None:
        self.log = log or MemoryScanLog()
        self.log.append([Append("scan-1", 0, [queued(coverage_target=0.0)])])
        self.recorder = Recorder(self.log, MemoryManifest(self.log), MemoryInventory(), lambda: LATER)

    def record(self, *reports: AnyReport) -> tuple[list[int], int, int, int]:
        verdict = self.recorder.record(list(reports))
        return list(verdict.early), verdict.changed, verdict.unchanged, verdict.refused

    @property
    def scan(self) -> Scan:
        return self.log.scan("scan-1")


def test_a_whole_scan_recorded_in_one_batch_counts_what_it_writes() -> None:
    ring = Ring()
    result = done(2, exceptions=[exception(1), exception(4, SkipReason.BINARY)], findings=[finding(0), finding(2)])
    assert ring.record(*listed(), result) == ([], 4, 0, 0)
    assert ring.scan.status is Status.COMPLETED
    assert ring.scan.coverage.scanned == 2
    assert ring.scan.coverage.skipped == {"empty": 1, "binary": 1}
    rows = ring.log.rows
    assert [(row.index, row.disposition, row.reason) for row in rows.exceptions] == [
        (1, "failed", "network"),
        (4, "skipped", "binary"),
    ]
    assert [(row.index, row.object, row.connector) for row in rows.findings] == [
        (0, "k0.csv", "conn-0"),
        (2, "k2.csv", "conn-0"),
    ]
    (page,) = rows.pages
    assert (page.first_index, list(page.objects), page.skips[3]) == (0, SMALL, SkipReason.EMPTY)


def test_a_batch_recorded_twice_changes_nothing_more() -> None:
    ring = Ring()
    batch = [*listed(), done(4, findings=[finding(0)])]
    ring.record(*batch)
    before = (ring.log.position(), len(ring.log.rows.findings), len(ring.log.rows.pages))
    assert ring.record(*batch) == ([], 0, 4, 0)
    assert (ring.log.position(), len(ring.log.rows.findings), len(ring.log.rows.pages)) == before


def test_a_report_that_comes_too_early_is_told_by_its_place_and_counts_later() -> None:
    ring = Ring()
    begun, batch, end = listed()
    assert ring.record(end, begun, batch) == ([0], 2, 0, 0)
    assert ring.record(end)[0] == []
    assert ring.scan.coverage.remaining == 4


def test_another_writer_in_between_costs_one_more_try_and_nothing_else() -> None:
    ring = Ring()
    ring.record(*listed())
    ring.log.append_next("scan-1", [Cancelled(at=NOON, actor=KEY)], unless=[])
    assert ring.record(done(4)) == ([], 0, 1, 0)
    assert ring.scan.status is Status.CANCELLED
    assert ring.scan.coverage.scanned == 0


def test_a_recorder_that_starts_anew_knows_what_another_recorded() -> None:
    ring = Ring()
    ring.record(*listed())
    other = Recorder(ring.log, MemoryManifest(ring.log), MemoryInventory(), lambda: LATER)
    other.record([done(4)])
    assert ring.record(done(4)) == ([], 0, 1, 0)
    assert sum(isinstance(record.event, ENDINGS) for record in ring.log.records) == 1


@pytest.mark.parametrize(
    "report",
    [
        done(3),
        done(5),
        done(3, exceptions=[exception(7)]),
        done(2, exceptions=[exception(1), exception(1)]),
        done(3, exceptions=[exception(1, FailReason.NETWORK, disposition=Disposition.SKIPPED)]),
        done(3, exceptions=[exception(1, SkipReason.BINARY, disposition=Disposition.FAILED)]),
        done(4, findings=[finding(5)]),
        done(4, findings=[finding(0), finding(0)]),
        done(4, findings=[finding(0, column=""), finding(0, column=None)]),
    ],
)
def test_a_result_that_contradicts_itself_is_a_lost_attempt_and_leaves_no_row(report: wire.ChunkCompleted) -> None:
    ring = Ring()
    ring.record(*listed())
    ring.record(report)
    assert (ring.scan.coverage.remaining, set(ring.scan.pending)) == (4, {1, 2})
    assert (ring.log.rows.findings, ring.log.rows.exceptions) == ([], [])
    ring.record(done(2, chunk=1), done(2, chunk=2))
    assert (ring.scan.status, ring.scan.coverage.scanned) == (Status.COMPLETED, 4)


def test_findings_of_different_columns_are_different_findings() -> None:
    ring = Ring()
    ring.record(*listed(), done(4, findings=[finding(0, column="a"), finding(0, column="b"), finding(0)]))
    assert len({row.finding_id for row in ring.log.rows.findings}) == 3


def test_findings_in_parts_count_once_all_of_them_are_there() -> None:
    ring = Ring()
    ring.record(*listed())
    last = done(4, findings=[finding(2)], parts=2)
    part = {**BY, "chunk": 0, "attempt": 1, "plan": PLAN}
    assert ring.record(last)[0] == [0]
    ring.record(wire.ChunkFindings(**part, part=2, findings=[finding(1)]))
    ring.record(wire.ChunkFindings(**part, part=2, findings=[finding(1)]))
    assert ring.record(last)[0] == [0]
    ring.record(wire.ChunkFindings(**part, part=1, findings=[finding(0)]))
    assert ring.record(last)[0] == []
    assert [row.index for row in ring.log.rows.findings] == [0, 1, 2]
    assert ring.log.rows.parts == []


def test_a_listing_that_cannot_be_read_is_a_failed_attempt() -> None:
    ring = Ring()
    bad = wire.ObjectsListed(**BY, unit=0, attempt=1, batch=1, after="", objects="no block")
    ring.record(bad, bad)
    assert (ring.scan.units[0].attempt, ring.scan.units[0].failures) == (2, 1)


def test_reports_of_a_scan_nobody_knows_change_nothing() -> None:
    ring = Ring()
    assert ring.record(done(1).model_copy(update={"scan": "other"})) == ([], 0, 1, 0)
    assert ring.log.position() == 1


class Faulty(MemoryScanLog):
    """A log that fails on demand."""

    fault: Exception | None = None
    hates: str = ""

    def append(self, appends: Sequence[Append], rows: Rows | None = None) -> int:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        if self.hates and any(row.object == self.hates for row in (rows or Rows()).findings):
            raise Refused(self.hates)
        return super().append(appends, rows)


def test_while_the_database_is_away_nothing_counts_and_afterwards_everything_once() -> None:
    log = Faulty()
    ring = Ring(log)
    log.fault = ServiceUnavailable("away")
    with pytest.raises(ServiceUnavailable):
        ring.record(*listed())
    assert ring.record(*listed()) == ([], 3, 0, 0)
    assert ring.scan.coverage.enumerated == 5


def test_a_conflict_is_decided_anew() -> None:
    log = Faulty()
    ring = Ring(log)
    log.fault = ConcurrentAppend("scan-1")
    assert ring.record(*listed()) == ([], 3, 0, 0)


def test_one_report_that_the_store_refuses_is_a_lost_attempt_and_the_others_count() -> None:
    log = Faulty()
    ring = Ring(log)
    ring.record(*listed(objects(2)))
    log.hates = "k1.csv"
    assert ring.record(done(1), done(1, chunk=1, findings=[finding(1)])) == ([], 2, 0, 1)
    assert ring.scan.coverage.scanned == 1
    assert ring.scan.pending[1].attempt == 2


@given(random=st.randoms(use_true_random=False))
def test_reports_in_any_batches_and_order_leave_the_same_sums_and_rows(random: Random) -> None:
    ring = Ring()
    bag = _reports_of_three_chunks(random)
    while bag:
        batch = [bag.pop(random.randrange(len(bag))) for _ in range(min(len(bag), random.randint(1, 6)))]
        early, *_ = ring.record(*batch)
        bag += [batch[place] for place in early]
    # What was reported before its chunk was known comes again, as a command that was not answered does.
    ring.record(*_reports_of_three_chunks(random))
    scan = ring.scan
    assert (scan.status, scan.coverage.scanned) == (Status.COMPLETED, 2)
    assert scan.coverage.failed == {"network": 1}
    assert [row.index for row in sorted(ring.log.rows.findings, key=lambda row: row.index)] == [0, 1]
    assert [row.index for row in ring.log.rows.exceptions] == [2]


def _reports_of_three_chunks(random: Random) -> list[AnyReport]:
    begun, batch, end = listed(objects(3))
    results = [done(1, chunk=n, findings=[finding(n)]) for n in range(2)]
    results.append(done(0, chunk=2, exceptions=[exception(2)]))
    return [report for report in (begun, batch, end, *results) for _ in range(random.randint(1, 2))]
