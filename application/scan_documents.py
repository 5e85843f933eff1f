"""The API's documents of a scan: the arithmetic of api.md over its view."""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

from application.progress import ScanView, WorkerCounts, paused_since
from domain.coverage import EnumerationStatus
from domain.policy import ScanOptions


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
        "redrive_of": view.redrive_of,
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
        "data_erased_at": moment(view.erased_at),
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
        "sample_percent": options.sample_percent,
        "detectors": list(options.detectors),
        "priority": options.priority,
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
        "hits_allowed": view.hits_allowed,
        "percent_complete": _percent(view),
        "elapsed_seconds": round(elapsed, 3),
        "estimated_remaining_seconds": _estimate(view, elapsed),
        "bytes_total": view.bytes_total,
        "bytes_processed": view.bytes_processed,
    }


def _elapsed(view: ScanView, now: datetime) -> float:
    if view.started_at is None:
        return 0.0
    end = view.finished_at or now
    return max(0.0, (end - view.started_at).total_seconds() - view.paused_seconds - paused_since(view, end))


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
            for unit in view.listing
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
