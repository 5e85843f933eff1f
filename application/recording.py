"""What workers report, decided and recorded: batches of reports in, events and the rows they count out."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, assert_never

from application import object_columns
from application.messages import (
    AnyReport,
    ChunkCompleted,
    ChunkFailed,
    ChunkFindings,
    ChunkStarted,
    ListingCompleted,
    ListingFailed,
    ListingStarted,
    ObjectsListed,
    ReportedFinding,
    TimeIsUp,
    found,
)
from application.ports import (
    Append,
    Clock,
    ConcurrentAppend,
    ExceptionRow,
    FindingRow,
    LogRewound,
    ManifestPage,
    ManifestStore,
    PartRow,
    Refused,
    Rows,
    ScanLog,
)
from domain import scan_events
from domain.coverage import Disposition, FailReason, Outcome, SkipReason
from domain.scan import ChunkState, LostReason, Scan, TooEarly, evolve
from domain.scan_events import ScanEvent

KEPT_SCANS: Final = 300
_HISTORY_PAGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the messages of a batch, by place: deliver `early` ones again; the rest is done with.

    `changed` reports gave events; `unchanged` ones were repeated, superseded or late; `refused` ones were bad.
    """

    early: Sequence[int] = ()
    changed: int = 0
    unchanged: int = 0
    refused: int = 0


