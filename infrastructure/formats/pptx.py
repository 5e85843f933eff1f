"""PowerPoint presentations: slide by slide with what belongs to it, in the order in which they are shown."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from infrastructure.formats.extracted import Extracted, Place
from infrastructure.formats.limits import Budget
from infrastructure.formats.names import shown_name
from infrastructure.formats.packages import Package, is_package, part_name
from infrastructure.formats.paragraphs import Paragraphs, passages
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream
from infrastructure.formats.xml_parts import local_name

_ENDINGS: Final = (".pptx", ".pptm", ".potx", ".potm", ".ppsx", ".ppsm")
_PRESENTATION: Final = "ppt/presentation.xml"
_SLIDE: Final = re.compile(r"ppt/slides/[^/]+\.xml")
_TEXT: Final = re.compile(
    r"ppt/(?:slides|notesslides|comments|charts|drawings|diagrams|slidemasters|slidelayouts|notesmasters"
    r"|handoutmasters)/[^/]+\.xml"
)


def recognises(head: bytes, name: str) -> bool:
    return is_package(head, name, b"ppt/", _ENDINGS)


def read(content: PeekableStream, _name: str, budget: Budget) -> Iterator[Extracted]:
    """`page` is the number of the slide. Its notes, comments and charts have their kind (`notesSlide`) as field; what
    no slide alone refers to has no page, and its part's name as field."""
    with spooled(content, budget) as file:
        package = Package(file, budget)
        places = _places(package)
        for part, place in places.items():
            yield from package.read(part, partial(passages, Paragraphs(), place, budget))
        for part in filter(_TEXT.fullmatch, package.names()):
            if part not in places:
                place = Place(field=part_name(part))
                yield from package.read(part, partial(passages, Paragraphs(), place, budget))
        yield from package.rest()


def _places(package: Package) -> dict[str, Place]:
    """The slides and what is theirs alone, in order."""
    known = set(filter(_TEXT.fullmatch, package.names()))
    places: dict[str, Place] = {}
    for number, slide in enumerate(_slides(package), 1):
        places[slide] = Place(page=number)
        for relation in package.relations(slide):
            if relation.target in known and relation.kind not in {"slide", "slideLayout"}:
                places.setdefault(relation.target, Place(page=number, field=shown_name(relation.kind)))
    return places


def _slides(package: Package) -> list[str]:
    """The slides as the presentation lists them, then those that it does not list."""
    listed = _SlideIds()
    package.survey(_PRESENTATION, listed)
    targets = {relation.id: relation.target for relation in package.relations(_PRESENTATION)}
    present = dict.fromkeys(filter(_SLIDE.fullmatch, package.names()))
    shown = dict.fromkeys(targets[one] for one in listed.ids if targets.get(one) in present)
    return list(shown | present)


class _SlideIds:
    """Gathers the relations that lead to the slides, in their order."""

    def __init__(self) -> None:
        self.depth = 0
        self.ids: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if local_name[tag] == "sldId":
            self.ids += [value for name, value in attributes.items() if name.endswith(":id")]

    def end(self, _tag: str) -> None:
        self.depth -= 1

    def text(self, text: str) -> None:
        pass
