"""A worker's work, on a bucket in memory: which reports come of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from application.listing import REPORT_BYTES
from application.messages import (
    ChunkCompleted,
    ChunkFindings,
    Report,
    ScanChunk,
)
from application.object_columns import to_text
from application.ports import ByteStream, OpenRange, Stopped
from application.scanning import (
    READERS,
    SMALL_OBJECT_BYTES,
    ChunkProgress,
    UnopenedSource,
    scan_chunk,
)
from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable, ScanledgerError, SourceDenied, SourceUnavailable
from domain.finding import Finding, Occurrence
from domain.manifest import ObjectInfo
from tests.application.bucket import SOURCE, Bucket
from tests.domain.given import NOON


@dataclass
class Seen:
    findings: list[Finding]
    bytes_read: int
    remark: str = ""
    allowed: int = 0
    lines: int = 0
    records: int = 0


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

    def inspect_part(
        self,
        open_range: OpenRange,
        *,
        name: str,
        size: int,
        part: int,
        parts: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Seen:
        start, stop = size * part // parts, size * (part + 1) // parts
        with open_range(start, stop) as stream:
            seen = self.inspect(stream, name=name, size=stop - start, stopped=stopped)
        return replace(seen, lines=part + 1, records=part + 2)


def scanning(
    bucket: Bucket | UnopenedSource,
    entries: Sequence[ObjectInfo],
    detection: AtSigns | None = None,
    stopped: Callable[[], bool] = lambda: False,
    progress: ChunkProgress | None = None,
    **changes: Any,
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
        **changes,
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


def test_what_an_allow_list_kept_out_and_what_was_skipped_inside_is_told_of_failed_objects_too() -> None:
    class Telling(AtSigns):
        def inspect(self, stream: ByteStream, *, name: str, size: int, stopped: Any = None) -> Seen:
            if name == "b":
                broken = ObjectUnreadable(FailReason.PARSE_ERROR, findings=[Finding("pii.at", "pii", 1.0, 1)])
                broken.allowed = 3
                raise broken
            return replace(super().inspect(stream, name=name, size=size), remark="1 of 2 skipped", allowed=2)

    bucket = Bucket(ABC)
    done = result(scanning(bucket, bucket.entries(), detection=Telling()))
    assert (done.scanned, done.allowed) == (2, 7)
    assert [(remark.index, remark.detail) for remark in done.remarks] == [
        (10, "1 of 2 skipped"),
        (14, "1 of 2 skipped"),
    ]
    assert [(exception.index, exception.reason) for exception in done.exceptions] == [(12, "parse_error")]
    assert [finding.index for finding in done.findings] == [12]


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


def test_each_object_is_named_before_it_is_looked_into_so_that_one_that_kills_its_reader_is_known() -> None:
    said: list[tuple[str, int]] = []
    progress = ChunkProgress(lambda files, _: said.append(("done", files)), lambda index: said.append(("begin", index)))
    scanning(Bucket(ABC), Bucket(ABC).entries(), progress=progress)
    assert said == [("begin", 10), ("done", 1), ("begin", 12), ("done", 2), ("begin", 14), ("done", 3)]


def test_of_a_huge_object_just_the_part_is_read_and_reported_with_its_lines_and_records() -> None:
    bucket = Bucket({"a.csv": b"@--@@--@@"})
    begun: list[int] = []
    (report,) = scanning(
        bucket, bucket.entries(), progress=ChunkProgress(begin=begun.append), part=1, parts=3, detectors=["pii.at"]
    )
    done = result([report])
    assert (done.scanned, done.bytes_read, done.lines, done.records) == (1, 3, 2, 3)
    assert [(f.index, f.count) for f in done.findings] == [(10, 2)]
    assert begun == [10]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ObjectUnreadable(FailReason.NOT_FOUND), FailReason.NOT_FOUND),
        (SourceDenied("No."), FailReason.ACCESS_DENIED),
        (ObjectSkipped(SkipReason.BINARY), SkipReason.BINARY),
    ],
)
def test_a_part_that_cannot_be_read_says_why(fault: ScanledgerError, reason: FailReason | SkipReason) -> None:
    bucket = Bucket({"a.csv": b"@@@"}, faults={"a.csv": fault})
    done = result(scanning(bucket, bucket.entries(), part=0, parts=3))
    assert done.scanned == 0
    assert [(e.index, e.reason) for e in done.exceptions] == [(10, reason)]


def test_a_part_that_is_called_off_opens_nothing() -> None:
    bucket = Bucket({"a.csv": b"@@@"})
    with pytest.raises(Stopped):
        scanning(bucket, bucket.entries(), stopped=lambda: True, part=0, parts=3)
    assert bucket.opened == []


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
