"""How each event changes a scan. `evolve` never refuses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, assert_never

from immutables import Map

from domain.chunk import Chunk
from domain.coverage import FailReason, Outcome
from domain.inventory import Ruleset
from domain.scan_events import (
    Cancelled,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    Completed,
    DataErased,
    Failed,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListingStarted,
    ObjectsListed,
    PartiallyCompleted,
    Paused,
    Queued,
    Resumed,
    ScanEvent,
    TimedOut,
)
from domain.scan_state import ChunkState, LostReason, ScanState, Status, UnitState, UnitStatus, is_failure, is_loss

_FAILURES: Final = frozenset(FailReason)

S = TypeVar("S", bound=ScanState)


def evolve(scan: S, event: ScanEvent) -> S:
    """The scan after the event."""
    after = _changed(scan, event)
    # Nearly all events account for a chunk, and copying the scan is what they cost: theirs is counted in the one copy.
    return after if after.version > scan.version else replace(after, version=scan.version + 1)


def _changed(scan: S, event: ScanEvent) -> S:
    match event:
        case Queued():
            return _queued(scan, event)
        case ListingStarted():
            unit = replace(scan.units[event.unit], started=True)
            return replace(_begun(scan), units=scan.units.set(event.unit, unit))
        case ObjectsListed():
            return _listed(scan, event)
        case ListingSplit():
            return _listing_split(scan, event)
        case ListingCompleted():
            return _with_unit(scan, event.unit, status=UnitStatus.COMPLETE)
        case ListingFailed():
            return _listing_failed(scan, event)
        case ChunkStarted():
            started = replace(scan.pending[event.chunk], worker=event.worker)
            return replace(scan, pending=scan.pending.set(event.chunk, started))
        case ChunkCompleted():
            return _accounted(scan, event.chunk, outcome_of(event), event.part_reason)
        case ChunkFailed():
            return _chunk_failed(scan, event)
        case Paused():
            return replace(scan, status=Status.PAUSED, paused_at=scan.paused_at or event.at)
        case Resumed():
            return _resumed(scan, event)
        case TimedOut():
            return _stopped(scan)
        case Cancelled():
            return replace(_stopped(scan), status=Status.CANCELLED, ended_at=event.at)
        case Completed():
            return replace(scan, status=Status.COMPLETED, ended_at=event.at)
        case PartiallyCompleted():
            return replace(scan, status=Status.PARTIAL, ended_at=event.at)
        case Failed():
            return replace(scan, status=Status.FAILED, ended_at=event.at)
        case DataErased():
            return replace(scan, erased_at=event.at)
        case _:
            assert_never(event)


def outcome_of(event: ChunkCompleted) -> Outcome:
    return Outcome(
        scanned=event.scanned,
        skipped=event.skipped,
        failed=event.failed,
        bytes_read=event.bytes_read,
        findings=event.findings,
        allowed=event.allowed,
    )


def _queued(scan: S, event: Queued) -> S:
    return replace(
        scan,
        status=Status.QUEUED,
        tenant=event.tenant,
        type=event.type,
        options=event.options,
        ruleset=Ruleset(event.ruleset, event.detectors),
        rules=event.rules,
        locations=Map(event.locations),
        redrive_of=event.redrive_of,
        queued_at=event.at,
        units=Map(enumerate(UnitState(unit) for unit in event.units)),
    )


def _begun(scan: S) -> S:
    status = scan.status if scan.status is Status.PAUSED else Status.RUNNING
    return replace(scan, status=status, began=True)


def _resumed(scan: S, event: Resumed) -> S:
    """A listing was ended by the pause, and goes on with a new attempt."""
    units = {
        number: replace(unit, attempt=unit.attempt + 1, started=False)
        for number, unit in scan.units.items()
        if unit.status is UnitStatus.OPEN
    }
    return replace(
        scan,
        status=Status.RUNNING if scan.began else Status.QUEUED,
        paused_at=None,
        resumed_at=event.at,
        paused_for=scan.paused_for + (event.at - (scan.paused_at or event.at)),
        units=scan.units.update(units),
    )


def _with_unit(scan: S, number: int, **changes: Any) -> S:
    unit = replace(scan.units[number], **changes)
    return replace(scan, units=scan.units.set(number, unit))


def _listed(scan: S, event: ObjectsListed) -> S:
    name = _plan_of(event)
    planned = {event.first_chunk + i: ChunkState(chunk, event.connector, name) for i, chunk in enumerate(event.chunks)}
    before = scan.units[event.unit]
    listed = _with_unit(
        # The report that the listing began may come late.
        _begun(scan),
        event.unit,
        batches=event.batch,
        last_key=event.last_key,
        failures=0,
        attempt=before.attempt + event.continues,
    )
    listed = replace(
        listed,
        coverage=scan.coverage.discovered(event.files, event.skipped),
        pending=scan.pending.update(planned),
        chunks=scan.chunks + len(event.chunks),
        planned=scan.planned + planned_files(event.chunks),
        limit_reached=event.limit_reached,
    )
    return _stopped(listed) if event.limit_reached else listed


def _plan_of(event: ObjectsListed | ChunkFailed) -> str:
    return event.at.isoformat(timespec="microseconds")


def planned_files(chunks: Sequence[Chunk]) -> int:
    """The objects that chunks hold: one for all parts of a huge one."""
    return sum(chunk.files for chunk in chunks if chunk.part == 0)


def _listing_split(scan: S, event: ListingSplit) -> S:
    before = scan.units[event.unit]
    narrowed = replace(before, unit=replace(before.unit, until=event.until))
    added = {event.first_unit + i: UnitState(unit) for i, unit in enumerate(event.units)}
    return replace(scan, units=scan.units.set(event.unit, narrowed).update(added))


def _listing_failed(scan: S, event: ListingFailed) -> S:
    if event.final:
        return _with_unit(scan, event.unit, status=UnitStatus.FAILED)
    state = scan.units[event.unit]
    failures = state.failures + is_failure(state, event.reason)
    return _with_unit(scan, event.unit, attempt=event.attempt + 1, started=False, failures=failures)


def _stopped(scan: S) -> S:
    """No unit is listed any further."""
    stopped = {
        number: replace(unit, status=UnitStatus.STOPPED)
        for number, unit in scan.units.items()
        if unit.status is UnitStatus.OPEN
    }
    return replace(scan, units=scan.units.update(stopped))


def _accounted(scan: S, chunk: int, outcome: Outcome, part_reason: str = "") -> S:
    state = scan.pending[chunk].chunk
    return replace(
        scan,
        version=scan.version + 1,
        pending=scan.pending.delete(chunk),
        parts_in=scan.parts_in if state.parts == 1 else _with_part(scan, state, outcome, part_reason),
        coverage=scan.coverage.accounted(outcome),
    )


def _with_part(scan: ScanState, chunk: Chunk, outcome: Outcome, reason: str) -> Map[int, str]:
    """The parts that are in, with one more; an object that is accounted for needs none of them any more."""
    if outcome.files:
        return scan.parts_in.delete(chunk.start) if chunk.start in scan.parts_in else scan.parts_in
    return scan.parts_in.set(chunk.start, _worse(scan.parts_in.get(chunk.start, ""), reason))


def _worse(first: str, second: str) -> str:
    """Of two reasons why parts of an object were not read, the one that is the object's: a failure before a skip."""
    return second if not first or (second in _FAILURES and first not in _FAILURES) else first


