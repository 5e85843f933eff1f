"""What a scan decides about each report, told one by one."""

from datetime import timedelta

import pytest

from domain.coverage import EnumerationStatus, FailReason, Outcome
from domain.policy import MAX_CHUNK_ATTEMPTS, MAX_CHUNK_LOSSES, MAX_LISTING_FAILURES
from domain.scan import LostReason, Scan, Status, TooEarly, UnitStatus, evolve
from domain.scan_events import ChunkCompleted, ChunkFailed, ListingFailed, ObjectsListed
from tests.domain.given import (
    ALONE,
    KEY,
    LATER,
    NOON,
    after,
    all_scanned,
    completed,
    endings,
    failed_listing,
    finished_listing,
    listed,
    listing_scan,
    lost,
    objects,
    queued_scan,
    report,
    running_scan,
    some_failed,
)

LOST, STOPPED, INVALID = LostReason.WORKER_LOST, LostReason.WORKER_STOPPED, LostReason.INVALID_REPORT


def test_a_queued_scan_runs_once_a_listing_has_begun() -> None:
    assert queued_scan().status is Status.QUEUED
    assert listing_scan().status is Status.RUNNING


def test_a_scan_runs_once_objects_are_listed_though_the_report_of_the_beginning_is_late() -> None:
    scan = listed(queued_scan(), objects(1))
    assert scan.status is Status.RUNNING
    assert after(scan, scan.start_listing(0, attempt=1, worker="w1", at=LATER)).status is Status.RUNNING


def test_a_listing_begins_once_per_attempt() -> None:
    scan = listing_scan()
    assert scan.start_listing(0, attempt=1, worker="w2", at=NOON) == []
    assert scan.start_listing(0, attempt=2, worker="w2", at=NOON) == []
    assert scan.start_listing(7, attempt=1, worker="w2", at=NOON) == []


def test_a_batch_is_taken_exactly_once_and_only_after_the_one_before() -> None:
    scan = listing_scan()
    with pytest.raises(TooEarly):
        scan.list_objects(0, attempt=1, batch=2, objects=objects(1), worker="w1", at=NOON)
    scan = listed(scan, objects(3))
    assert scan.list_objects(0, attempt=1, batch=1, objects=objects(3), worker="w1", at=NOON) is None
    assert listed(scan, objects(2, first=3)).coverage.enumerated == 5


def test_an_empty_batch_is_not_taken() -> None:
    assert listing_scan().list_objects(0, attempt=1, batch=1, objects=[], worker="w1", at=NOON) is None


def test_batches_of_several_units_share_one_row_of_positions_and_chunks() -> None:
    scan = listed(listing_scan(units=2), objects(3), unit=1)
    taken = scan.list_objects(0, attempt=1, batch=1, objects=objects(2), worker="w1", at=NOON)
    assert taken is not None
    event = taken.events[0]
    assert isinstance(event, ObjectsListed)
    assert (event.first_index, event.first_chunk, taken.first_index) == (3, 3, 3)
    assert [chunk.start for chunk in event.chunks] == [3, 4]
    assert set(after(scan, taken.events).pending) == set(range(5))


def test_a_listing_is_complete_only_when_all_its_batches_are_recorded() -> None:
    scan = listed(listing_scan(), objects(1))
    with pytest.raises(TooEarly):
        scan.complete_listing(0, attempt=1, batches=2, worker="w1", at=NOON)
    assert finished_listing(scan).enumeration is EnumerationStatus.COMPLETE


def test_a_failed_listing_goes_on_in_another_attempt_from_what_is_recorded() -> None:
    scan = failed_listing(listed(listing_scan(), objects(3)), permanent=False)
    unit = scan.units[0]
    assert (unit.status, unit.attempt, unit.batches, unit.last_key) == (UnitStatus.OPEN, 2, 1, "k000002.csv")
    assert scan.list_objects(0, attempt=1, batch=2, objects=objects(1), worker="w1", at=NOON) is None
    assert scan.complete_listing(0, attempt=1, batches=1, worker="w1", at=NOON) == []
    assert listed(scan, objects(1, first=3), attempt=2).coverage.enumerated == 4


def test_a_listing_that_keeps_failing_in_a_row_is_given_up() -> None:
    scan = listing_scan()
    for _ in range(MAX_LISTING_FAILURES - 1):
        scan = failed_listing(scan, permanent=False)
    assert scan.units[0].status is UnitStatus.OPEN
    assert failed_listing(scan, permanent=False).units[0].status is UnitStatus.FAILED


def test_progress_in_between_forgives_earlier_failures_of_a_listing() -> None:
    scan = listing_scan()
    for _ in range(MAX_LISTING_FAILURES * 3):
        scan = failed_listing(scan, permanent=False)
        scan = listed(scan, objects(1, first=scan.coverage.enumerated))
    assert scan.units[0].status is UnitStatus.OPEN


