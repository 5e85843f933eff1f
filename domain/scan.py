"""A scan: its state, what may happen to it, and how each event changes it.

Decisions are pure and idempotent: state, report and time in, events out. A report for a chunk that is not open, from an
attempt that was superseded, or after the end gives no event. `evolve` never refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import assert_never

from immutables import Map

from domain.chunk import Chunk, Plan, plan
from domain.coverage import (
    Coverage,
    CoverageStrategy,
    EnumerationStatus,
    FailReason,
    Outcome,
)
from domain.manifest import ObjectInfo
from domain.policy import MAX_CHUNK_ATTEMPTS, MAX_CHUNK_LOSSES, MAX_LISTING_FAILURES, ScanOptions
from domain.scan_events import (
    Cancelled,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    Completed,
    Failed,
    ListingCompleted,
    ListingFailed,
    ListingStarted,
    ListingUnit,
    ObjectsListed,
    PartiallyCompleted,
    Queued,
    ScanEvent,
    TimedOut,
)


class Status(StrEnum):
    NEW = "new"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset({Status.COMPLETED, Status.PARTIAL, Status.FAILED, Status.CANCELLED})


class EndReason(StrEnum):
    """Why a scan ended other than completed or cancelled."""

    COVERAGE_BELOW_TARGET = "coverage_below_target"
    LISTING_FAILED = "listing_failed"
    OBJECTS_GIVEN_UP = "objects_given_up"
    MAX_FILES = "max_files"
    TIMED_OUT = "timed_out"


class LostReason(StrEnum):
    """Why an attempt at a chunk came to nothing."""

    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    INVALID_REPORT = "invalid_report"


class TooEarly(Exception):
    """The report builds on one that has not been recorded yet; deliver it again in a moment."""


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


@dataclass(frozen=True, slots=True)
class ChunkState:
    """A chunk that is not accounted for yet. `worker` is set while the current attempt is in work.

    `plan` tells the planning that cut it from any other: a log restored from a backup goes another way from there, and
    may give the same number to other objects.
    """

    chunk: Chunk
    connector: str
    plan: str
    attempt: int = 1
    losses: int = 0
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """The decision on a listing batch: its events, and the plan that the manifest page keeps."""

    events: Sequence[ScanEvent]
    objects: Sequence[ObjectInfo]
    plan: Plan
    first_index: int


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan as its events tell it. `version` is the number of events."""

    status: Status = Status.NEW
    version: int = 0
    tenant: str = ""
    options: ScanOptions | None = None
    queued_at: datetime | None = None
    ended_at: datetime | None = None
    units: Map[int, UnitState] = field(default_factory=Map)
    pending: Map[int, ChunkState] = field(default_factory=Map)
    chunks: int = 0
    planned: int = 0
    coverage: Coverage = field(default_factory=Coverage)
    limit_reached: bool = False

    @property
    def open(self) -> bool:
        return self.status in {Status.QUEUED, Status.RUNNING}

    @property
    def enumeration(self) -> EnumerationStatus:
        return enumeration_status([u.status for u in self.units.values()], self.coverage.enumerated)

    # Listing ------------------------------------------------------------------------------------------------------

    def start_listing(self, unit: int, *, attempt: int, worker: str, at: datetime) -> list[ScanEvent]:
        state = self._open_unit(unit, attempt)
        if state is None or state.started:
            return []
        return [
            ListingStarted(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                prefix=state.unit.prefix,
                attempt=attempt,
                worker=worker,
            )
        ]

    def list_objects(
        self, unit: int, *, attempt: int, batch: int, objects: Sequence[ObjectInfo], worker: str, at: datetime
    ) -> Listed | None:
        """Take a batch of a listing: exactly the next one, once.

        None for a repeated or superseded batch; raises TooEarly when the batch before it is still to come.
        """
        state = self._open_unit(unit, attempt)
        if state is None or batch <= state.batches or not objects:
            return None
        if batch > state.batches + 1:
            raise TooEarly
        assert self.options is not None
        planned = plan(
            objects,
            first_index=self.coverage.enumerated,
            filters=self.options.filters,
            room=self.options.max_files - self.planned,
        )
        event = ObjectsListed(
            at=at,
            actor=f"worker:{worker}",
            unit=unit,
            connector=state.unit.connector,
            worker=worker,
            batch=batch,
            first_index=self.coverage.enumerated,
            files=len(objects),
            bytes=planned.bytes,
            last_key=objects[-1].key,
            first_chunk=self.chunks,
            chunks=planned.chunks,
            skipped=planned.skipped,
            limit_reached=planned.limit_reached,
        )
        events = self._and_ending(event) if event.limit_reached else [event]
        return Listed(events, objects, planned, event.first_index)

    def complete_listing(self, unit: int, *, attempt: int, batches: int, worker: str, at: datetime) -> list[ScanEvent]:
        """A unit was listed to its end in `batches` batches, all attempts together. Raises TooEarly as list_objects."""
        state = self._open_unit(unit, attempt)
        if state is None:
            return []
        if batches > state.batches:
            raise TooEarly
        return self._and_ending(
            ListingCompleted(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                worker=worker,
                batches=batches,
            )
        )

    def fail_listing(
        self, unit: int, *, attempt: int, reason: str, detail: str, permanent: bool, worker: str, at: datetime
    ) -> list[ScanEvent]:
        """An attempt at a unit failed. Given up when trying again cannot help, or failed too often in a row."""
        state = self._open_unit(unit, attempt)
        if state is None:
            return []
        return self._and_ending(
            ListingFailed(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                worker=worker,
                attempt=attempt,
                reason=reason,
                detail=detail,
                final=permanent or state.failures + _is_failure(state, reason) >= MAX_LISTING_FAILURES,
            )
        )

    # Chunks -------------------------------------------------------------------------------------------------------

    def start_chunk(self, chunk: int, *, attempt: int, worker: str, at: datetime) -> list[ScanEvent]:
        state = self.chunk_in_work(chunk, attempt)
        if state is None or state.worker is not None:
            return []
        return [
            ChunkStarted(
                at=at,
                actor=f"worker:{worker}",
                chunk=chunk,
                attempt=attempt,
                worker=worker,
                connector=state.connector,
                start_index=state.chunk.start,
                end_index=state.chunk.end,
                files=state.chunk.files,
            )
        ]

    def complete_chunk(
        self, chunk: int, *, attempt: int, outcome: Outcome, worker: str, started_at: datetime, at: datetime
    ) -> list[ScanEvent]:
        """Account for a chunk. An outcome that does not add up to the chunk's objects is a failed attempt."""
        state = self.chunk_in_work(chunk, attempt)
        if state is None:
            return []
        if outcome.files != state.chunk.files:
            return self.fail_chunk(chunk, attempt=attempt, reason=LostReason.INVALID_REPORT, worker=worker, at=at)
        return self._and_ending(
            ChunkCompleted(
                at=at,
                actor=f"worker:{worker}",
                chunk=chunk,
                attempt=attempt,
                worker=worker,
                files=outcome.files,
                scanned=outcome.scanned,
                started_at=started_at,
                bytes_read=outcome.bytes_read,
                findings=outcome.findings,
                skipped=dict(outcome.skipped),
                failed=dict(outcome.failed),
            )
        )

    def fail_chunk(self, chunk: int, *, attempt: int, reason: LostReason, worker: str, at: datetime) -> list[ScanEvent]:
        """An attempt was lost. A chunk that keeps losing its worker is given up; a stopped worker is no one's fault.

        `worker` is who says so; the event names the one that was at work, if any was.
        """
        state = self.chunk_in_work(chunk, attempt)
        if state is None:
            return []
        spent = attempt >= MAX_CHUNK_ATTEMPTS and reason is not LostReason.WORKER_STOPPED
        final = spent or state.losses + _is_loss(state, reason) >= MAX_CHUNK_LOSSES
        return self._and_ending(
            ChunkFailed(
                at=at,
                actor=f"worker:{worker}",
                chunk=chunk,
                attempt=attempt,
                worker=state.worker or worker,
                reason=FailReason.WORKER_LOST if final else reason,
                final=final,
                files=state.chunk.files,
            )
        )

    # The whole ----------------------------------------------------------------------------------------------------

    def cancel(self, *, actor: str, at: datetime) -> list[ScanEvent]:
        return [Cancelled(at=at, actor=actor)] if self.open else []

    def time_out(self, *, at: datetime) -> list[ScanEvent]:
        """End the scan if its time is over; before that, and after the end, nothing."""
        if not self.open or self.options is None or self.queued_at is None:
            return []
        if at < self.queued_at + self.options.timeout:
            return []
        over = TimedOut(at=at, actor="system:timer", timeout_minutes=self.options.timeout_minutes)
        return [over, evolve(self, over).verdict(at=at, timed_out=True)]

    def verdict(self, *, at: datetime, timed_out: bool = False) -> ScanEvent:
        """How a scan with nothing left to do has ended (api.md, *Statuses*)."""
        assert self.options is not None
        met = self.coverage.meets(self.options.coverage_target, self.enumeration)
        actor = "system:recorder"
        if timed_out and (not self.coverage.covered or (self._strict and not met)):
            return Failed(at=at, actor=actor, reason=EndReason.TIMED_OUT)
        if self.enumeration is EnumerationStatus.FAILED:
            return Failed(at=at, actor=actor, reason=EndReason.LISTING_FAILED)
        if self._strict and not met:
            return Failed(at=at, actor=actor, reason=EndReason.COVERAGE_BELOW_TARGET)
        reason = EndReason.TIMED_OUT if timed_out else self._shortfall(met)
        if reason is not None:
            return PartiallyCompleted(at=at, actor=actor, reason=reason)
        return Completed(at=at, actor=actor)

    @property
    def _strict(self) -> bool:
        return self.options is not None and self.options.coverage_strategy is CoverageStrategy.STRICT

    def _shortfall(self, met: bool) -> EndReason | None:
        if self.limit_reached:
            return EndReason.MAX_FILES
        if self.enumeration is not EnumerationStatus.COMPLETE:
            return EndReason.LISTING_FAILED
        if self.coverage.failed.get(FailReason.WORKER_LOST):
            return EndReason.OBJECTS_GIVEN_UP
        return None if met else EndReason.COVERAGE_BELOW_TARGET

    def _and_ending(self, event: ScanEvent) -> list[ScanEvent]:
        # No event accounts for more than one chunk.
        if len(self.pending) > 1:
            return [event]
        after = evolve(self, event)
        if after.pending or any(u.status is UnitStatus.OPEN for u in after.units.values()):
            return [event]
        return [event, after.verdict(at=event.at)]

    def _open_unit(self, unit: int, attempt: int) -> UnitState | None:
        state = self.units.get(unit) if self.open else None
        usable = state is not None and state.status is UnitStatus.OPEN and state.attempt == attempt
        return state if usable else None

    def cut_by(self, plan: str, chunk: int) -> bool:
        """Whether the chunk is not accounted for, and of this plan: else what is said of it is of other objects."""
        state = self.pending.get(chunk)
        return state is not None and state.plan == plan

    def chunk_in_work(self, chunk: int, attempt: int) -> ChunkState | None:
        """The chunk, if the scan is open, the chunk is not accounted for, and this is the attempt that counts."""
        state = self.pending.get(chunk) if self.open else None
        return state if state is not None and state.attempt == attempt else None


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


