"""What a client sees of a scan: a pure fold of its events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final, assert_never

from immutables import Map

from domain.chunk import ChunkSet
from domain.coverage import Coverage, EnumerationStatus, Outcome
from domain.policy import ScanOptions
from domain.scan import Status, UnitStatus, enumeration_status, outcome_of, share_listed
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


@dataclass(frozen=True, slots=True)
class UnitView:
    """One listing unit; `files` it has listed so far, `detail` of its last failure."""

    connector: str
    prefix: str
    status: UnitStatus = UnitStatus.OPEN
    files: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A chunk that lost its worker: others, from `first_chunk` on, took its place, beginning at `starts`."""

    chunk: int
    first_chunk: int
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChunkInWork:
    chunk_id: int
    connector: str
    start_index: int
    end_index: int
    file_count: int
    attempt: int


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker's part in one scan. Status: running, idle, completed (the scan ended) or failed (it was lost)."""

    worker_id: str
    status: str = "idle"
    chunk: ChunkInWork | None = None
    chunks_completed: int = 0
    files_processed_total: int = 0
    findings_total: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScanView:
    """Everything about a scan but its workers. `done` are the chunks accounted for, of `chunks` planned."""

    scan_id: str
    tenant: str
    type: str
    connectors: tuple[str, ...]
    options: ScanOptions
    units: tuple[UnitView, ...]
    created_at: datetime
    status: Status = Status.QUEUED
    reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    coverage: Coverage = field(default_factory=Coverage)
    findings: int = 0
    bytes_total: int = 0
    bytes_processed: int = 0
    chunks: int = 0
    done: ChunkSet = field(default_factory=ChunkSet)
    replaced: tuple[Replaced, ...] = ()
    paused_at: datetime | None = None
    paused_seconds: float = 0.0
    redrive_of: str | None = None
    rules: str = ""
    hits_allowed: int = 0
    erased_at: datetime | None = None
    erased_by: str = ""
    version: int = 0

    @property
    def enumeration(self) -> EnumerationStatus:
        return enumeration_status([unit.status for unit in self.units], self.coverage.enumerated)

    @property
    def listing(self) -> Sequence[UnitView]:
        """Per connector and prefix, its units taken together, however the listing was parted."""
        together: dict[tuple[str, str], UnitView] = {}
        for unit in self.units:
            place = unit.connector, unit.prefix
            together[place] = _joined(together[place], unit) if place in together else unit
        return list(together.values())

    @property
    def listed(self) -> Fraction:
        """The share of `listing` that came to its end."""
        return share_listed([unit.status for unit in self.listing])


_FROM_WORST: Final = (UnitStatus.OPEN, UnitStatus.FAILED, UnitStatus.STOPPED, UnitStatus.COMPLETE)


def _joined(one: UnitView, other: UnitView) -> UnitView:
    status = min(one.status, other.status, key=_FROM_WORST.index)
    return replace(one, status=status, files=one.files + other.files, detail=one.detail or other.detail)


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """The fold's state: the scan's view and its workers by id."""

    view: ScanView
    workers: Map[str, WorkerView] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    total: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0


def count(workers: Map[str, WorkerView]) -> WorkerCounts:
    """`workers` of GET /scans/{id}."""
    statuses = [worker.status for worker in workers.values()]
    return WorkerCounts(
        total=len(statuses),
        active=statuses.count("running"),
        completed=statuses.count("completed"),
        failed=statuses.count("failed"),
    )


def begin(scan_id: str, event: Queued) -> ScanProgress:
    """The view of a scan that was just queued."""
    return ScanProgress(
        ScanView(
            scan_id=scan_id,
            tenant=event.tenant,
            type=event.type,
            connectors=event.connectors,
            options=event.options,
            units=tuple(UnitView(unit.connector, unit.prefix) for unit in event.units),
            created_at=event.at,
            redrive_of=event.redrive_of,
            rules=event.rules,
            version=1,
        )
    )


