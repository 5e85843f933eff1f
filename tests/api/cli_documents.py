"""Documents as the API has them, and what a command comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

API_KEY = "sl_abcdefabcdef_" + "k" * 43
HOSTILE = "reports/\x1b]0;owned\x07\r\n\u202e[red]gpj.exe"
SHOWN = r"reports/\x1b]0;owned\x07\x0d\x0a\u202e[red]gpj.exe"


@dataclass
class Ran:
    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


def scan_document(status: str = "completed", *, version: int = 9, failed: int = 0, findings: int = 0) -> dict[str, Any]:
    return {
        "scan_id": "scan-1",
        "status": status,
        "type": "full",
        "connectors": ["conn-1"],
        "redrive_of": None,
        "options": {},
        "progress": {
            "files_total": 10,
            "files_processed": 10,
            "files_failed": failed,
            "findings_count": findings,
            "percent_complete": 100,
            "elapsed_seconds": 2.0,
            "estimated_remaining_seconds": 0.0,
            "bytes_total": 2_000_000,
            "bytes_processed": 2_000_000,
        },
        "coverage": {
            "coverage_target": 0.8,
            "coverage_strategy": "best_effort",
            "coverage_pct": 0.9999,
            "target_met": True,
            "completeness_score": 0.9,
            "enumeration_status": "complete",
            "total_enumerated": 10,
            "total_scanned": 9 - failed,
            "total_skipped": 1,
            "total_failed": failed,
            "total_remaining": 0,
            "coverage_of_eligible": 1.0,
            "skipped_by_reason": {"empty": 1},
            "failed_by_reason": {"access_denied": failed} if failed else {},
            "listing": [],
        },
        "workers": {"total": 2, "active": 0, "completed": 2, "failed": 0},
        "created_at": "2026-01-31T12:00:00.000000Z",
        "started_at": "2026-01-31T12:00:00.100000Z",
        "finished_at": "2026-01-31T12:00:02.100000Z",
        "reason": None,
        "version": version,
    }


def finding(**changes: Any) -> dict[str, Any]:
    hit = {"masked": "****-1111", "byte_offset": 5, "length": 9, "line": 3, "column": 7}
    return {
        "finding_id": "f-1",
        "connector": "conn-1",
        "object": HOSTILE,
        "detector": "payment.card",
        "category": "payment",
        "confidence": 0.9,
        "count": 4,
        "occurrences": [hit],
        **changes,
    }