def evolve(scan: Scan, event: ScanEvent) -> Scan:
    """The scan after the event."""
    after = _changed(scan, event)
    # Nearly all events account for a chunk, and copying the scan is what they cost: theirs is counted in the one copy.
    return after if after.version > scan.version else replace(after, version=scan.version + 1)


def _changed(scan: Scan, event: ScanEvent) -> Scan:
    match event:
        case Queued():
            return replace(
                scan,
                status=Status.QUEUED,
                tenant=event.tenant,
                options=event.options,
                queued_at=event.at,
                units=Map(enumerate(UnitState(unit) for unit in event.units)),
            )
        case ListingStarted():
            unit = replace(scan.units[event.unit], started=True)
            return replace(scan, status=Status.RUNNING, units=scan.units.set(event.unit, unit))
        case ObjectsListed():
            return _listed(scan, event)
        case ListingCompleted():
            return _with_unit(scan, event.unit, status=UnitStatus.COMPLETE)
        case ListingFailed():
            return _listing_failed(scan, event)
        case ChunkStarted():
            started = replace(scan.pending[event.chunk], worker=event.worker)
            return replace(scan, pending=scan.pending.set(event.chunk, started))
        case ChunkCompleted():
            return _accounted(scan, event.chunk, outcome_of(event))
        case ChunkFailed():
            return _chunk_failed(scan, event)
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


