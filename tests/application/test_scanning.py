"""A worker's work, on a bucket in memory: which reports come of it."""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from application.messages import (
    ChunkCompleted,
    ChunkFindings,
    ListingCompleted,
    ListingFailed,
    ListUnit,
    ObjectsListed,
    Report,
    ScanChunk,
    Source,
)
from application.object_columns import from_text, to_text
from application.ports import ByteStream, Stopped
from application.scanning import (
    READERS,
    REPORT_BYTES,
    SMALL_OBJECT_BYTES,
    ChunkProgress,
    UnopenedSource,
    list_unit,
    scan_chunk,
)
from domain.connector import ConnectorType
from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable, ScanledgerError, SourceDenied, SourceUnavailable
from domain.finding import Finding, Occurrence
from domain.manifest import ObjectInfo
from tests.domain.given import NOON

SOURCE = Source(connector="conn-1", type=ConnectorType.S3, config={})


@dataclass
class Bucket:
    """`ObjectSource` in memory. `faults` by key are raised on opening, `end` after the last page."""

    bodies: dict[str, bytes]
    faults: dict[str, ScanledgerError] = field(default_factory=dict)
    end: ScanledgerError | None = None
    page: int = 2
    ordered: bool = True
    opened: list[str] = field(default_factory=list)

    def entries(self) -> list[ObjectInfo]:
        return [ObjectInfo(key, len(body)) for key, body in sorted(self.bodies.items())]

    def within(self, prefix: str, after: str, until: str) -> list[ObjectInfo]:
        below = [entry for entry in self.entries() if entry.key.startswith(prefix)]
        return [entry for entry in below if entry.key > after and (not until or entry.key <= until)]

    def list_pages(self, prefix: str, after: str = "", until: str = "") -> Iterator[Sequence[ObjectInfo]]:
        found = self.within(prefix, after, until)
        for at in range(0, len(found), self.page):
            yield found[at : at + self.page]
        if self.end:
            raise self.end

    def prefixes(self, prefix: str, after: str = "", until: str = "") -> Sequence[str]:
        keys = [entry.key for entry in self.within(prefix, after, until)]
        heads: set[str] = set()
        for _ in range(5):
            heads = {key[: key.find("/", len(prefix)) + 1] for key in keys}
            if len(heads) != 1 or "" in heads:
                break
            (prefix,) = heads
        return sorted(head for head in heads if head > after)

    @contextmanager
    def open_object(self, entry: ObjectInfo, *, start: int = 0, stop: int | None = None) -> Iterator[ByteStream]:
        self.opened.append(entry.key)
        if fault := self.faults.get(entry.key):
            raise fault
        yield io.BytesIO(self.bodies[entry.key][start:stop])

    def check(self) -> None:
        """Always well."""

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class Seen:
    findings: list[Finding]
    bytes_read: int


@dataclass
class AtSigns:
    """`Detection` that finds every `@`, and knows a binary file by its NUL."""

    digest: str = "at-1"
    padding: int = 0

    def inspect(self, stream: ByteStream, *, name: str, size: int, stopped: Callable[[], bool] = lambda: False) -> Seen:
        body = b""
        while block := stream.read(64 * 1024):
            body += block
        assert len(body) == size
        if b"\0" in body:
            raise ObjectSkipped(SkipReason.BINARY)
        hits = body.count(b"@")
        where = tuple(Occurrence("*" * (self.padding or 1), byte_offset=n) for n in range(min(hits, 15)))
        return Seen([Finding("pii.at", "pii", 1.0, hits, where)] * bool(hits), len(body))


def listing(
    bucket: Bucket | UnopenedSource, stopped: Callable[[], bool] = lambda: False, **changes: Any
) -> list[Report]:
    command = ListUnit(**{"scan": "s", "pool": "p", "unit": 1, "attempt": 2, "source": SOURCE, "prefix": "", **changes})
    reports: list[Report] = []
    list_unit(command, bucket, worker="w", emit=reports.append, stopped=stopped)
    return reports