def test_a_permanent_failure_gives_a_listing_up_at_once() -> None:
    assert failed_listing(listing_scan()).units[0].status is UnitStatus.FAILED


def test_a_worker_that_was_stopped_is_no_failure_of_its_listing() -> None:
    scan = listing_scan()
    for attempt in range(1, MAX_LISTING_FAILURES * 2):
        events = scan.fail_listing(
            0, attempt=attempt, reason=STOPPED, detail="", permanent=False, worker="w1", at=LATER
        )
        assert [event.final for event in events if isinstance(event, ListingFailed)] == [False]
        scan = after(scan, events)
    assert scan.units[0].failures == 0


def test_reaching_max_files_exactly_stops_nothing() -> None:
    scan = finished_listing(listed(listing_scan(max_files=3), objects(3)))
    assert not scan.limit_reached
    assert scan.planned == 3
    assert scan.coverage.remaining == 3


def test_one_eligible_object_beyond_max_files_stops_all_listing() -> None:
    scan = listed(listing_scan(units=2, max_files=3), objects(4))
    assert scan.limit_reached
    assert scan.planned == 3
    assert scan.coverage.skipped == {"max_files": 1}
    assert {unit.status for unit in scan.units.values()} == {UnitStatus.STOPPED}
    assert scan.list_objects(1, attempt=1, batch=1, objects=objects(1), worker="w1", at=NOON) is None


def test_objects_that_are_not_eligible_do_not_use_up_max_files() -> None:
    entries = [*objects(2), *objects(5, first=2, size=0)]
    assert not listed(listing_scan(max_files=2), entries).limit_reached


def test_a_chunk_begins_once_per_attempt_and_says_what_it_holds() -> None:
    scan = running_scan(chunks=2, files=3)
    (started,) = scan.start_chunk(1, attempt=1, worker="w7", at=LATER)
    assert (started.start_index, started.end_index, started.files) == (3, 5, 3)  # type: ignore[union-attr]  # ChunkStarted
    scan = evolve(scan, started)
    assert scan.start_chunk(1, attempt=1, worker="w8", at=LATER) == []
    assert scan.pending[1].worker == "w7"


@pytest.mark.parametrize("attempt", [0, 2, 3])
def test_only_the_current_attempt_at_a_chunk_counts(attempt: int) -> None:
    scan = running_scan()
    assert scan.start_chunk(0, attempt=attempt, worker="w", at=LATER) == []
    assert report(scan, 0, all_scanned(3), attempt=attempt) == []
    assert scan.fail_chunk(0, attempt=attempt, reason=LOST, worker="w", at=LATER) == []


def test_a_report_from_a_superseded_attempt_changes_nothing() -> None:
    scan = lost(running_scan(), 0)
    assert report(scan, 0, all_scanned(3), attempt=1) == []
    assert len(report(scan, 0, all_scanned(3), attempt=2)) == 1


def test_a_chunk_may_be_completed_though_the_report_of_its_start_was_lost() -> None:
    (event,) = report(running_scan(), 0, all_scanned(3))
    assert isinstance(event, ChunkCompleted)


@pytest.mark.parametrize("outcome", [Outcome(), Outcome(scanned=2), Outcome(scanned=4), some_failed(4, 1)])
def test_an_outcome_that_does_not_add_up_is_a_failed_attempt(outcome: Outcome) -> None:
    scan = running_scan(files=3)
    (event,) = report(scan, 0, outcome)
    assert isinstance(event, ChunkFailed)
    assert (event.reason, event.final) == ("invalid_report", False)
    assert evolve(scan, event).coverage == scan.coverage


def test_the_last_chunk_ends_the_scan_in_the_same_decision() -> None:
    scan = completed(running_scan(chunks=2), 0)
    events = report(scan, 1, all_scanned(3))
    assert [event.kind for event in events] == ["scan.chunk-completed", "scan.completed"]
    ended = after(scan, events)
    assert (ended.status, ended.ended_at, ended.coverage.remaining) == (Status.COMPLETED, LATER, 0)


def test_a_scan_goes_on_while_a_listing_is_open_though_every_chunk_is_done() -> None:
    scan = completed(listed(listing_scan(), objects(1)), 0, all_scanned(1))
    assert scan.open
    assert not finished_listing(scan).open


def test_a_chunk_that_kills_its_workers_is_given_up_and_its_neighbours_are_not() -> None:
    scan = lost(running_scan(chunks=2), 0, times=MAX_CHUNK_LOSSES)
    assert set(scan.pending) == {1}
    assert scan.coverage.failed == {FailReason.WORKER_LOST: 3}
    assert scan.pending[1].losses == 0


def test_a_chunk_that_was_only_handed_out_when_its_worker_went_is_not_to_blame() -> None:
    scan = running_scan()
    for attempt in range(1, MAX_CHUNK_LOSSES * 2):
        scan = after(scan, scan.fail_chunk(0, attempt=attempt, reason=LOST, worker="w", at=LATER))
    assert scan.pending[0].losses == 0


