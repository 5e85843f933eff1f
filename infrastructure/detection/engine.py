"""All detectors on all formats: the adapter behind the port `Detection`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from application.ports import ByteStream, OpenRange, Stopped
from domain.detectors import Detector, detectors
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import MAX_OCCURRENCES, Finding
from domain.parts import part_range
from infrastructure.detection.column_search import record_batch
from infrastructure.detection.digest import ruleset_digest
from infrastructure.detection.inspection import HEAD, ObjectInspection
from infrastructure.detection.matcher import Matcher
from infrastructure.detection.tallies import Tallies
from infrastructure.detection.text_search import TextSearch
from infrastructure.formats import charset, parquet
from infrastructure.formats.compression import MAGIC_BYTES, decompression_of
from infrastructure.formats.cuts import Cuts, LineBoundary, RecordBoundary
from infrastructure.formats.delimited import DelimitedLocator
from infrastructure.formats.extracted import Place
from infrastructure.formats.json_paths import JsonDocumentLocator
from infrastructure.formats.layouts import locator_for
from infrastructure.formats.limits import Budget, Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.ranges import ObjectRanges, RangedFile
from infrastructure.formats.readers import format_of
from infrastructure.formats.signatures import has_signature, refuse
from infrastructure.formats.streams import MeteredStream
from infrastructure.formats.window import frames

if TYPE_CHECKING:
    from domain.detectors.own import Allowance
    from infrastructure.detection.allowed import AllowList


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found in one object, in order of detector and column, how many bytes were read to find it,
    a remark on what is packed in it and was skipped, and how many hits the allow list kept out."""

    findings: tuple[Finding, ...]
    bytes_read: int
    remark: str = ""
    allowed: int = 0


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """What was found in one part, with the bytes, lines and records that are the part's, and as in `Inspected`."""

    findings: tuple[Finding, ...] = ()
    bytes_read: int = 0
    lines: int = 0
    records: int = 0
    remark: str = ""
    allowed: int = 0


class HyperscanDetection:
    """Detection by the given detectors, compiled once. The same bytes always give the same findings.

    Of each finding the first `occurrences` are kept. What is on the list `allowed` is counted, and not found.
    """

    def __init__(
        self,
        chosen: Sequence[Detector] | None = None,
        limits: Limits | None = None,
        occurrences: int = MAX_OCCURRENCES,
        allowed: "Sequence[Allowance]" = (),
    ) -> None:
        self._limits = limits or Limits()
        self._occurrences = occurrences
        self._matcher = Matcher(detectors() if chosen is None else chosen)
        self._allow_list = _allow_list(allowed, self._matcher.detectors)
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
        tallies = self._tallies(name)
        inspection = ObjectInspection(self._matcher, Budget(self._limits), tallies, stopped)
        with _found_so_far(tallies):
            inspection.read(source, name)
        return Inspected(tallies.findings(), source.bytes_read, inspection.remark(), tallies.allowed)

    def _tallies(self, name: str) -> Tallies:
        allowances = self._allow_list.of(name) if self._allow_list is not None else None
        return Tallies(self._matcher.detectors, self._limits.columns, self._occurrences, allowances)

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
        head = ranges.read(0, HEAD)
        if has_signature(head, parquet.MAGIC):
            return self._inspect_row_groups(ranges, part, parts, self._tallies(name), stopped)
        locator = _splittable_text(head, name, self._limits)
        if locator is not None:
            span = _cuts(ranges, parts, head, locator, self._limits).span(part)
            return self._inspect_span(ranges, span, locator, self._tallies(name), stopped)
        if part > 0:
            return InspectedPart()
        with open_range(0, size) as stream:
            whole = self.inspect(stream, name=name, size=size, stopped=stopped)
        return InspectedPart(whole.findings, whole.bytes_read, remark=whole.remark, allowed=whole.allowed)

    def _inspect_row_groups(
        self, ranges: ObjectRanges, part: int, parts: int, tallies: Tallies, stopped: Callable[[], bool]
    ) -> InspectedPart:
        groups = parquet.RowGroups(size=ranges.size, part=part, parts=parts)
        with _found_so_far(tallies, whole=False):
            for batch in groups.column_batches(RangedFile(ranges), self._limits):
                if stopped():
                    raise Stopped
                record_batch(batch, self._matcher, tallies, "")
        tallies.records = groups.rows
        own = len(part_range(ranges.size, part, parts))
        return InspectedPart(tallies.findings(whole=False), own, records=groups.rows, allowed=tallies.allowed)

    def _inspect_span(
        self, ranges: ObjectRanges, span: range, locator: TextLocator, tallies: Tallies, stopped: Callable[[], bool]
    ) -> InspectedPart:
        """The hits that start in `span`. What stands before it is read again as far as a value that goes on in it, a
        hit's context or a string around it can begin there; what stands behind it, as far as a value can go on."""
        if not span:
            return InspectedPart()
        locator.start_at(span.start)
        search = TextSearch(self._matcher, locator, self._limits, Place(), "")
        reach = search.reach()
        first = max(span.start - reach.back - self._matcher.after, 0)
        stop = span.stop + reach.before + reach.after
        with _found_so_far(tallies, whole=False), ranges.stream(first, stop) as content:
            surrounded = frames(content, reach, self._limits.block_bytes, base=first, ends=stop >= ranges.size)
            search.record(surrounded, span, tallies, stopped)
        found = tallies.findings(whole=False)
        return InspectedPart(found, len(span), locator.lines(), locator.records(), allowed=tallies.allowed)


def _allow_list(allowed: "Sequence[Allowance]", detectors: Sequence[Detector]) -> "AllowList | None":
    if not allowed:
        return None
    from infrastructure.detection.allowed import AllowList  # noqa: PLC0415 — an engine that few need

    return AllowList(allowed, detectors)


@contextmanager
def _found_so_far(tallies: Tallies, *, whole: bool = True) -> Iterator[None]:
    """What cannot be read to its end carries what was found before."""
    try:
        yield
    except ObjectUnreadable as error:
        error.findings, error.allowed = tallies.findings(whole=whole), tallies.allowed
        raise


def _splittable_text(head: bytes, name: str, limits: Limits) -> TextLocator | None:
    """The locator of a text whose records can be read without what stands before them; None for any other content."""
    if decompression_of(head[:MAGIC_BYTES]) is not None:
        return None
    try:
        refuse(head, name)
    except (ObjectSkipped, ObjectUnreadable):
        return None
    if format_of(head, name) is not None or charset.transcoding_of(head) is not None or charset.looks_binary(head):
        return None
    locator = locator_for(head, name, charset.same_width, limits)
    return None if isinstance(locator, JsonDocumentLocator) else locator


def _cuts(ranges: ObjectRanges, parts: int, head: bytes, locator: TextLocator, limits: Limits) -> Cuts:
    if isinstance(locator, DelimitedLocator):
        return Cuts(ranges, parts, RecordBoundary(head, locator.dialect, limits), limits)
    return Cuts(ranges, parts, LineBoundary(), limits)
