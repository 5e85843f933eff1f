"""Random histories: reports as a fleet might send them, true or false, early, late or twice, as the scan decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import strategies as st

from domain.chunk import Chunk, Earlier, Sized
from domain.coverage import CoverageStrategy, FailReason, Outcome, SkipReason
from domain.inventory import Known, Ruleset
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan, TooEarly, evolve
from domain.scan_events import ScanEvent
from tests.domain.given import ALONE, HUGE, KEY, LATER, NOON, queued

UNITS = 2
WORKERS = ("w1", "w2", "w3")
SIZES = (ALONE, 0, 1_000_000, HUGE, 40_000_000)

LIKELY = ["list", "list", "list-start", "list-end", "list-fail", "complete", "complete", "complete", "start", "start"]
LIKELY += ["lose", "lose", "split", "pause", "resume", "resume", "cancel", "time-out"]


@dataclass(frozen=True)
class Step:
    """One report: the `kind` of it, and numbers that say about what and how true it is."""

    kind: str
    which: int
    truth: int
    amount: int


steps = st.builds(
    Step,
    kind=st.sampled_from(LIKELY),
    which=st.integers(0, 5),
    truth=st.integers(0, 9),
    amount=st.integers(0, 7),
)

settings = st.fixed_dictionaries(
    {
        "max_files": st.sampled_from([3, 8, 1000, 1000]),
        "coverage_target": st.sampled_from([0.0, 0.5, 0.8, 1.0]),
        "coverage_strategy": st.sampled_from(CoverageStrategy),
        "file_types": st.sampled_from([(), (), ("csv",)]),
        "sample_percent": st.sampled_from([100, 100, 50]),
    }
)


@st.composite
def histories(draw: st.DrawFn) -> list[ScanEvent]:
    """The events of one scan, from its start; not every one comes to an end."""
    events: list[ScanEvent] = [queued(UNITS, **draw(settings))]
    scan = evolve(Scan(), events[0])
    for step in draw(st.lists(steps, max_size=12) | st.lists(steps, min_size=25, max_size=70)):
        for event in decide(scan, step):
            scan = evolve(scan, event)
            events.append(event)
    return events


def states(events: Sequence[ScanEvent]) -> list[Scan]:
    """The scan after each of the events."""
    found = [Scan()]
    for event in events:
        found.append(evolve(found[-1], event))
    return found[1:]


def decide(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    try:
        return _DECISIONS[step.kind](scan, step)
    except TooEarly:
        return []


def objects_of(step: Step, first: int) -> list[ObjectInfo]:
    return [
        ObjectInfo(f"{first + n:06}.{'csv' if n % 3 else 'log'}", SIZES[(step.amount + n) % len(SIZES)], f"e{n}")
        for n in range(step.amount)
    ]


def _list(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    unit, attempt = _unit(scan, step)
    batch = scan.units[unit].batches + (step.truth % 4 or 1)
    found = objects_of(step, scan.coverage.enumerated)
    listed = scan.list_objects(
        unit,
        attempt=attempt,
        batch=batch,
        objects=found,
        worker="w1",
        at=LATER,
        earlier=_earlier(found, step),
        continues=step.truth == 3,
    )
    return listed.events if listed else []


def _earlier(found: Sequence[ObjectInfo], step: Step) -> Earlier | None:
    """Of an incremental scan: every other object is known, some of them as they are, and one kind as binary."""
    if step.which % 2:
        return None
    rules = Ruleset("r1")
    known = {
        entry.key: Known(
            entry.key, entry.size, entry.etag, "scan-0", rules, SkipReason.BINARY if place % 4 == 0 else None
        )
        for place, entry in enumerate(found)
        if place % 2 == 0
    }
    return Earlier(known, rules)


def _list_end(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    unit, attempt = _unit(scan, step)
    batches = scan.units[unit].batches + (step.truth == 5)
    until = scan.units[unit].unit.until if step.truth != 6 else "elsewhere"
    return scan.complete_listing(unit, attempt=attempt, batches=batches, until=until, worker="w1", at=LATER)


def _list_split(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    unit, attempt = _unit(scan, step)
    bounds = [f"{900_000 + 10 * scan.version + n:06}/" for n in range(step.amount % 4)]
    if step.truth == 7:
        bounds.reverse()
    return scan.split_listing(unit, attempt=attempt, bounds=bounds, worker="w1", at=LATER)


def _list_fail(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    unit, attempt = _unit(scan, step)
    return scan.fail_listing(
        unit,
        attempt=attempt,
        reason="source_unavailable",
        detail="The bucket does not answer.",
        permanent=step.amount == 7,
        worker="w1",
        at=LATER,
    )


def _list_start(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    unit, attempt = _unit(scan, step)
    return scan.start_listing(unit, attempt=attempt, worker="w1", at=LATER)


def _start(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    chunk, attempt = _chunk(scan, step)
    return scan.start_chunk(chunk, attempt=attempt, worker=_worker(step), at=LATER)


def _complete(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    chunk, attempt = _chunk(scan, step)
    state = scan.pending.get(chunk)
    outcome = outcome_of(step, state.chunk.files if state else 1)
    return scan.complete_chunk(chunk, attempt=attempt, outcome=outcome, worker=_worker(step), started_at=NOON, at=LATER)


def outcome_of(step: Step, files: int) -> Outcome:
    """What a worker says of `files` objects; one in ten says it of one too many."""
    failed, skipped = min(step.amount % 3, files), min(step.amount // 6, max(0, files - step.amount % 3))
    return Outcome(
        scanned=files - failed - skipped + (step.truth == 9),
        failed={FailReason.NETWORK.value: failed} if failed else {},
        skipped={SkipReason.BINARY.value: skipped} if skipped else {},
        bytes_read=step.amount * 100,
        findings=step.amount,
    )


def _lose(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    chunk, attempt = _chunk(scan, step)
    reason = list(LostReason)[step.amount % 4]
    state = scan.pending.get(chunk)
    objects = objects_in(state.chunk) if state and step.truth > 2 else []
    suspect = objects[step.which % len(objects)][0] if objects and step.truth > 4 else None
    return scan.fail_chunk(
        chunk, attempt=attempt, reason=reason, worker=_worker(step), at=LATER, suspect=suspect, objects=objects
    )


def objects_in(chunk: Chunk) -> list[Sized]:
    """As many of a chunk's positions as it has objects: which of them those are, only the manifest knows."""
    return [(at, 1) for at in (*range(chunk.start, chunk.start + chunk.files - 1), chunk.end)]


