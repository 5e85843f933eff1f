"""CSV and its kin (RFC 4180): which record and which column a hit stands in, without parsing the others."""

import re
from collections.abc import Collection, Iterator
from typing import Final, Self

from domain.detectors.rule import CONTEXT_BEFORE
from domain.finding import Occurrence
from infrastructure.formats.charset import UTF8_BOM, Width
from infrastructure.formats.dialects import Dialect
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.names import shown_name
from infrastructure.formats.window import Frame

_EVERY: Final = bytes(range(256))
_BLANK_LINES: Final = (b"\n", b"\r\n")
_BLANK: Final = re.compile(rb"^\r?\n", re.MULTILINE)
_BLANK_BETWEEN: Final = re.compile(rb"\n\r?\n")


class DelimitedLocator(TextLocator):
    """Places hits in a delimited file.

    A record ends at a newline outside quotes. A quote that does not close within `record_reach` bytes is taken as a
    plain character of its line; beyond that reach of its record's start, a hit has no field.
    """

    def __init__(self, width: Width, limits: Limits, dialect: Dialect) -> None:
        super().__init__(width, limits)
        self._limits = limits
        self.dialect: Final = dialect
        self.header: Final = dialect.header
        self._delimiter, self._quote, self._escapes = dialect.delimiter, dialect.quoting.mark, dialect.quoting.escapes
        self._above = dialect.above
        self._names: dict[int, str] = {}
        self._record = 0
        self._record_start = 0
        # Where the field that was reached last begins, and its number in the record.
        self._seen = 0
        self._index = 0
        self._name: str | None = None
        # Up to here, no newline has been found behind the record's beginning but those inside quotes.
        self._passed = 0
        # Where the newlines were counted last, and how many they are.
        self._counted = (0, 0, 0)
        self._field = dialect.field()
        self._whole = dialect.record()
        self._not_quote_or_newline = _EVERY.translate(None, self._quote + b"\n")

    def start_at(self, offset: int) -> None:
        super().start_at(offset)
        self._record_start = self._seen = offset
        if offset > 0:
            self._above = 0

    def cursor(self, start: int | None = None) -> Self:
        """Another one of the same table, at the same record or at that which begins at `start`."""
        cursor = type(self)(self._width, self._limits, self.dialect)
        if start or self._record_start:
            cursor.start_at(start or self._record_start)
        return cursor

    @property
    def reach(self) -> int:
        """How long a record may be to be told apart from what stands around it."""
        return self._reach

    def names(self) -> dict[int, str]:
        """The names of the columns that were asked for, by their index."""
        return dict(self._names)

    def boundary(self, frame: Frame) -> int | None:
        """Where the first record begins that does so at or behind the frame's limit; None if that is not at hand."""
        cursor = self.cursor()
        cursor.begin(frame)
        while cursor._record_start < frame.limit:
            end = cursor._record_end()
            if end is None:
                return None
            cursor._record_start = end
        return cursor._record_start

    def position(self, frame: Frame) -> int | None:
        """Where `cells` goes on behind this frame; None if that is not at its limit or behind."""
        return self._record_start if self._record_start >= frame.limit else None

    def cells(self, frame: Frame, columns: Collection[int]) -> Iterator[tuple[int, int, int]]:
        """The cells of these columns in each record that begins before the limit of `frame` and was not given
        before: the column's index, and where the cell begins and ends without its quotes. Nothing of a record beyond
        `record_reach`."""
        self.begin(frame)
        last = max(columns)
        while self._record_start < frame.limit:
            start = self._record_start
            end = self._record_end()
            if end is None:
                if not frame.last:
                    return
                end = frame.base + len(frame.data)
            if start >= frame.base:
                stop = min(end, start + self._reach) - frame.base
                for index, (first, after) in enumerate(self._fields(start - frame.base, stop)):
                    if index in columns:
                        yield index, frame.base + first, frame.base + after
                    if index >= last:
                        break
            self._record_start = end

    def _fields(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Where each field of the record `first..stop` of the data begins and ends, without its quotes."""
        data = self._data
        while stop > first and data[stop - 1] in b"\r\n":
            stop -= 1
        while True:
            field = self._field.match(data, first, stop)
            after = field.end() - 1 if field else stop
            quoted = after - first >= 2 and data[first] == data[after - 1] == self._quote[0]
            yield (first + 1, after - 1) if quoted else (first, after)
            if field is None:
                return
            first = field.end()

    def records(self) -> int:
        """Without the header. A record counts where it ends, so that one that was cut by mistake counts once."""
        at_end = self._last and self._position == self._base + len(self._data)
        rest = self._data[max(self._record_start - self._base, 0) :] if at_end else b""
        return self._record + bool(rest.strip(b"\r\n")) - self._above

    def begin(self, frame: Frame) -> None:
        super().begin(frame)
        if self._record_start == 0 and frame.base == 0 and frame.data.startswith(UTF8_BOM):
            self._record_start = self._seen = len(UTF8_BOM)

    def settle(self, offset: int) -> None:
        self._advance_records(offset)
        super().settle(offset)

    def column(self, start: int) -> str | None:
        data, stop = self._data, start - self._base
        if data.find(b"\n", max(self._seen - self._base, self._passed - self._base, 0), stop) >= 0:
            self._advance_records(start)
        self._passed = start
        if self._record_start > self._seen:
            self._seen, self._index = self._record_start, 0
        if start - self._record_start > self._reach:
            self._name = None
            return None
        self._reach_field(self._seen - self._base, stop)
        self._name = self._names.get(self._index) or self._name_of(self._index)
        return self._name

    def _reach_field(self, first: int, stop: int) -> None:
        """Go from the field that begins at `first` to the one that `stop` lies in."""
        data = self._data
        if data.find(self._quote, first, stop) < 0:
            passed = data.count(self._delimiter, first, stop)
            if passed:
                self._index += passed
                self._seen = self._base + data.rfind(self._delimiter, first, stop) + 1
            return
        while (field := self._field.match(data, first, stop)) is not None:
            self._index += 1
            first = field.end()
        self._seen = self._base + first

    def near(self, start: int, end: int) -> bytes:  # noqa: ARG002 — what follows is the next column's
        """The column's name and what stands before the hit in its field."""
        stop = start - self._base
        first = max(self._record_start - self._base, stop - CONTEXT_BEFORE, 0)
        field = self._data[first:stop].rpartition(self._delimiter)[2]
        return field if self._name is None else self._name.encode() + b" " + field

    def place(self, start: int, end: int, masked: str, confidence: float) -> Occurrence:
        record = self._record - self._above
        return self._placed(
            start, end, masked, confidence, record_index=record if record >= 0 else None, field=self._name
        )

    def _name_of(self, index: int) -> str:
        name = self.header[index] if index < len(self.header) else ""
        name = shown_name(name) if name else f"column_{index + 1}"
        if len(self._names) < len(self.header) + 4096:
            self._names[index] = name
        return name

    def _advance_records(self, offset: int) -> None:
        start, stop = max(self._record_start - self._base, 0), offset - self._base
        newline = self._data.rfind(b"\n", start, stop)
        if newline < 0:
            return
        if self._record_start >= self._base and self._all_even(start, newline):
            lines = self._data.count(b"\n", start, newline + 1)
            self._record += lines - _blank_lines(self._data, start, newline + 1)
            self._counted = start + self._base, newline + 1 + self._base, lines
            self._record_start = self._base + newline + 1
        else:
            self._walk(offset)

    def _all_even(self, start: int, newline: int) -> bool:
        """Whether every newline up to this one stands outside quotes: no quote is left when adjacent pairs are gone."""
        if self._data.find(self._quote, start, newline) < 0:
            return True
        data = self._data[start:newline]
        if self._escapes:
            data = data.replace(b"\\" + self._quote, b"")
        marks = data.translate(None, self._not_quote_or_newline)
        return self._quote not in marks.replace(self._quote * 2, b"")

    def _newlines(self, start: int, stop: int) -> int:
        first, after, newlines = self._counted
        if first == start + self._base and self._base + stop >= after > first:
            return newlines + super()._newlines(after - self._base, stop)
        return super()._newlines(start, stop)

    def _walk(self, offset: int) -> None:
        """Go record by record as far as `offset`."""
        while (end := self._record_end()) is not None and end <= offset:
            first = self._record_start - self._base
            self._record += first < 0 or self._data[first : end - self._base] not in _BLANK_LINES
            self._record_start = end

    def _record_end(self) -> int | None:
        """The offset behind the current record's newline; None if it is not at hand, hence beyond any hit asked for."""
        if self._record_start < self._base:
            newline = self._data.find(b"\n", max(self._record_start + self._reach - self._base, 0))
            return None if newline < 0 else self._base + newline + 1
        start = self._record_start - self._base
        whole = self._whole.match(self._data, start, start + self._reach + 1)
        if whole is not None and whole[1] is None and whole[2] is None:
            return self._base + whole.end()
        first = self._data.find(b"\n", start)
        at_hand = self._last or len(self._data) - start > self._reach
        return self._base + first + 1 if first >= 0 and at_hand else None


def _blank_lines(data: bytes, start: int, stop: int) -> int:
    """How many of the whole lines `start..stop`, of which no newline is quoted, are blank."""
    if data[start] not in b"\r\n" and _BLANK_BETWEEN.search(data, start, stop) is None:
        return 0
    return len(_BLANK.findall(data[start:stop]))
