"""Where a text is cut into parts: between records, at a place that the parts on both sides find in the same bytes."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from domain.parts import part_range
from infrastructure.formats.dialects import Dialect, record_shape
from infrastructure.formats.limits import Limits
from infrastructure.formats.ranges import ObjectRanges

_LOOK: Final = 64 * 1024
_CERTAIN_RUN: Final = 4
_MAX_CANDIDATES: Final = 10_000


class Boundary(Protocol):
    """Finds where a record begins."""

    def after(self, ranges: ObjectRanges, cut: int, stop: int, *, urgent: bool) -> int | None:
        """A record's beginning in `cut..stop`; None if none is known there. `urgent`: a doubtful one is better."""


class Cuts:
    """The cuts of one text. That of part k is looked for in its range, at most `cut_reach` behind its beginning. Where
    none is found, the cut does not exist: the part before goes on to the next one that does."""

    def __init__(self, ranges: ObjectRanges, parts: int, boundary: Boundary, limits: Limits) -> None:
        self._ranges = ranges
        self._parts = parts
        self._boundary = boundary
        self._reach = limits.cut_reach

    def span(self, part: int) -> range:
        """The bytes that belong to the part, none if its cut does not exist. All spans together cover the text once."""
        start = self._at(part)
        if start is None:
            return range(0)
        stops = (self._at(later) for later in range(part + 1, self._parts))
        return range(start, next((stop for stop in stops if stop is not None), self._ranges.size))

    def _at(self, part: int) -> int | None:
        if part == 0:
            return 0
        nominal = part_range(self._ranges.size, part, self._parts)
        looked_at = nominal[: self._reach]
        if not looked_at:
            return None
        urgent = len(looked_at) < len(nominal)
        return self._boundary.after(self._ranges, looked_at.start, looked_at.stop, urgent=urgent)


class LineBoundary:
    """Every line begins a record."""

    def after(self, ranges: ObjectRanges, cut: int, stop: int, *, urgent: bool) -> int | None:  # noqa: ARG002
        for position in range(max(cut - 1, 0), stop - 1, _LOOK):
            newline = ranges.read(position, min(position + _LOOK, stop - 1)).find(b"\n")
            if newline >= 0:
                return position + newline + 1
        return None


class RecordBoundary:
    """Tells a delimited record's beginning from a line inside quotes, without what stands before the cut.

    It is the first line behind which 4 records in a row (or all to the end) are well-formed and have as many fields as
    those of the head; else the first behind which 4 are well-formed; else, if it is urgent, the first behind which one
    is so, or simply the first line. In a well-formed file it is wrong only where a quoted field holds that many lines
    which themselves read as records, or, if urgent, where `cut_reach` bytes hold not one record's beginning.
    There, and where quotes are broken, fields and record indices behind the cut (and the confidence that a field's name
    lends) may differ from a reading of the whole; hits, their count and their bytes, lines and columns never do.
    """

    def __init__(self, head: bytes, dialect: Dialect, limits: Limits) -> None:
        self._first, fields = record_shape(head, dialect)
        self._reach = limits.cut_reach + limits.record_reach
        self._quote = dialect.quoting.mark
        mark = re.escape(dialect.delimiter)
        field = rb"(?:%b|[^%b%b\n]*+)" % (dialect.quoting.pattern(), self._quote, mark)
        end = rb"\r?(?:\n[\r\n]*+|\Z)"
        self._whole = re.compile(rb"%b(?:%b%b){%d}%b" % (field, mark, field, fields - 1, end), re.DOTALL)
        self._formed = re.compile(rb"%b(?:%b%b)*+%b" % (field, mark, field, end), re.DOTALL)

    def after(self, ranges: ObjectRanges, cut: int, stop: int, *, urgent: bool) -> int | None:
        base = max(cut - 1, 0)
        data = ranges.read(base, cut + self._reach)
        # The head's first record names the columns, so it stays with what the first part begins with.
        lines = _line_starts(data, max(self._first - base, 0), stop - base)
        quoted = self._quote in data
        found = self._well_formed(data, lines, urgent=urgent) if quoted else next(iter(lines), None)
        return None if found is None else base + found

    def _well_formed(self, data: bytes, lines: Sequence[int], *, urgent: bool) -> int | None:
        evidence = [(self._whole, _CERTAIN_RUN), (self._formed, _CERTAIN_RUN)]
        if urgent:
            evidence.append((self._whole, 1))
        for record, run in evidence:
            for start in lines:
                if _runs(record, run, data, start):
                    return start
        return next(iter(lines), None) if urgent else None


def _line_starts(data: bytes, first: int, stop: int) -> list[int]:
    """The beginnings of lines in `first..stop` that are not blank, the first `_MAX_CANDIDATES` of them."""
    return list(islice(_not_blank(data, first, stop), _MAX_CANDIDATES))


def _not_blank(data: bytes, first: int, stop: int) -> Iterator[int]:
    for newline in re.finditer(rb"\n(?!\r?\n)", data[: stop + 1]):
        if first <= newline.end() < stop:
            yield newline.end()


def _runs(record: re.Pattern[bytes], run: int, data: bytes, start: int) -> bool:
    """Whether a run of records begins here, or as many as there are to the end of `data`."""
    for _ in range(run):
        if start == len(data):
            return True
        match = record.match(data, start)
        if match is None:
            return False
        start = match.end()
    return True