class Recorder:
    """Records reports. The only writer of its scans' reports, so it keeps them in memory between batches."""

    def __init__(self, log: ScanLog, manifest: ManifestStore, clock: Clock) -> None:
        self._log = log
        self._manifest = manifest
        self.clock = clock
        self._kept: OrderedDict[str, Scan] = OrderedDict()

    def record(self, reports: Sequence[AnyReport]) -> Verdict:
        """Record a batch in one transaction. After it returns, all but the early ones may be acknowledged.

        Raises ServiceUnavailable when nothing could be written; then nothing may be acknowledged.
        """
        while True:
            draft = _Draft(self)
            try:
                verdict = draft.take(reports)
                self._require_current(draft)
                self._write(draft)
            except LogRewound:
                self._kept.clear()
            except ConcurrentAppend:
                self._catch_up(draft.before)
            except Refused:
                return self._one_by_one(reports)
            else:
                return verdict

    def scan(self, scan_id: str) -> Scan:
        """The scan as far as this recorder knows it."""
        kept = self._kept.get(scan_id)
        if kept is None:
            kept = self._replay(scan_id, Scan())
            self._keep(scan_id, kept)
        return kept

    def objects(self, scan_id: str, state: ChunkState) -> Sequence[int]:
        """The manifest positions of a chunk's objects."""
        chunk = state.chunk
        pages = self._manifest.pages(scan_id, chunk.start, chunk.end)
        return [
            page.first_index + at
            for page in pages
            for at, skip in enumerate(page.skips)
            if skip is None and chunk.start <= page.first_index + at <= chunk.end
        ]

    def parts(self, report: ChunkCompleted) -> list[ReportedFinding]:
        """The findings that came before `report`. Raises TooEarly while some of its parts are still to come."""
        bodies = self._manifest.parts(report.scan, report.chunk, report.attempt)
        if len(bodies) < report.parts:
            raise TooEarly
        # Beyond them lies what an earlier run of the same attempt had left.
        return [finding for body in bodies[: report.parts] for finding in found.validate_json(body)]

    def _require_current(self, draft: "_Draft") -> None:
        """That nothing changes for a scan is a decision too, and no append would tell that it is out of date.

        Raises ConcurrentAppend when the scan has gone on, LogRewound when the log does not reach as far.
        """
        for scan_id in draft.before.keys() - draft.events.keys():
            version = draft.before[scan_id].version
            recorded = self._log.history(scan_id, max(0, version - 1), 2)
            if not recorded and version:
                raise LogRewound(scan_id)
            if recorded and recorded[-1].version != version:
                raise ConcurrentAppend(scan_id)

    def _write(self, draft: "_Draft") -> None:
        appends = draft.appends()
        if appends or draft.rows:
            self._log.append(appends, draft.rows)
        for scan_id, scan in draft.after.items():
            self._keep(scan_id, scan)

    def _keep(self, scan_id: str, scan: Scan) -> None:
        self._kept[scan_id] = scan
        self._kept.move_to_end(scan_id)
        while len(self._kept) > KEPT_SCANS:
            self._kept.popitem(last=False)

    def _catch_up(self, scans: dict[str, Scan]) -> None:
        try:
            for scan_id, scan in scans.items():
                self._keep(scan_id, self._replay(scan_id, scan))
        except LogRewound:
            self._kept.clear()

    def _replay(self, scan_id: str, scan: Scan) -> Scan:
        while recorded := self._log.history(scan_id, scan.version, _HISTORY_PAGE):
            for record in recorded:
                scan = evolve(scan, record.event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        return scan

    def _one_by_one(self, reports: Sequence[AnyReport]) -> Verdict:
        """Find the report that the store refuses, fail its attempt, and record the others."""
        total = Verdict()
        for place, report in enumerate(reports):
            draft = _Draft(self)
            try:
                verdict = draft.take([report])
                self._require_current(draft)
                self._write(draft)
            except Refused:
                verdict = replace(self._refuse(report), refused=1)
            except LogRewound:
                self._kept.clear()
                verdict = Verdict(early=[0])
            except ConcurrentAppend:
                self._catch_up(draft.before)
                verdict = Verdict(early=[0])
            total = _added(total, verdict, place)
        return total

    def _refuse(self, report: AnyReport) -> Verdict:
        """Nothing may wait for ever for what the store will not take."""
        if isinstance(report, ObjectsListed):
            return self.record([_unreadable(report, "the store refused a batch of this listing")])
        if not isinstance(report, ChunkCompleted):
            return Verdict()
        return self.record([_failed_chunk(report, LostReason.INVALID_REPORT, report.started_at)])


def _added(total: Verdict, one: Verdict, place: int) -> Verdict:
    return Verdict(
        early=[*total.early, *(place for _ in one.early)],
        changed=total.changed + one.changed,
        unchanged=total.unchanged + one.unchanged,
        refused=total.refused + one.refused,
    )


@dataclass(slots=True)
class _Draft:
    """A batch being decided: scans as they were and as they become, the events between, and the rows."""

    recorder: Recorder
    before: dict[str, Scan] = field(default_factory=dict)
    after: dict[str, Scan] = field(default_factory=dict)
    events: dict[str, list[ScanEvent]] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)

    def take(self, reports: Sequence[AnyReport]) -> Verdict:
        early: list[int] = []
        changed = 0
        for place, report in enumerate(reports):
            try:
                changed += self._decide(report)
            except TooEarly:
                early.append(place)
        return Verdict(early, changed, len(reports) - changed - len(early))

    def appends(self) -> list[Append]:
        return [Append(scan_id, self.before[scan_id].version, events) for scan_id, events in self.events.items()]

    def _scan(self, scan_id: str) -> Scan:
        if scan_id not in self.after:
            self.before[scan_id] = self.after[scan_id] = self.recorder.scan(scan_id)
        return self.after[scan_id]

    def _apply(self, scan_id: str, events: Sequence[ScanEvent]) -> bool:
        for event in events:
            if isinstance(event, scan_events.ChunkFailed) and event.final:
                self._give_up(scan_id, event)
            self.after[scan_id] = evolve(self.after[scan_id], event)
            self.events.setdefault(scan_id, []).append(event)
        return bool(events)

    def _decide(self, report: AnyReport) -> bool:
        scan, at = self._scan(report.scan), self.recorder.clock()
        apply = partial(self._apply, report.scan)
        match report:
            case ChunkStarted() | ChunkFindings() | ChunkCompleted() | ChunkFailed() if not scan.cut_by(
                report.plan, report.chunk
            ):
                return False
            case ListingStarted():
                return apply(
                    scan.start_listing(report.unit, attempt=report.attempt, worker=report.worker, at=at),
                )
            case ObjectsListed():
                return self._list(scan, report)
            case ListingCompleted():
                return self._end_listing(scan, report)
            case ListingFailed():
                return apply(
                    scan.fail_listing(
                        report.unit,
                        attempt=report.attempt,
                        reason=report.reason,
                        detail=report.detail,
                        permanent=report.permanent,
                        worker=report.worker,
                        at=at,
                    )
                )
            case ChunkStarted():
                return self._start(report)
            case ChunkFindings():
                return self._stage(scan, report)
            case ChunkCompleted():
                return self._complete(report)
            case ChunkFailed():
                return self._fail(report)
            case TimeIsUp():
                return apply(scan.time_out(at=at))
            case _:
                assert_never(report)

    def _list(self, scan: Scan, report: ObjectsListed) -> bool:
        try:
            objects = object_columns.from_text(report.objects)
        except ValueError as error:
            return self._decide(_unreadable(report, str(error)))
        listed = scan.list_objects(
            report.unit,
            attempt=report.attempt,
            batch=report.batch,
            objects=objects,
            worker=report.worker,
            at=self.recorder.clock(),
        )
        if listed is None:
            return False
        if report.after != scan.units[report.unit].last_key:
            return self._decide(_not_joined(report))
        self.rows.pages.append(
            ManifestPage(
                scan=report.scan,
                first_index=listed.first_index,
                connector=scan.units[report.unit].unit.connector,
                objects=listed.objects,
                skips=listed.plan.skips,
                first_chunk=scan.chunks,
                chunks=listed.plan.chunks,
            )
        )
        return self._apply(report.scan, listed.events)

    def _end_listing(self, scan: Scan, report: ListingCompleted) -> bool:
        completed = scan.complete_listing(
            report.unit,
            attempt=report.attempt,
            batches=report.batches,
            worker=report.worker,
            at=self.recorder.clock(),
        )
        if completed and report.after != scan.units[report.unit].last_key:
            return self._decide(_not_joined(report))
        return self._apply(report.scan, completed)

    def _start(self, report: ChunkStarted) -> bool:
        started = self._scan(report.scan).start_chunk(
            report.chunk, attempt=report.attempt, worker=report.worker, at=self.recorder.clock()
        )
        return self._apply(report.scan, started)

    def _stage(self, scan: Scan, report: ChunkFindings) -> bool:
        if scan.chunk_in_work(report.chunk, report.attempt) is None:
            return False
        body = found.dump_json(report.findings)
        self.rows.parts.append(PartRow(report.scan, report.chunk, report.attempt, report.part, body))
        return True

    def _complete(self, report: ChunkCompleted) -> bool:
        scan = self._scan(report.scan)
        state = scan.chunk_in_work(report.chunk, report.attempt)
        if state is None:
            return False
        earlier = self._parts(report) if report.parts else []
        findings = [*earlier, *report.findings]
        outcome = _outcome(report, findings) if _consistent(report, findings, state) else Outcome()
        events = scan.complete_chunk(
            report.chunk,
            attempt=report.attempt,
            outcome=outcome,
            worker=report.worker,
            started_at=report.started_at,
            at=self.recorder.clock(),
        )
        if isinstance(events[0], scan_events.ChunkCompleted):
            self._add_rows(report, findings, state.connector)
        return self._apply(report.scan, events)

    def _parts(self, report: ChunkCompleted) -> list[ReportedFinding]:
        # In this batch and not written yet; what the store may hold is of an earlier run.
        if any((p.scan, p.chunk, p.attempt) == (report.scan, report.chunk, report.attempt) for p in self.rows.parts):
            raise TooEarly
        return self.recorder.parts(report)

    def _add_rows(self, report: ChunkCompleted, findings: Sequence[ReportedFinding], connector: str) -> None:
        at = self.recorder.clock()
        self.rows.exceptions.extend(
            ExceptionRow(report.scan, e.index, Disposition(e.disposition), e.reason, e.detail[:500])
            for e in report.exceptions
        )
        self.rows.findings.extend(
            FindingRow(report.scan, _finding_id(report.scan, f), connector, f.object, f.index, f, at) for f in findings
        )
        if report.parts or report.attempt > 1:
            self.rows.parts_done.append((report.scan, report.chunk, report.attempt))

    def _fail(self, report: ChunkFailed) -> bool:
        started = report.started_at is not None and self._start(
            ChunkStarted(
                scan=report.scan,
                worker=report.worker,
                chunk=report.chunk,
                attempt=report.attempt,
                plan=report.plan,
                started_at=report.started_at,
            )
        )
        failed = self._scan(report.scan).fail_chunk(
            report.chunk,
            attempt=report.attempt,
            reason=report.reason,
            worker=report.worker,
            at=self.recorder.clock(),
        )
        return self._apply(report.scan, failed) or started

    def _give_up(self, scan_id: str, event: scan_events.ChunkFailed) -> None:
        state = self.after[scan_id].pending[event.chunk]
        self.rows.exceptions.extend(
            ExceptionRow(scan_id, index, Disposition.FAILED, FailReason.WORKER_LOST)
            for index in self.recorder.objects(scan_id, state)
        )


