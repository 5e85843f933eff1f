"""OpenDocument: texts, presentations slide by slide, and spreadsheets by columns (ODF 1.3)."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.extracted import Extracted, Passage, Place
from infrastructure.formats.limits import Budget
from infrastructure.formats.names import shown_name
from infrastructure.formats.ods_tables import TableElements
from infrastructure.formats.packages import Package
from infrastructure.formats.paragraphs import Paragraphs, passages
from infrastructure.formats.sheets import SheetTable, letters
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream
from infrastructure.formats.xml_parts import local_name, parsed

_MIMETYPE: Final = b"mimetypeapplication/vnd.oasis.opendocument."
_MIMETYPE_AT: Final = 30
_CONTENT: Final = "content.xml"
_STYLES: Final = "styles.xml"
_MANIFEST: Final = "META-INF/manifest.xml"


def recognises(head: bytes, _name: str) -> bool:
    return head.startswith(b"PK\x03\x04") and head.startswith(_MIMETYPE, _MIMETYPE_AT)


def read(content: PeekableStream, _name: str, budget: Budget) -> Iterator[Extracted]:
    """The text of the document, of its headers and its footers; everything else as it is packed."""
    kind = content.peek(_MIMETYPE_AT + len(_MIMETYPE) + 8)[_MIMETYPE_AT + len(_MIMETYPE) :]
    with spooled(content, budget) as file:
        package = Package(file, budget)
        if _is_encrypted(package):
            raise ObjectUnreadable(FailReason.ENCRYPTED, "encrypted (OpenDocument)")
        if kind.startswith(b"spreadsh"):
            yield from package.read(_CONTENT, partial(_tables, budget))
        elif kind.startswith((b"presenta", b"graphics")):
            yield from package.read(_CONTENT, partial(_pages, budget))
        else:
            yield from package.read(_CONTENT, partial(passages, Paragraphs(mixed=True), Place(field="content"), budget))
        yield from package.read(_STYLES, partial(passages, Paragraphs(mixed=True), Place(field="styles"), budget))
        yield from package.rest()


def _is_encrypted(package: Package) -> bool:
    manifest = _Manifest()
    package.survey(_MANIFEST, manifest)
    return manifest.encrypted


def _tables(budget: Budget, stream: ByteStream) -> Iterator[Extracted]:
    elements = TableElements()
    table = SheetTable("")
    for _ in parsed(stream, elements, budget):
        for sheet, number, cells in elements.taken_rows():
            if sheet is not None:
                yield from table.rest()
                table = SheetTable(sheet)
            if cells:
                yield from table.add(number, cells)
        for sheet, cell, text in elements.taken_text():
            at = None if cell is None else f"{letters(cell[0])}{cell[1]}"
            yield Passage(text, Place(sheet=None if sheet is None else shown_name(sheet), cell=at))
    yield from table.rest()


def _pages(budget: Budget, stream: ByteStream) -> Iterator[Extracted]:
    pages = _Pages()
    for _ in parsed(stream, pages, budget):
        yield from pages.taken_pages()
    text = pages.taken()
    if text:
        yield Passage(text, Place(field="content"))


class _Pages(Paragraphs):
    """The text of a presentation, page by page."""

    def __init__(self) -> None:
        super().__init__(mixed=True)
        self._page = 0
        self._pages: list[Passage] = []

    def end(self, tag: str) -> None:
        super().end(tag)
        if tag.endswith(":page"):
            self._page += 1
            text = self.taken()
            if text:
                self._pages.append(Passage(text, Place(page=self._page)))

    def taken_pages(self) -> list[Passage]:
        """The pages that ended."""
        self.taken(at_least=1 << 62)
        pages, self._pages = self._pages, []
        return pages


class _Manifest:
    """Sees whether anything in the package is encrypted."""

    def __init__(self) -> None:
        self.depth = 0
        self.encrypted = False

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self.depth += 1
        self.encrypted |= local_name[tag] == "encryption-data"

    def end(self, _tag: str) -> None:
        self.depth -= 1

    def text(self, text: str) -> None:
        pass
