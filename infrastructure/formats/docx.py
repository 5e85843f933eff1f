"""Word documents: the text of the body, of headers, footers, notes and comments; everything else as it is packed."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from infrastructure.formats.extracted import Extracted, Place
from infrastructure.formats.limits import Budget
from infrastructure.formats.packages import Package, is_package, part_name
from infrastructure.formats.paragraphs import Paragraphs, passages
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream

_ENDINGS: Final = (".docx", ".docm", ".dotx", ".dotm")
_BODY: Final = "word/document.xml"
_TEXT: Final = re.compile(
    r"word/(?:(?:document|header|footer|footnotes|endnotes|comments)\d*|glossary/document|(?:charts|drawings)/\w+"
    r"|diagrams/data\d*)\.xml"
)


def recognises(head: bytes, name: str) -> bool:
    return is_package(head, name, b"word/", _ENDINGS)


def read(content: PeekableStream, _name: str, budget: Budget) -> Iterator[Extracted]:
    """The text of each part has the part's name (`document`, `header1`) as its field."""
    with spooled(content, budget) as file:
        package = Package(file, budget)
        for part in sorted(filter(_TEXT.fullmatch, package.names()), key=lambda part: part != _BODY):
            place = Place(field=part_name(part))
            yield from package.read(part, partial(passages, Paragraphs(), place, budget))
        yield from package.rest()
