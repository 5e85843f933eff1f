"""What workers report, decided and recorded: batches of reports in, events and the rows they count out."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from application.draft import Draft, Verdict
from application.messages import (
    AnyReport,
    ChunkCompleted,
    ObjectsListed,
    ReportedFinding,
    found,
)
from application.ports import (
    Clock,
    ConcurrentAppend,
    Inventory,
    LogRewound,
    ManifestStore,
    ObjectPartRow,
    Refused,
    ScanLog,
)
from application.reported import end_of_attempt, failed_chunk, unreadable
from domain.chunk import Earlier, Sized
from domain.manifest import ObjectInfo
from domain.scan import ChunkState, LostReason, Scan, TooEarly, evolve

__all__ = ["Recorder", "Verdict", "end_of_attempt"]

KEPT_SCANS: Final = 300
_HISTORY_PAGE: Final = 2_000


class Recorder:
    """Records reports. The only writer of its scans' reports, so it keeps them in memory between batches."""

    def __init__(self, log: ScanLog, manifest: ManifestStore, inventory: Inventory, clock: Clock) -> None:
        self._log = log
        self._manifest = manifest
        self._inventory = inventory
        self.clock = clock
        self._kept: OrderedDict[str, Scan] = OrderedDict()

    def record(self, reports: Sequence[AnyReport]) -> Verdict:
        """Record a batch in one transaction. After it returns, all but the early ones may be acknowledged.

        Raises ServiceUnavailable when nothing could be written; then nothing may be acknowledged.
        """
        while True:
            draft = Draft(self)
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

    def objects(self, scan_id: str, state: ChunkState) -> Sequence[Sized]:
        """The manifest positions of a chunk's objects, with their sizes."""
        chunk = state.chunk
        pages = self._manifest.pages(scan_id, chunk.start, chunk.end)
        return [
            (page.first_index + at, page.objects[at].size)
            for page in pages
            for at, skip in enumerate(page.skips)
            if skip is None and chunk.start <= page.first_index + at <= chunk.end
        ]

    def entry(self, scan_id: str, index: int) -> ObjectInfo:
        """The object at a manifest position. Raises LogRewound when what is remembered of the scan reaches further."""
        pages = self._manifest.pages(scan_id, index, index)
        if not pages:
            raise LogRewound(scan_id)
        (page,) = pages
        return page.objects[index - page.first_index]

    def earlier(self, scan: Scan, connector: str, objects: Sequence[ObjectInfo]) -> Earlier | None:
        """What other scans tell of the objects of a batch, if this scan wants to know."""
        if scan.type != "incremental" or not objects:
            return None
        location = scan.locations.get(connector, "")
        known = self._inventory.known(connector, location, objects[0].key, objects[-1].key)
        return Earlier(known, scan.ruleset)

    def object_parts(self, scan_id: str, index: int) -> Sequence[ObjectPartRow]:
        """The parts of a huge object that are in."""
        return self._manifest.object_parts(scan_id, index)

    def parts(self, report: ChunkCompleted) -> list[ReportedFinding]:
        """The findings that came before `report`. Raises TooEarly while some of its parts are still to come."""
        bodies = self._manifest.parts(report.scan, report.chunk, report.attempt)
        if len(bodies) < report.parts:
            raise TooEarly
        # Beyond them lies what an earlier run of the same attempt had left.
        return [finding for body in bodies[: report.parts] for finding in found.validate_json(body)]

    def _require_current(self, draft: "Draft") -> None:
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

    def _write(self, draft: "Draft") -> None:
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
            draft = Draft(self)
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
            return self.record([unreadable(report, "the store refused a batch of this listing")])
        if not isinstance(report, ChunkCompleted):
            return Verdict()
        return self.record([failed_chunk(report, LostReason.INVALID_REPORT, report.started_at)])


def _added(total: Verdict, one: Verdict, place: int) -> Verdict:
    return Verdict(
        early=[*total.early, *(place for _ in one.early)],
        changed=total.changed + one.changed,
        unchanged=total.unchanged + one.unchanged,
        refused=total.refused + one.refused,
    )
