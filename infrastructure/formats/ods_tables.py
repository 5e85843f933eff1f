"""What the XML of an OpenDocument spreadsheet says: rows of cells, sheet by sheet, and text beside them."""

from typing import Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.limits import MIB
from infrastructure.formats.sheet_xml import whole_number
from infrastructure.formats.sheets import COLUMNS, Cells
from infrastructure.formats.xml_parts import local_attributes, local_name

_LONGEST: Final = 8 * MIB
_MOST_OF_A_ROW: Final = 32 * 1024
_CELLS: Final = frozenset({"table-cell", "covered-table-cell"})
_BESIDE: Final = frozenset({"annotation", "shapes", "forms", "title", "desc"})
_NUMBERS: Final = frozenset({"float", "currency", "percentage"})
_LARGEST_ROW: Final = 1 << 24

Cell = tuple[int, int]
"""A column, from 0, and a row, from 1."""


class TableElements:
    """Gathers the rows of all sheets. A value that is repeated over columns or rows is given once."""

    def __init__(self) -> None:
        self.depth = 0
        self._sheet: str | None = None
        self._rows: list[tuple[str | None, int, Cells]] = []
        self._texts: list[tuple[str | None, Cell | None, bytes]] = []
        self._row = 1
        self._column = 0
        self._repeated = 1
        self._columns = 1
        self._cells: Cells = []
        self._number: str | None = None
        self._in_cell = False
        self._beside = 0
        self._value: list[str] = []
        self._other: list[str] = []
        self._length = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        name = local_name[tag]
        if name in _CELLS:
            self._start_cell(local_attributes(attributes))
        elif name == "table" and not self._in_cell:
            self._sheet = local_attributes(attributes).get("name", "")
            self._rows.append((self._sheet, 0, []))
            self._row = 1
        elif name == "table-row":
            self._column = 0
            self._repeated = _repeated(local_attributes(attributes).get("number-rows-repeated", ""))
        elif name in _BESIDE:
            self._beside += 1
        elif name in {"tab", "line-break", "s"}:
            self.text(" ")
        elif name == "a":
            self._other += [f"{value}\n" for told, value in attributes.items() if local_name[told] == "href"]

    def end(self, tag: str) -> None:
        self.depth -= 1
        name = local_name[tag]
        if name in _CELLS:
            self._end_cell()
        elif name == "table-row":
            self._end_row()
            self._row = min(self._row + self._repeated, _LARGEST_ROW)
        elif name in _BESIDE:
            self._beside -= 1
            self._end_text()
        elif name in {"p", "creator", "date"}:
            self.text("\n")
            if not self._in_cell:
                self._end_text()

    def text(self, text: str) -> None:
        (self._value if self._in_cell and not self._beside else self._other).append(text)
        self._length += len(text)

    def taken_rows(self) -> list[tuple[str | None, int, Cells]]:
        """The rows by now. Before the first of each sheet stands one without cells that names the sheet.

        Raises `ObjectUnreadable(resource_limit)` if a cell has too much text.
        """
        if self._length > _LONGEST:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has a cell that is too long")
        if len(self._cells) > _MOST_OF_A_ROW:
            self._end_row()
        rows, self._rows = self._rows, []
        return rows

    def taken_text(self) -> list[tuple[str | None, Cell | None, bytes]]:
        """Comments and other text so far, with its sheet and its cell."""
        texts, self._texts = self._texts, []
        return texts

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self._in_cell = True
        self._number = attributes.get("value") if attributes.get("value-type") in _NUMBERS else None
        self._columns = _repeated(attributes.get("number-columns-repeated", ""))
        self._value.clear()

    def _end_cell(self) -> None:
        text = "".join(self._value).strip()
        value = text if self._number is None else whole_number(self._number)
        if value:
            self._cells.append((min(self._column, COLUMNS), value.encode("utf-8", "replace")))
        self._end_text()
        self._column += self._columns
        self._in_cell = False
        self._length = 0

    def _end_row(self) -> None:
        if self._cells:
            self._rows.append((None, self._row, self._cells))
            self._cells = []

    def _end_text(self) -> None:
        text = "".join(self._other).strip()
        self._other.clear()
        if text:
            cell = (min(self._column, COLUMNS), self._row) if self._in_cell else None
            self._texts.append((self._sheet, cell, text.encode("utf-8", "replace")))
        if not self._in_cell:
            self._length = 0


def _repeated(count: str) -> int:
    return max(int(count), 1) if count.isascii() and count.isdigit() and len(count) <= 7 else 1
