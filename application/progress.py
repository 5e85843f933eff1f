"""What a client sees of a scan: a pure fold of its events, and the arithmetic of api.md over it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, assert_never

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
    Failed,
    ListingCompleted,
    ListingFailed,
    ListingStarted,
    ObjectsListed,
    PartiallyCompleted,
    Queued,
    ScanEvent,
    TimedOut,
)


@dataclass(frozen=True, slots=True)
class UnitView:
    """One listing unit as clients see it; `files` it has listed so far, `detail` of its last failure."""

    connector: str
    prefix: str
    status: UnitStatus = UnitStatus.OPEN
    files: int = 0
    detail: str = ""


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
    version: int = 0

    @property
    def enumeration(self) -> EnumerationStatus:
        return enumeration_status([unit.status for unit in self.units], self.coverage.enumerated)

    @property
    def listed(self) -> Fraction:
        return share_listed([unit.status for unit in self.units])


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


def _viewed(view: ScanView, event: ScanEvent) -> ScanView:
    match event:
        case Queued() | ChunkStarted():
            return view
        case ListingStarted():
            return replace(view, status=Status.RUNNING, started_at=view.started_at or event.at)
        case ObjectsListed():
            return _listed(view, event)
        case ListingCompleted():
            return _with_unit(view, event.unit, status=UnitStatus.COMPLETE)
        case ListingFailed():
            status = UnitStatus.FAILED if event.final else UnitStatus.OPEN
            return _with_unit(view, event.unit, status=status, detail=event.detail)
        case ChunkCompleted():
            return _accounted(view, event.chunk, outcome_of(event))
        case ChunkFailed():
            given_up = Outcome(failed={event.reason: event.files})
            return _accounted(view, event.chunk, given_up) if event.final else view
        case TimedOut():
            return _stopped(view)
        case Cancelled():
            return replace(_stopped(view), status=Status.CANCELLED, finished_at=event.at)
        case Completed():
            return replace(view, status=Status.COMPLETED, finished_at=event.at)
        case PartiallyCompleted():
            return replace(view, status=Status.PARTIAL, reason=event.reason, finished_at=event.at)
        case Failed():
            return replace(view, status=Status.FAILED, reason=event.reason, finished_at=event.at)
        case _:
            assert_never(event)


def _listed(view: ScanView, event: ObjectsListed) -> ScanView:
    view = _with_unit(view, event.unit, files=view.units[event.unit].files + event.files)
    view = replace(
        view,
        status=Status.RUNNING,
        started_at=view.started_at or event.at,
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


def _gave_back(worker: WorkerView, event: ChunkFailed) -> WorkerView:
    """Only who held the chunk has lost it: whoever reports that another is gone is well."""
    if worker.chunk is None or worker.chunk.chunk_id != event.chunk:
        return replace(worker, last_seen_at=event.at)
    status = "failed" if event.reason == "worker_lost" else "idle"
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


# The documents of the API ---------------------------------------------------------------------------------------------


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with `Z`, to the microsecond."""
    return None if at is None else at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def document(view: ScanView, workers: WorkerCounts, now: datetime) -> dict[str, Any]:
    """GET /scans/{id}, field by field as api.md has it."""
    return {
        "scan_id": view.scan_id,
        "status": view.status.value,
        "type": view.type,
        "connectors": list(view.connectors),
        "options": options_document(view.options),
        "progress": progress_document(view, now),
        "coverage": coverage_document(view),
        "workers": {
            "total": workers.total,
            "active": workers.active,
            "completed": workers.completed,
            "failed": workers.failed,
        },
        "created_at": moment(view.created_at),
        "started_at": moment(view.started_at),
        "finished_at": moment(view.finished_at),
        "reason": view.reason,
        "version": view.version,
    }


def options_document(options: ScanOptions) -> dict[str, Any]:
    return {
        "max_files": options.max_files,
        "max_workers": options.max_workers,
        "file_types": list(options.file_types),
        "prefixes": list(options.prefixes),
        "llm_assist": False,
        "timeout_minutes": options.timeout_minutes,
        "coverage_target": options.coverage_target,
        "coverage_strategy": options.coverage_strategy.value,
    }


def progress_document(view: ScanView, now: datetime) -> dict[str, Any]:
    """`progress`: `percent_complete` is floored; the estimate is linear, and a lower bound while listing goes on."""
    coverage = view.coverage
    elapsed = _elapsed(view, now)
    return {
        "files_total": coverage.enumerated,
        "files_processed": coverage.processed,
        "files_failed": coverage.total_failed,
        "findings_count": view.findings,
        "percent_complete": _percent(view),
        "elapsed_seconds": round(elapsed, 3),
        "estimated_remaining_seconds": _estimate(view, elapsed),
        "bytes_total": view.bytes_total,
        "bytes_processed": view.bytes_processed,
    }


def _elapsed(view: ScanView, now: datetime) -> float:
    if view.started_at is None:
        return 0.0
    return max(0.0, ((view.finished_at or now) - view.started_at).total_seconds())


def _percent(view: ScanView) -> int:
    if view.coverage.enumerated:
        return view.coverage.processed * 100 // view.coverage.enumerated
    return 100 if view.enumeration is EnumerationStatus.COMPLETE else 0


def _estimate(view: ScanView, elapsed: float) -> float | None:
    if not view.coverage.processed:
        return None
    if view.status.ended:
        return 0.0
    return round(elapsed * view.coverage.remaining / view.coverage.processed, 3)


def coverage_document(view: ScanView) -> dict[str, Any]:
    """`coverage`: shown to 4 decimals, decided exactly on the integers."""
    coverage, enumeration = view.coverage, view.enumeration
    return {
        "coverage_target": view.options.coverage_target,
        "coverage_strategy": view.options.coverage_strategy.value,
        "coverage_pct": _rounded(coverage.share(enumeration)),
        "target_met": coverage.meets(view.options.coverage_target, enumeration),
        "completeness_score": _rounded(coverage.completeness(enumeration, view.listed)),
        "enumeration_status": enumeration.value,
        "total_enumerated": coverage.enumerated,
        "total_scanned": coverage.scanned,
        "total_skipped": coverage.total_skipped,
        "total_failed": coverage.total_failed,
        "total_remaining": coverage.remaining,
        "coverage_of_eligible": _rounded(coverage.share_of_eligible(enumeration)),
        "skipped_by_reason": _sorted(coverage.skipped),
        "failed_by_reason": _sorted(coverage.failed),
        "listing": [
            {
                "connector": unit.connector,
                "prefix": unit.prefix,
                "status": unit.status.value,
                "total_enumerated": unit.files,
                "detail": unit.detail or None,
            }
            for unit in view.units
        ],
    }


def _rounded(share: Fraction) -> float:
    """To 4 decimals, halves to even, as `round(share, 4)` is but on integers alone: every poll of a client pays it."""
    whole, rest = divmod(share.numerator * 10_000, share.denominator)
    twice = 2 * rest
    up = twice > share.denominator or (twice == share.denominator and whole % 2 == 1)
    return (whole + up) / 10_000


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: counts[reason] for reason in sorted(counts)}
