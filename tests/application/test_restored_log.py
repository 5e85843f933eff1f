"""The recorder when an older copy of the log takes its place, and what is said of it comes from the time after."""

from datetime import timedelta
from typing import Any

import pytest

from application import messages as wire
from application.messages import AnyReport
from application.object_columns import to_text
from application.ports import Append
from application.recording import Recorder, end_of_attempt
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan, Status, UnitStatus
from domain.scan_events import Cancelled, ListingFailed
from tests.application.memory_log import MemoryInventory, MemoryManifest, MemoryScanLog
from tests.domain.given import ALONE, HUGE, KEY, LATER, NOON, queued

BY: dict[str, Any] = {"scan": "scan-1", "worker": "w1"}
UNIT: dict[str, Any] = {**BY, "unit": 0, "attempt": 1}


class Restored(MemoryScanLog):
    """A log of which an older copy can take the place."""

    def restore(self, position: int) -> None:
        self.records = self.records[:position]
        kept = sum(record.event.kind == "scan.objects-listed" for record in self.records)
        self.rows.pages = self.rows.pages[:kept]
        self.rows.findings, self.rows.exceptions, self.rows.parts = [], [], []


class Ring:
    """A queued scan and its recorder, whose clock goes on with each question."""

    def __init__(self) -> None:
        self.log = Restored()
        self.log.append([Append("scan-1", 0, [queued(coverage_target=0.0)])])
        self.now = LATER
        self.recorder = Recorder(self.log, MemoryManifest(self.log), MemoryInventory(), self._clock)

    def _clock(self) -> Any:
        self.now += timedelta(seconds=1)
        return self.now

    def record(self, *reports: AnyReport) -> tuple[list[int], int, int]:
        verdict = self.recorder.record(list(reports))
        return list(verdict.early), verdict.changed, verdict.unchanged

    @property
    def scan(self) -> Scan:
        return self.log.scan("scan-1")

    def done(self, chunk: int, **changes: Any) -> wire.ChunkCompleted:
        """As a worker reports what it was told to do by the log as it is now."""
        state = self.scan.pending[chunk]
        values = {"exceptions": [], "findings": [], "scanned": state.chunk.files, "plan": state.plan, **changes}
        return wire.ChunkCompleted(**BY, chunk=chunk, attempt=state.attempt, started_at=NOON, bytes_read=1, **values)


def batch(number: int, *keys: str, after: str = "", size: int = ALONE) -> wire.ObjectsListed:
    block = to_text([ObjectInfo(f"{key}.csv", size) for key in keys])
    return wire.ObjectsListed(**UNIT, batch=number, after=f"{after}.csv" if after else "", objects=block)


def end(batches: int, after: str) -> wire.ListingCompleted:
    return wire.ListingCompleted(**UNIT, batches=batches, after=f"{after}.csv")


@pytest.fixture
def ring() -> Ring:
    """A scan of four chunks, listed in two batches; the first chunk is done."""
    ring = Ring()
    ring.record(wire.ListingStarted(**UNIT), batch(1, "a", "b"), batch(2, "c", "d", after="b"), end(2, after="d"))
    ring.record(ring.done(0))
    return ring


# What the recorder remembers ------------------------------------------------------------------------------------------


def test_no_event_is_ever_recorded_behind_a_gap(ring: Ring) -> None:
    backup = ring.log.position()
    ring.record(ring.done(1), ring.done(2))
    ring.log.restore(backup)
    assert ring.record(ring.done(3)) == ([], 1, 0)
    assert [record.version for record in ring.log.records] == list(range(1, backup + 2))
    assert set(ring.scan.pending) == {1, 2}


def test_what_the_lost_log_had_counted_counts_when_it_is_reported_again(ring: Ring) -> None:
    backup = ring.log.position()
    ring.record(ring.done(1))
    ring.log.restore(backup)
    assert ring.record(ring.done(1)) == ([], 1, 0)


