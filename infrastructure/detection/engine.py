"""All detectors on all formats: the adapter behind the port `Detection`."""

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from application.ports import ByteStream, OpenRange, Stopped
from domain.coverage import FailReason, SkipReason
from domain.detectors import Detector, detectors
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import MAX_OCCURRENCES, Finding, Occurrence
from domain.parts import part_range
from infrastructure.detection.digest import ruleset_digest
from infrastructure.detection.matcher import Hit, Matcher
from infrastructure.detection.separated_search import SeparatedSearch
from infrastructure.detection.tallies import Tallies, masked
from infrastructure.formats import charset, parquet
from infrastructure.formats.compression import MAGIC_BYTES, decompression_of
from infrastructure.formats.cuts import Cuts, LineBoundary, RecordBoundary
from infrastructure.formats.delimited import DelimitedLocator
from infrastructure.formats.json_escapes import MAX_STRING, unescaped_strings
from infrastructure.formats.json_paths import JsonDocumentLocator, JsonLinesLocator
from infrastructure.formats.layouts import locator_for
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.ranges import ObjectRanges, RangedFile
from infrastructure.formats.signatures import has_signature, refuse
from infrastructure.formats.streams import MeteredStream, PeekableStream
from infrastructure.formats.window import Frame, Reach, frames

_HEAD: Final = 64 * 1024
_TO_THE_END: Final = range(sys.maxsize)


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found in one object, in order of detector and column, and how many bytes were read to find it."""

    findings: tuple[Finding, ...]
    bytes_read: int


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """What was found in one part, with the bytes, lines and records that are the part's."""

    findings: tuple[Finding, ...] = ()
    bytes_read: int = 0
    lines: int = 0
    records: int = 0


