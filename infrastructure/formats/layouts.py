"""The text layouts, in the order in which they are tried. A new one is a locator, a sniffer and an entry here."""

from collections.abc import Callable
from typing import Final

from infrastructure.formats.charset import UTF8_BOM, Width
from infrastructure.formats.delimited import DelimitedLocator
from infrastructure.formats.dialects import sniff_delimited
from infrastructure.formats.json_paths import (
    JsonDocumentLocator,
    JsonLinesLocator,
    sniff_json_document,
    sniff_json_lines,
)
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.markup import MarkupLocator, sniff_markup

Sniffer = Callable[[bytes, str, Width, Limits], TextLocator | None]
"""Looks at the head of a text (without its byte-order mark) and its lower-case name; None if it is another layout."""


def _json_lines(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    return JsonLinesLocator(width, limits) if sniff_json_lines(head, name) else None


def _json_document(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    return JsonDocumentLocator(width, limits) if sniff_json_document(head, name) else None


def _delimited(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    dialect = sniff_delimited(head, name)
    return DelimitedLocator(width, limits, dialect) if dialect else None


def _markup(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    is_xml = sniff_markup(head, name)
    return None if is_xml is None else MarkupLocator(width, limits, named=is_xml)


LAYOUTS: Final[tuple[Sniffer, ...]] = (_json_lines, _json_document, _markup, _delimited)
_COMPRESSED: Final = (".gz", ".gzip", ".zst", ".zstd")


def locator_for(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator:
    """The locator of the text that begins with `head`; plain lines if no layout fits."""
    plain_name = name.lower()
    for ending in _COMPRESSED:
        plain_name = plain_name.removesuffix(ending)
    text = head.removeprefix(UTF8_BOM)
    for sniffer in LAYOUTS:
        locator = sniffer(text, plain_name, width, limits)
        if locator is not None:
            return locator
    return TextLocator(width, limits)