def test_the_worker_that_was_lost_is_named_and_not_the_one_that_noticed() -> None:
    scan = running_scan()
    scan = after(scan, scan.start_chunk(0, attempt=1, worker="gone", at=LATER))
    (event,) = scan.fail_chunk(0, attempt=1, reason=LOST, worker="well", at=LATER)
    assert isinstance(event, ChunkFailed)
    assert (event.worker, event.actor) == ("gone", "worker:well")


def test_a_stopped_worker_costs_a_chunk_nothing_however_often() -> None:
    scan = lost(running_scan(), 0, times=MAX_CHUNK_LOSSES * 2, reason=STOPPED)
    assert (scan.pending[0].attempt, scan.pending[0].losses) == (MAX_CHUNK_LOSSES * 2 + 1, 0)


def test_bad_reports_count_against_a_chunk_like_lost_workers() -> None:
    scan = lost(lost(running_scan(), 0, times=MAX_CHUNK_LOSSES - 1, reason=INVALID), 0)
    assert 0 not in scan.pending


@pytest.mark.parametrize("scan", [queued_scan(), listing_scan(), running_scan()])
def test_an_open_scan_can_be_cancelled_once(scan: Scan) -> None:
    (event,) = scan.cancel(actor=KEY, at=LATER)
    ended = evolve(scan, event)
    assert (ended.status, ended.ended_at) == (Status.CANCELLED, LATER)
    assert ended.cancel(actor=KEY, at=LATER) == []


def test_a_report_after_cancel_changes_nothing() -> None:
    scan = listed(listing_scan(), objects(2))
    cancelled = after(scan, scan.cancel(actor=KEY, at=LATER))
    assert report(cancelled, 0, all_scanned(1)) == []
    assert cancelled.start_chunk(0, attempt=1, worker="w", at=LATER) == []
    assert cancelled.fail_chunk(0, attempt=1, reason=LOST, worker="w", at=LATER) == []
    assert cancelled.start_listing(0, attempt=1, worker="w", at=LATER) == []
    assert cancelled.list_objects(0, attempt=1, batch=2, objects=objects(1), worker="w", at=LATER) is None
    assert cancelled.complete_listing(0, attempt=1, batches=9, worker="w", at=LATER) == []
    assert cancelled.fail_listing(0, attempt=1, reason="x", detail="", permanent=True, worker="w", at=LATER) == []
    assert cancelled.time_out(at=NOON + timedelta(days=9)) == []


def test_a_scan_times_out_at_its_minute_and_not_before() -> None:
    scan = completed(running_scan(timeout_minutes=5), 0)
    assert scan.time_out(at=NOON + timedelta(minutes=5, microseconds=-1)) == []
    events = scan.time_out(at=NOON + timedelta(minutes=5))
    assert [event.kind for event in events] == ["scan.timed-out", "scan.partially-completed"]
    ended = after(scan, events)
    assert ended.time_out(at=NOON + timedelta(minutes=6)) == []
    assert report(ended, 0, all_scanned(3)) == []


def test_a_scan_that_was_never_queued_decides_nothing() -> None:
    scan = Scan()
    assert scan.cancel(actor=KEY, at=NOON) == []
    assert scan.time_out(at=NOON) == []
    assert scan.start_listing(0, attempt=1, worker="w", at=NOON) == []
    assert report(scan, 0, all_scanned(1)) == []


def test_a_scan_of_nothing_but_skipped_objects_ends_with_its_listing() -> None:
    scan = listed(listing_scan(), objects(5, size=0))
    events = scan.complete_listing(0, attempt=1, batches=1, worker="w1", at=LATER)
    assert len(endings(events)) == 1


def test_large_objects_become_chunks_of_their_own_in_order() -> None:
    scan = listed(listing_scan(), objects(4, size=ALONE))
    assert [state.chunk.files for _, state in sorted(scan.pending.items())] == [1, 1, 1, 1]


def test_a_chunk_whose_command_keeps_coming_back_unbegun_is_given_up_in_the_end() -> None:
    scan = running_scan(chunks=1)
    for attempt in range(1, MAX_CHUNK_ATTEMPTS + 1):
        assert scan.open
        for event in scan.fail_chunk(0, attempt=attempt, reason=LostReason.WORKER_LOST, worker="w1", at=LATER):
            scan = evolve(scan, event)
    assert scan.status is Status.PARTIAL
    assert not scan.pending


def test_a_listing_command_that_comes_back_unbegun_is_not_the_units_failure() -> None:
    scan = queued_scan()
    for attempt in range(1, 2 * MAX_LISTING_FAILURES):
        (failed,) = scan.fail_listing(
            0, attempt=attempt, reason=LostReason.WORKER_LOST, detail="", permanent=False, worker="w1", at=LATER
        )
        scan = evolve(scan, failed)
    assert scan.units[0].status is UnitStatus.OPEN
