"""A worker's work: list a unit, read a chunk. What comes out are reports; nothing here knows a broker or a store."""

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from application import object_columns
from application.messages import (
    ChunkCompleted,
    ChunkFindings,
    ListingCompleted,
    ListingFailed,
    ListUnit,
    ObjectsListed,
    Report,
    ReportedException,
    ReportedFinding,
    ReportedOccurrence,
    ScanChunk,
    found,
)
from application.ports import ByteStream, Detection, Inspection, ObjectSource, Stopped
from domain.coverage import Disposition, FailReason
from domain.errors import ObjectSkipped, ObjectUnreadable, Permanent, ScanledgerError, SourceDenied
from domain.finding import Finding, Occurrence
from domain.manifest import ObjectInfo

REPORT_BYTES: Final = 512 * 1024
"""A larger report goes in numbered parts."""

SMALL_OBJECT_BYTES: Final = 1024 * 1024
"""Up to here an object is fetched whole, several at once; above it is streamed, one at a time."""

READERS: Final = 8
_AHEAD: Final = 2 * READERS

Emit = Callable[[Report], None]
"""Takes a report; returns when there is room for the next one."""


def list_unit(command: ListUnit, source: ObjectSource, *, worker: str, emit: Emit, stopped: Callable[[], bool]) -> None:
    """List a unit from where it was recorded to its end, in numbered batches. Raises Stopped when called off."""
    batch, after = command.next_batch, command.resume_after
    try:
        for page in source.list_pages(command.prefix, command.resume_after):
            for objects, text in _fitting(page):
                if stopped():
                    raise Stopped
                emit(_listed(command, worker, batch, after, text))
                batch, after = batch + 1, objects[-1].key
    except ScanledgerError as error:
        emit(_listing_failed(command, worker, error))
    else:
        emit(
            ListingCompleted(
                scan=command.scan,
                worker=worker,
                unit=command.unit,
                attempt=command.attempt,
                batches=batch - 1,
                after=after,
            )
        )


def _fitting(page: Sequence[ObjectInfo]) -> Iterator[tuple[Sequence[ObjectInfo], str]]:
    """The page as blocks that fit a message: whole, unless its keys are very long."""
    if not page:
        return
    text = object_columns.to_text(page)
    if len(text) <= REPORT_BYTES or len(page) == 1:
        yield page, text
        return
    middle = len(page) // 2
    yield from _fitting(page[:middle])
    yield from _fitting(page[middle:])


def _listed(command: ListUnit, worker: str, batch: int, after: str, objects: str) -> ObjectsListed:
    return ObjectsListed(
        scan=command.scan,
        worker=worker,
        unit=command.unit,
        attempt=command.attempt,
        batch=batch,
        after=after,
        objects=objects,
    )


def _listing_failed(command: ListUnit, worker: str, error: ScanledgerError) -> ListingFailed:
    return ListingFailed(
        scan=command.scan,
        worker=worker,
        unit=command.unit,
        attempt=command.attempt,
        reason=_snake(type(error).__name__),
        detail=str(error),
        permanent=isinstance(error, Permanent),
    )


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


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
    files: int = 0
    findings: int = 0

    def add(self, findings: int) -> None:
        self.files += 1
        self.findings += findings
        self.tell(self.files, self.findings)


@dataclass(slots=True)
class _Tally:
    scanned: int = 0
    bytes_read: int = 0
    exceptions: list[ReportedException] = field(default_factory=list)
    findings: list[ReportedFinding] = field(default_factory=list)


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
    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as readers:
        try:
            for index, entry, body in reading.ahead(work, readers):
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
        try:
            inspection = self._inspect(entry, body)
        except ObjectSkipped as skipped:
            tally.exceptions.append(_exception(index, Disposition.SKIPPED, skipped))
        except ObjectUnreadable as unreadable:
            tally.exceptions.append(_exception(index, Disposition.FAILED, unreadable))
        except ScanledgerError as error:
            # What a source says of itself, said of one object.
            reason = FailReason.ACCESS_DENIED if isinstance(error, SourceDenied) else FailReason.NETWORK
            lost = ObjectUnreadable(reason, str(error))
            tally.exceptions.append(_exception(index, Disposition.FAILED, lost))
        else:
            tally.scanned += 1
            tally.bytes_read += inspection.bytes_read
            tally.findings.extend(_finding(index, entry, finding) for finding in inspection.findings)

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
        detail=error.detail[:500],
    )


def _finding(index: int, entry: ObjectInfo, finding: Finding) -> ReportedFinding:
    return ReportedFinding(
        index=index,
        object=entry.key,
        detector=finding.detector,
        category=finding.category,
        confidence=finding.confidence,
        count=finding.count,
        column=finding.column,
        occurrences=[_occurrence(occurrence) for occurrence in finding.occurrences],
    )


def _occurrence(occurrence: Occurrence) -> ReportedOccurrence:
    return ReportedOccurrence.model_validate(occurrence)


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
            findings=parts[-1],
            parts=len(parts) - 1,
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
