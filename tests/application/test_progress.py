"""What clients see of a scan: the fold of its events, and the figures of the API over it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from application.progress import Replaced, ScanProgress, ScanView, WorkerCounts, begin, count, project
from application.scan_documents import coverage_document, document, moment, progress_document
from domain.coverage import Coverage, CoverageStrategy
from domain.scan import LostReason, Scan, Status, UnitStatus, share_listed
from domain.scan_events import ListingUnit, Queued, ScanEvent
from tests.domain.given import (
    KEY,
    LATER,
    NOON,
    after,
    all_scanned,
    failed_listing,
    finished_listing,
    objects,
    queued,
    report,
    running_history,
)
from tests.domain.histories import histories, states


def projected(events: list[ScanEvent]) -> ScanProgress:
    first = events[0]
    assert isinstance(first, Queued)
    progress = begin("scan-1", first)
    for event in events[1:]:
        progress = project(progress, event)
    return progress


def seen(enumerated: int = 0, scanned: int = 0, **changes: Any) -> ScanView:
    """A running scan, listed to its end, as clients see it a minute after it began."""
    view = begin("scan-1", queued(coverage_target=changes.pop("target", 0.8))).view
    units = tuple(replace(unit, status=UnitStatus.COMPLETE) for unit in view.units)
    coverage = changes.pop("coverage", Coverage(enumerated=enumerated, scanned=scanned))
    return replace(
        view, **{"status": Status.RUNNING, "started_at": NOON, "units": units, "coverage": coverage, **changes}
    )


@given(history=histories())
def test_the_view_agrees_with_the_scan_at_every_version(history: list[ScanEvent]) -> None:
    progress = begin("scan-1", history[0])  # type: ignore[arg-type]  # histories begin with Queued
    for event, scan in zip([None, *history[1:]], states(history), strict=True):
        progress = project(progress, event) if event else progress
        view = progress.view
        assert (view.version, view.status, view.coverage) == (scan.version, scan.status, scan.coverage)
        assert view.enumeration is scan.enumeration
        assert view.listed == share_listed([unit.status for unit in view.listing])
        assert {(unit.connector, unit.prefix) for unit in view.listing} == {
            (unit.unit.connector, unit.unit.prefix) for unit in scan.units.values()
        }
        assert sum(unit.files for unit in view.listing) == scan.coverage.enumerated
        assert [unit.status for unit in view.units] == [unit.status for unit in scan.units.values()]
        assert sum(unit.files for unit in view.units) == scan.coverage.enumerated
        assert set(range(view.chunks)) - set(view.done) == set(scan.pending)
        assert view.finished_at == scan.ended_at
        assert view.status is not Status.RUNNING or view.started_at is not None


@given(history=histories())
def test_workers_hold_what_is_in_work_and_nothing_after_the_end(history: list[ScanEvent]) -> None:
    progress = projected(history)
    counts = count(progress.workers)
    assert counts.total == len(progress.workers)
    assert counts.active + counts.completed + counts.failed <= counts.total
    if progress.view.status.ended:
        assert counts.active == 0
        assert all(worker.chunk is None for worker in progress.workers.values())
    for worker in progress.workers.values():
        assert (worker.status == "running") == (worker.chunk is not None)


@given(history=histories())
def test_the_document_adds_up_at_every_version(history: list[ScanEvent]) -> None:
    view = projected(history).view
    shown = document(view, WorkerCounts(), LATER)
    coverage, progress = shown["coverage"], shown["progress"]
    parts = [coverage[f"total_{name}"] for name in ("scanned", "skipped", "failed", "remaining")]
    assert coverage["total_enumerated"] == sum(parts) == progress["files_total"]
    assert progress["files_processed"] == sum(parts[:3])
    assert progress["files_failed"] == coverage["total_failed"] == sum(coverage["failed_by_reason"].values())
    assert coverage["total_skipped"] == sum(coverage["skipped_by_reason"].values())
    assert 0 <= coverage["completeness_score"] <= coverage["coverage_pct"] <= 1
    assert 0 <= progress["percent_complete"] <= 100
    assert shown["version"] == len(history)


@pytest.mark.parametrize(
    ("scanned", "enumerated", "percent"),
    [(0, 3, 0), (1, 3, 33), (2, 3, 66), (199, 200, 99), (10**18 - 1, 10**18, 99), (3, 3, 100), (0, 0, 100)],
)
def test_percent_complete_is_floored(scanned: int, enumerated: int, percent: int) -> None:
    assert progress_document(seen(enumerated, scanned), LATER)["percent_complete"] == percent


def test_a_scan_that_found_nothing_yet_is_at_zero_percent() -> None:
    assert progress_document(begin("s", queued()).view, LATER)["percent_complete"] == 0


def test_the_estimate_is_linear_and_absent_while_nothing_is_processed() -> None:
    assert progress_document(seen(10, 0), LATER)["estimated_remaining_seconds"] is None
    assert progress_document(seen(10, 4), LATER)["estimated_remaining_seconds"] == 90.0
    assert progress_document(seen(10, 10), LATER)["estimated_remaining_seconds"] == 0.0


def test_an_ended_scan_has_nothing_left_to_wait_for() -> None:
    view = seen(10, 4, status=Status.CANCELLED, finished_at=LATER)
    assert progress_document(view, LATER)["estimated_remaining_seconds"] == 0.0


def test_elapsed_time_stands_still_after_the_end_and_before_the_start() -> None:
    later = LATER + timedelta(hours=5)
    ended = seen(10, 4, status=Status.CANCELLED, finished_at=LATER)
    assert progress_document(ended, later)["elapsed_seconds"] == 60.0
    assert progress_document(begin("s", queued()).view, later)["elapsed_seconds"] == 0.0
    assert progress_document(seen(10, 4), NOON - timedelta(seconds=9))["elapsed_seconds"] == 0.0


def switched(*moments: tuple[int, str]) -> ScanView:
    """A scan whose listing began at NOON and was paused and resumed at seconds after that."""
    events = running_history()
    scan = after(Scan(), events)
    for second, what in moments:
        at = NOON + timedelta(seconds=second)
        new = scan.pause(actor=KEY, at=at) if what == "pause" else scan.resume(actor=KEY, at=at)
        scan, events = after(scan, new), [*events, *new]
    return projected(events).view


@pytest.mark.parametrize(
    ("moments", "elapsed"),
    [
        ([], 60.0),
        ([(10, "pause")], 10.0),
        ([(10, "pause"), (30, "resume")], 40.0),
        ([(10, "pause"), (15, "pause"), (30, "resume"), (35, "resume")], 40.0),
        ([(10, "pause"), (30, "resume"), (40, "pause")], 20.0),
        ([(0, "pause"), (60, "resume")], 0.0),
    ],
)
def test_paused_time_is_left_out_of_what_elapsed(moments: list[tuple[int, str]], elapsed: float) -> None:
    view = switched(*moments)
    assert progress_document(view, LATER)["elapsed_seconds"] == elapsed
    assert (view.status is Status.PAUSED) == (bool(moments) and moments[-1][1] == "pause")


def test_a_pause_before_anything_began_costs_nothing_and_the_scan_is_queued_again_after_it() -> None:
    scan = after(Scan(), [queued()])
    events: list[ScanEvent] = [queued(), *scan.pause(actor=KEY, at=NOON)]
    scan = after(Scan(), events)
    events += scan.resume(actor=KEY, at=LATER)
    view = projected(events).view
    assert (view.status, view.paused_seconds, view.started_at) == (Status.QUEUED, 0.0, None)


def test_a_scan_cancelled_while_paused_had_elapsed_when_it_was_paused() -> None:
    events = running_history()
    scan = after(Scan(), events)
    events += scan.pause(actor=KEY, at=NOON + timedelta(seconds=10))
    events += after(Scan(), events).cancel(actor=KEY, at=LATER)
    later = LATER + timedelta(hours=1)
    assert progress_document(projected(events).view, later)["elapsed_seconds"] == 10.0


def test_ranges_of_one_prefix_are_shown_as_one_that_is_complete_when_all_of_them_are() -> None:
    start = replace(
        queued(),
        units=(ListingUnit("conn-0", "a/", "", "a/m"), ListingUnit("conn-0", "a/", "a/m"), ListingUnit("conn-0", "b/")),
    )
    events: list[ScanEvent] = [start]

    def add(new: Sequence[ScanEvent]) -> list[dict[str, Any]]:
        events.extend(new)
        shown: list[dict[str, Any]] = coverage_document(projected(events).view)["listing"]
        return shown

    def scan() -> Scan:
        return after(Scan(), events)

    ends: dict[str, Any] = {"attempt": 1, "batches": 0, "worker": "w", "at": LATER}
    taken = scan().list_objects(1, attempt=1, batch=1, objects=objects(3), worker="w", at=LATER)
    assert taken is not None
    assert [(u["prefix"], u["status"], u["total_enumerated"]) for u in add(taken.events)] == [
        ("a/", "open", 3),
        ("b/", "open", 0),
    ]
    assert [u["status"] for u in add(scan().complete_listing(0, until="a/m", **ends))] == ["open", "open"]
    assert [u["status"] for u in add(scan().complete_listing(1, **{**ends, "batches": 1}))] == ["complete", "open"]
    split = scan().split_listing(2, attempt=1, bounds=["b/m"], worker="w", at=LATER)
    assert [u["prefix"] for u in add(split)] == ["a/", "b/"]
    assert [u["status"] for u in add(scan().complete_listing(3, **ends))] == ["complete", "open"]
    gone = scan().fail_listing(2, attempt=1, reason="x", detail="Denied.", permanent=True, worker="w", at=LATER)
    assert [(u["status"], u["detail"]) for u in add(gone)] == [("complete", None), ("failed", "Denied.")]
    assert projected(events).view.listed == Fraction(1, 2)


def test_a_parted_chunk_is_done_and_those_in_its_place_are_not() -> None:
    events = running_history(chunks=1)
    scan = after(Scan(), events)
    events += scan.start_chunk(0, attempt=1, worker="w1", at=LATER)
    scan = after(Scan(), events)
    lost: dict[str, Any] = {"attempt": 1, "reason": LostReason.WORKER_LOST, "worker": "w1", "at": LATER}
    events += scan.fail_chunk(0, suspect=1, objects=[(0, 10), (1, 10), (2, 10)], **lost)
    view = projected(events).view
    assert (view.chunks, set(view.done), view.coverage.remaining) == (4, {0}, 3)
    assert view.replaced == (Replaced(0, 1, (0, 1, 2)),)
    assert [worker.status for worker in projected(events).workers.values()] == ["failed"]


def test_coverage_is_shown_rounded_and_decided_exactly() -> None:
    shown = coverage_document(seen(1_000_000, 999_999, target=1.0))
    assert (shown["coverage_pct"], shown["target_met"]) == (1.0, False)
    shown = coverage_document(seen(3, 2, target=0.6667))
    assert (shown["coverage_pct"], shown["target_met"]) == (0.6667, False)
    shown = coverage_document(seen(5, 4, target=0.8))
    assert (shown["coverage_pct"], shown["target_met"]) == (0.8, True)


def test_the_coverage_document_tells_every_reason_in_order() -> None:
    coverage = Coverage(10, 4, skipped={"prefix": 1, "binary": 2}, failed={"timeout": 1, "network": 2})
    shown = coverage_document(seen(coverage=coverage))
    assert list(shown["skipped_by_reason"].items()) == [("binary", 2), ("prefix", 1)]
    assert list(shown["failed_by_reason"].items()) == [("network", 2), ("timeout", 1)]
    assert shown["coverage_of_eligible"] == round(4 / 7, 4)
    assert shown["completeness_score"] == round(0.4 * 0.7, 4)
    assert shown["coverage_strategy"] == CoverageStrategy.BEST_EFFORT.value


def test_a_unit_that_could_not_be_listed_says_why_and_lowers_completeness() -> None:
    scan = after(Scan(), [queued(units=2)])
    events: list[ScanEvent] = [queued(units=2)]
    events += scan.fail_listing(0, attempt=1, reason="x", detail="Denied.", permanent=True, worker="w", at=LATER)
    scan = failed_listing(scan, 0)
    events += scan.complete_listing(1, attempt=1, batches=0, worker="w", at=LATER)
    shown = coverage_document(projected(events).view)
    assert shown["enumeration_status"] == "partial"
    assert [unit["detail"] for unit in shown["listing"]] == ["Denied.", None]
    assert finished_listing(scan, 1).status.value == projected(events).view.status.value


def test_a_scan_began_when_its_first_listing_did() -> None:
    history = running_history()
    again = replace(history[1], at=LATER)
    assert projected([*history[:2], again]).view.started_at == NOON


def test_a_scan_began_with_its_first_objects_if_the_report_of_the_beginning_is_late() -> None:
    history = running_history()
    view = projected([history[0], history[2]]).view
    assert (view.status, view.started_at) == (Status.RUNNING, NOON)


def test_a_worker_is_running_then_idle_then_completed_with_the_scan() -> None:
    events = running_history(chunks=1)
    scan = after(Scan(), events)
    events += scan.start_chunk(0, attempt=1, worker="w1", at=LATER)
    (running,) = projected(events).workers.values()
    assert running.status == "running"
    assert running.chunk is not None
    assert (running.chunk.start_index, running.chunk.end_index, running.chunk.file_count) == (0, 2, 3)
    done, end = report(scan, 0, all_scanned(3))
    (idle,) = projected([*events, done]).workers.values()
    assert (idle.status, idle.chunk, idle.chunks_completed, idle.files_processed_total) == ("idle", None, 1, 3)
    (completed,) = projected([*events, done, end]).workers.values()
    assert (completed.status, completed.completed_at) == ("completed", LATER)


def test_a_lost_worker_has_failed_and_stays_so() -> None:
    events = running_history()
    scan = after(Scan(), events)
    events += (started := scan.start_chunk(0, attempt=1, worker="w1", at=LATER))
    scan = after(scan, started)
    events += (lost := scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_LOST, worker="w1", at=LATER))
    events += after(scan, lost).cancel(actor=KEY, at=LATER)
    assert count(projected(events).workers) == WorkerCounts(total=1, failed=1)


def test_a_worker_that_reports_the_loss_of_another_takes_no_harm() -> None:
    events = running_history()
    scan = after(Scan(), events)
    for chunk, worker in ((0, "gone"), (1, "well")):
        events += (begun := scan.start_chunk(chunk, attempt=1, worker=worker, at=LATER))
        scan = after(scan, begun)
    events += scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_LOST, worker="well", at=LATER)
    workers = projected(events).workers
    assert {name: worker.status for name, worker in workers.items()} == {"gone": "failed", "well": "running"}


def test_a_command_that_nobody_had_begun_makes_no_worker_when_it_comes_back() -> None:
    events = running_history()
    scan = after(Scan(), events)
    events += scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_LOST, worker="well", at=LATER)
    assert count(projected(events).workers) == WorkerCounts()


def test_a_late_result_does_not_hide_what_its_worker_does_now() -> None:
    events = running_history()
    scan = after(Scan(), events)
    events += scan.start_chunk(1, attempt=1, worker="w1", at=LATER)
    events += report(scan, 0, all_scanned(3))
    (worker,) = projected(events).workers.values()
    assert (worker.status, worker.chunks_completed) == ("running", 1)
    assert worker.chunk is not None
    assert worker.chunk.chunk_id == 1


def test_times_are_told_in_utc_with_z() -> None:
    assert moment(NOON + timedelta(microseconds=5)) == "2025-06-01T12:00:00.000005Z"
    assert moment(None) is None
