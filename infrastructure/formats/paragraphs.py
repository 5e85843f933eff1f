"""The text of a document's XML parts by paragraphs, each a line of its own: what a reader of the document sees as one
run is one, however many elements it is made of."""

from collections.abc import Iterator
from typing import Final

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.extracted import Passage, Place
from infrastructure.formats.limits import MIB, Budget
from infrastructure.formats.xml_parts import local_attributes, local_name, parsed

_PASSAGE: Final = MIB
_LONGEST: Final = 8 * MIB
_PARAGRAPHS: Final = frozenset({"p", "h", "text", "v"})
_FULL_OF_TEXT: Final = frozenset({"text", "v"})
_BESIDE_TEXT: Final = frozenset({"creator", "date", "note-citation", "title", "desc"})
_FLOWING: Final = frozenset({"t", "delText"})
_ASIDE: Final = frozenset({"instrText", "delInstrText"})
_IGNORED: Final = frozenset({"pPr", "tabLst", "binData", "binary-data"})
_FORMS: Final = frozenset({"Choice", "Fallback"})
_CHARACTERS: Final = {
    "tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "line-break": "\n", "noBreakHyphen": "-", "s": " ",
}  # fmt: skip
_TOLD: Final = frozenset({"descr", "title", "tooltip", "author", "displayText", "alt", "string", "name", "href"})
_MOST_SPACES: Final = 64


class Paragraphs:
    """Gathers the text of WordprocessingML, DrawingML and OpenDocument as lines. `mixed`: text may stand anywhere in a
    paragraph (OpenDocument), not only in elements made for it.

    Text that does not flow with its paragraph (field codes, the descriptions of pictures) is a line before it. Of a
    text box that is stored in two forms, the second counts only where it says something else.
    """

    def __init__(self, *, mixed: bool = False) -> None:
        self.depth = 0
        self._paragraphs = _PARAGRAPHS | _BESIDE_TEXT if mixed else _PARAGRAPHS
        self._full_of_text = self._paragraphs if mixed else _FULL_OF_TEXT
        self._lines: list[str] = []
        self._open: list[tuple[list[str], bool]] = [([], False)]
        self._current: list[str] = self._open[0][0]
        self._aside: list[str] = []
        self._capture: list[str] | None = None
        self._ignored = 0
        self._lines_size = 0
        self._open_size = 0
        self._forms: list[tuple[int, set[str]]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        name = local_name[tag]
        if name in _FLOWING:
            self._capture = self._current
        elif name in self._paragraphs:
            self._open.append(([], name in self._full_of_text))
            self._resume()
        elif name in _CHARACTERS:
            self._add_character(name, attributes)
        elif name in _ASIDE:
            self._capture = self._aside
        elif name in _IGNORED:
            self._ignored += 1
        elif name == "AlternateContent":
            self._forms.append((0, set()))
        elif name in _FORMS and self._forms:
            self._forms[-1] = (len(self._lines), self._forms[-1][1])
        if attributes:
            self._tell(attributes)

    def end(self, tag: str) -> None:
        self.depth -= 1
        name = local_name[tag]
        if name in _FLOWING or name in _ASIDE:
            self._resume()
            if self._aside:
                line = "".join(self._aside)
                self._open_size -= len(line)
                self._add_line(line)
                self._aside.clear()
        elif name in self._paragraphs:
            paragraph = "".join(self._open.pop()[0])
            self._open_size -= len(paragraph)
            self._add_line(paragraph)
            self._resume()
        elif name in _IGNORED:
            self._ignored -= 1
        elif name == "AlternateContent":
            self._forms.pop()
        elif name in _FORMS and self._forms:
            self._end_form()

    def text(self, text: str) -> None:
        if self._capture is not None and not self._ignored:
            self._capture.append(text)
            self._open_size += len(text)

    def taken(self, *, at_least: int = 0) -> bytes:
        """The lines so far, if they are at least so many characters; none of them is given again.

        Raises `ObjectUnreadable(resource_limit)` if one paragraph has too many.
        """
        if self._lines_size + self._open_size > _LONGEST:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has a paragraph that is too long")
        if self._lines_size < at_least or self._forms:
            return b""
        lines = self._lines if self.depth else [*self._lines, "".join(self._current)]
        self._lines, self._lines_size = [], 0
        return "\n".join(lines).encode("utf-8", "replace")

    def _resume(self) -> None:
        self._current, full_of_text = self._open[-1]
        self._capture = self._current if full_of_text else None

    def _add_character(self, name: str, attributes: dict[str, str]) -> None:
        if self._ignored:
            return
        count = local_attributes(attributes).get("c", "1") if name == "s" else "1"
        few = count.isascii() and count.isdigit() and len(count) <= 2
        repeated = min(int(count), _MOST_SPACES) if few else _MOST_SPACES
        self._current.append(_CHARACTERS[name] * repeated)
        self._open_size += repeated

    def _tell(self, attributes: dict[str, str]) -> None:
        for name, value in attributes.items():
            if value and local_name[name] in _TOLD:
                self._add_line(value)

    def _add_line(self, line: str) -> None:
        self._lines.append(line)
        self._lines_size += len(line) + 1

    def _end_form(self) -> None:
        first, known = self._forms[-1]
        told = self._lines[first:]
        self._lines[first:] = [line for line in told if line not in known]
        self._forms[-1] = (first, known | set(told))


def passages(paragraphs: Paragraphs, place: Place, budget: Budget, stream: ByteStream) -> Iterator[Passage]:
    """The text of one part, in passages of about 1 MiB that end with a paragraph."""
    for _ in parsed(stream, paragraphs, budget):
        text = paragraphs.taken(at_least=0 if paragraphs.depth == 0 else _PASSAGE)
        if text:
            yield Passage(text, place)
