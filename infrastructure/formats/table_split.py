"""A stretch of a delimited text, cut into records and cells all at once."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]

_QUOTE: Final = ord('"')
_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")


@dataclass(frozen=True, slots=True)
class TableSplit:
    """Whole records, from the first byte of `text` on: where each begins and ends, and where its delimiters stand.

    `delimiters[first[i]:last[i]]` are those of record i. Offsets are in `text`.
    """

    text: NDArray[np.uint8]
    starts: Offsets
    ends: Offsets
    delimiters: Offsets
    first: Offsets
    last: Offsets
    quotes: bool

    def upto(self, count: int) -> "TableSplit":
        """The first `count` records."""
        return replace(
            self,
            starts=self.starts[:count],
            ends=self.ends[:count],
            first=self.first[:count],
            last=self.last[:count],
        )

    def end(self) -> int:
        """Where the record after the last one begins."""
        return int(self.ends[-1]) + 1 if len(self.ends) else 0

    def longest(self) -> int:
        """The length of the longest record, or of what follows the last one if that is longer."""
        longest = int((self.ends - self.starts).max()) if len(self.ends) else 0
        return max(longest, len(self.text) - self.end())

    def cells(self, column: int) -> tuple[Offsets, Offsets]:
        """Where the cells of a column begin and end, without their quotes and the line's end. In records that do not
        reach that far they are empty."""
        width = self._width()
        if column <= width and not self.quotes:
            rows = self.delimiters[self.first[0] : self.last[-1]].reshape(-1, width) if width else self.delimiters
            begins = rows[:, column - 1] + 1 if column else self.starts
            return begins, rows[:, column] if column < width else self._line_ends()
        count = self.last - self.first
        there = count >= column
        padded = np.append(self.delimiters, 0)
        limit = len(padded) - 1
        begins = self.starts if column == 0 else padded[np.minimum(self.first + column - 1, limit)] + 1
        stops = np.where(count > column, padded[np.minimum(self.first + column, limit)], self._line_ends())
        begins, stops = np.where(there, begins, self.starts), np.where(there, stops, self.starts)
        if self.quotes:
            quoted = (stops - begins >= 2) & (self.text[begins] == _QUOTE) & (self.text[stops - 1] == _QUOTE)
            begins, stops = begins + quoted, stops - quoted
        return begins, stops

    def _width(self) -> int:
        """How many delimiters each record has; -1 if not all have as many."""
        counts = self.last - self.first
        return int(counts[0]) if len(counts) and (counts == counts[0]).all() else -1

    def _line_ends(self) -> Offsets:
        returns = (self.ends > self.starts) & (self.text[np.maximum(self.ends - 1, 0)] == _RETURN)
        ends: Offsets = self.ends - returns
        return ends


def split_table(text: NDArray[np.uint8], delimiter: int) -> TableSplit | None:
    """The whole records of a text that begins with one; None if its quotes are not all at the ends of fields or
    doubled (RFC 4180), so that records cannot be told without reading them one by one."""
    newlines = np.flatnonzero(text == _NEWLINE)
    delimiters = np.flatnonzero(text == delimiter)
    marks = np.flatnonzero(text == _QUOTE)
    if len(marks):
        if len(newlines) == 0 or not _are_structural(text, marks, delimiter):
            return None
        newlines = newlines[_outside(newlines, marks)]
        delimiters = delimiters[_outside(delimiters, marks)]
    starts = np.concatenate(([0], newlines[:-1] + 1)) if len(newlines) else newlines
    first = np.searchsorted(delimiters, starts)
    last = np.searchsorted(delimiters, newlines)
    return TableSplit(text, starts, newlines, delimiters, first, last, bool(len(marks)))


def _outside(places: Offsets, marks: Offsets) -> NDArray[np.bool_]:
    """Which places stand outside quotes: an even number of quotes before them."""
    outside: NDArray[np.bool_] = np.searchsorted(marks, places) % 2 == 0
    return outside


def _are_structural(text: NDArray[np.uint8], marks: Offsets, delimiter: int) -> bool:
    """Whether every odd quote stands at the beginning of a field or behind the quote before it, and every even one at
    a field's end or before the next quote."""
    opening, closing = marks[::2], marks[1::2]
    before = text[np.maximum(opening - 1, 0)]
    opens = (opening == 0) | (before == delimiter) | (before == _NEWLINE) | (before == _QUOTE)
    after = text[np.minimum(closing + 1, len(text) - 1)]
    closes = (after == delimiter) | (after == _NEWLINE) | (after == _RETURN) | (after == _QUOTE)
    closes |= closing == len(text) - 1
    doubled = (before == _QUOTE) & (opening > 0)
    return bool(opens.all() and closes.all() and (not doubled[:1].any()))
