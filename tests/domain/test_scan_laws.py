"""What holds at every version of every scan, whatever workers report."""

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coverage import Coverage
from domain.scan import Status, UnitStatus, evolve
from domain.scan_events import ObjectsListed, ScanEvent
from tests.domain.fleet import Fleet, Units, fails
from tests.domain.given import KEY, LATER, endings, objects
from tests.domain.histories import Step, decide, histories, states, steps


@given(history=histories())
def test_every_object_has_one_disposition_at_every_version(history: list[ScanEvent]) -> None:
    for scan in states(history):
        coverage = scan.coverage
        parts = [coverage.scanned, coverage.remaining, *coverage.skipped.values(), *coverage.failed.values()]
        assert min(parts) >= 0
        assert coverage.enumerated == sum(parts)
        pending = [state.chunk for state in scan.pending.values()]
        whole = sum(chunk.files for chunk in pending if chunk.parts == 1)
        # An object remains until the last of its parts is in.
        assert coverage.remaining == whole + len({chunk.start for chunk in pending if chunk.parts > 1})


@given(history=histories())
def test_chunks_never_overlap_and_max_files_is_never_exceeded(history: list[ScanEvent]) -> None:
    scan = states(history)[-1]
    taken = [chunk for event in history if isinstance(event, ObjectsListed) for chunk in event.chunks]
    whole = [chunk for chunk in taken if chunk.part == 0]
    assert all(before.end < behind.start for before, behind in pairwise(whole))
    assert scan.planned == sum(chunk.files for chunk in whole)
    assert scan.options is not None
    assert scan.planned <= scan.options.max_files


@given(history=histories())
def test_a_scan_ends_once_and_its_ending_is_its_last_event(history: list[ScanEvent]) -> None:
    scan = states(history)[-1]
    assert scan.version == len(history)
    assert len(endings(history)) == (not scan.open)
    assert not endings(history[:-1])


@given(history=histories())
def test_an_open_scan_always_has_something_left_to_do(history: list[ScanEvent]) -> None:
    scan = states(history)[-1]
    assert scan.chunks >= len(scan.pending)
    left = bool(scan.pending) or any(unit.status is UnitStatus.OPEN for unit in scan.units.values())
    assert left or not scan.open


@given(history=histories(), late=st.lists(steps, max_size=20))
def test_nothing_that_arrives_after_the_end_changes_a_scan(history: list[ScanEvent], late: list[Step]) -> None:
    scan = states(history)[-1]
    if scan.open:
        scan = evolve(scan, scan.cancel(actor=KEY, at=LATER)[0])
    assert [list(decide(scan, step)) for step in late] == [[]] * len(late)


@st.composite
def buckets(draw: st.DrawFn) -> Units:
    """One to three units of up to three batches; some objects are chunks of their own, others share one."""
    sizes = st.sampled_from([200_000_000, 1_000_000])
    batch = st.tuples(st.integers(1, 4), sizes)
    units = draw(st.lists(st.lists(batch, max_size=3), min_size=1, max_size=3))
    return [
        [objects(count, first=10 * number, size=size) for number, (count, size) in enumerate(batches)]
        for batches in units
    ]


def sums(units: Units) -> Coverage:
    keys = [entry.key for batches in units for batch in batches for entry in batch]
    failed = sum(map(fails, keys))
    return Coverage(len(keys), len(keys) - failed, failed={"network": failed} if failed else {})


@given(units=buckets(), random=st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_reports_in_any_order_and_repetition_end_a_scan_once_with_the_same_sums(units: Units, random: Random) -> None:
    fleet = Fleet(units, random)
    fleet.deliver()
    assert fleet.scan.status is Status.COMPLETED
    assert len(endings(fleet.events)) == 1
    assert fleet.scan.coverage == sums(units)
    assert not fleet.scan.pending


@given(units=buckets(), random=st.randoms(use_true_random=False), before=st.integers(0, 30))
def test_reports_around_a_cancel_count_before_it_and_not_after(units: Units, random: Random, before: int) -> None:
    fleet = Fleet(units, random)
    fleet.deliver(before)
    fleet.cancel()
    ended = fleet.scan
    fleet.deliver(200)
    assert fleet.scan == ended
    assert len(endings(fleet.events)) == 1


@given(history=histories())
def test_what_is_known_of_parts_is_dropped_when_their_object_is_accounted_for(history: list[ScanEvent]) -> None:
    scan = states(history)[-1]
    in_work = {state.chunk.start for state in scan.pending.values() if state.chunk.parts > 1}
    assert set(scan.parts_in) <= in_work


@given(history=histories())
def test_pausing_leaves_no_trace_in_the_sums(history: list[ScanEvent]) -> None:
    for before, scan in pairwise(states(history)):
        if {before.status, scan.status} >= {Status.PAUSED, Status.RUNNING}:
            assert before.coverage == scan.coverage
            assert set(before.pending) == set(scan.pending)