def _is_loss(state: ChunkState, reason: LostReason) -> bool:
    """Whether the chunk may be to blame: a command that came back before its work began killed nobody."""
    if reason is LostReason.WORKER_LOST:
        return state.worker is not None
    return reason is LostReason.INVALID_REPORT


def _is_failure(state: UnitState, reason: str) -> bool:
    """Whether listing the unit failed: neither a worker told to stop nor a command that came back says so."""
    if reason == LostReason.WORKER_LOST:
        return state.started
    return reason != LostReason.WORKER_STOPPED


def _with_unit(scan: Scan, number: int, **changes: object) -> Scan:
    unit = replace(scan.units[number], **changes)  # type: ignore[arg-type]  # the callers name real fields
    return replace(scan, units=scan.units.set(number, unit))


def _listed(scan: Scan, event: ObjectsListed) -> Scan:
    name = event.at.isoformat(timespec="microseconds")
    planned = {event.first_chunk + i: ChunkState(chunk, event.connector, name) for i, chunk in enumerate(event.chunks)}
    listed = _with_unit(scan, event.unit, batches=event.batch, last_key=event.last_key, failures=0)
    listed = replace(
        listed,
        # The report that the listing began may come late.
        status=Status.RUNNING,
        coverage=scan.coverage.discovered(event.files, event.skipped),
        pending=scan.pending.update(planned),
        chunks=scan.chunks + len(event.chunks),
        planned=scan.planned + sum(chunk.files for chunk in event.chunks),
        limit_reached=event.limit_reached,
    )
    return _stopped(listed) if event.limit_reached else listed