def project(progress: ScanProgress, event: ScanEvent) -> ScanProgress:
    """The view after one more event. The same events give the same view, whoever folds them and when."""
    before = progress.view
    view = _viewed(before, event)
    if view.version == before.version:
        view = replace(view, version=before.version + 1)
    return ScanProgress(view, _worked(progress.workers, event))


def project_all(progress: ScanProgress, events: Iterable[ScanEvent]) -> ScanProgress:
    """What `project` gives for one event after the other. Copying the view is what most of them cost, and of those that
    say nothing of it, which are nearly half, it is copied once."""
    view, workers, unseen = progress.view, progress.workers, 0
    for event in events:
        after = _viewed(view, event)
        unseen += after.version == view.version
        view, workers = after, _worked(workers, event)
    return ScanProgress(replace(view, version=view.version + unseen) if unseen else view, workers)


def _viewed(view: ScanView, event: ScanEvent) -> ScanView:
    match event:
        case Queued() | ChunkStarted():
            return view
        case ListingStarted():
            return _begun(view, event.at)
        case ObjectsListed():
            return _listed(view, event)
        case ListingSplit():
            added = tuple(UnitView(unit.connector, unit.prefix) for unit in event.units)
            return replace(view, units=view.units + added)
        case ListingCompleted():
            return _with_unit(view, event.unit, status=UnitStatus.COMPLETE)
        case ListingFailed():
            ended = UnitStatus.FAILED if event.final else UnitStatus.OPEN
            return _with_unit(view, event.unit, status=ended, detail=event.detail)
        case ChunkCompleted():
            return _accounted(view, event.chunk, outcome_of(event))
        case ChunkFailed():
            return _chunk_failed(view, event)
        case Paused():
            return replace(view, status=Status.PAUSED, paused_at=view.paused_at or event.at)
        case Resumed():
            status = Status.RUNNING if view.started_at else Status.QUEUED
            return replace(_unpaused(view, event.at), status=status)
        case TimedOut():
            return _stopped(view)
        case Cancelled():
            return replace(_stopped(_unpaused(view, event.at)), status=Status.CANCELLED, finished_at=event.at)
        case Completed():
            return replace(_unpaused(view, event.at), status=Status.COMPLETED, finished_at=event.at)
        case PartiallyCompleted():
            return replace(_unpaused(view, event.at), status=Status.PARTIAL, reason=event.reason, finished_at=event.at)
        case Failed():
            return replace(_unpaused(view, event.at), status=Status.FAILED, reason=event.reason, finished_at=event.at)
        case DataErased():
            # Words on a failed listing may quote a key.
            units = tuple(replace(unit, detail="") for unit in view.units)
            return replace(view, units=units, erased_at=event.at, erased_by=event.actor)
        case _:
            assert_never(event)


def _begun(view: ScanView, at: datetime) -> ScanView:
    status = view.status if view.status is Status.PAUSED else Status.RUNNING
    return replace(view, status=status, started_at=view.started_at or at)


def _unpaused(view: ScanView, at: datetime) -> ScanView:
    return replace(view, paused_at=None, paused_seconds=view.paused_seconds + paused_since(view, at))


def paused_since(view: ScanView, at: datetime) -> float:
    """Seconds that the scan, once begun, has been paused by now since it was paused last."""
    if view.paused_at is None or view.started_at is None:
        return 0.0
    return max(0.0, (at - max(view.paused_at, view.started_at)).total_seconds())


def _chunk_failed(view: ScanView, event: ChunkFailed) -> ScanView:
    if event.final:
        failed = {event.reason: event.files} if event.files else {}
        return _accounted(view, event.chunk, Outcome(failed=failed, findings=event.findings))
    if not event.replaced_by:
        return view
    replaced = Replaced(event.chunk, event.first_chunk, tuple(chunk.start for chunk in event.replaced_by))
    return replace(
        view,
        chunks=view.chunks + len(event.replaced_by),
        done=view.done.with_(event.chunk),
        replaced=(*view.replaced, replaced),
    )


