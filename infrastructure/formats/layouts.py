"""The text layouts, in the order in which they are tried. A new one is a locator, a sniffer and an entry here."""

from collections.abc import Callable
from typing import Final

from infrastructure.formats.charset import UTF8_BOM, Width
from infrastructure.formats.delimited import DelimitedLocator, sniff_delimited
from infrastructure.formats.json_paths import (
    JsonDocumentLocator,
    JsonLinesLocator,
    sniff_json_document,
    sniff_json_lines,
)
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator

Sniffer = Callable[[bytes, str, Width, Limits], TextLocator | None]
"""Looks at the head of a text (without its byte-order mark) and its lower-case name; None if it is another layout."""


def _json_lines(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    return JsonLinesLocator(width, limits) if sniff_json_lines(head, name) else None


def _json_document(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    return JsonDocumentLocator(width, limits) if sniff_json_document(head, name) else None


def _delimited(head: bytes, name: str, width: Width, limits: Limits) -> TextLocator | None:
    sniffed = sniff_delimited(head, name)
    return DelimitedLocator(width, limits, *sniffed) if sniffed else None


LAYOUTS: Final[tuple[Sniffer, ...]] = (_json_lines, _json_document, _delimited)
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
