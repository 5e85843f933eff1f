"""What can happen to a scan. Stored under `kind` as plain JSON; a kind is never renamed, only superseded.

Each event says when (`at`, UTC), who (`actor`: `key:…`, `worker:…` or `system:…`), and enough to explain itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from domain.chunk import Chunk
from domain.policy import ScanOptions


@dataclass(frozen=True, slots=True)
class ListingUnit:
    """A part of a connector that is listed as one piece of work: all keys below `prefix`."""

    connector: str
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    kind: ClassVar[str]
    schema: ClassVar[int] = 1
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(_Event):
    """A client asked for the scan. `units` is all that will be listed, `ruleset` the digest of the detectors."""

    kind = "scan.queued"
    tenant: str
    type: str
    connectors: tuple[str, ...]
    units: tuple[ListingUnit, ...]
    options: ScanOptions
    ruleset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingStarted(_Event):
    kind = "scan.listing-started"
    unit: int
    connector: str
    prefix: str
    attempt: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsListed(_Event):
    """Batch `batch` (from 1) of a unit: manifest positions from `first_index`, `files` of them, up to `last_key`."""

    kind = "scan.objects-listed"
    unit: int
    connector: str
    worker: str
    batch: int
    first_index: int
    files: int
    bytes: int
    last_key: str
    first_chunk: int
    chunks: tuple[Chunk, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    limit_reached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingCompleted(_Event):
    kind = "scan.listing-completed"
    unit: int
    connector: str
    worker: str
    batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingFailed(_Event):
    """An attempt to list a unit ended early. `final`: the unit is given up, what it had listed stays."""

    kind = "scan.listing-failed"
    unit: int
    connector: str
    worker: str
    attempt: int
    reason: str
    detail: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStarted(_Event):
    kind = "scan.chunk-started"
    chunk: int
    attempt: int
    worker: str
    connector: str
    start_index: int
    end_index: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCompleted(_Event):
    """Every object of the chunk is accounted for: `scanned` + skipped + failed = its files."""

    kind = "scan.chunk-completed"
    chunk: int
    attempt: int
    worker: str
    files: int
    scanned: int
    started_at: datetime
    bytes_read: int
    findings: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFailed(_Event):
    """An attempt at a chunk was lost. `final`: its `files` objects are given up and counted as failed with `reason`."""

    kind = "scan.chunk-failed"
    chunk: int
    attempt: int
    worker: str
    reason: str
    final: bool
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(_Event):
    kind = "scan.cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut(_Event):
    kind = "scan.timed-out"
    timeout_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(_Event):
    kind = "scan.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartiallyCompleted(_Event):
    kind = "scan.partially-completed"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_Event):
    kind = "scan.failed"
    reason: str


ScanEvent = (
    Queued
    | ListingStarted
    | ObjectsListed
    | ListingCompleted
    | ListingFailed
    | ChunkStarted
    | ChunkCompleted
    | ChunkFailed
    | Cancelled
    | TimedOut
    | Completed
    | PartiallyCompleted
    | Failed
)

SCAN_EVENTS: tuple[type[ScanEvent], ...] = (
    Queued,
    ListingStarted,
    ObjectsListed,
    ListingCompleted,
    ListingFailed,
    ChunkStarted,
    ChunkCompleted,
    ChunkFailed,
    Cancelled,
    TimedOut,
    Completed,
    PartiallyCompleted,
    Failed,
)

ENDINGS: tuple[type[ScanEvent], ...] = (Cancelled, Completed, PartiallyCompleted, Failed)