def _listed(view: ScanView, event: ObjectsListed) -> ScanView:
    view = _begun(_with_unit(view, event.unit, files=view.units[event.unit].files + event.files), event.at)
    view = replace(
        view,
        coverage=view.coverage.discovered(event.files, event.skipped),
        bytes_total=view.bytes_total + event.bytes,
        chunks=view.chunks + len(event.chunks),
    )
    return _stopped(view) if event.limit_reached else view


def _accounted(view: ScanView, chunk: int, outcome: Outcome) -> ScanView:
    # Counts the event as well: nearly all events come here, and the copy is what they cost.
    return replace(
        view,
        version=view.version + 1,
        coverage=view.coverage.accounted(outcome),
        findings=view.findings + outcome.findings,
        hits_allowed=view.hits_allowed + outcome.allowed,
        bytes_processed=view.bytes_processed + outcome.bytes_read,
        done=view.done.with_(chunk),
    )


def _stopped(view: ScanView) -> ScanView:
    units = (
        replace(unit, status=UnitStatus.STOPPED) if unit.status is UnitStatus.OPEN else unit for unit in view.units
    )
    return replace(view, units=tuple(units))


def _with_unit(view: ScanView, number: int, **changes: Any) -> ScanView:
    unit = replace(view.units[number], **changes)
    return replace(view, units=(*view.units[:number], unit, *view.units[number + 1 :]))


def _worked(workers: Map[str, WorkerView], event: ScanEvent) -> Map[str, WorkerView]:
    match event:
        case ChunkStarted():
            return _put(workers, _took(_worker(workers, event.worker, event.at), event))
        case ChunkCompleted():
            return _put(workers, _finished(_worker(workers, event.worker, event.started_at), event))
        case ChunkFailed():
            holder = workers.get(event.worker)
            return workers if holder is None else _put(workers, _gave_back(holder, event))
        case Cancelled() | Completed() | PartiallyCompleted() | Failed():
            return Map({key: _ended(worker, event.at) for key, worker in workers.items()})
        case _:
            return workers


def _worker(workers: Map[str, WorkerView], worker_id: str, at: datetime) -> WorkerView:
    return workers.get(worker_id) or WorkerView(worker_id, started_at=at)


def _put(workers: Map[str, WorkerView], worker: WorkerView) -> Map[str, WorkerView]:
    return workers.set(worker.worker_id, worker)


def _took(worker: WorkerView, event: ChunkStarted) -> WorkerView:
    chunk = ChunkInWork(event.chunk, event.connector, event.start_index, event.end_index, event.files, event.attempt)
    return replace(worker, status="running", chunk=chunk, last_seen_at=event.at)


_WORKER_FAILED: Final = frozenset({"worker_lost", "stalled", "timeout"})


def _gave_back(worker: WorkerView, event: ChunkFailed) -> WorkerView:
    """Only who held the chunk has lost it: whoever reports that another is gone is well."""
    if worker.chunk is None or worker.chunk.chunk_id != event.chunk:
        return replace(worker, last_seen_at=event.at)
    status = "failed" if event.reason in _WORKER_FAILED else "idle"
    return replace(worker, status=status, chunk=None, last_seen_at=event.at)


def _finished(worker: WorkerView, event: ChunkCompleted) -> WorkerView:
    elsewhere = worker.chunk is not None and worker.chunk.chunk_id != event.chunk
    return replace(
        worker,
        status=worker.status if elsewhere else "idle",
        chunk=worker.chunk if elsewhere else None,
        chunks_completed=worker.chunks_completed + 1,
        files_processed_total=worker.files_processed_total + event.files,
        findings_total=worker.findings_total + event.findings,
        last_seen_at=event.at,
    )


def _ended(worker: WorkerView, at: datetime) -> WorkerView:
    if worker.status == "failed":
        return worker
    return replace(worker, status="completed", chunk=None, completed_at=at)
