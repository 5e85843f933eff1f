"""Who is handed the next chunk, and what each event calls for."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.messages import ControlState
from application.orchestration import (
    LARGE_SECONDS,
    Grant,
    ListingDue,
    Orchestrator,
    Tell,
    control_state,
    listings_due,
    react,
)
from application.ports import Recorded
from domain.chunk import HUGE_BYTES, Chunk, cost
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan, Status, UnitStatus, evolve
from domain.scan_events import ScanEvent
from tests.domain.given import (
    KEY,
    LATER,
    NOON,
    after,
    all_scanned,
    listed,
    listing_scan,
    objects,
    queued,
    report,
    running_history,
)
from tests.domain.histories import histories, states


def records(scan_id: str, events: Sequence[ScanEvent], first: int = 1) -> list[Recorded]:
    return [Recorded(version, scan_id, version, event) for version, event in enumerate(events, first)]


def orchestrating(**scans: tuple[int, int]) -> Orchestrator:
    """Open scans by name, each with (chunks that are ready, max_workers)."""
    orchestrator = Orchestrator()
    for name, (chunks, workers) in scans.items():
        for record in records(name, running_history(chunks, max_workers=workers)):
            orchestrator.note(record)
    return orchestrator


def shares(grants: Sequence[Grant]) -> dict[str, int]:
    return dict(Counter(grant.scan for grant in grants))


# What an event calls for ----------------------------------------------------------------------------------------------


@given(history=histories())
def test_what_is_outstanding_is_what_was_granted_last_and_nobody_has_accounted_for(history: list[ScanEvent]) -> None:
    orchestrator = Orchestrator()
    granted: dict[int, int] = {}
    for record in records("s", history):
        orchestrator.note(record)
        kept = orchestrator.open.get("s")
        if kept is None:
            break
        granted.update((grant.chunk, grant.attempt) for grant in orchestrator.grants(4, 0.0))
        assert len(kept.outstanding) <= 4
        for chunk, attempt in kept.outstanding.items():
            assert granted[chunk] == attempt == kept.scan.pending[chunk].attempt
        assert set(kept.scan.pending) <= {*kept.ready, *(number for _, number in kept.large), *kept.outstanding}


def test_an_open_scan_runs_unless_it_has_reached_its_limit() -> None:
    assert control_state(listing_scan()) is ControlState.RUN
    assert control_state(listed(listing_scan(max_files=1), objects(2))) is ControlState.STOP_LISTING


def test_every_unit_of_a_queued_scan_is_to_be_listed() -> None:
    start = queued(units=2)
    assert react("s", start, evolve(Scan(), start)) == [ListingDue("s", 0), ListingDue("s", 1)]


def test_a_listing_is_due_again_after_a_failure_unless_it_was_given_up() -> None:
    for permanent in (False, True):
        scan = listing_scan(units=2)
        (event,) = scan.fail_listing(1, attempt=1, reason="x", detail="", permanent=permanent, worker="w", at=LATER)
        assert react("s", event, evolve(scan, event)) == ([] if permanent else [ListingDue("s", 1)])


def test_at_max_files_listing_stops_and_scanning_goes_on() -> None:
    scan = listing_scan(units=2, max_files=1)
    taken = scan.list_objects(0, attempt=1, batch=1, objects=objects(2), worker="w", at=LATER)
    assert taken is not None
    (event,) = taken.events
    assert react("s", event, evolve(scan, event)) == [Tell("s", ControlState.STOP_LISTING)]


@given(history=histories())
def test_every_ending_stops_the_workers_and_nothing_else_does(history: list[ScanEvent]) -> None:
    told = [
        Tell("s", ControlState.STOP) in react("s", e, scan) for e, scan in zip(history, states(history), strict=True)
    ]
    assert told == [scan.status.ended for scan in states(history)]


def test_who_works_for_a_paused_scan_is_told_and_when_it_goes_on_its_listings_are_due_under_new_attempts() -> None:
    scan = listing_scan(units=2)
    (paused,) = scan.pause(actor=KEY, at=LATER)
    scan = evolve(scan, paused)
    assert react("s", paused, scan) == [Tell("s", ControlState.PAUSE)]
    assert control_state(scan) is ControlState.PAUSE
    (resumed,) = scan.resume(actor=KEY, at=LATER)
    scan = evolve(scan, resumed)
    assert react("s", resumed, scan) == [Tell("s", ControlState.RUN), ListingDue("s", 0), ListingDue("s", 1)]
    assert [unit.attempt for unit in scan.units.values()] == [2, 2]


def test_a_listing_that_fails_or_continues_while_the_scan_is_paused_waits() -> None:
    scan = listing_scan()
    scan = after(scan, scan.pause(actor=KEY, at=LATER))
    (failed,) = scan.fail_listing(0, attempt=1, reason="x", detail="", permanent=False, worker="w", at=LATER)
    assert react("s", failed, evolve(scan, failed)) == []
    taken = scan.list_objects(0, attempt=1, batch=1, objects=objects(1), worker="w", at=LATER, continues=True)
    assert taken is not None
    assert react("s", taken.events[0], evolve(scan, taken.events[0])) == []


def test_of_a_parted_listing_only_the_new_units_are_due() -> None:
    scan = listing_scan(units=2)
    (event,) = scan.split_listing(0, attempt=1, bounds=["m", "t"], worker="w", at=LATER)
    assert react("s", event, evolve(scan, event)) == [ListingDue("s", 2), ListingDue("s", 3)]


def test_a_listing_that_continues_is_due_at_once() -> None:
    scan = listing_scan(units=2)
    taken = scan.list_objects(1, attempt=1, batch=1, objects=objects(1), worker="w", at=LATER, continues=True)
    assert taken is not None
    (event,) = taken.events
    assert react("s", event, evolve(scan, event)) == [ListingDue("s", 1)]


# Whose turn it is -----------------------------------------------------------------------------------------------------


def test_without_live_slots_nothing_is_granted() -> None:
    assert orchestrating(a=(5, 5)).grants(0, 100.0) == []


def test_chunks_are_granted_in_order_and_once() -> None:
    orchestrator = orchestrating(a=(6, 100))
    assert orchestrator.grants(4, 0.0) == [Grant("a", chunk, 1) for chunk in range(5)]
    assert orchestrator.grants(4, 0.0) == []
    assert orchestrator.grants(8, 0.0) == [Grant("a", 5, 1)]


def test_quick_chunks_may_queue_a_quarter_of_a_second_ahead() -> None:
    assert len(orchestrating(a=(100, 100)).grants(4, 100.0)) == 5 + 25


def test_a_big_scan_and_a_small_one_get_equal_shares_and_the_rest_goes_to_whoever_can_use_it() -> None:
    assert shares(orchestrating(big=(100, 100), small=(100, 100)).grants(8, 0.0)) == {"big": 5, "small": 5}
    assert shares(orchestrating(big=(100, 100), small=(2, 100)).grants(8, 0.0)) == {"big": 8, "small": 2}
    assert shares(orchestrating(big=(100, 100), small=(100, 1)).grants(8, 0.0)) == {"big": 9, "small": 1}


def test_a_newcomer_does_not_wait_for_another_scans_work_to_end() -> None:
    orchestrator = orchestrating(big=(100, 100))
    assert len(orchestrator.grants(8, 0.0)) == 10
    for record in records("new", running_history(50, max_workers=50)):
        orchestrator.note(record)
    assert shares(orchestrator.grants(8, 0.0)) == {"new": 5}


demands = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=6)


@given(demands=demands, slots=st.integers(1, 20), rounds=st.integers(1, 3))
def test_grants_are_max_min_fair_and_never_above_max_workers(
    demands: list[tuple[int, int]], slots: int, rounds: int
) -> None:
    orchestrator = orchestrating(**{f"s{n}": demand for n, demand in enumerate(demands)})
    granted = [grant for _ in range(rounds) for grant in orchestrator.grants(slots, 0.0)]
    had = shares(granted)
    window = -(-slots * 5 // 4)
    assert len(set(granted)) == len(granted) <= max(window, min(2 * window, len(demands)))
    wants = {f"s{n}": min(ready, workers) for n, (ready, workers) in enumerate(demands)}
    assert sum(had.values()) >= min(window, sum(wants.values()))
    for name, want in wants.items():
        assert had.get(name, 0) <= want
        if had.get(name, 0) < want:
            assert max(had.values()) <= had.get(name, 0) + 1


def test_a_chunk_that_is_done_makes_room_for_the_next() -> None:
    orchestrator = orchestrating(a=(3, 1))
    assert orchestrator.grants(8, 0.0) == [Grant("a", 0, 1)]
    assert orchestrator.grants(8, 0.0) == []
    scan = orchestrator.open["a"].scan
    for record in records("a", report(scan, 0, all_scanned(3)), scan.version + 1):
        orchestrator.note(record)
    assert orchestrator.grants(8, 0.0) == [Grant("a", 1, 1)]


def test_a_lost_chunk_has_another_turn_with_its_next_attempt() -> None:
    orchestrator = orchestrating(a=(1, 1))
    orchestrator.grants(8, 0.0)
    scan = orchestrator.open["a"].scan
    lost = scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_STOPPED, worker="w", at=LATER)
    for record in records("a", lost, scan.version + 1):
        orchestrator.note(record)
    assert orchestrator.grants(8, 0.0) == [Grant("a", 0, 2)]


def test_an_ended_scan_has_no_more_turns() -> None:
    orchestrator = orchestrating(a=(5, 5), b=(1, 1))
    scan = orchestrator.open["a"].scan
    for record in records("a", scan.cancel(actor=KEY, at=LATER), scan.version + 1):
        orchestrator.note(record)
    assert shares(orchestrator.grants(8, 0.0)) == {"b": 1}


def noting(orchestrator: Orchestrator, name: str, events: Sequence[ScanEvent]) -> None:
    for record in records(name, events, orchestrator.open[name].scan.version + 1):
        orchestrator.note(record)


def test_a_paused_scan_has_no_turn_and_keeps_the_places_of_what_is_outstanding_when_it_goes_on() -> None:
    orchestrator = orchestrating(a=(4, 3))
    assert [grant.chunk for grant in orchestrator.grants(8, 0.0)] == [0, 1, 2]
    noting(orchestrator, "a", orchestrator.open["a"].scan.pause(actor=KEY, at=LATER))
    assert orchestrator.grants(8, 0.0) == []
    noting(orchestrator, "a", orchestrator.open["a"].scan.resume(actor=KEY, at=LATER))
    # Somebody may still have them: max_workers leaves no room until they are found to be lost.
    assert orchestrator.grants(8, 0.0) == []
    assert orchestrator.open["a"].put_back(1)
    assert orchestrator.grants(8, 0.0) == [Grant("a", 1, 1)]


def test_what_a_paused_scans_worker_gives_back_waits_until_it_goes_on() -> None:
    orchestrator = orchestrating(a=(1, 3))
    orchestrator.grants(8, 0.0)
    noting(orchestrator, "a", orchestrator.open["a"].scan.pause(actor=KEY, at=LATER))
    scan = orchestrator.open["a"].scan
    noting(orchestrator, "a", scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_STOPPED, worker="w", at=LATER))
    assert orchestrator.grants(8, 0.0) == []
    noting(orchestrator, "a", orchestrator.open["a"].scan.resume(actor=KEY, at=LATER))
    assert [grant.chunk for grant in orchestrator.grants(8, 0.0)] == [0]


def test_parts_of_huge_objects_go_before_all_that_waits() -> None:
    scan = listing_scan()
    taken = scan.list_objects(
        0,
        attempt=1,
        batch=1,
        objects=[ObjectInfo("a.csv", 10), ObjectInfo("b.csv", HUGE_BYTES), ObjectInfo("c.csv", 10)],
        worker="w",
        at=LATER,
    )
    assert taken is not None
    orchestrator = Orchestrator()
    begun = scan.start_listing(0, attempt=1, worker="w", at=LATER)
    for record in records("s", [queued(max_workers=10), *begun, *taken.events]):
        orchestrator.note(record)
    pending = orchestrator.open["s"].scan.pending
    parts = [number for number, state in sorted(pending.items()) if state.chunk.parts > 1]
    small = [number for number in sorted(pending) if number not in parts]
    assert len(parts) == 2
    assert [grant.chunk for grant in orchestrator.grants(8, 0.0)] == [*parts, *small]
    kept = orchestrator.open["s"]
    for chunk in (small[0], parts[0]):
        assert kept.put_back(chunk)
    assert not kept.put_back(parts[0])
    assert [grant.chunk for grant in orchestrator.grants(8, 0.0)] == [parts[0], small[0]]


def test_the_chunks_in_place_of_a_parted_one_have_their_turns_and_it_has_none() -> None:
    orchestrator = orchestrating(a=(1, 10))
    orchestrator.grants(8, 0.0)
    scan = orchestrator.open["a"].scan
    noting(orchestrator, "a", scan.start_chunk(0, attempt=1, worker="w", at=LATER))
    scan = orchestrator.open["a"].scan
    sized = [(0, 10), (1, 10), (2, 10)]
    lost = scan.fail_chunk(0, attempt=1, reason=LostReason.WORKER_LOST, worker="w", at=LATER, suspect=1, objects=sized)
    noting(orchestrator, "a", lost)
    assert orchestrator.outstanding() == 0
    assert orchestrator.grants(8, 0.0) == [Grant("a", 1, 1), Grant("a", 2, 1), Grant("a", 3, 1)]


# Taking up where another left off -------------------------------------------------------------------------------------


@given(history=histories(), again=st.integers(0, 60))
def test_events_that_are_known_already_change_nothing(history: list[ScanEvent], again: int) -> None:
    once, twice = Orchestrator(), Orchestrator()
    for record in records("s", history):
        once.note(record)
        twice.note(record)
        for old in records("s", history[: min(again, record.version)]):
            if "s" in twice.open:
                assert twice.note(old) == []
    assert once.open.keys() == twice.open.keys()
    assert once.grants(100, 0.0) == twice.grants(100, 0.0)


def turn(chunk: Chunk) -> float:
    """Before which others a chunk has its turn: parts, and what takes as long or longer, the longest first."""
    seconds = cost(chunk.files, chunk.bytes)
    return -seconds if chunk.parts > 1 or seconds >= LARGE_SECONDS else 0.0


@given(history=histories())
def test_a_restored_scan_is_granted_all_that_is_pending_but_what_the_stream_holds(history: list[ScanEvent]) -> None:
    scan = states(history)[-1]
    pending = sorted(scan.pending)
    in_stream = [(chunk, scan.pending[chunk].attempt) for chunk in pending[::2]]
    superseded = [(chunk, scan.pending[chunk].attempt - 1) for chunk in pending[1::2]]
    orchestrator = Orchestrator()
    orchestrator.restore("s", records("s", history), [*in_stream, *superseded, (10_000, 1)])
    if not scan.open:
        assert orchestrator.open == {}
        return
    assert orchestrator.outstanding() == len(in_stream)
    left = sorted(pending[1::2], key=lambda number: (turn(scan.pending[number].chunk), number))
    expected = [] if scan.status is Status.PAUSED else left[: max(0, 4 - len(in_stream))]
    assert [grant.chunk for grant in orchestrator.grants(1000, 0.0)] == expected
    assert {due.unit for due in listings_due("s", scan)} == {
        number
        for number, unit in scan.units.items()
        if unit.status is UnitStatus.OPEN and scan.status is not Status.PAUSED
    }


@pytest.mark.parametrize(("minutes", "overdue"), [(119, []), (120, ["a"]), (121, ["a"])])
def test_a_scan_is_overdue_when_its_timeout_has_passed(minutes: int, overdue: list[str]) -> None:
    assert orchestrating(a=(1, 1)).overdue(NOON + timedelta(minutes=minutes)) == overdue


def test_events_of_a_scan_that_nobody_took_up_are_passed_over() -> None:
    orchestrator = Orchestrator()
    start, *rest = records("s", after_start := running_history())
    assert len(after_start) == 4
    assert [orchestrator.note(record) for record in rest] == [[], [], []]
    assert orchestrator.open == {}
    assert orchestrator.note(start) == [ListingDue("s", 0)]
    assert after(Scan(), [start.event]) == orchestrator.open["s"].scan  # type: ignore[list-item]  # a scan event
