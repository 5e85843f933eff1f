"""Rows of a spreadsheet, gathered into batches of one column each."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from infrastructure.formats.dialects import header_of
from infrastructure.formats.extracted import ColumnBatch, Passage, Place
from infrastructure.formats.limits import MIB
from infrastructure.formats.names import decoded, is_plain_name, shown_name

COLUMNS: Final = 16_384
"""As many columns as a sheet can have. What stands beyond is taken as one more."""

_BATCH_CELLS: Final = 32 * 1024
_BATCH_BYTES: Final = MIB
_SNIFFED_ROWS: Final = 25
_SNIFFED_COLUMNS: Final = 64

Cells = list[tuple[int, bytes]]
"""Values with their columns, from 0, in order. A cell may hold several."""

Row = tuple[int, Cells]
"""A row's number in its sheet, from 1, and its cells."""


class SheetTable:
    """The values of one sheet by column. The first row that names its columns is the header; what stands above it is
    text, as the header itself is. Rows are counted from 0 behind it, empty ones left out."""

    def __init__(self, sheet: str) -> None:
        self._sheet = shown_name(sheet)
        self._first_rows: list[Row] | None = []
        self._header: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._values: dict[int, tuple[list[bytes], list[int]]] = {}
        self._numbers: dict[int, int] = {}
        self._record = -1
        self._last = 0
        self._cells = 0
        self._bytes = 0

    def add(self, number: int, cells: Cells) -> Iterator[ColumnBatch | Passage]:
        """Take a row, or some more of the last one, and give what is ready by now."""
        if self._first_rows is None:
            yield from self._add(number, cells)
            return
        self._first_rows.append((number, cells))
        self._cells += len(cells)
        if len(self._first_rows) >= _SNIFFED_ROWS or self._cells > _BATCH_CELLS:
            yield from self._settle_header()

    def rest(self) -> Iterator[ColumnBatch | Passage]:
        """Give what is left at the sheet's end."""
        if self._first_rows:
            yield from self._settle_header()
        yield from self._batches()

    def _settle_header(self) -> Iterator[ColumnBatch | Passage]:
        rows, self._first_rows, self._cells = self._first_rows or [], None, 0
        titles = _titles(rows)
        header = header_of([_sniffed(cells) for _, cells in rows[titles:]]) if len(rows) > titles else None
        if header is not None:
            self._header = {at: decoded(value) for at, value in rows[titles][1]}
            titles += 1
        for number, cells in rows[:titles]:
            yield from self._passages(number, cells)
        for number, cells in rows[titles:]:
            yield from self._add(number, cells)

    def _passages(self, number: int, cells: Cells) -> Iterator[Passage]:
        for at, value in cells:
            yield Passage(value, Place(sheet=self._sheet, cell=f"{letters(at)}{number}"))

    def _add(self, number: int, cells: Cells) -> Iterator[ColumnBatch]:
        if number != self._last or self._record < 0:
            self._record += 1
            self._last = number
        record = self._record
        self._numbers[record] = number
        for at, value in cells:
            column = self._values.get(at)
            if column is None:
                column = self._values[at] = ([], [])
            column[0].append(value)
            column[1].append(record)
            self._bytes += len(value)
        self._cells += len(cells)
        if self._cells >= _BATCH_CELLS or self._bytes >= _BATCH_BYTES:
            yield from self._batches()

    def _batches(self) -> Iterator[ColumnBatch]:
        for at, (values, records) in self._values.items():
            yield ColumnBatch.of(self._name_of(at), values, records, self._places(at))
        self._values = {}
        self._numbers = {}
        self._cells = self._bytes = 0

    def _places(self, at: int) -> Callable[[int], Place]:
        name, numbers, column = self._name_of(at), self._numbers, letters(at)

        def place(record: int) -> Place:
            cell = f"{column}{numbers[record]}"
            return Place(sheet=self._sheet, cell=cell, record_index=record, field=name)

        return place

    def _name_of(self, at: int) -> str:
        name = self._names.get(at)
        if name is None:
            given = self._header.get(at, "")
            name = self._names[at] = given if is_plain_name(given) else f"column_{at + 1}"
        return name


@lru_cache(maxsize=COLUMNS + 1)
def letters(column: int) -> str:
    """The letters of a column, counted from 0: `A`, …, `Z`, `AA`, …"""
    name = ""
    column += 1
    while column > 0:
        column, letter = divmod(column - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


def _titles(rows: list[Row]) -> int:
    """How many of the first rows hold one cell only, where wider ones follow."""
    return next((at for at, (_, cells) in enumerate(rows) if cells[0][0] != cells[-1][0]), 0)


def _sniffed(cells: Cells) -> list[str]:
    """The first cells of a row, as the cells of a line."""
    given = dict(cells[:_SNIFFED_COLUMNS])
    width = min(max(given, default=0) + 1, _SNIFFED_COLUMNS)
    return [decoded(given.get(at, b"")) for at in range(width)]
