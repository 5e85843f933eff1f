"""The XML inside documents, as events. A part with a document type is refused, so there are no entities to expand and
none to fetch; and no tree is built, so that a part of any size takes the same memory."""

from collections.abc import Iterator
from typing import Final, Protocol
from xml.parsers import expat

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.limits import MIB, Budget

_BLOCK: Final = 64 * 1024
_LONGEST_TAG: Final = 2 * MIB
_MOST_NAMES: Final = 20_000
_DEEPEST: Final = 2_000


class Elements(Protocol):
    """Takes what a part holds. Names come with their prefix: `local_name` tells the rest of it."""

    def start(self, tag: str, attributes: dict[str, str]) -> None: ...
    def end(self, tag: str) -> None: ...
    def text(self, text: str) -> None: ...

    @property
    def depth(self) -> int:
        """How many elements are open."""
        ...


class LocalNames(dict[str, str]):
    """Names without their prefixes."""

    def __missing__(self, tag: str) -> str:
        name = tag.rpartition(":")[2]
        if len(self) < _MOST_NAMES:
            self[tag] = name
        return name


local_name: Final = LocalNames()


def local_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes by their names without prefixes."""
    return {local_name[name]: value for name, value in attributes.items()}


def parsed(stream: ByteStream, elements: Elements, budget: Budget) -> Iterator[None]:
    """Give everything in the part to `elements`. Pauses after each 64 KiB, so that it can be asked what it has.

    Raises `ObjectUnreadable`: parse_error if the part is no well-formed XML or has a document type, resource_limit if
    it is nested more than 2,000 deep, has a tag longer than 2 MiB or more than 20,000 different names.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = elements.start
    parser.EndElementHandler = elements.end
    parser.CharacterDataHandler = elements.text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    fed = 0
    while block := stream.read(_BLOCK):
        fed += len(block)
        _parse(parser, block, last=False)
        if fed - max(parser.CurrentByteIndex, 0) > _LONGEST_TAG:
            raise _too_much("has an XML tag that is too long")
        if elements.depth > _DEEPEST or len(parser.intern) > _MOST_NAMES:
            raise _too_much("has XML that is nested too deep, or of too many names")
        budget.check_time()
        yield
    _parse(parser, b"", last=True)
    yield


def _parse(parser: expat.XMLParserType, block: bytes, *, last: bool) -> None:
    try:
        parser.Parse(block, last)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: of an unknown encoding
        raise ObjectUnreadable(FailReason.PARSE_ERROR, "an XML part is corrupt or cut short") from error


def _refuse_document_type(_name: str, _system: str | None, _public: str | None, _internal: bool) -> None:
    raise ObjectUnreadable(FailReason.PARSE_ERROR, "an XML part has a document type, which documents may not")


def _too_much(detail: str) -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.RESOURCE_LIMIT, detail)
