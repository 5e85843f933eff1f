"""A batch of reports being decided: nothing of it counts before it is written as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

from application import object_columns
from application.messages import (
    AnyReport,
    ChunkCompleted,
    ChunkFailed,
    ChunkFindings,
    ChunkStarted,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListingStarted,
    ObjectsListed,
    ReportedFinding,
    ReportedRemark,
    TimeIsUp,
    found,
)
from application.ports import (
    Append,
    ExceptionRow,
    FindingRow,
    ManifestPage,
    ObjectPartRow,
    PartRow,
    Rows,
)
from application.reported import (
    failed_chunk,
    finding_id,
    is_consistent,
    merged_findings,
    not_joined,
    outcome_of,
    part_row,
    unreadable,
)
from domain import scan_events
from domain.coverage import Disposition
from domain.scan import ChunkState, LostReason, Scan, TooEarly, evolve
from domain.scan_events import ScanEvent

if TYPE_CHECKING:
    from application.recording import Recorder


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the messages of a batch, by place: deliver `early` ones again; the rest is done with.

    `changed` reports gave events; `unchanged` ones were repeated, superseded or late; `refused` ones were bad.
    """

    early: Sequence[int] = ()
    changed: int = 0
    unchanged: int = 0
    refused: int = 0


@dataclass(slots=True)
class Draft:
    """A batch being decided: scans as they were and as they become, the events between, and the rows."""

    recorder: "Recorder"
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
            case ListingSplit():
                return apply(
                    scan.split_listing(
                        report.unit, attempt=report.attempt, bounds=report.bounds, worker=report.worker, at=at
                    )
                )
            case ListingCompleted():
                return self._end_listing(scan, report)
            case ListingFailed():
                return self._fail_listing(scan, report)
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
            return self._decide(unreadable(report, str(error)))
        unit = scan.units.get(report.unit)
        if unit is None:
            return False
        connector = unit.unit.connector
        listed = scan.list_objects(
            report.unit,
            attempt=report.attempt,
            batch=report.batch,
            objects=objects,
            worker=report.worker,
            at=self.recorder.clock(),
            earlier=self.recorder.earlier(scan, connector, objects),
            continues=report.continues,
        )
        if listed is None:
            return False
        if report.after != unit.reached or (unit.unit.until and objects[-1].key > unit.unit.until):
            # It leaves a gap, or goes on where another run of this attempt has parted the unit.
            return self._decide(not_joined(report))
        self.rows.pages.append(
            ManifestPage(
                scan=report.scan,
                first_index=listed.first_index,
                unit=report.unit,
                connector=connector,
                objects=listed.objects,
                skips=listed.plan.skips,
                first_chunk=scan.chunks,
                chunks=listed.plan.chunks,
                scanned_by=listed.plan.scanned_by,
            )
        )
        return self._apply(report.scan, listed.events)

    def _end_listing(self, scan: Scan, report: ListingCompleted) -> bool:
        completed = scan.complete_listing(
            report.unit,
            attempt=report.attempt,
            batches=report.batches,
            until=report.until,
            worker=report.worker,
            at=self.recorder.clock(),
        )
        if completed and report.after != scan.units[report.unit].reached:
            return self._decide(not_joined(report))
        return self._apply(report.scan, completed)

    def _fail_listing(self, scan: Scan, report: ListingFailed) -> bool:
        failed = scan.fail_listing(
            report.unit,
            attempt=report.attempt,
            reason=report.reason,
            detail=report.detail,
            permanent=report.permanent,
            worker=report.worker,
            at=self.recorder.clock(),
        )
        return self._apply(report.scan, failed)

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
        own = [*earlier, *report.findings]
        outcome = outcome_of(report, own)
        if not is_consistent(report, own, state) or outcome.files != state.chunk.files:
            # As any other lost attempt, so that the object that it is about does not take its neighbours with it.
            return self._fail(failed_chunk(report, LostReason.INVALID_REPORT, report.started_at))
        findings: Sequence[ReportedFinding] = own
        remarks: Sequence[ReportedRemark] = report.remarks
        if state.chunk.parts > 1:
            findings, remarks = self._with_other_parts(report.scan, report.chunk, state, part_row(report, state, own))
            outcome = replace(outcome, findings=len(findings))
        events = scan.complete_chunk(
            report.chunk,
            attempt=report.attempt,
            outcome=outcome,
            worker=report.worker,
            started_at=report.started_at,
            at=self.recorder.clock(),
        )
        completed = events[0]
        assert isinstance(completed, scan_events.ChunkCompleted)
        self._add_rows(report, findings, state)
        if completed.files and state.chunk.parts > 1:
            self._except_object(report.scan, state.chunk.start, completed)
        self._remark(report.scan, remarks if completed.scanned else [])
        return self._apply(report.scan, events)

    def _parts(self, report: ChunkCompleted) -> list[ReportedFinding]:
        # In this batch and not written yet; what the store may hold is of an earlier run.
        if any((p.scan, p.chunk, p.attempt) == (report.scan, report.chunk, report.attempt) for p in self.rows.parts):
            raise TooEarly
        return self.recorder.parts(report)

    def _add_rows(self, report: ChunkCompleted, findings: Sequence[ReportedFinding], state: ChunkState) -> None:
        if state.chunk.parts == 1:
            self.rows.exceptions.extend(
                ExceptionRow(report.scan, e.index, Disposition(e.disposition), e.reason, e.detail[:500])
                for e in report.exceptions
            )
        self._find(report.scan, findings, state.connector)
        if report.parts or report.attempt > 1:
            self.rows.parts_done.append((report.scan, report.chunk, report.attempt))

    def _remark(self, scan_id: str, remarks: Sequence[ReportedRemark]) -> None:
        """Objects that were scanned, with what is to be known of them."""
        self.rows.exceptions.extend(
            ExceptionRow(scan_id, remark.index, Disposition.SCANNED, "", remark.detail[:500]) for remark in remarks
        )

    def _find(self, scan_id: str, findings: Sequence[ReportedFinding], connector: str) -> None:
        at = self.recorder.clock()
        self.rows.findings.extend(
            FindingRow(scan_id, finding_id(scan_id, f), connector, f.object, f.index, f, at) for f in findings
        )

    # Parts of huge objects --------------------------------------------------------------------------------------------

    def _with_other_parts(
        self, scan_id: str, chunk: int, state: ChunkState, own: ObjectPartRow | None
    ) -> tuple[Sequence[ReportedFinding], Sequence[ReportedRemark]]:
        """The findings of the whole object, and the remark on it if there is one, if this is its last part in; else
        none, and the part is kept till then."""
        if not self._scan(scan_id).is_last_part(chunk):
            if own is not None:
                self.rows.object_parts.append(own)
            return [], []
        index = state.chunk.start
        stored = self.recorder.object_parts(scan_id, index)
        drafted = [row for row in self.rows.object_parts if (row.scan, row.index) == (scan_id, index)]
        rows = {row.part: row for row in (*stored, *drafted, *([own] if own else []))}
        self.rows.object_parts_done.append((scan_id, index))
        in_order = [rows.get(part) for part in range(state.chunk.parts)]
        remarks = [ReportedRemark(index=index, detail=row.remark) for row in in_order if row and row.remark]
        return merged_findings(index, in_order, self.recorder.entry(scan_id, index).key), remarks[:1]

    def _except_object(self, scan_id: str, index: int, event: scan_events.ChunkCompleted) -> None:
        """A huge object that was not read whole, by what its parts came to."""
        for disposition, counts in ((Disposition.SKIPPED, event.skipped), (Disposition.FAILED, event.failed)):
            for reason in counts:
                self.rows.exceptions.append(ExceptionRow(scan_id, index, disposition, reason, "a part of it"))

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
        scan = self._scan(report.scan)
        state = scan.chunk_in_work(report.chunk, report.attempt)
        if state is None:
            return started
        fail = partial(
            scan.fail_chunk,
            report.chunk,
            attempt=report.attempt,
            reason=report.reason,
            worker=report.worker,
            at=self.recorder.clock(),
            suspect=report.suspect,
        )
        objects = (
            self.recorder.objects(report.scan, state)
            if state.chunk.files > 1 and report.reason is not LostReason.WORKER_STOPPED
            else []
        )
        events = fail(objects=objects)
        lost = events[0]
        if isinstance(lost, scan_events.ChunkFailed) and lost.final and state.chunk.parts > 1:
            findings, _ = self._with_other_parts(report.scan, report.chunk, state, None)
            self._find(report.scan, findings, state.connector)
            events = fail(findings=len(findings))
        return self._apply(report.scan, events)

    def _give_up(self, scan_id: str, event: scan_events.ChunkFailed) -> None:
        state = self.after[scan_id].pending[event.chunk]
        if event.files:
            self.rows.exceptions.extend(
                ExceptionRow(scan_id, index, Disposition.FAILED, event.reason)
                for index, _ in self.recorder.objects(scan_id, state)
            )
