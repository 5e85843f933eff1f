"""Objects that are read in parts, and objects that cost their worker."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage import Outcome
from domain.policy import MAX_CHUNK_LOSSES
from domain.scan import LostReason, Scan
from domain.scan_events import ChunkCompleted, ChunkFailed, ScanEvent
from tests.domain.given import HUGE, LATER, after, finished_listing, listed, listing_scan, objects, report, running_scan

READ, NOT_READ = Outcome(scanned=1, bytes_read=10), Outcome(failed={"network": 1}, bytes_read=10)
BINARY = Outcome(skipped={"binary": 1}, bytes_read=10)


def huge_scan() -> Scan:
    """One object, in three parts."""
    scan = finished_listing(listed(listing_scan(coverage_target=0.0), objects(1, size=HUGE)))
    assert [state.chunk.part for _, state in sorted(scan.pending.items())] == [0, 1, 2]
    return scan


def give_up(scan: Scan, chunk: int, reason: LostReason = LostReason.WORKER_LOST) -> list[ScanEvent]:
    """All that happens until a chunk has lost its worker for the last time."""
    events: list[ScanEvent] = []
    for _ in range(MAX_CHUNK_LOSSES):
        attempt = scan.pending[chunk].attempt
        for decide in (
            lambda s, a=attempt: s.start_chunk(chunk, attempt=a, worker="w", at=LATER),
            lambda s, a=attempt: s.fail_chunk(chunk, attempt=a, reason=reason, worker="w", at=LATER),
        ):
            made = decide(scan)
            events += made
            scan = after(scan, made)
    return events


@given(outcomes=st.lists(st.sampled_from(["read", "failed", "lost"]), min_size=3, max_size=3), random=st.randoms())
def test_a_huge_object_has_one_disposition_decided_when_all_its_parts_are_in(
    outcomes: Sequence[str], random: Random
) -> None:
    scan = huge_scan()
    order = list(enumerate(outcomes))
    random.shuffle(order)
    for left, (part, what) in zip((2, 1, 0), order, strict=True):
        events = give_up(scan, part) if what == "lost" else report(scan, part, READ if what == "read" else NOT_READ)
        scan = after(scan, events)
        assert scan.coverage.remaining == (left > 0)
    assert scan.coverage.enumerated == 1
    if set(outcomes) == {"read"}:
        assert scan.coverage.scanned == 1
    else:
        assert scan.coverage.total_failed == 1
    assert not scan.parts_in
    assert not scan.open


def test_a_part_says_what_became_of_it_although_it_accounts_for_no_object() -> None:
    (event,) = report(huge_scan(), 1, NOT_READ)
    assert isinstance(event, ChunkCompleted)
    assert (event.files, event.failed, event.part_reason, event.bytes_read) == (0, {}, "network", 10)


def test_a_huge_object_that_turns_out_binary_is_skipped_as_that() -> None:
    scan = huge_scan()
    for part, outcome in ((0, BINARY), (2, READ), (1, READ)):
        scan = after(scan, report(scan, part, outcome))
    assert scan.coverage.skipped == {"binary": 1}


def test_a_part_reported_twice_counts_once() -> None:
    scan = huge_scan()
    scan = after(scan, report(scan, 1, READ))
    assert report(scan, 1, READ) == []


def test_after_a_lost_attempt_the_suspect_stands_alone_and_its_neighbours_count() -> None:
    scan = running_scan(chunks=1, files=9, coverage_target=0.0)
    scan = after(scan, scan.start_chunk(0, attempt=1, worker="w", at=LATER))
    everything = [(at, 10) for at in range(9)]
    (lost,) = scan.fail_chunk(
        0, attempt=1, reason=LostReason.WORKER_LOST, worker="w", at=LATER, suspect=4, objects=everything
    )
    assert isinstance(lost, ChunkFailed)
    assert [(chunk.start, chunk.end) for chunk in lost.replaced_by] == [(0, 3), (4, 4), (5, 8)]
    scan = after(scan, [lost])
    assert report(scan, 0, Outcome(scanned=9), attempt=1) == []
    for number, outcome in ((1, Outcome(scanned=4)), (3, Outcome(scanned=4))):
        scan = after(scan, report(scan, number, outcome))
    # It has cost one worker already.
    scan = after(scan, give_up_alone(scan, 2))
    assert (scan.coverage.scanned, scan.coverage.failed) == (8, {"worker_lost": 1})
    assert not scan.open


def give_up_alone(scan: Scan, chunk: int) -> list[ScanEvent]:
    """What happens until a chunk that has cost one worker has cost the last one it may."""
    events: list[ScanEvent] = []
    for attempt in range(1, MAX_CHUNK_LOSSES):
        begun = scan.start_chunk(chunk, attempt=attempt, worker="w", at=LATER)
        scan = after(scan, begun)
        lost = scan.fail_chunk(chunk, attempt=attempt, reason=LostReason.WORKER_LOST, worker="w", at=LATER)
        scan = after(scan, lost)
        events += [*begun, *lost]
    return events


@pytest.mark.parametrize(
    ("reason", "counted"), [(LostReason.WORKER_LOST, "worker_lost"), (LostReason.STALLED, "timeout")]
)
def test_what_hangs_is_given_up_as_timeout_and_what_kills_as_worker_lost(reason: LostReason, counted: str) -> None:
    scan = running_scan(chunks=1, files=1, coverage_target=0.0)
    assert after(scan, give_up(scan, 0, reason)).coverage.failed == {counted: 1}


@given(files=st.integers(2, 40), poison=st.integers(0, 39), hints=st.booleans())
def test_a_poisonous_object_costs_itself_and_no_other(files: int, poison: int, hints: bool) -> None:
    """Whatever chunk holds it loses its worker; with a hint or without, all others are read."""
    poison %= files
    scan = running_scan(chunks=1, files=files, coverage_target=0.0)
    attempts = 0
    while scan.pending:
        number, state = min(scan.pending.items())
        places = [(at, 1) for at in range(state.chunk.start, state.chunk.end + 1)]
        scan = after(scan, scan.start_chunk(number, attempt=state.attempt, worker="w", at=LATER))
        if (poison, 1) in places:
            attempts += 1
            made = scan.fail_chunk(
                number,
                attempt=state.attempt,
                reason=LostReason.WORKER_LOST,
                worker="w",
                at=LATER,
                suspect=poison if hints else None,
                objects=places,
            )
        else:
            made = report(scan, number, Outcome(scanned=len(places)), attempt=state.attempt)
        scan = after(scan, made)
    assert (scan.coverage.scanned, scan.coverage.failed) == (files - 1, {"worker_lost": 1})
    assert attempts <= (MAX_CHUNK_LOSSES if hints else MAX_CHUNK_LOSSES + files.bit_length())
