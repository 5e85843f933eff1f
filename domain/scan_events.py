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
    """A part of a connector that is listed as one piece of work: the keys below `prefix` that sort after `after` and,
    unless `until` is empty, not after `until`. `fan_out`: whoever lists it may part it further."""

    connector: str
    prefix: str = ""
    after: str = ""
    until: str = ""
    fan_out: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    kind: ClassVar[str]
    schema: ClassVar[int] = 1
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(_Event):
    """A client asked for the scan. `units` is all that will be listed, `ruleset` the digest of the detection.

    `rules` is the digest of the tenant's own detectors and allow list, as they were then ("": none); `ruleset` covers
    it. `detectors` are the ids of those to run (none: all), `locations` where each connector points to. `redrive_of`
    names the finished scan whose failed and remaining objects are all that this one looks at.
    """

    kind = "scan.queued"
    schema = 3
    tenant: str
    type: str
    connectors: tuple[str, ...]
    units: tuple[ListingUnit, ...]
    options: ScanOptions
    ruleset: str
    detectors: tuple[str, ...] = ()
    locations: Mapping[str, str] = field(default_factory=dict)
    redrive_of: str | None = None
    rules: str = ""


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
    """Batch `batch` (from 1) of a unit: manifest positions from `first_index`, `files` of them, up to `last_key`.

    `continues`: the attempt has done what it was given, and the next one goes on after `last_key`.
    """

    kind = "scan.objects-listed"
    schema = 2
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
    continues: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingSplit(_Event):
    """The rest of a unit was found to be large: it ends at `until` now, and `units`, numbered from `first_unit`, take
    over the keys behind that."""

    kind = "scan.listing-split"
    unit: int
    connector: str
    worker: str
    until: str
    first_unit: int
    units: tuple[ListingUnit, ...]


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
    """Every object of the chunk is accounted for: `scanned` + skipped + failed = its files.

    A part of a huge object accounts for none, but for the part that comes in last: that one decides for the object.
    `part_reason` is why the part itself was not read, if it was not. `allowed` counts the hits that the allow list kept
    out of the findings.
    """

    kind = "scan.chunk-completed"
    schema = 3
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
    part_reason: str = ""
    allowed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFailed(_Event):
    """An attempt at a chunk was lost. `final`: its `files` objects are given up and counted as failed with `reason`.

    `replaced_by`, numbered from `first_chunk`: smaller chunks take its place, so that one object that loses its worker
    does not take its neighbours with it. A part of a huge object gives up the object only as the last one in, with the
    `findings` that the other parts had.
    """

    kind = "scan.chunk-failed"
    schema = 2
    chunk: int
    attempt: int
    worker: str
    reason: str
    final: bool
    files: int
    findings: int = 0
    first_chunk: int = 0
    replaced_by: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(_Event):
    """A client asked that no more work be handed out; what is in work finishes."""

    kind = "scan.paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(_Event):
    """Work goes on. Listings get a new attempt; chunks whose commands were dropped meanwhile are handed out again."""

    kind = "scan.resumed"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DataErased(_Event):
    """What a scan that has ended had found and looked at is erased, for privacy law; its sums stay as they were.

    `rows` counts what there was, by table. `connector`: all data of that connector was to go, and the scan's with it.
    """

    kind = "scan.data-erased"
    rows: Mapping[str, int]
    connector: str = ""


ScanEvent = (
    Queued
    | ListingStarted
    | ObjectsListed
    | ListingSplit
    | ListingCompleted
    | ListingFailed
    | ChunkStarted
    | ChunkCompleted
    | ChunkFailed
    | Paused
    | Resumed
    | Cancelled
    | TimedOut
    | Completed
    | PartiallyCompleted
    | Failed
    | DataErased
)

SCAN_EVENTS: tuple[type[ScanEvent], ...] = (
    Queued,
    ListingStarted,
    ObjectsListed,
    ListingSplit,
    ListingCompleted,
    ListingFailed,
    ChunkStarted,
    ChunkCompleted,
    ChunkFailed,
    Paused,
    Resumed,
    Cancelled,
    TimedOut,
    Completed,
    PartiallyCompleted,
    Failed,
    DataErased,
)

ENDINGS: tuple[type[ScanEvent], ...] = (Cancelled, Completed, PartiallyCompleted, Failed)
