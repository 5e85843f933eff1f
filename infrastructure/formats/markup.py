"""XML and HTML as text: nothing is parsed, so no entity is expanded and none fetched. Which element or attribute a hit
stands in, and what character references hide from a search of the raw bytes."""

import re
from collections.abc import Iterator
from functools import lru_cache
from html.entities import html5
from typing import Final

from domain.finding import Occurrence
from infrastructure.formats.charset import Width
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.names import decoded, shown_name
from infrastructure.formats.unescaping import MAX_STRING, Unescaped, unescaped_stretches
from infrastructure.formats.window import Frame

_REFERENCE: Final = re.compile(rb"&(?:#(?:[xX]([0-9A-Fa-f]{1,6})|([0-9]{1,7}));?|([A-Za-z][A-Za-z0-9]{1,31});)")
_LONGEST_REFERENCE: Final = 34
_BLANKS: Final = frozenset("\t\n\r\u00a0\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
_INVISIBLE: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_HYPHENS: Final = frozenset("\u2010\u2011\u2012\u2013\u2212")

_TAG_NAME: Final = re.compile(rb"[A-Za-z_][\w:.-]{0,127}")
_ATTRIBUTE: Final = re.compile(rb"""([A-Za-z_][\w:.-]{0,127})\s*=\s*(?:"[^"]*|'[^']*|[^\s"'>]*)\Z""")
_LONGEST_TAG: Final = 2048
_MOST_TAGS: Final = 64
_CDATA: Final = b"<![CDATA["

_XML_ENDINGS: Final = (".xml", ".xsd", ".xsl", ".xslt", ".rss", ".atom", ".kml", ".gpx", ".svg", ".rels", ".plist",
                       ".wsdl", ".xmp", ".fodt", ".fods", ".csproj", ".pom", ".resx")  # fmt: skip
_HTML_ENDINGS: Final = (".html", ".htm", ".xhtml")
_HTML: Final = re.compile(rb"(?i)<!doctype\s+html|<html[\s>]")
_ELEMENT: Final = re.compile(rb"\s*<(?!!doctype\s+html)(?:!DOCTYPE\s|!--|\?xml|([A-Za-z_][\w:.-]{0,127})(?:\s[^<]*)?>)")
_HTML_WITHIN: Final = 2048


class MarkupLocator(TextLocator):
    """Places hits in XML and HTML. In XML the innermost element or attribute, looked for within `record_reach` bytes
    and 64 tags before the hit, is the field; those of HTML say nothing."""

    def __init__(self, width: Width, limits: Limits, *, named: bool) -> None:
        super().__init__(width, limits)
        self._named = named
        self._name: str | None = None

    def column(self, start: int) -> str | None:
        if self._named:
            self._name = self._name_at(start - self._base)
        return self._name

    def near(self, start: int, end: int) -> bytes:
        """The name, and what stands around the hit."""
        around = super().near(start, end)
        return around if self._name is None else self._name.encode() + b" " + around

    def place(self, start: int, end: int, masked: str, confidence: float) -> Occurrence:
        return self._placed(start, end, masked, confidence, field=self._name)

    def _name_at(self, stop: int) -> str | None:
        data, first = self._data, max(stop - self._reach, 0)
        opened = data.rfind(b"<", first, stop)
        while opened > data.rfind(b">", first, stop):
            if data.startswith(_CDATA, opened):
                stop = opened
                opened = data.rfind(b"<", first, stop)
                continue
            attribute = _ATTRIBUTE.search(data, max(opened, stop - _LONGEST_TAG), stop)
            return _shown(attribute[1]) if attribute else None
        return self._element_around(first, stop)

    def _element_around(self, first: int, stop: int) -> str | None:
        """The element that is open here: going back, every closing tag stands for one that is not."""
        data, closed = self._data, 0
        for _ in range(_MOST_TAGS):
            after = data.rfind(b">", first, stop)
            stop = data.rfind(b"<", first, after)
            if after < 0 or stop < 0:
                return None
            if data.startswith(b"</", stop):
                closed += 1
            elif data[after - 1] != ord("/") and data[stop + 1] not in b"!?":
                if not closed:
                    name = _TAG_NAME.match(data, stop + 1)
                    return _shown(name[0]) if name else None
                closed -= 1
        return None


@lru_cache(maxsize=4096)
def _shown(name: bytes) -> str:
    return shown_name(decoded(name))


def sniff_markup(head: bytes, name: str) -> bool | None:
    """True of XML, False of HTML, None of anything else."""
    if name.endswith(_HTML_ENDINGS) or _HTML.search(head[:_HTML_WITHIN]):
        return False
    if name.endswith(_XML_ENDINGS):
        return True
    element = _ELEMENT.match(head[:_HTML_WITHIN])
    if element is None:
        return None
    whole = element[1] is None or b"</" in head or head.rstrip().endswith(b"/>")
    return True if whole else None


def unreferenced_stretches(frame: Frame) -> Iterator[Unescaped]:
    """The runs between tags, or within one, whose first character reference is judged in this frame, with the
    characters for the references. Stretches of long ones may give a hit twice."""
    return unescaped_stretches(frame, _REFERENCE, _LONGEST_REFERENCE, _run_around, _unreferenced)


def _run_around(data: bytes, inside: int) -> tuple[int, int] | None:
    """The bounds of the text, or of the inside of a tag, that this offset lies in; None if it is too long."""
    first = max(inside - MAX_STRING, 0)
    start = max(data.rfind(b"<", first, inside), data.rfind(b">", first, inside)) + 1
    if start == 0 and first > 0:
        return None
    ends = [end for mark in (b"<", b">") if (end := data.find(mark, inside, start + MAX_STRING)) >= 0]
    end = min(ends, default=len(data))
    return (start, end) if end - start <= MAX_STRING else None


def _unreferenced(data: bytes, base: int, start: int, end: int) -> tuple[bytes, tuple[int, ...]]:
    parts: list[bytes] = []
    origins: list[int] = []
    position = start
    for reference in _REFERENCE.finditer(data, start, end):
        character = _character(reference[0], reference[1], reference[2], reference[3])
        parts += (data[position : reference.start()], character)
        origins += range(base + position, base + reference.start())
        origins += [base + reference.start()] * len(character)
        position = reference.end()
    parts.append(data[position:end])
    origins += range(base + position, base + end + 1)
    return b"".join(parts), tuple(origins)


@lru_cache(maxsize=4096)
def _character(reference: bytes, hexadecimal: bytes | None, decimal: bytes | None, name: bytes | None) -> bytes:
    """What a reference stands for, as a value is written: with plain blanks and hyphens, without what is not seen."""
    if name is not None:
        text = html5.get(f"{name.decode()};", "")
    else:
        number = int(hexadecimal, 16) if hexadecimal else int(decimal or b"0")
        text = chr(number) if 0 < number < 0x11_0000 else ""
    if not text:
        return reference
    if text in _BLANKS:
        return b" "
    if text in _INVISIBLE:
        return b""
    return b"-" if text in _HYPHENS else text.encode("utf-8", "replace")
