"""A worker's reading of a chunk. What comes out are reports; nothing here knows a broker or a store."""

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from application import object_columns
from application.listing import REPORT_BYTES, Emit
from application.messages import (
    ChunkCompleted,
    ChunkFindings,
    ReportedException,
    ReportedFinding,
    ReportedRemark,
    ScanChunk,
    found,
)
from application.ports import ByteStream, Detection, Inspection, ObjectSource, PartInspection, Stopped
from domain.coverage import Disposition, FailReason
from domain.errors import ObjectSkipped, ObjectUnreadable, ScanledgerError, SourceDenied
from domain.finding import Finding
from domain.manifest import ObjectInfo

SMALL_OBJECT_BYTES: Final = 1024 * 1024
"""Up to here an object is fetched whole, several at once; above it is streamed, one at a time."""

READERS: Final = 8
_AHEAD: Final = 2 * READERS
_LONGEST_DETAIL: Final = 500


class UnopenedSource:
    """Stands for a source that could not be opened: every use of it raises the reason."""

    ordered = True

    def __init__(self, error: ScanledgerError) -> None:
        self._error = error

    def list_pages(
        self,
        prefix: str,  # noqa: ARG002 — the port's
        after: str = "",  # noqa: ARG002 — likewise
        until: str = "",  # noqa: ARG002 — likewise
    ) -> Iterator[Sequence[ObjectInfo]]:
        raise self._error

    def prefixes(
        self,
        prefix: str,  # noqa: ARG002 — likewise
        after: str = "",  # noqa: ARG002 — likewise
        until: str = "",  # noqa: ARG002 — likewise
    ) -> Sequence[str]:
        raise self._error

    def open_object(
        self,
        entry: ObjectInfo,  # noqa: ARG002 — likewise
        *,
        start: int = 0,  # noqa: ARG002 — likewise
        stop: int | None = None,  # noqa: ARG002 — likewise
    ) -> AbstractContextManager[ByteStream]:
        raise self._error

    def check(self) -> None:
        raise self._error

    def close(self) -> None:
        """Nothing was opened."""


@dataclass(slots=True)
class ChunkProgress:
    """How far a chunk is; told to `tell` whenever it changes."""

    tell: Callable[[int, int], None] = lambda _files, _findings: None
    begin: Callable[[int], None] = lambda _index: None
    """Told the manifest position of each object before it is looked into: should it end this process, it is known."""
    files: int = 0
    findings: int = 0

    def add(self, findings: int) -> None:
        self.files += 1
        self.findings += findings
        self.tell(self.files, self.findings)


@dataclass(slots=True)
class _Tally:
    """What the reading of a chunk came to. `lines` and `records` are those of a part of a huge object."""

    scanned: int = 0
    bytes_read: int = 0
    allowed: int = 0
    lines: int = 0
    records: int = 0
    exceptions: list[ReportedException] = field(default_factory=list)
    remarks: list[ReportedRemark] = field(default_factory=list)
    findings: list[ReportedFinding] = field(default_factory=list)

    def add(self, index: int, entry: ObjectInfo, inspection: Inspection | PartInspection) -> None:
        self.scanned += 1
        self.bytes_read += inspection.bytes_read
        self.allowed += inspection.allowed
        self._found(index, entry, inspection.findings)
        if inspection.remark:
            self.remarks.append(ReportedRemark(index=index, detail=inspection.remark[:_LONGEST_DETAIL]))

    def fail(self, index: int, entry: ObjectInfo, error: ObjectUnreadable) -> None:
        """The object failed; what was found in it before counts all the same."""
        self.exceptions.append(_exception(index, Disposition.FAILED, error))
        self.allowed += error.allowed
        self._found(index, entry, error.findings)

    def _found(self, index: int, entry: ObjectInfo, findings: Sequence[Finding]) -> None:
        self.findings.extend(ReportedFinding.of(index, entry.key, finding) for finding in findings)


@contextmanager
def _accounted(tally: _Tally, index: int, entry: ObjectInfo) -> Iterator[None]:
    """Puts down why the object at `index` was not read, whatever its reader raises: it costs no other object."""
    try:
        yield
    except Stopped:
        raise
    except ObjectSkipped as skipped:
        tally.exceptions.append(_exception(index, Disposition.SKIPPED, skipped))
    except ObjectUnreadable as unreadable:
        tally.fail(index, entry, unreadable)
    except ScanledgerError as error:
        # What a source says of itself, said of one object.
        reason = FailReason.ACCESS_DENIED if isinstance(error, SourceDenied) else FailReason.NETWORK
        tally.fail(index, entry, ObjectUnreadable(reason, str(error)))
    except MemoryError:
        tally.fail(
            index, entry, ObjectUnreadable(FailReason.RESOURCE_LIMIT, "needs more memory than a reader may have")
        )
    except Exception as error:  # noqa: BLE001 — a reader's own fault must not take the chunk's other objects with it
        tally.fail(index, entry, ObjectUnreadable(FailReason.PARSE_ERROR, f"its reader failed: {type(error).__name__}"))


