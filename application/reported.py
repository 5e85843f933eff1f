"""What a report comes to: its outcome, its findings, and what is recorded instead of one that cannot count."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from application.messages import (
    AnyReport,
    ChunkCompleted,
    ChunkFailed,
    ListingCompleted,
    ListingFailed,
    ObjectsListed,
    ReportedFinding,
    found,
)
from application.ports import (
    ObjectPartRow,
)
from domain.coverage import Disposition, FailReason, Outcome, SkipReason
from domain.parts import PartFindings, merged
from domain.scan import ChunkState, LostReason


def end_of_attempt(report: AnyReport) -> AnyReport:
    """What is recorded instead of a report whose predecessors will not come: that its attempt was lost.

    The log may have lost them, in a restore from a backup: nothing may wait for ever.
    """
    match report:
        case ObjectsListed() | ListingCompleted():
            return failed_listing(report, LostReason.WORKER_LOST, "the log lacks batches that came before this one")
        case ChunkCompleted():
            return failed_chunk(report, LostReason.WORKER_LOST, None)
        case _:
            return report


def not_joined(report: ObjectsListed | ListingCompleted) -> ListingFailed:
    detail = "this does not follow the last key that is recorded; the listing goes on from there"
    return failed_listing(report, LostReason.WORKER_LOST, detail)


def unreadable(report: ObjectsListed, detail: str) -> ListingFailed:
    return failed_listing(report, LostReason.INVALID_REPORT, detail)


def failed_listing(report: ObjectsListed | ListingCompleted, reason: LostReason, detail: str) -> ListingFailed:
    return ListingFailed(
        scan=report.scan,
        worker=report.worker,
        unit=report.unit,
        attempt=report.attempt,
        reason=reason,
        detail=detail,
        permanent=False,
    )


def failed_chunk(report: ChunkCompleted, reason: LostReason, started_at: datetime | None) -> ChunkFailed:
    return ChunkFailed(
        scan=report.scan,
        worker=report.worker,
        chunk=report.chunk,
        attempt=report.attempt,
        plan=report.plan,
        reason=reason,
        started_at=started_at,
    )


def part_row(report: ChunkCompleted, state: ChunkState, findings: Sequence[ReportedFinding]) -> ObjectPartRow | None:
    """What a part found, also where it failed; None if it was not read and found nothing."""
    if not report.scanned and not findings:
        return None
    lines, records = (report.lines, report.records) if report.scanned else (None, None)
    remark = next((remark.detail for remark in report.remarks), "")
    body = found.dump_json(list(findings))
    return ObjectPartRow(report.scan, state.chunk.start, state.chunk.part, lines, records, body, remark)


def merged_findings(index: int, rows: Sequence[ObjectPartRow | None], key: str) -> list[ReportedFinding]:
    """What the parts of an object found, as if it had been read whole; None for a part that was not read."""
    return [
        ReportedFinding.of(index, key, finding)
        for finding in merged([None if row is None else _found(row) for row in rows])
    ]


def _found(row: ObjectPartRow) -> PartFindings:
    findings = [reported.as_finding() for reported in found.validate_json(row.findings)]
    return PartFindings(findings, row.lines, row.records)


_REASONS: Final = {Disposition.SKIPPED: SkipReason, Disposition.FAILED: FailReason}


def is_consistent(report: ChunkCompleted, findings: Sequence[ReportedFinding], state: ChunkState) -> bool:
    """Whether the report speaks of objects of its chunk, of each once, and gives reasons that fit.

    An object has an exception or a remark, or neither; an object that failed may have findings.
    """
    inside = range(state.chunk.start, state.chunk.end + 1)
    exceptions = [exception.index for exception in report.exceptions]
    told = [*exceptions, *(remark.index for remark in report.remarks)]
    identities = [_identity(finding) for finding in findings]
    return (
        len(set(told)) == len(told)
        and len(set(identities)) == len(identities)
        and all(index in inside for index in told)
        and len(report.remarks) <= report.scanned
        and all(isinstance(e.reason, _REASONS[Disposition(e.disposition)]) for e in report.exceptions)
        and all(finding.index in inside for finding in findings)
        and (state.chunk.parts == 1 or len(exceptions) + report.scanned == 1)
    )


def outcome_of(report: ChunkCompleted, findings: Sequence[ReportedFinding]) -> Outcome:
    skipped: dict[str, int] = {}
    failed: dict[str, int] = {}
    for exception in report.exceptions:
        counts = skipped if exception.disposition is Disposition.SKIPPED else failed
        counts[exception.reason.value] = counts.get(exception.reason.value, 0) + 1
    return Outcome(report.scanned, skipped, failed, report.bytes_read, len(findings), report.allowed)


def _identity(finding: ReportedFinding) -> tuple[int, str, str]:
    return finding.index, finding.detector, finding.column or ""


def finding_id(scan_id: str, finding: ReportedFinding) -> str:
    """The same finding of the same scan has the same id, however often it is reported."""
    identity = "\0".join([scan_id, *map(str, _identity(finding))])
    return "fnd-" + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:24]
