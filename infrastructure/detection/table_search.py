"""What only a table's columns tell: which are announced by their names, and which are full of one kind of value.

In a column whose name is one of a detector's keywords, its values need no other. In a *dense* column the first
occurrences of a finding are kept and its confidence cannot rise any more: all that another hit changes is the count.
Cells that the detector's kernel accepts are then counted all at once, and left out when the text is searched by rules;
whatever it does not accept is searched as ever. What is found is the same either way.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from infrastructure.detection.dense import Dense, dense_column
from infrastructure.detection.matcher import Hit, Matcher, Rule, announced_hits
from infrastructure.detection.tallies import Tallies
from infrastructure.formats.delimited import DelimitedLocator
from infrastructure.formats.dialects import Quoting
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.window import Frame

if TYPE_CHECKING:
    from infrastructure.detection.condensed import Condensed
    from infrastructure.detection.own_search import OwnRule
    from infrastructure.formats.table_split import TableSplit

_BLANK: Final = 32
_BETWEEN: Final = b"\n"


class TableSearch:
    """Looks at the columns of one delimited text, frame after frame; of any other text it has none."""

    def __init__(self, matcher: Matcher, locator: TextLocator, tallies: Tallies, span: range) -> None:
        self._matcher = matcher
        self._locator = locator if isinstance(locator, DelimitedLocator) else None
        self._tallies = tallies
        self._span = span
        header = self._locator.header if self._locator else ()
        named = ((index, matcher.announced(name)) for index, name in enumerate(header) if name)
        self._announced: dict[int, tuple[Rule | OwnRule, ...]] = {index: rules for index, rules in named if rules}
        self._dense: dict[int, Dense] = {}
        self._cursor = self._locator.cursor() if self._locator and self._announced else None
        self._next: int | None = None
        self._beyond: list[tuple[int, int]] = []

    def search(self, frame: Frame) -> "tuple[Frame | Condensed, list[Hit]]":
        """The frame without what was counted in it, and the hits in announced columns."""
        if self._next is None:
            return frame, self._one_by_one(frame) if self._cursor is not None else []
        import numpy as np  # noqa: PLC0415 — 20 MB that only larger tables need

        if self._beyond:
            text = np.frombuffer(frame.data, np.uint8).copy()
            for start, end in self._beyond:
                text[start - frame.base : end - frame.base] = _BLANK
            self._beyond = []
            frame = replace(frame, data=text.tobytes())
        return self._at_once(frame, np.frombuffer(frame.data, np.uint8)[self._next - frame.base :])

    def learn(self, frame: Frame) -> None:
        """Look, after a frame's hits were recorded, which columns are dense from here on."""
        locator = self._locator
        if locator is None or frame.last or not locator.records():
            return
        if locator.dialect.quoting != Quoting():  # `split_table` knows no other
            return
        records = locator.records()
        found: dict[int, Dense] = {}
        for index, name in locator.names().items():
            dense = dense_column(name, records, self._announced.get(index, ()), self._matcher, self._tallies)
            if dense is not None:
                found[index] = dense
        if self._next is None and (found or self._announced):
            self._next = locator.boundary(frame) if self._cursor is None else self._cursor.position(frame)
        if self._next is not None:
            self._dense = found

    def _one_by_one(self, frame: Frame) -> list[Hit]:
        """The hits in announced columns, of a text that is small or whose quotes are out of order."""
        assert self._cursor is not None
        places: dict[int, list[tuple[int, int]]] = {index: [] for index in self._announced}
        for column, start, end in self._cursor.cells(frame, self._announced):
            places[column].append((start - frame.base, end - frame.base))
        return [
            hit
            for index, cells in places.items()
            for hit in _cell_hits(self._announced[index], frame.data, frame.base, cells)
        ]

    def _at_once(self, frame: Frame, text: Any) -> "tuple[Frame | Condensed, list[Hit]]":
        """Count the accepted cells of the records that begin before the frame's limit, and leave them out; search the
        others in announced columns."""
        import numpy as np  # noqa: PLC0415 — see above

        from infrastructure.formats.table_split import split_table  # noqa: PLC0415 — see above

        assert self._locator is not None
        assert self._next is not None
        offset = self._next
        table = split_table(text, self._locator.dialect.delimiter[0])
        if table is None or table.longest() > self._locator.reach:
            return frame, self._out_of_order(frame)
        table = table.upto(int(np.searchsorted(table.starts, frame.limit - offset)))
        hits: list[Hit] = []
        counted: list[tuple[Any, Any, Any]] = []
        for index in sorted({*self._announced, *self._dense}):
            starts, ends = table.cells(index)
            left = ends > starts
            if index in self._dense:
                accepted = self._accepted(self._dense[index], table, starts, ends)
                late = np.flatnonzero(accepted & (ends > frame.limit - offset))
                self._beyond += [(int(starts[at]) + offset, int(ends[at]) + offset) for at in late]
                counted.append((accepted, starts, ends))
                left &= ~accepted
            if index in self._announced:
                cells = list(zip(starts[left].tolist(), ends[left].tolist(), strict=True))
                hits += _cell_hits(self._announced[index], frame.data[offset - frame.base :], offset, cells)
        self._next = offset + table.end()
        return self._without(frame, offset, counted), hits

    def _without(self, frame: Frame, offset: int, counted: list[tuple[Any, Any, Any]]) -> "Frame | Condensed":
        """The frame without these cells of the text that begins at `offset`."""
        import numpy as np  # noqa: PLC0415 — see above

        from infrastructure.detection.condensed import condensed  # noqa: PLC0415 — see above

        assert self._locator is not None
        if not counted:
            return frame
        if b"\\" not in frame.data:
            delimiter = self._locator.dialect.delimiter[0]
            return condensed(
                frame, offset, counted, lambda text, end, begin: (begin == end + 1) & (text[end] == delimiter)
            )
        # It may be the beginning of a separator, and is looked at in its place.
        text = np.frombuffer(frame.data, np.uint8).copy()
        blank(text[offset - frame.base :], counted)
        return replace(frame, data=text.tobytes())

    def _accepted(self, dense: Dense, table: "TableSplit", starts: Any, ends: Any) -> Any:
        """Which cells of a dense column its kernel accepts; they are counted."""
        assert self._next is not None
        own = (table.starts >= self._span.start - self._next) & (table.starts < self._span.stop - self._next)
        accepted = dense.kernel(table.text, starts, ends) & own
        self._tallies.of(dense.detector, dense.name).count += int(accepted.sum())
        return accepted

    def _out_of_order(self, frame: Frame) -> list[Hit]:
        """The records of this frame are told one by one, and no column of it is counted all at once."""
        assert self._locator is not None
        assert self._next is not None
        self._dense = {}
        if self._announced:
            self._cursor = self._locator.cursor(self._next)
        self._next = None
        return self._one_by_one(frame) if self._announced else []


