"""PDF: the text of each page with its annotations and form fields, the document's information, what is attached."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from domain.coverage import SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.extracted import Entry, Extracted, Passage, Place, Unread
from infrastructure.formats.limits import MIB, Budget, BudgetSpent
from infrastructure.formats.names import shown_name
from infrastructure.formats.pdf_library import corrupt, made, passed_over
from infrastructure.formats.pdf_objects import Attachment, bookmarks, draws, notes_of, packets
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_MAGIC: Final = b"%PDF-"
_MAGIC_WITHIN: Final = 1024
_END: Final = b"startxref"
_END_WITHIN: Final = 4096
_KEPT_OBJECTS: Final = 5_000
_KEPT_BYTES: Final = 32 * MIB
_OPERATIONS_A_CHECK: Final = 1_000


def recognises(head: bytes, name: str) -> bool:
    """By its first bytes; with the name of a PDF, they may stand anywhere in the first KiB."""
    return head.startswith(_MAGIC) or (name.endswith(".pdf") and _MAGIC in head[:_MAGIC_WITHIN])


def read(content: PeekableStream, _name: str, budget: Budget) -> Iterator[Extracted]:
    """Text has its page, annotations and fields of forms with `annotations` as field; the document's information has
    none. A page that cannot be read, or that is a picture, is said to be so."""
    with spooled(content, budget) as file:
        document = _Document(file, budget)
        yield from document.information()
        yield from document.pages()
        yield from document.attached()
        if document.only_pictures:
            raise ObjectSkipped(SkipReason.BINARY, "its pages are pictures")
        if _is_cut(file):
            raise corrupt()


class _Document:
    """One document, read page by page."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._budget = budget
        self._limits = budget.limits
        self._passed_over = passed_over()
        self._reader = made(partial(_opened, file), self._limits)
        self._is_large = file.seek(0, io.SEEK_END) > _KEPT_BYTES
        self._pictures = 0
        self._told = False

    @property
    def only_pictures(self) -> bool:
        return self._pictures > 0 and not self._told

    def information(self) -> Iterator[Extracted]:
        """Title, author and the like, the bookmarks, and the packets of XML that may repeat them."""
        for name, text in made(lambda: list((self._reader.metadata or {}).items()), self._limits):
            yield from self._passage(str(text), Place(field=shown_name(str(name).lstrip("/"))))
        titles = made(lambda: bookmarks(self._reader), self._limits)
        yield from self._passage("\n".join(titles), Place(field="bookmarks"))
        for packet in made(lambda: list(packets(self._reader)), self._limits):
            yield from self._attachment(packet)

    def pages(self) -> Iterator[Extracted]:
        pages = made(lambda: iter(self._reader.pages), self._limits)
        number = 0
        while (page := made(lambda: next(pages, None), self._limits)) is not None:
            number += 1
            self._budget.entry()
            try:
                yield from self._page(page, number)
            except BudgetSpent:
                raise
            except (ObjectUnreadable, ObjectSkipped) as error:
                yield Unread(f"page {number}", error)
            # The library keeps every object that it has seen, pictures too.
            if self._is_large or len(self._reader.resolved_objects) > _KEPT_OBJECTS:
                self._reader.resolved_objects.clear()

    def attached(self) -> Iterator[Extracted]:
        """The files in the document. Whether they are text, their own readers tell."""
        files = made(lambda: iter(self._reader.attachment_list), self._limits)
        while (file := made(lambda: next(files, None), self._limits)) is not None:
            yield from self._attachment((str(file.name), partial(getattr, file, "content")))

    def _page(self, page: "PageObject", number: int) -> Iterator[Extracted]:
        self._passed_over.fault = None
        text = made(partial(self._text, page), self._limits)
        self._told |= bool(text.strip())
        yield from self._passage(text, Place(page=number))
        notes, files = made(partial(notes_of, page), self._limits)
        yield from self._passage("\n".join(notes), Place(page=number, field="annotations"))
        for file in files:
            yield from self._attachment(file)
        if self._passed_over.fault is not None:
            raise self._passed_over.fault
        if not text.strip() and made(lambda: draws(page, "/Image"), self._limits):
            self._pictures += 1
            raise ObjectSkipped(SkipReason.BINARY, "a picture")

    def _passage(self, text: str, place: Place) -> Iterator[Passage]:
        if text.strip():
            content = text.encode("utf-8", "replace")
            self._budget.produced(len(content))
            yield Passage(content, place)

    def _attachment(self, attachment: Attachment) -> Iterator[Extracted]:
        name, content = attachment
        self._told = True
        try:
            data = made(content, self._limits)
        except BudgetSpent:
            raise
        except (ObjectUnreadable, ObjectSkipped) as error:
            yield Unread(name, error)
            return
        self._budget.produced(len(data))
        yield Entry(name, io.BytesIO(data))

    def _text(self, page: "PageObject") -> str:
        # Without a watch, pages without text are not parsed. With it, time is checked even in forms within forms.
        watch = self._watch() if draws(page, "/Form") else None
        return page.extract_text(visitor_operand_before=watch)

    def _watch(self) -> Callable[[Any, Any, Any, Any], None]:
        seen = 0

        def watch(_operator: Any, _operands: Any, _matrix: Any, _text_matrix: Any) -> None:
            nonlocal seen
            seen += 1
            if seen % _OPERATIONS_A_CHECK == 1:
                self._budget.check_time()

        return watch


def _opened(file: IO[bytes]) -> "PdfReader":
    from pypdf import PdfReader  # noqa: PLC0415 — only PDF needs it

    return PdfReader(file)


def _is_cut(file: IO[bytes]) -> bool:
    """Whether the file ends without what every PDF ends with. The library mends such a file as far as it goes."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - _END_WITHIN, 0))
    return _END not in file.read()