def keys(reports: Sequence[Report]) -> list[list[str]]:
    return [[entry.key for entry in from_text(r.objects)] for r in reports if isinstance(r, ObjectsListed)]


def scanning(
    bucket: Bucket | UnopenedSource,
    entries: Sequence[ObjectInfo],
    detection: AtSigns | None = None,
    stopped: Callable[[], bool] = lambda: False,
    progress: ChunkProgress | None = None,
) -> list[Report]:
    command = ScanChunk(
        scan="s",
        pool="p",
        chunk=3,
        attempt=2,
        plan="p1",
        source=SOURCE,
        start_index=10,
        end_index=10 + 2 * len(entries),
        indexes=[10 + 2 * n for n in range(len(entries))],
        objects=to_text(entries),
    )
    reports: list[Report] = []
    scan_chunk(
        command,
        bucket,
        detection or AtSigns(),
        worker="w",
        started_at=NOON,
        emit=reports.append,
        stopped=stopped,
        progress=progress or ChunkProgress(),
    )
    return reports


def result(reports: Sequence[Report]) -> ChunkCompleted:
    last = reports[-1]
    assert isinstance(last, ChunkCompleted)
    return last


ABC = {"a": b"1", "b": b"2", "c": b"3"}


def test_a_listing_reports_its_batches_in_order_and_then_its_end() -> None:
    reports = listing(Bucket(ABC))
    assert keys(reports) == [["a", "b"], ["c"]]
    assert [(r.batch, r.after) for r in reports if isinstance(r, ObjectsListed)] == [(1, ""), (2, "b")]
    assert reports[-1] == ListingCompleted(scan="s", worker="w", unit=1, attempt=2, batches=2, after="c")


def test_a_listing_goes_on_after_what_was_recorded_and_counts_those_batches_too() -> None:
    reports = listing(Bucket(ABC), resume_after="b", next_batch=5)
    assert keys(reports) == [["c"]]
    assert reports[-1] == ListingCompleted(scan="s", worker="w", unit=1, attempt=2, batches=5, after="c")


def test_an_empty_bucket_is_listed_to_its_end_in_no_batch() -> None:
    assert listing(Bucket({})) == [ListingCompleted(scan="s", worker="w", unit=1, attempt=2, batches=0, after="")]


@pytest.mark.parametrize(
    ("error", "reason", "permanent"),
    [(SourceDenied("No."), "source_denied", True), (SourceUnavailable("No."), "source_unavailable", False)],
)
def test_a_listing_that_breaks_off_keeps_what_it_had_and_says_why(
    error: ScanledgerError, reason: str, permanent: bool
) -> None:
    *batches, failed = listing(Bucket(ABC, end=error))
    assert keys(batches) == [["a", "b"], ["c"]]
    assert failed == ListingFailed(
        scan="s", worker="w", unit=1, attempt=2, reason=reason, detail="No.", permanent=permanent
    )
    assert [type(report) for report in listing(UnopenedSource(error))] == [ListingFailed]


def test_a_page_of_very_long_keys_is_parted_so_that_each_report_fits_a_message() -> None:
    noise = random.Random(1)
    long = {"".join(chr(noise.randint(0x4E00, 0x9FFF)) for _ in range(340)): b"" for _ in range(1000)}
    bucket = Bucket(long, page=1000)
    reports = listing(bucket)
    sizes = [len(report.model_dump_json()) for report in reports]
    assert len(reports) > 2
    assert max(sizes) < REPORT_BYTES + 1000
    assert [key for batch in keys(reports) for key in batch] == [entry.key for entry in bucket.entries()]


def test_a_listing_that_is_called_off_reports_nothing_more() -> None:
    with pytest.raises(Stopped):
        listing(Bucket(ABC), stopped=lambda: True)


