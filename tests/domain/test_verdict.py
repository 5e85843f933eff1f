"""How a scan ends: every status and reason of the API, and what tips the balance."""

from datetime import timedelta

import pytest
from immutables import Map

from domain.coverage import Coverage, CoverageStrategy, FailReason, SkipReason
from domain.policy import MAX_CHUNK_LOSSES
from domain.scan import EndReason, Scan, Status, UnitState, UnitStatus
from domain.scan_events import ListingUnit
from domain.verdict import verdict
from tests.domain.given import (
    KEY,
    LATER,
    NOON,
    after,
    completed,
    failed_listing,
    finished_listing,
    listed,
    listing_scan,
    lost,
    objects,
    options,
    queued_scan,
    running_scan,
    some_failed,
)

STRICT = CoverageStrategy.STRICT
OPEN, COMPLETE, FAILED, STOPPED = UnitStatus


def how(scan: Scan, *, timed_out: bool = False) -> tuple[str, str | None]:
    event = verdict(scan, at=LATER, timed_out=timed_out)
    return event.kind, getattr(event, "reason", None)


def about_to_end(*units: UnitStatus, limit_reached: bool = False, coverage: Coverage, **changes: object) -> Scan:
    states = Map(enumerate(UnitState(ListingUnit(f"conn-{n}"), status) for n, status in enumerate(units)))
    return Scan(
        status=Status.RUNNING,
        options=options(**changes),
        units=states,
        coverage=coverage,
        limit_reached=limit_reached,
    )


ALL = Coverage(enumerated=10, scanned=10)
HALF = Coverage(enumerated=10, scanned=5, failed={FailReason.PARSE_ERROR: 5})
NOTHING = Coverage()
GIVEN_UP = Coverage(enumerated=10, scanned=9, failed={FailReason.WORKER_LOST: 1})

COMPLETED = ("scan.completed", None)


def partial(reason: EndReason) -> tuple[str, EndReason]:
    return "scan.partially-completed", reason


def failed(reason: EndReason) -> tuple[str, EndReason]:
    return "scan.failed", reason


BELOW, LISTING, GAVE_UP, MAX_FILES, TIME = EndReason


@pytest.mark.parametrize(
    ("scan", "ending"),
    [
        (about_to_end(COMPLETE, coverage=ALL), COMPLETED),
        (about_to_end(COMPLETE, COMPLETE, coverage=ALL, coverage_strategy=STRICT), COMPLETED),
        (about_to_end(COMPLETE, coverage=NOTHING), COMPLETED),
        (about_to_end(COMPLETE, coverage=NOTHING, coverage_target=1.0, coverage_strategy=STRICT), COMPLETED),
        (about_to_end(COMPLETE, coverage=HALF, coverage_target=0.5), COMPLETED),
        (about_to_end(COMPLETE, coverage=HALF, coverage_target=0.0), COMPLETED),
        (about_to_end(COMPLETE, coverage=HALF), partial(BELOW)),
        (about_to_end(COMPLETE, coverage=HALF, coverage_strategy=STRICT), failed(BELOW)),
        (about_to_end(COMPLETE, FAILED, coverage=ALL), partial(LISTING)),
        (about_to_end(COMPLETE, FAILED, coverage=ALL, coverage_strategy=STRICT), partial(LISTING)),
        (about_to_end(COMPLETE, FAILED, coverage=HALF, coverage_strategy=STRICT), failed(BELOW)),
        (about_to_end(FAILED, coverage=ALL), partial(LISTING)),
        (about_to_end(COMPLETE, FAILED, coverage=NOTHING), partial(LISTING)),
        (about_to_end(FAILED, coverage=NOTHING), failed(LISTING)),
        (about_to_end(FAILED, FAILED, coverage=NOTHING, coverage_target=0.0), failed(LISTING)),
        (about_to_end(COMPLETE, coverage=GIVEN_UP), partial(GAVE_UP)),
        (about_to_end(COMPLETE, coverage=GIVEN_UP, coverage_target=1.0, coverage_strategy=STRICT), failed(BELOW)),
        (about_to_end(STOPPED, coverage=ALL, limit_reached=True), partial(MAX_FILES)),
        (about_to_end(COMPLETE, STOPPED, coverage=HALF, limit_reached=True), partial(MAX_FILES)),
        (about_to_end(STOPPED, coverage=HALF, limit_reached=True, coverage_strategy=STRICT), failed(BELOW)),
    ],
)
def test_what_a_scan_ended_with_decides_its_status_and_reason(scan: Scan, ending: tuple[str, str | None]) -> None:
    assert how(scan) == ending