def test_a_scan_that_had_ended_in_the_lost_log_goes_on(ring: Ring) -> None:
    backup = ring.log.position()
    ring.record(*(ring.done(chunk) for chunk in (1, 2, 3)))
    assert ring.scan.status is Status.COMPLETED
    ring.log.restore(backup)
    ring.record(*(ring.done(chunk) for chunk in (1, 2, 3)))
    assert (ring.scan.status, ring.scan.coverage.scanned) == (Status.COMPLETED, 4)


def test_a_scan_that_only_the_lost_log_knew_is_not_recorded_any_more(ring: Ring) -> None:
    ring.log.restore(0)
    assert ring.record(wire.ListingStarted(**UNIT)) == ([], 0, 1)
    assert ring.log.records == []


def test_a_huge_object_that_only_the_lost_log_had_listed_is_not_accounted_for(ring: Ring) -> None:
    backup = ring.log.position()
    ring.record(ring.done(1), ring.done(2), ring.done(3))
    scan_2 = {"scan": "scan-2", "worker": "w1"}
    ring.log.append([Append("scan-2", 0, [queued(coverage_target=0.0)])])
    huge = to_text([ObjectInfo("huge.csv", HUGE)])
    ring.record(wire.ObjectsListed(**scan_2, unit=0, attempt=1, batch=1, after="", objects=huge))
    parts = ring.log.scan("scan-2").pending
    done = [
        wire.ChunkCompleted(
            **scan_2, chunk=chunk, attempt=1, plan=state.plan, started_at=NOON, scanned=1, bytes_read=1,
            exceptions=[], findings=[],
        )
        for chunk, state in parts.items()
    ]  # fmt: skip
    ring.record(*done[:-1])
    ring.log.restore(backup)
    assert ring.record(done[-1]) == ([], 0, 1)
    assert len(ring.log.records) == backup


def test_that_a_report_changes_nothing_is_decided_on_what_the_log_holds_by_now(ring: Ring) -> None:
    other = Recorder(ring.log, MemoryManifest(ring.log), MemoryInventory(), lambda: LATER)
    lost = wire.ChunkFailed(**BY, chunk=1, attempt=1, plan=ring.scan.pending[1].plan, reason=LostReason.WORKER_LOST)
    other.record([lost])
    # Attempt 2 is one that this recorder has not heard of.
    assert ring.record(ring.done(1)) == ([], 1, 0)


def test_a_late_report_costs_a_look_into_the_log_and_no_more(ring: Ring) -> None:
    ring.log.append_next("scan-1", [Cancelled(at=NOON, actor=KEY)], unless=[])
    before = ring.log.position()
    plan = ring.scan.pending[1].plan
    late = wire.ChunkStarted(**BY, chunk=1, attempt=1, plan=plan, started_at=NOON)
    assert ring.record(late, late) == ([], 0, 2)
    assert ring.log.position() == before


# Chunks and listings of the lost time ---------------------------------------------------------------------------------


def recut(ring: Ring) -> list[AnyReport]:
    """Reports about chunk 2 from before a restore, after which its number went to another object."""
    done = ring.done(2)
    of_chunk = {**BY, "chunk": 2, "attempt": 1, "plan": done.plan}
    old: list[AnyReport] = [
        done,
        wire.ChunkStarted(**of_chunk, started_at=NOON),
        wire.ChunkFindings(**of_chunk, part=1, findings=[]),
        wire.ChunkFailed(**of_chunk, reason=LostReason.WORKER_LOST, started_at=NOON),
    ]
    ring.log.restore(3)
    ring.record(batch(2, "c", "cc", "d", after="b"))
    return old


def test_a_report_about_a_chunk_that_was_cut_anew_changes_nothing(ring: Ring) -> None:
    old = recut(ring)
    before = ring.log.position()
    assert ring.record(*old) == ([], 0, len(old))
    assert ring.log.position() == before
    assert ring.log.rows.parts == []
    assert ring.record(ring.done(2)) == ([], 1, 0)


def test_a_chunk_that_was_cut_before_the_backup_is_the_same_chunk(ring: Ring) -> None:
    old = ring.done(1)
    ring.log.restore(3)
    assert ring.record(old) == ([], 1, 0)


