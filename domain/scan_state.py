"""A scan's state, and how each event changes it. `evolve` never refuses."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final, TypeVar, assert_never

from immutables import Map

from domain.chunk import Chunk
from domain.coverage import Coverage, EnumerationStatus, FailReason, Outcome
from domain.inventory import Ruleset
from domain.policy import ScanOptions
from domain.scan_events import (
    Cancelled,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    Completed,
    Failed,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListingStarted,
    ListingUnit,
    ObjectsListed,
    PartiallyCompleted,
    Paused,
    Queued,
    Resumed,
    ScanEvent,
    TimedOut,
)


class Status(StrEnum):
    NEW = "new"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDED

    @property
    def open(self) -> bool:
        return self in OPEN


_ENDED = frozenset({Status.COMPLETED, Status.PARTIAL, Status.FAILED, Status.CANCELLED})
OPEN = frozenset({Status.QUEUED, Status.RUNNING, Status.PAUSED})


class EndReason(StrEnum):
    """Why a scan ended other than completed or cancelled."""

    COVERAGE_BELOW_TARGET = "coverage_below_target"
    LISTING_FAILED = "listing_failed"
    OBJECTS_GIVEN_UP = "objects_given_up"
    MAX_FILES = "max_files"
    TIMED_OUT = "timed_out"


class LostReason(StrEnum):
    """Why an attempt at a chunk came to nothing. `stalled`: it was ended because it did not get on."""

    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    INVALID_REPORT = "invalid_report"
    STALLED = "stalled"


class UnitStatus(StrEnum):
    OPEN = "open"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class UnitState:
    """How far one listing unit is. `batches` are recorded, up to `last_key`; `attempt` is the one that counts."""

    unit: ListingUnit
    status: UnitStatus = UnitStatus.OPEN
    attempt: int = 1
    started: bool = False
    batches: int = 0
    last_key: str = ""
    failures: int = 0

    @property
    def reached(self) -> str:
        """The key behind which there is more to list."""
        return max(self.last_key, self.unit.after)


@dataclass(frozen=True, slots=True)
class ChunkState:
    """A chunk that is not accounted for yet. `worker` is set while the current attempt is in work.

    `failures` counts the attempts that came to nothing, `losses` those that may be laid to the chunk.

    `plan` tells the planning that cut it from any other: a log restored from a backup goes another way from there, and
    may give the same number to other objects.
    """

    chunk: Chunk
    connector: str
    plan: str
    attempt: int = 1
    losses: int = 0
    failures: int = 0
    worker: str | None = None


_NO_RULES: Final = Ruleset("")
_FAILURES: Final = frozenset(FailReason)


@dataclass(frozen=True, slots=True)
class ScanState:
    """A scan as its events tell it. `version` is the number of events.

    `parts_in` holds, per huge object of which some parts are accounted for, why the first of them that failed was not
    read; if none did, why the first that was skipped was not ("" for none).
    """

    status: Status = Status.NEW
    version: int = 0
    tenant: str = ""
    type: str = ""
    options: ScanOptions | None = None
    ruleset: Ruleset = _NO_RULES
    locations: Map[str, str] = field(default_factory=Map)
    redrive_of: str | None = None
    queued_at: datetime | None = None
    ended_at: datetime | None = None
    began: bool = False
    paused_at: datetime | None = None
    resumed_at: datetime | None = None
    paused_for: timedelta = timedelta()
    units: Map[int, UnitState] = field(default_factory=Map)
    pending: Map[int, ChunkState] = field(default_factory=Map)
    parts_in: Map[int, str] = field(default_factory=Map)
    chunks: int = 0
    planned: int = 0
    coverage: Coverage = field(default_factory=Coverage)
    limit_reached: bool = False

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def enumeration(self) -> EnumerationStatus:
        return enumeration_status([u.status for u in self.units.values()], self.coverage.enumerated)

    @property
    def deadline(self) -> datetime | None:
        """When the scan times out. Paused time does not count, and a paused scan has no deadline."""
        if self.queued_at is None or self.options is None or self.status is Status.PAUSED:
            return None
        return self.queued_at + self.options.timeout + self.paused_for


S = TypeVar("S", bound=ScanState)


def enumeration_status(units: Sequence[UnitStatus], enumerated: int) -> EnumerationStatus:
    """`enumeration_status` of a scan whose units stand so."""
    if UnitStatus.OPEN in units:
        return EnumerationStatus.IN_PROGRESS
    if all(unit is UnitStatus.COMPLETE for unit in units):
        return EnumerationStatus.COMPLETE
    nothing = not enumerated and UnitStatus.COMPLETE not in units
    return EnumerationStatus.FAILED if nothing else EnumerationStatus.PARTIAL


def share_listed(units: Sequence[UnitStatus]) -> Fraction:
    """The share of units listed to their end; 1 while any is still open (api.md, `completeness_score`)."""
    if UnitStatus.OPEN in units or not units:
        return Fraction(1)
    return Fraction(sum(unit is UnitStatus.COMPLETE for unit in units), len(units))


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
        case _:
            assert_never(event)


def outcome_of(event: ChunkCompleted) -> Outcome:
    return Outcome(
        scanned=event.scanned,
        skipped=event.skipped,
        failed=event.failed,
        bytes_read=event.bytes_read,
        findings=event.findings,
    )


def is_loss(state: ChunkState, reason: LostReason) -> bool:
    """Whether the chunk may be to blame: a command that came back before its work began killed nobody."""
    if reason is LostReason.WORKER_LOST:
        return state.worker is not None
    return reason is not LostReason.WORKER_STOPPED


def is_failure(state: UnitState, reason: str) -> bool:
    """Whether listing the unit failed: neither a worker told to stop nor a command that came back says so."""
    if reason == LostReason.WORKER_LOST:
        return state.started
    return reason != LostReason.WORKER_STOPPED


def _queued(scan: S, event: Queued) -> S:
    return replace(
        scan,
        status=Status.QUEUED,
        tenant=event.tenant,
        type=event.type,
        options=event.options,
        ruleset=Ruleset(event.ruleset, event.detectors),
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