def test_every_object_of_a_chunk_is_accounted_for_exactly_once() -> None:
    bucket = Bucket(
        {"a": b"x@y@z", "b": b"\0", "c": b"plain", "d": b"@", "e": b"1", "f": b"2"},
        faults={
            "d": ObjectUnreadable(FailReason.NOT_FOUND, "It is gone."),
            "e": SourceDenied("No."),
            "f": SourceUnavailable("No answer."),
        },
    )
    done = result(scanning(bucket, bucket.entries()))
    assert (done.chunk, done.attempt, done.started_at, done.worker) == (3, 2, NOON, "w")
    assert (done.scanned, done.bytes_read, done.parts) == (2, 10, 0)
    assert [(e.index, e.disposition, e.reason, e.detail) for e in done.exceptions] == [
        (12, "skipped", "binary", ""),
        (16, "failed", "not_found", "It is gone."),
        (18, "failed", "access_denied", "No."),
        (20, "failed", "network", "No answer."),
    ]
    assert [(f.index, f.object, f.count, len(f.occurrences)) for f in done.findings] == [(10, "a", 2, 2)]


def test_a_source_that_cannot_be_opened_fails_every_object_and_loses_none() -> None:
    entries = Bucket(ABC).entries()
    done = result(scanning(UnopenedSource(SourceDenied("No.")), entries))
    assert [(e.index, e.reason) for e in done.exceptions] == [
        (10, "access_denied"),
        (12, "access_denied"),
        (14, "access_denied"),
    ]


def test_small_and_large_objects_are_read_alike_and_in_order() -> None:
    sizes = [SMALL_OBJECT_BYTES, SMALL_OBJECT_BYTES + 1, 1, 3 * SMALL_OBJECT_BYTES]
    bucket = Bucket({f"k{n}": b"@" * size for n, size in enumerate(sizes)})
    done = result(scanning(bucket, bucket.entries()))
    assert (done.scanned, done.bytes_read) == (4, sum(sizes))
    assert [f.count for f in done.findings] == sizes


def test_no_object_is_fetched_long_before_it_is_its_turn() -> None:
    bucket = Bucket({f"k{n:03}": b"x" for n in range(200)})
    ahead: list[int] = []
    progress = ChunkProgress(lambda files, _: ahead.append(len(bucket.opened) - files))
    scanning(bucket, bucket.entries(), progress=progress)
    assert len(ahead) == 200
    assert max(ahead) <= 2 * READERS + 1


def test_progress_counts_files_and_findings_as_they_come() -> None:
    told: list[tuple[int, int]] = []
    bucket = Bucket({"a": b"@", "b": b"\0", "c": b"@"})
    scanning(bucket, bucket.entries(), progress=ChunkProgress(lambda *counts: told.append(counts)))
    assert told == [(1, 1), (2, 1), (3, 2)]


def test_a_chunk_that_is_called_off_opens_nothing_more_and_reports_nothing() -> None:
    bucket = Bucket({f"k{n:03}": b"x" for n in range(100)})
    reports: list[Report] = []
    with pytest.raises(Stopped):
        reports = scanning(bucket, bucket.entries(), stopped=lambda: len(bucket.opened) >= 10)
    assert reports == []
    assert len(bucket.opened) <= 10 + READERS


def test_findings_too_many_for_one_message_go_in_numbered_parts_before_the_result() -> None:
    bucket = Bucket({f"k{n:04}": b"@" * 15 for n in range(300)})
    reports = scanning(bucket, bucket.entries(), AtSigns(padding=400))
    parts = [report for report in reports if isinstance(report, ChunkFindings)]
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert len(parts) > 1
    assert result(reports).parts == len(parts)
    assert max(len(report.model_dump_json()) for report in reports) < REPORT_BYTES
    found = [
        finding.index
        for findings in (*(part.findings for part in parts), result(reports).findings)
        for finding in findings
    ]
    assert found == [10 + 2 * n for n in range(300)]


def test_a_chunk_of_nothing_but_failures_with_long_details_fits_a_message() -> None:
    bucket = Bucket({f"k{n:04}": b"x" for n in range(500)})
    bucket.faults = {key: ObjectUnreadable(FailReason.PARSE_ERROR, "é" * 900) for key in bucket.bodies}
    (done,) = scanning(bucket, bucket.entries())
    assert len(done.model_dump_json().encode()) < 1024 * 1024