def test_all_chunks_of_a_batch_share_one_token_and_no_two_batches_do(ring: Ring) -> None:
    plans = [ring.scan.pending[chunk].plan for chunk in (1, 2, 3)]
    assert plans[1] is not None
    assert plans[1] == plans[2] != plans[0]


def test_a_batch_that_does_not_follow_what_is_recorded_ends_its_attempt(ring: Ring) -> None:
    ring.log.restore(3)
    ring.record(batch(2, "c", after="b"))
    # Batch 3 of the listing that went on from c and d; of this one, d would be missing.
    assert ring.record(batch(3, "e", after="d")) == ([], 1, 0)
    unit = ring.scan.units[0]
    assert (unit.status, unit.attempt, unit.last_key) == (UnitStatus.OPEN, 2, "c.csv")
    failed = ring.log.records[-1].event
    assert isinstance(failed, ListingFailed)
    assert (failed.reason, failed.final) == ("worker_lost", False)


def test_the_end_of_another_listing_is_not_the_end_of_this_one(ring: Ring) -> None:
    ring.log.restore(3)
    ring.record(batch(2, "c", after="b"))
    assert ring.record(end(2, after="d")) == ([], 1, 0)
    assert (ring.scan.units[0].status, ring.scan.units[0].attempt) == (UnitStatus.OPEN, 2)


def test_a_batch_recorded_twice_ends_no_attempt(ring: Ring) -> None:
    ring.log.restore(3)
    assert ring.record(batch(1, "a", "b"), batch(2, "c", after="b"), batch(2, "c", after="b")) == ([], 1, 2)
    assert ring.scan.units[0].attempt == 1


# What builds on what will not come ------------------------------------------------------------------------------------


def test_a_batch_whose_predecessor_was_lost_can_end_its_attempt(ring: Ring) -> None:
    ring.log.restore(2)
    early = batch(2, "c", "d", after="b")
    assert ring.record(early) == ([0], 0, 0)
    assert ring.record(end_of_attempt(early)) == ([], 1, 0)
    assert (ring.scan.units[0].status, ring.scan.units[0].attempt) == (UnitStatus.OPEN, 2)


def test_so_can_the_end_of_a_listing_whose_batches_were_lost(ring: Ring) -> None:
    ring.log.restore(2)
    early = end(2, after="d")
    assert ring.record(early) == ([0], 0, 0)
    assert ring.record(end_of_attempt(early)) == ([], 1, 0)
    assert ring.scan.units[0].attempt == 2


def test_and_a_result_whose_parts_were_lost(ring: Ring) -> None:
    early = ring.done(1, parts=2)
    assert ring.record(early) == ([0], 0, 0)
    assert ring.record(end_of_attempt(early)) == ([], 1, 0)
    assert (ring.scan.pending[1].attempt, ring.scan.pending[1].losses) == (2, 0)


def test_parts_that_an_earlier_run_of_an_attempt_had_left_give_way_to_those_of_the_last(ring: Ring) -> None:
    plan = ring.scan.pending[1].plan

    def part(number: int, detector: str) -> wire.ChunkFindings:
        found = wire.ReportedFinding(
            index=1, object="b.csv", detector=detector, category="pii", confidence=1, count=1, occurrences=[]
        )
        return wire.ChunkFindings(**BY, chunk=1, attempt=1, plan=plan, part=number, findings=[found])

    ring.record(part(1, "old.1"), part(2, "old.2"), part(3, "old.3"))
    last = ring.done(1, parts=2)
    assert ring.record(part(1, "new.1"), part(2, "new.2"), last) == ([2], 2, 0)
    assert ring.record(last) == ([], 1, 0)
    assert [row.finding.detector for row in ring.log.rows.findings] == ["new.1", "new.2"]


def test_what_was_waited_for_in_vain_ends_no_attempt_but_its_own(ring: Ring) -> None:
    early = ring.done(1, parts=2)
    for _ in range(3):
        ring.record(end_of_attempt(early))
    assert ring.scan.pending[1].attempt == 2
