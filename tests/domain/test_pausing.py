"""A scan that is paused and resumed."""

from datetime import timedelta

import pytest

from domain.scan import LostReason, Scan, Status, TooEarly
from tests.domain.given import (
    KEY,
    LATER,
    NOON,
    after,
    all_scanned,
    completed,
    finished_listing,
    listed,
    listing_scan,
    objects,
    queued_scan,
    report,
    running_scan,
)


def paused(scan: Scan, minutes: int = 0) -> Scan:
    return after(scan, scan.pause(actor=KEY, at=NOON + timedelta(minutes=minutes)))


def resumed(scan: Scan, minutes: int = 0) -> Scan:
    return after(scan, scan.resume(actor=KEY, at=NOON + timedelta(minutes=minutes)))


@pytest.mark.parametrize("scan", [queued_scan(), listing_scan(), running_scan()])
def test_an_open_scan_can_be_paused_and_goes_on_as_it_was(scan: Scan) -> None:
    assert paused(scan).status is Status.PAUSED
    assert resumed(paused(scan)).status is scan.status


def test_pausing_twice_and_resuming_what_is_not_paused_change_nothing() -> None:
    scan = running_scan()
    assert paused(scan).pause(actor=KEY, at=LATER) == []
    assert scan.resume(actor=KEY, at=LATER) == []


def test_an_ended_scan_is_neither_paused_nor_resumed() -> None:
    ended = after(running_scan(), running_scan().cancel(actor=KEY, at=LATER))
    assert ended.pause(actor=KEY, at=LATER) == []
    assert ended.resume(actor=KEY, at=LATER) == []


def test_what_is_in_work_when_a_scan_is_paused_counts() -> None:
    scan = paused(running_scan(chunks=2))
    assert completed(scan, 0).coverage.scanned == 3


def test_a_scan_ends_while_it_is_paused_if_its_last_chunk_comes_in() -> None:
    events = report(paused(running_scan(chunks=1)), 0, all_scanned(3))
    assert [event.kind for event in events] == ["scan.chunk-completed", "scan.completed"]


def test_batches_that_arrive_after_a_pause_count_and_leave_the_scan_paused() -> None:
    scan = listed(paused(listing_scan()), objects(2))
    assert scan.status is Status.PAUSED
    assert scan.coverage.enumerated == 2


def test_when_a_scan_goes_on_listings_have_a_new_attempt_and_chunks_the_one_they_had() -> None:
    scan = listed(listing_scan(), objects(2))
    scan = after(scan, scan.start_chunk(1, attempt=1, worker="w", at=LATER))
    scan = resumed(paused(scan))
    assert {chunk: state.attempt for chunk, state in scan.pending.items()} == {0: 1, 1: 1}
    assert scan.units[0].attempt == 2
    assert scan.list_objects(0, attempt=1, batch=2, objects=objects(1), worker="w", at=LATER) is None
    assert listed(scan, objects(1), attempt=2).coverage.enumerated == 3


def test_any_number_of_pauses_costs_a_chunk_none_of_its_attempts() -> None:
    scan = running_scan(chunks=1)
    for _ in range(30):
        scan = resumed(paused(scan))
    (lost,) = scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_LOST, worker="w", at=LATER)
    assert not lost.final  # type: ignore[union-attr]  # a ChunkFailed


def test_a_paused_scan_does_not_time_out_and_paused_time_does_not_count() -> None:
    scan = paused(completed(running_scan(timeout_minutes=5), 0), minutes=4)
    assert scan.time_out(at=NOON + timedelta(days=3)) == []
    scan = resumed(scan, minutes=100)
    assert scan.time_out(at=NOON + timedelta(minutes=100, seconds=59)) == []
    assert len(scan.time_out(at=NOON + timedelta(minutes=101))) == 2


def test_a_paused_scan_can_be_cancelled() -> None:
    scan = paused(running_scan())
    assert after(scan, scan.cancel(actor=KEY, at=LATER)).status is Status.CANCELLED


# Listing units that are parted ---------------------------------------------------------------------------------------


def test_a_unit_that_is_parted_ends_at_the_first_bound_and_others_take_over() -> None:
    scan = listed(listing_scan(), objects(2))
    (event,) = scan.split_listing(0, attempt=1, bounds=["m/", "t/"], worker="w", at=LATER)
    scan = after(scan, [event])
    ranges = [(unit.unit.after, unit.unit.until) for _, unit in sorted(scan.units.items())]
    assert ranges == [("", "m/"), ("m/", "t/"), ("t/", "")]
    with pytest.raises(TooEarly):
        scan.complete_listing(0, attempt=1, batches=1, until="", worker="w", at=LATER)
    done = after(scan, scan.complete_listing(0, attempt=1, batches=1, until="m/", worker="w", at=LATER))
    for unit, until in ((1, "t/"), (2, "")):
        assert done.enumeration == "in_progress"
        done = after(done, done.complete_listing(unit, attempt=1, batches=0, until=until, worker="w", at=LATER))
    assert done.enumeration == "complete"


@pytest.mark.parametrize("bounds", [[], ["b", "a"], ["m", "m"], ["k0"], ["z"]])
def test_bounds_that_do_not_part_what_is_left_change_nothing(bounds: list[str]) -> None:
    scan = listed(listing_scan(), objects(2))
    scan = after(scan, scan.split_listing(0, attempt=1, bounds=["n"], worker="w", at=LATER))
    assert scan.split_listing(0, attempt=1, bounds=bounds, worker="w", at=LATER) == []
    assert scan.split_listing(0, attempt=2, bounds=["l"], worker="w", at=LATER) == []


def test_a_batch_that_ends_its_command_is_followed_by_the_next_attempt() -> None:
    scan = listing_scan()
    taken = scan.list_objects(0, attempt=1, batch=1, objects=objects(1), worker="w", at=LATER, continues=True)
    assert taken is not None
    scan = after(scan, taken.events)
    assert (scan.units[0].attempt, scan.units[0].batches) == (2, 1)
    assert finished_listing(scan).enumeration == "complete"
