"""A scan's state, and what follows from it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from immutables import Map

from domain.chunk import Chunk
from domain.coverage import Coverage, EnumerationStatus, FailReason
from domain.inventory import Ruleset
from domain.policy import MAX_CHUNK_ATTEMPTS, MAX_CHUNK_LOSSES, ScanOptions
from domain.scan_events import ListingUnit


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
    rules: str = ""
    locations: Map[str, str] = field(default_factory=Map)
    redrive_of: str | None = None
    queued_at: datetime | None = None
    ended_at: datetime | None = None
    erased_at: datetime | None = None
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


def is_to_be_parted(state: ChunkState, reason: LostReason) -> bool:
    """A worker that dies at once never says that it began: after a few such attempts the chunk is suspected as well."""
    unbegun = reason is LostReason.WORKER_LOST and state.failures + 1 >= MAX_CHUNK_LOSSES
    return unbegun or is_loss(state, reason)


def is_given_up(state: ChunkState, reason: LostReason) -> bool:
    if reason is LostReason.WORKER_STOPPED:
        return False
    return state.losses + is_loss(state, reason) >= MAX_CHUNK_LOSSES or state.failures + 1 >= MAX_CHUNK_ATTEMPTS


def final_reason(reason: LostReason) -> FailReason:
    return FailReason.TIMEOUT if reason is LostReason.STALLED else FailReason.WORKER_LOST
