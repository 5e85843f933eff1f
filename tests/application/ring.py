"""A scan on its way round the ring in memory, told in reports."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from application import messages as wire
from application.messages import AnyReport, ReportedException
from application.object_columns import to_text
from application.ports import Append, ManifestStore
from application.recording import Recorder
from domain.coverage import Disposition, FailReason, SkipReason
from domain.inventory import Known, Ruleset
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan
from domain.scan_events import ChunkCompleted
from tests.application.memory_log import MemoryInventory, MemoryManifest, MemoryScanLog
from tests.domain.given import LATER, NOON, queued

BY: dict[str, Any] = {"scan": "scan-1", "worker": "w1"}
RULES = Ruleset("r1")


def _in_memory() -> tuple[MemoryScanLog, ManifestStore]:
    log = MemoryScanLog()
    return log, MemoryManifest(log)


class Ring:
    """A queued scan, its recorder, and a fleet that says what it is asked to say of things as they stand."""

    def __init__(self, *known: Known, store: tuple[Any, ManifestStore] | None = None, **changes: Any) -> None:
        self.log, manifest = store or _in_memory()
        self.log.append([Append("scan-1", 0, [replace(queued(coverage_target=0.0), **changes)])])
        self._now = LATER
        self.recorder = Recorder(self.log, manifest, MemoryInventory(*known), self._clock)

    def _clock(self) -> Any:
        self._now += timedelta(seconds=1)
        return self._now

    def record(self, *reports: AnyReport) -> int:
        """How many of the reports changed anything."""
        return self.recorder.record(list(reports)).changed

    @property
    def scan(self) -> Scan:
        return self.log.scan("scan-1")

    def list_all(self, *entries: ObjectInfo) -> None:
        unit = {**BY, "unit": 0, "attempt": self.scan.units[0].attempt}
        batch = wire.ObjectsListed(**unit, batch=1, after="", objects=to_text(entries))
        self.record(batch, wire.ListingCompleted(**unit, batches=1, after=entries[-1].key))

    def done(self, chunk: int, **changes: Any) -> wire.ChunkCompleted:
        state = self.scan.pending[chunk]
        values = {"scanned": state.chunk.files, "bytes_read": 1, "exceptions": [], "findings": [], **changes}
        if values["exceptions"]:
            values["scanned"] -= len(values["exceptions"])
        return wire.ChunkCompleted(**BY, chunk=chunk, attempt=state.attempt, plan=state.plan, started_at=NOON, **values)

    def lost(
        self, chunk: int, reason: LostReason = LostReason.WORKER_LOST, suspect: int | None = None
    ) -> wire.ChunkFailed:
        state = self.scan.pending[chunk]
        return wire.ChunkFailed(
            **BY,
            chunk=chunk,
            attempt=state.attempt,
            plan=state.plan,
            reason=reason,
            started_at=NOON,
            suspect=suspect,
        )

    def allowed(self) -> int:
        """The hits that an allow list kept out, as the events tell it."""
        events = [record.event for record in self.log.history("scan-1", 0, 10_000)]
        return sum(event.allowed for event in events if isinstance(event, ChunkCompleted))

    def exceptions(self) -> list[tuple[int, str, str]]:
        return [(row.index, row.disposition.value, row.reason) for row in self.log.rows.exceptions]


def exception(index: int, reason: SkipReason | FailReason) -> ReportedException:
    disposition = Disposition.SKIPPED if isinstance(reason, SkipReason) else Disposition.FAILED
    return ReportedException(index=index, disposition=disposition, reason=reason)  # type: ignore[arg-type]  # one of two