class HyperscanDetection:
    """Detection by the given detectors, compiled once. The same bytes always give the same findings."""

    def __init__(self, chosen: Sequence[Detector] | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._matcher = Matcher(detectors() if chosen is None else chosen)
        self.digest = ruleset_digest(self._matcher.detectors, self._limits)

    def inspect(
        self,
        stream: ByteStream,
        *,
        name: str,
        size: int,  # noqa: ARG002 — part of the port; the stream's own end counts
        stopped: Callable[[], bool] = lambda: False,
    ) -> Inspected:
        """See `application.ports.Detection.inspect`."""
        source = MeteredStream(stream, stopped)
        content = _decompressed(source, self._limits)
        head = content.peek(_HEAD)
        tallies = Tallies(self._matcher.detectors, self._limits.columns)
        if has_signature(head, parquet.MAGIC):
            self._inspect_parquet(parquet.column_batches(content, self._limits), tallies, stopped)
        else:
            refuse(head, name)
            self._inspect_text(content, head, name, tallies, stopped)
        return Inspected(tallies.findings(), source.bytes_read)

    def inspect_part(
        self,
        open_range: OpenRange,
        *,
        name: str,
        size: int,
        part: int,
        parts: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> InspectedPart:
        """See `application.ports.Detection.inspect_part`."""
        ranges = ObjectRanges(open_range, size, stopped)
        head = ranges.read(0, _HEAD)
        if has_signature(head, parquet.MAGIC):
            return self._inspect_row_groups(ranges, part, parts, stopped)
        locator = _splittable_text(head, name, self._limits)
        if locator is not None:
            span = _cuts(ranges, parts, head, locator, self._limits).span(part)
            return self._inspect_span(ranges, span, locator, stopped)
        if part > 0:
            return InspectedPart()
        with open_range(0, size) as stream:
            whole = self.inspect(stream, name=name, size=size, stopped=stopped)
        return InspectedPart(whole.findings, whole.bytes_read)

    def _inspect_row_groups(
        self, ranges: ObjectRanges, part: int, parts: int, stopped: Callable[[], bool]
    ) -> InspectedPart:
        tallies = Tallies(self._matcher.detectors, self._limits.columns)
        groups = parquet.RowGroups(size=ranges.size, part=part, parts=parts)
        self._inspect_parquet(groups.column_batches(RangedFile(ranges), self._limits), tallies, stopped)
        return InspectedPart(tallies.findings(), len(part_range(ranges.size, part, parts)), records=groups.rows)

    def _inspect_span(
        self, ranges: ObjectRanges, span: range, locator: TextLocator, stopped: Callable[[], bool]
    ) -> InspectedPart:
        """The hits that start in `span`. What stands before it is read again as far as a value that goes on in it, a
        hit's context or a string around it can begin there; what stands behind it, as far as a value can go on."""
        if not span:
            return InspectedPart()
        tallies = Tallies(self._matcher.detectors, self._limits.columns)
        reach = self._reach(escapes=_has_escapes(locator))
        first = max(span.start - reach.back - self._matcher.after, 0)
        stop = span.stop + reach.before + reach.after
        locator.start_at(span.start)
        with ranges.stream(first, stop) as content:
            surrounded = frames(content, reach, self._limits.block_bytes, base=first, ends=stop >= ranges.size)
            self._record_hits(surrounded, span, locator, tallies, stopped)
        return InspectedPart(tallies.findings(), len(span), locator.lines(), locator.records())

    def _inspect_text(
        self, content: PeekableStream, head: bytes, name: str, tallies: Tallies, stopped: Callable[[], bool]
    ) -> None:
        width: charset.Width = charset.same_width
        encoding = charset.utf16_of(head)
        if encoding is not None:
            content = PeekableStream(charset.Utf16Stream(content, encoding))
            width, head = charset.utf16_width, content.peek(_HEAD)
        if charset.looks_binary(head):
            raise ObjectSkipped(SkipReason.BINARY, "control characters")
        locator = locator_for(head, name, width, self._limits)
        reach = self._reach(escapes=_has_escapes(locator))
        whole = frames(content, reach, self._limits.block_bytes)
        self._record_hits(whole, _TO_THE_END, locator, tallies, stopped)

    def _record_hits(
        self,
        surrounded: Iterable[Frame],
        span: range,
        locator: TextLocator,
        tallies: Tallies,
        stopped: Callable[[], bool],
    ) -> None:
        """Record the hits that start in `span`, and read no further than they need."""
        for frame, hits in self._settled_hits(surrounded, escapes=_has_escapes(locator)):
            if stopped():
                raise Stopped
            if frame.settled < span.start:
                continue
            locator.begin(frame)
            own = hits[bisect_left(hits, (span.start,)) : bisect_left(hits, (span.stop,))]
            _record(own, frame, locator, tallies)
            locator.settle(min(frame.settled, span.stop))
            if frame.settled >= span.stop:
                return

    def _settled_hits(self, surrounded: Iterable[Frame], *, escapes: bool) -> Iterator[tuple[Frame, list[Hit]]]:
        """Each frame with the hits that start before its settled border and were not given before, by their start."""
        search = SeparatedSearch(self._matcher, literal=not escapes)
        pending: list[Hit] = []
        hidden: list[Hit] = []
        emitted = 0
        for frame in surrounded:
            pending += search.hits(frame)
            if escapes:
                hidden += self._hidden_hits(frame)
            pending.sort()
            cut = bisect_left(pending, (frame.settled,))
            ready, pending = pending[:cut], pending[cut:]
            if hidden:
                ready = _unhidden(ready, hidden)
                ready += {hit for hit in hidden if emitted <= hit[0] < frame.settled}
                ready.sort()
                hidden = [hit for hit in hidden if hit[1] >= frame.settled]
            emitted = frame.settled
            yield frame, ready

    def _hidden_hits(self, frame: Frame) -> list[Hit]:
        """Hits that JSON escapes hide from the scan of the raw bytes."""
        found: list[Hit] = []
        for string in unescaped_strings(frame):
            text = string.text
            hits = self._matcher.hits(text, 0, 0, len(text), self._matcher.nothing_covered())
            for start, end, detector, confidence, _ in hits:
                span = string.source(start, end)
                if span is not None:
                    found.append((*span, detector, confidence, text[start:end]))
        return found

    def _reach(self, *, escapes: bool) -> Reach:
        before = self._matcher.before + 1
        if escapes:
            before = max(before, 2 * MAX_STRING)
        after = max(self._matcher.after, self._limits.record_reach) + 1
        return Reach(before, after, self._limits.record_reach + before)

    def _inspect_parquet(
        self, batches: Iterable[parquet.ColumnBatch], tallies: Tallies, stopped: Callable[[], bool]
    ) -> None:
        for batch in batches:
            if stopped():
                raise Stopped
            hits = self._matcher.hits(batch.text, 0, 0, len(batch.text), self._matcher.nothing_covered())
            if hits:
                _record_batch(hits, batch, tallies)


def _decompressed(source: ByteStream, limits: Limits) -> PeekableStream:
    content = PeekableStream(source)
    for _ in range(limits.compression_depth):
        decompression = decompression_of(content.peek(MAGIC_BYTES))
        if decompression is None:
            return content
        content = PeekableStream(decompression(content, limits))
    if decompression_of(content.peek(MAGIC_BYTES)) is not None:
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "compressed more often than allowed")
    return content


def _has_escapes(locator: TextLocator) -> bool:
    return isinstance(locator, JsonLinesLocator | JsonDocumentLocator)


def _splittable_text(head: bytes, name: str, limits: Limits) -> TextLocator | None:
    """The locator of a text whose records can be read without what stands before them; None for any other content."""
    if decompression_of(head[:MAGIC_BYTES]) is not None:
        return None
    try:
        refuse(head, name)
    except (ObjectSkipped, ObjectUnreadable):
        return None
    if charset.utf16_of(head) is not None or charset.looks_binary(head):
        return None
    locator = locator_for(head, name, charset.same_width, limits)
    return None if isinstance(locator, JsonDocumentLocator) else locator


def _cuts(ranges: ObjectRanges, parts: int, head: bytes, locator: TextLocator, limits: Limits) -> Cuts:
    if isinstance(locator, DelimitedLocator):
        return Cuts(ranges, parts, RecordBoundary(head, locator.delimiter, limits), limits)
    return Cuts(ranges, parts, LineBoundary(), limits)


def _unhidden(hits: list[Hit], hidden: list[Hit]) -> list[Hit]:
    """The hits of the raw scan but those that are only a part of what an escape had hidden."""
    return [hit for hit in hits if not any(h[2] == hit[2] and h[0] <= hit[0] < h[1] for h in hidden)]


def _record(hits: list[Hit], frame: Frame, locator: TextLocator, tallies: Tallies) -> None:
    column, of = locator.column, tallies.of
    for start, end, detector, confidence, value in hits:
        tally = of(detector, column(start))
        tally.count += 1
        if tally.could_rise(confidence):
            tally.rise(confidence, locator.near(start, end))
        if tally.count <= MAX_OCCURRENCES:
            shown = masked(value or frame.data[start - frame.base : end - frame.base])
            tally.occurrences.append(locator.place(start, end, shown))


def _record_batch(hits: list[Hit], batch: parquet.ColumnBatch, tallies: Tallies) -> None:
    by_value: dict[int, list[Hit]] = {}
    for hit in hits:
        value = batch.value_of(hit[0], hit[1])
        if value is not None:
            by_value.setdefault(value, []).append(hit)
    near = batch.column.encode()
    for record, row_value in batch.rows():
        for start, end, detector, confidence, _ in by_value.get(row_value, ()):
            tally = tallies.of(detector, batch.column)
            tally.count += 1
            if tally.could_rise(confidence):
                tally.rise(confidence, near)
            if tally.count <= MAX_OCCURRENCES:
                shown = masked(batch.text[start:end])
                tally.occurrences.append(Occurrence(masked=shown, record_index=record, field=batch.column))
