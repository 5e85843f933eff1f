"""Excel workbooks: each sheet by columns, cell by cell; comments, headers and footers; everything else as packed."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from application.ports import ByteStream
from domain.coverage import SkipReason
from domain.errors import ObjectSkipped
from infrastructure.formats.extracted import Extracted, Passage, Place
from infrastructure.formats.limits import Budget
from infrastructure.formats.names import shown_name
from infrastructure.formats.packages import Package, is_package, part_name
from infrastructure.formats.paragraphs import Paragraphs, passages
from infrastructure.formats.shared_strings import SharedStrings
from infrastructure.formats.sheet_xml import CommentElements, SheetElements
from infrastructure.formats.sheets import SheetTable
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream
from infrastructure.formats.xml_parts import local_name, parsed

_ENDINGS: Final = (".xlsx", ".xlsm", ".xltx", ".xltm", ".xlsb")
_WORKBOOK: Final = "xl/workbook.xml"
_STRINGS: Final = "xl/sharedstrings.xml"
_BINARY: Final = "xl/workbook.bin"
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_COMMENTS: Final = re.compile(r"xl/(?:comments|threadedcomments)[^/]*(?:/[^/]+)?\.xml")
_DRAWING: Final = re.compile(r"xl/(?:drawings|charts|diagrams)/[^/]+\.xml")


def recognises(head: bytes, name: str) -> bool:
    return is_package(head, name, b"xl/", _ENDINGS)


def read(content: PeekableStream, _name: str, budget: Budget) -> Iterator[Extracted]:
    """Cells by column, with the cached values of formulas. Comments have the sheet and the cell, other text of a sheet
    the sheet alone. Strings that no cell uses are looked at, too."""
    with spooled(content, budget) as file, SharedStrings() as strings:
        package = Package(file, budget)
        if _BINARY in package.names():
            raise ObjectSkipped(SkipReason.UNSUPPORTED_FORMAT, "Excel binary workbook")
        yield from package.read(_STRINGS, partial(_strings, strings, budget))
        sheets = _sheets(package)
        owners: dict[str, str] = {}
        for part, sheet in sheets.items():
            owners |= {relation.target: sheet for relation in package.relations(part)}
            yield from package.read(part, partial(_cells, sheet, strings, budget))
        yield from _unused(strings)
        for part in package.names():
            owner = shown_name(owners[part]) if part in owners else None
            place = Place(sheet=owner, field=part_name(part))
            if _COMMENTS.fullmatch(part):
                yield from package.read(part, partial(_comments, place, budget))
            elif _DRAWING.fullmatch(part):
                yield from package.read(part, partial(passages, Paragraphs(), place, budget))
        yield from package.rest()


def _strings(strings: SharedStrings, budget: Budget, stream: ByteStream) -> Iterator[Extracted]:
    for _ in parsed(stream, strings, budget):
        pass
    return iter(())


def _unused(strings: SharedStrings) -> Iterator[Passage]:
    for text in strings.unused():
        yield Passage(text, Place(field="shared strings"))


def _sheets(package: Package) -> dict[str, str]:
    """The parts that are sheets, with their names, in order. One that the workbook does not name has its part's."""
    listed = _SheetNames()
    package.survey(_WORKBOOK, listed)
    targets = {relation.id: relation.target for relation in package.relations(_WORKBOOK)}
    parts = list(filter(_SHEET.fullmatch, package.names()))
    named = {targets[one]: name for one, name in listed.names.items() if targets.get(one) in parts}
    return named | {part: part.rpartition("/")[2].removesuffix(".xml") for part in parts if part not in named}


def _cells(sheet: str, strings: SharedStrings, budget: Budget, stream: ByteStream) -> Iterator[Extracted]:
    elements, table = SheetElements(strings), SheetTable(sheet)
    for _ in parsed(stream, elements, budget):
        for number, cells in elements.taken_rows():
            yield from table.add(number, cells)
        beside = elements.taken_text()
        if beside:
            yield Passage(beside, Place(sheet=shown_name(sheet)))
    yield from table.rest()


def _comments(place: Place, budget: Budget, stream: ByteStream) -> Iterator[Extracted]:
    elements = CommentElements()
    for _ in parsed(stream, elements, budget):
        for cell, text in elements.taken():
            yield Passage(text, replace(place, cell=cell))


class _SheetNames:
    """Gathers the names of the sheets by the relations that lead to them."""

    def __init__(self) -> None:
        self.depth = 0
        self.names: dict[str, str] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if local_name[tag] == "sheet":
            leads = (value for name, value in attributes.items() if name.endswith(":id"))
            self.names.setdefault(next(leads, ""), attributes.get("name", ""))

    def end(self, _tag: str) -> None:
        self.depth -= 1

    def text(self, text: str) -> None:
        pass
