"""Escapes that hide values from a scan of the raw bytes: as the letter before one, or as characters of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infrastructure.formats.window import Frame

MAX_STRING: Final = 4096
"""The longest string, in bytes between its quotes, that is unescaped whole; longer ones in stretches of as much."""

_MARGIN: Final = MAX_STRING // 2
_SEPARATORS: Final = (b"\\n", b"\\t", b"\\r", b"\\b", b"\\f")
_WIDE_SEPARATOR: Final = re.compile(rb"\\u(?!00[2-7])[0-9A-Fa-f]{4}")

_HIDDEN: Final = re.compile(rb"\\u00[2-7][0-9A-Fa-f]")
_HIDDEN_LENGTH: Final = 6
_ESCAPE: Final = re.compile(rb'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_SIMPLE: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def separated(data: bytes) -> bytes:
    """`data` with blanks for its escaped white space and non-ASCII characters, so that a value behind one stands free.

    As long as before. However often the string was escaped on its way into a log, only the last backslash goes.
    """
    if b"\\" not in data:
        return data
    for escape in _SEPARATORS:
        data = data.replace(escape, b"  ")
    return _WIDE_SEPARATOR.sub(b"      ", data) if b"\\u" in data else data


@dataclass(frozen=True, slots=True)
class Unescaped:
    """A string without its escapes. `origins[i]` is where byte i of `text` stands in the text; one more for its end.

    Of a stretch of a longer string, `first..last` is the part with all its surroundings at hand.
    """

    text: bytes
    origins: tuple[int, ...]
    first: int
    last: int

    def source(self, start: int, end: int) -> tuple[int, int] | None:
        """Where `start..end` stands in the text; None if no escape lies in it, so that the raw scan saw it, too, or
        if it lies where a neighbouring stretch sees more of it."""
        first, last = self.origins[start], self.origins[end]
        seen = last - first != end - start and first < self.last and last > self.first
        return (first, last) if seen else None


def unescaped_strings(frame: Frame) -> Iterator[Unescaped]:
    """The strings whose first hiding escape is judged in this frame. Stretches of long ones may give a hit twice."""
    data, base = frame.data, frame.base
    done = 0
    for escape in _HIDDEN.finditer(data, max(frame.judged - base - _HIDDEN_LENGTH, 0)):
        start, end = escape.span()
        if end + base > frame.limit:
            return
        if start < done or end + base <= frame.judged:
            continue
        span = _string_around(data, start)
        if span is None:
            done = min(start + MAX_STRING, len(data))
            stretch = max(start - _MARGIN, 0), min(done + _MARGIN, len(data))
            yield Unescaped(*_unescaped(data, base, *stretch), base + start, base + done)
            continue
        done = span[1]
        earlier = _HIDDEN.search(data, *span)
        if earlier is not None and earlier.end() + base > frame.judged:
            yield Unescaped(*_unescaped(data, base, *span), base + span[0], base + span[1])


def _string_around(data: bytes, inside: int) -> tuple[int, int] | None:
    """The bounds, without quotes, of the string that this offset lies in."""
    start, end = inside, inside
    while (start := data.rfind(b'"', max(inside - MAX_STRING, 0), start)) >= 0 and _is_escaped(data, start):
        pass
    while (end := data.find(b'"', end, inside + MAX_STRING)) >= 0 and _is_escaped(data, end):
        end += 1
    return (start + 1, end) if start >= 0 and 0 <= end - start <= MAX_STRING else None


def _is_escaped(data: bytes, offset: int) -> bool:
    before = data[max(offset - 64, 0) : offset]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _unescaped(data: bytes, base: int, start: int, end: int) -> tuple[bytes, tuple[int, ...]]:
    parts: list[bytes] = []
    origins: list[int] = []
    position = start
    for escape in _ESCAPE.finditer(data, start, end):
        plain = data[position : escape.start()]
        character = _character(escape)
        parts += (plain, character)
        origins += range(base + position, base + escape.start())
        origins += [base + escape.start()] * len(character)
        position = escape.end()
    parts.append(data[position:end])
    origins += range(base + position, base + end + 1)
    return b"".join(parts), tuple(origins)


def _character(escape: re.Match[bytes]) -> bytes:
    if escape[1] is not None:
        return chr(int(escape[1], 16)).encode("utf-8", "replace")
    return _SIMPLE.get(escape[2], escape[2])