def _listing_failed(scan: Scan, event: ListingFailed) -> Scan:
    if event.final:
        return _with_unit(scan, event.unit, status=UnitStatus.FAILED)
    state = scan.units[event.unit]
    failures = state.failures + _is_failure(state, event.reason)
    return _with_unit(scan, event.unit, attempt=event.attempt + 1, started=False, failures=failures)


def _stopped(scan: Scan) -> Scan:
    """No unit is listed any further."""
    stopped = {
        number: replace(unit, status=UnitStatus.STOPPED)
        for number, unit in scan.units.items()
        if unit.status is UnitStatus.OPEN
    }
    return replace(scan, units=scan.units.update(stopped))


def _accounted(scan: Scan, chunk: int, outcome: Outcome) -> Scan:
    return replace(
        scan,
        version=scan.version + 1,
        pending=scan.pending.delete(chunk),
        coverage=scan.coverage.accounted(outcome),
    )


def _chunk_failed(scan: Scan, event: ChunkFailed) -> Scan:
    if event.final:
        return _accounted(scan, event.chunk, Outcome(failed={event.reason: event.files}))
    state = scan.pending[event.chunk]
    losses = state.losses + _is_loss(state, LostReason(event.reason))
    again = replace(state, attempt=event.attempt + 1, losses=losses, worker=None)
    return replace(scan, pending=scan.pending.set(event.chunk, again))
