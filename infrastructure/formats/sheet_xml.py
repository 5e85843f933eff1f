"""What the XML of a sheet and of its comments says (ECMA-376, SpreadsheetML)."""

import re
from typing import Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.limits import MIB
from infrastructure.formats.shared_strings import SharedStrings
from infrastructure.formats.sheets import COLUMNS, Cells, Row
from infrastructure.formats.xml_parts import local_name

_LONGEST: Final = 8 * MIB
_MOST_OF_A_ROW: Final = 32 * 1024
_NO_TEXT: Final = frozenset({"b", "e"})
_TEXTS: Final = frozenset({"v", "t"})
_CELL: Final = re.compile(r"[A-Z]{1,3}[0-9]{1,7}")
_DIGITS: Final = "0123456789"
_WHOLE: Final = re.compile(r"(-?[0-9]+)(?:\.([0-9]*))?(?:[eE]\+?([0-9]{1,2}))?")
_LONGEST_NUMBER: Final = 40
_TOLD: Final = frozenset({"display", "tooltip", "location", "prompt", "promptTitle", "error", "errorTitle"})


class SheetElements:
    """Gathers the rows of one sheet, and the text that stands beside them: headers, footers, links, validations."""

    def __init__(self, strings: SharedStrings) -> None:
        self.depth = 0
        self._strings = strings
        self._rows: list[Row] = []
        self._beside: list[str] = []
        self._row = 0
        self._column = -1
        self._cells: Cells = []
        self._kind = ""
        self._value: list[str] = []
        self._formula: list[str] = []
        self._capture: list[str] | None = self._beside
        self._in_data = False
        self._length = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        name = local_name[tag]
        if name == "c":
            self._start_cell(attributes)
        elif name == "row":
            self._start_row(attributes.get("r", ""))
        elif self._in_data:
            if name in _TEXTS:
                self._capture = self._value
            elif name == "f":
                self._capture = self._formula
        elif name == "sheetData":
            self._in_data, self._capture = True, None
        elif attributes:
            self._beside += [f"{value}\n" for told, value in attributes.items() if told in _TOLD]

    def end(self, tag: str) -> None:
        self.depth -= 1
        name = local_name[tag]
        if name == "c":
            self._end_cell()
        elif name == "sheetData":
            self._in_data, self._capture = False, self._beside
        elif self._in_data:
            self._capture = None
            if name == "row":
                self._end_row()
        elif self._length:
            self._beside.append("\n")

    def text(self, text: str) -> None:
        if self._capture is not None:
            self._capture.append(text)
            self._length += len(text)

    def taken_rows(self) -> list[Row]:
        """The rows that ended, and of one that is long what it has by now.

        Raises `ObjectUnreadable(resource_limit)` if a cell has too much text.
        """
        if self._length > _LONGEST:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has a cell that is too long")
        if len(self._cells) > _MOST_OF_A_ROW:
            self._end_row()
        rows, self._rows = self._rows, []
        return rows

    def taken_text(self) -> bytes:
        """The text beside the rows so far."""
        text = "".join(self._beside).strip().encode("utf-8", "replace")
        self._beside.clear()
        if not self._in_data:
            self._length = 0
        return text

    def _start_row(self, number: str) -> None:
        given = number.isascii() and number.isdigit() and len(number) <= 9
        self._row = int(number) if given else self._row + 1
        self._column = -1

    def _end_row(self) -> None:
        if self._cells:
            self._rows.append((self._row, self._cells))
            self._cells = []

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self._kind = attributes.get("t", "")
        reference = attributes.get("r")
        at = self._column + 1 if reference is None else _COLUMN_OF[reference.rstrip(_DIGITS)]
        self._column = min(at, COLUMNS)
        self._length = 0
        self._capture = None

    def _end_cell(self) -> None:
        text = "".join(self._value)
        self._value.clear()
        value = self._strings.of(text) if self._kind == "s" else self._read(text)
        if value:
            self._cells.append((self._column, value))
        if self._formula:
            self._end_formula(value or b"")

    def _end_formula(self, value: bytes) -> None:
        """The words in a formula may be hidden by its value: =HYPERLINK("mailto:…","write to me")."""
        formula = "".join(self._formula)
        self._formula.clear()
        if '"' in formula and not (value and value.decode() in formula):
            self._cells.append((self._column, formula.encode("utf-8", "replace")))

    def _read(self, text: str) -> bytes:
        if not self._kind or self._kind == "n":
            return whole_number(text).encode("utf-8", "replace")
        return b"" if self._kind in _NO_TEXT else text.encode("utf-8", "replace")


class CommentElements:
    """Gathers the comments on a sheet's cells, notes and threads alike."""

    def __init__(self) -> None:
        self.depth = 0
        self._cell: str | None = None
        self._parts: list[str] = []
        self._taken: list[tuple[str | None, bytes]] = []
        self._length = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if local_name[tag] in {"comment", "threadedComment"}:
            self._end_comment()
            reference = attributes.get("ref", "")
            self._cell = reference if _CELL.fullmatch(reference) else None

    def end(self, tag: str) -> None:
        self.depth -= 1
        if local_name[tag] in {"comment", "threadedComment", "author", "comments"}:
            self._end_comment()

    def text(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def taken(self) -> list[tuple[str | None, bytes]]:
        """The comments so far with their cells; what stands outside of them has none.

        Raises `ObjectUnreadable(resource_limit)` if one is too long.
        """
        if self._length > _LONGEST:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has a comment that is too long")
        taken, self._taken = self._taken, []
        return taken

    def _end_comment(self) -> None:
        text = "".join(self._parts).strip()
        if text:
            self._taken.append((self._cell, text.encode("utf-8", "replace")))
        self._parts.clear()
        self._cell = None
        self._length = 0


def whole_number(value: str) -> str:
    """A number as its digits, where it is a whole one: `4.1E+15` as `4100000000000000`; any other as it is."""
    if "." not in value and "E" not in value and "e" not in value:
        return value
    match = _WHOLE.fullmatch(value) if len(value) <= _LONGEST_NUMBER else None
    if match is None:
        return value
    fraction, exponent = (match[2] or "").rstrip("0"), int(match[3] or 0)
    return (match[1] + fraction.ljust(exponent, "0")).lstrip("0") if len(fraction) <= exponent else value


class _Columns(dict[str, int]):
    """Columns, from 0, by their letters. Letters that are none lead beyond the last."""

    def __missing__(self, name: str) -> int:
        if not 1 <= len(name) <= 3 or not name.isascii() or not name.isalpha():
            return COLUMNS
        column = 0
        for letter in name.upper():
            column = column * 26 + ord(letter) - ord("A") + 1
        if column > COLUMNS:
            return COLUMNS
        self[name] = column - 1
        return column - 1


_COLUMN_OF: Final = _Columns()