@pytest.mark.parametrize(
    ("scan", "ending"),
    [
        (about_to_end(COMPLETE, coverage=HALF), partial(TIME)),
        (about_to_end(STOPPED, coverage=ALL), partial(TIME)),
        (about_to_end(STOPPED, coverage=ALL, coverage_strategy=STRICT), partial(TIME)),
        (about_to_end(STOPPED, coverage=HALF, coverage_strategy=STRICT), failed(TIME)),
        (about_to_end(STOPPED, coverage=NOTHING), failed(TIME)),
        (about_to_end(COMPLETE, STOPPED, coverage=NOTHING), failed(TIME)),
        (about_to_end(STOPPED, coverage=ALL, limit_reached=True), partial(TIME)),
    ],
)
def test_a_scan_whose_time_is_up_says_so(scan: Scan, ending: tuple[str, str]) -> None:
    assert how(scan, timed_out=True) == ending


@pytest.mark.parametrize(
    ("target", "scanned", "enumerated", "ending"),
    [
        (0.8, 4, 5, COMPLETED),
        (0.8, 4 * 10**18 - 1, 5 * 10**18, partial(BELOW)),
        (0.8, 4 * 10**18, 5 * 10**18, COMPLETED),
        (0.1 + 0.2, 3, 10, partial(BELOW)),
        (0.3, 3, 10, COMPLETED),
        (1.0, 10**17 - 1, 10**17, partial(BELOW)),
        (0.0, 0, 3, COMPLETED),
    ],
)
def test_the_target_is_met_or_missed_by_a_single_object(
    target: float, scanned: int, enumerated: int, ending: tuple[str, str | None]
) -> None:
    rest = {FailReason.NETWORK.value: enumerated - scanned}
    coverage = Coverage(enumerated=enumerated, scanned=scanned, failed=rest)
    assert how(about_to_end(COMPLETE, coverage=coverage, coverage_target=target)) == ending


def test_unchanged_objects_count_towards_the_target_and_other_skipped_ones_do_not() -> None:
    for reason, ending in [(SkipReason.UNCHANGED, COMPLETED), (SkipReason.BINARY, partial(BELOW))]:
        coverage = Coverage(enumerated=10, scanned=1, skipped={reason.value: 9})
        assert how(about_to_end(COMPLETE, coverage=coverage, coverage_target=1.0)) == ending


# The same, played through -------------------------------------------------------------------------------------------


def test_a_scan_that_read_enough_of_what_it_listed_is_completed() -> None:
    scan = completed(running_scan(chunks=1, files=5), 0, some_failed(5, 1))
    assert scan.status is Status.COMPLETED


def test_a_scan_that_read_one_object_too_few_is_partial() -> None:
    scan = completed(running_scan(chunks=1, files=5), 0, some_failed(5, 2))
    assert scan.status is Status.PARTIAL


def test_under_a_strict_target_one_object_too_few_is_failure() -> None:
    scan = completed(running_scan(chunks=1, files=5, coverage_strategy=STRICT), 0, some_failed(5, 2))
    assert scan.status is Status.FAILED


def test_objects_given_up_with_their_chunk_leave_a_scan_partial_though_its_target_is_met() -> None:
    scan = lost(running_scan(chunks=1, files=1, coverage_target=0.0), 0, times=MAX_CHUNK_LOSSES)
    assert scan.status is Status.PARTIAL


def test_a_scan_none_of_whose_connectors_can_be_listed_has_failed() -> None:
    scan = failed_listing(failed_listing(listing_scan(units=2), 0), 1)
    assert scan.status is Status.FAILED


def test_a_bucket_that_could_not_be_listed_to_its_end_never_yields_completed() -> None:
    scan = failed_listing(listed(listing_scan(), objects(1)))
    assert completed(scan, 0).status is Status.PARTIAL


def test_max_files_exceeded_is_partial_and_exactly_reached_is_completed() -> None:
    beyond = listed(listing_scan(max_files=1), objects(2))
    assert completed(beyond, 0).status is Status.PARTIAL
    exact = finished_listing(listed(listing_scan(max_files=1), objects(1)))
    assert completed(exact, 0).status is Status.COMPLETED


def test_a_limit_reached_when_every_chunk_is_done_ends_the_scan_with_that_batch() -> None:
    scan = completed(listed(listing_scan(max_files=1), objects(1)), 0)
    assert listed(scan, objects(1, first=1)).status is Status.PARTIAL


def test_empty_folders_are_completely_scanned() -> None:
    assert finished_listing(listing_scan(coverage_target=1.0)).status is Status.COMPLETED


def test_a_scan_that_times_out_before_anything_was_listed_has_failed() -> None:
    scan = queued_scan(timeout_minutes=1)
    assert after(scan, scan.time_out(at=NOON + timedelta(minutes=1))).status is Status.FAILED


def test_a_cancelled_scan_keeps_what_it_has_counted() -> None:
    scan = completed(running_scan(chunks=2, files=3), 0)
    cancelled = after(scan, scan.cancel(actor=KEY, at=LATER))
    assert cancelled.status is Status.CANCELLED
    assert (cancelled.coverage.scanned, cancelled.coverage.remaining) == (3, 3)