def scan_chunk(
    command: ScanChunk,
    source: ObjectSource,
    detection: Detection,
    *,
    worker: str,
    started_at: datetime,
    emit: Emit,
    stopped: Callable[[], bool],
    progress: ChunkProgress,
) -> None:
    """Read every object of the chunk, and account for each exactly once. Raises Stopped when the scan was called off.

    Small objects are fetched ahead by READERS threads; at most 2 × READERS of them are in memory.
    """
    objects = object_columns.from_text(command.objects)
    work = list(zip(command.indexes, objects, strict=True))
    reading = _Reading(source, detection, stopped)
    tally = _Tally()
    if command.parts > 1:
        ((index, entry),) = work
        progress.begin(index)
        reading.account_part(tally, index, entry, command.part, command.parts)
        _report(command, tally, worker, started_at, emit)
        return
    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as readers:
        try:
            for index, entry, body in reading.ahead(work, readers):
                progress.begin(index)
                before = len(tally.findings)
                reading.account(tally, index, entry, body)
                progress.add(len(tally.findings) - before)
        finally:
            readers.shutdown(wait=True, cancel_futures=True)
    _report(command, tally, worker, started_at, emit)


_Fetched = tuple[int, ObjectInfo, "Future[bytes] | None"]


@dataclass(frozen=True, slots=True)
class _Reading:
    """Opening objects and looking into them, until stopped."""

    source: ObjectSource
    detection: Detection
    stopped: Callable[[], bool]

    def ahead(self, work: Sequence[tuple[int, ObjectInfo]], readers: ThreadPoolExecutor) -> Iterator[_Fetched]:
        """The work in order, small objects with their bytes under way."""
        waiting: deque[_Fetched] = deque()
        for index, entry in work:
            small = entry.size <= SMALL_OBJECT_BYTES
            waiting.append((index, entry, readers.submit(self._fetch, entry) if small else None))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting

    def account(self, tally: _Tally, index: int, entry: ObjectInfo, body: "Future[bytes] | None") -> None:
        """Look into one object and put what became of it into `tally`."""
        self._require_going()
        with _accounted(tally, index, entry):
            tally.add(index, entry, self._inspect(entry, body))

    def account_part(self, tally: _Tally, index: int, entry: ObjectInfo, part: int, parts: int) -> None:
        """Look into one part of an object, likewise."""
        self._require_going()

        def open_range(start: int, stop: int) -> AbstractContextManager[ByteStream]:
            return self.source.open_object(entry, start=start, stop=stop)

        with _accounted(tally, index, entry):
            inspection = self.detection.inspect_part(
                open_range, name=entry.key, size=entry.size, part=part, parts=parts, stopped=self.stopped
            )
            tally.add(index, entry, inspection)
            tally.lines, tally.records = inspection.lines, inspection.records

    def _require_going(self) -> None:
        if self.stopped():
            raise Stopped

    def _fetch(self, entry: ObjectInfo) -> bytes:
        self._require_going()
        with self.source.open_object(entry) as stream:
            parts: list[bytes] = []
            while block := stream.read(SMALL_OBJECT_BYTES):
                parts.append(block)
        return b"".join(parts)

    def _inspect(self, entry: ObjectInfo, body: "Future[bytes] | None") -> Inspection:
        if body is not None:
            return self._look(io.BytesIO(body.result()), entry)
        with self.source.open_object(entry) as stream:
            return self._look(stream, entry)

    def _look(self, stream: ByteStream, entry: ObjectInfo) -> Inspection:
        return self.detection.inspect(stream, name=entry.key, size=entry.size, stopped=self.stopped)


def _exception(index: int, disposition: Disposition, error: ObjectSkipped | ObjectUnreadable) -> ReportedException:
    return ReportedException(
        index=index,
        disposition=disposition,  # type: ignore[arg-type]  # the callers give one of the two
        reason=error.reason,
        detail=error.detail[:_LONGEST_DETAIL],
    )


def _report(command: ScanChunk, tally: _Tally, worker: str, started_at: datetime, emit: Emit) -> None:
    """The result, its findings in parts of their own when they would not fit into one message."""
    parts = _parts(tally.findings)
    for number, findings in enumerate(parts[:-1], 1):
        emit(
            ChunkFindings(
                scan=command.scan,
                worker=worker,
                chunk=command.chunk,
                attempt=command.attempt,
                plan=command.plan,
                part=number,
                findings=findings,
            )
        )
    emit(
        ChunkCompleted(
            scan=command.scan,
            worker=worker,
            chunk=command.chunk,
            attempt=command.attempt,
            plan=command.plan,
            started_at=started_at,
            scanned=tally.scanned,
            bytes_read=tally.bytes_read,
            exceptions=tally.exceptions,
            remarks=tally.remarks,
            allowed=tally.allowed,
            findings=parts[-1],
            parts=len(parts) - 1,
            lines=tally.lines,
            records=tally.records,
        )
    )


def _parts(findings: Sequence[ReportedFinding]) -> list[list[ReportedFinding]]:
    """The findings in runs of at most about REPORT_BYTES; at least one run, the last one leaving room for the rest."""
    parts: list[list[ReportedFinding]] = [[]]
    room = REPORT_BYTES // 2
    for finding in findings:
        size = len(found.dump_json([finding]))
        if size > room and parts[-1]:
            parts.append([])
            room = REPORT_BYTES // 2
        parts[-1].append(finding)
        room -= size
    return parts