def _pause(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    return scan.pause(actor=KEY, at=LATER) if step.amount < 3 else []


def _resume(scan: Scan, _: Step) -> Sequence[ScanEvent]:
    return scan.resume(actor=KEY, at=LATER)


def _cancel(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    return scan.cancel(actor=KEY, at=LATER) if step.amount == 7 and step.truth > 5 else []


def _time_out(scan: Scan, step: Step) -> Sequence[ScanEvent]:
    return scan.time_out(at=NOON + timedelta(minutes=120 if step.amount == 7 and step.truth > 5 else 119))


def _unit(scan: Scan, step: Step) -> tuple[int, int]:
    unit = step.which % len(scan.units)
    return unit, scan.units[unit].attempt - (step.truth == 8)


def _chunk(scan: Scan, step: Step) -> tuple[int, int]:
    """A chunk that is pending, now and then one that is not, or an attempt that does not count."""
    pending = sorted(scan.pending)
    if not pending or step.truth == 7:
        return step.which, 1
    chunk = pending[step.which % len(pending)]
    return chunk, scan.pending[chunk].attempt - (step.truth == 8)


def _worker(step: Step) -> str:
    return WORKERS[step.which % len(WORKERS)]


_DECISIONS: dict[str, Callable[[Scan, Step], Sequence[ScanEvent]]] = {
    "list": _list,
    "list-end": _list_end,
    "split": _list_split,
    "list-fail": _list_fail,
    "list-start": _list_start,
    "start": _start,
    "complete": _complete,
    "lose": _lose,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "time-out": _time_out,
}