def end_of_attempt(report: AnyReport) -> AnyReport:
    """What is recorded instead of a report whose predecessors will not come: that its attempt was lost.

    The log may have lost them, in a restore from a backup: nothing may wait for ever.
    """
    match report:
        case ObjectsListed() | ListingCompleted():
            return _failed_listing(report, LostReason.WORKER_LOST, "the log lacks batches that came before this one")
        case ChunkCompleted():
            return _failed_chunk(report, LostReason.WORKER_LOST, None)
        case _:
            return report


def _not_joined(report: ObjectsListed | ListingCompleted) -> ListingFailed:
    detail = "this does not follow the last key that is recorded; the listing goes on from there"
    return _failed_listing(report, LostReason.WORKER_LOST, detail)


def _unreadable(report: ObjectsListed, detail: str) -> ListingFailed:
    return _failed_listing(report, LostReason.INVALID_REPORT, detail)


def _failed_listing(report: ObjectsListed | ListingCompleted, reason: LostReason, detail: str) -> ListingFailed:
    return ListingFailed(
        scan=report.scan,
        worker=report.worker,
        unit=report.unit,
        attempt=report.attempt,
        reason=reason,
        detail=detail,
        permanent=False,
    )


def _failed_chunk(report: ChunkCompleted, reason: LostReason, started_at: datetime | None) -> ChunkFailed:
    return ChunkFailed(
        scan=report.scan,
        worker=report.worker,
        chunk=report.chunk,
        attempt=report.attempt,
        plan=report.plan,
        reason=reason,
        started_at=started_at,
    )