def _cell_hits(
    rules: "Sequence[Rule | OwnRule]", text: bytes, base: int, cells: Sequence[tuple[int, int]]
) -> Iterator[Hit]:
    """The hits of these rules in these cells of a text that begins at `base`."""
    if not cells:
        return
    joined = _BETWEEN.join([text[start:end] for start, end in cells])
    begins = [0, *accumulate(end - start + len(_BETWEEN) for start, end in cells)]
    for first, last, detector, confidence, value in announced_hits(rules, joined):
        cell = bisect_right(begins, first) - 1
        if last < begins[cell + 1]:
            shift = base + cells[cell][0] - begins[cell]
            yield first + shift, last + shift, detector, confidence, value


def blank(text: Any, cells: Sequence[tuple[Any, Any, Any]]) -> None:
    """Overwrite the accepted cells of some columns, the first column first, with blanks."""
    import numpy as np  # noqa: PLC0415 — see above

    if not cells:
        return
    accepted, starts, ends = (np.stack(rows, axis=1) for rows in zip(*cells, strict=True))
    bounds = np.zeros(2 * np.count_nonzero(accepted) + 2, np.int64)
    bounds[1:-1:2] = starts[accepted]
    bounds[2:-1:2] = ends[accepted]
    bounds[-1] = len(text)
    inside = np.zeros(len(bounds) - 1, np.bool_)
    inside[1::2] = True
    np.copyto(text, np.uint8(_BLANK), where=np.repeat(inside, np.diff(bounds)))