def _chunk_failed(scan: S, event: ChunkFailed) -> S:
    if event.final:
        failed = {event.reason: event.files} if event.files else {}
        return _accounted(scan, event.chunk, Outcome(failed=failed, findings=event.findings), event.reason)
    state = scan.pending[event.chunk]
    losses = state.losses + is_loss(state, LostReason(event.reason))
    if event.replaced_by:
        return _replaced(scan, event, losses)
    again = replace(
        state, attempt=event.attempt + 1, losses=losses, failures=state.failures + _is_failed(event), worker=None
    )
    return replace(scan, pending=scan.pending.set(event.chunk, again))


def _is_failed(event: ChunkFailed) -> bool:
    return event.reason != LostReason.WORKER_STOPPED


def _replaced(scan: S, event: ChunkFailed, losses: int) -> S:
    """An object that stands alone keeps what it cost so far; neighbours start with a clean slate."""
    connector, name = scan.pending[event.chunk].connector, _plan_of(event)
    fresh = {
        event.first_chunk + i: ChunkState(chunk, connector, name, losses=losses if chunk.files == 1 else 0)
        for i, chunk in enumerate(event.replaced_by)
    }
    return replace(
        scan,
        pending=scan.pending.delete(event.chunk).update(fresh),
        chunks=scan.chunks + len(event.replaced_by),
    )