_REASONS: Final = {Disposition.SKIPPED: SkipReason, Disposition.FAILED: FailReason}


def _consistent(report: ChunkCompleted, findings: Sequence[ReportedFinding], state: ChunkState) -> bool:
    """Whether the report speaks of objects of its chunk, of each once, and gives reasons that fit."""
    inside = range(state.chunk.start, state.chunk.end + 1)
    exceptions = [exception.index for exception in report.exceptions]
    identities = [(finding.index, finding.detector, finding.column) for finding in findings]
    return (
        len(set(exceptions)) == len(exceptions)
        and len(set(identities)) == len(identities)
        and all(index in inside for index in exceptions)
        and all(isinstance(e.reason, _REASONS[Disposition(e.disposition)]) for e in report.exceptions)
        and all(finding.index in inside for finding in findings)
    )


def _outcome(report: ChunkCompleted, findings: Sequence[ReportedFinding]) -> Outcome:
    skipped: dict[str, int] = {}
    failed: dict[str, int] = {}
    for exception in report.exceptions:
        counts = skipped if exception.disposition is Disposition.SKIPPED else failed
        counts[exception.reason.value] = counts.get(exception.reason.value, 0) + 1
    return Outcome(report.scanned, skipped, failed, report.bytes_read, len(findings))


def _finding_id(scan_id: str, finding: ReportedFinding) -> str:
    """The same finding of the same scan has the same id, however often it is reported."""
    identity = "\0".join([scan_id, str(finding.index), finding.detector, finding.column or ""])
    return "fnd-" + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:24]
