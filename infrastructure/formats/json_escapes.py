"""JSON strings whose `\\u00XX` escapes hide ASCII characters from a scan of the raw bytes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infrastructure.formats.window import Frame

MAX_STRING: Final = 4096
"""The longest string that is unescaped, in bytes between its quotes."""

_HIDDEN: Final = re.compile(rb"\\u00[2-7][0-9A-Fa-f]")
_ESCAPE: Final = re.compile(rb'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_SIMPLE: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


@dataclass(frozen=True, slots=True)
class Unescaped:
    """A string without its escapes. `origins[i]` is where byte i of `text` stands in the text; one more for its end."""

    text: bytes
    origins: tuple[int, ...]

    def source(self, start: int, end: int) -> tuple[int, int] | None:
        """Where `start..end` stands in the text; None if no escape lies in it, so that the raw scan saw it, too."""
        first, last = self.origins[start], self.origins[end]
        return (first, last) if last - first != end - start else None


def unescaped_strings(frame: Frame) -> Iterator[Unescaped]:
    """The strings whose first hiding escape is judged in this frame. Longer ones than `MAX_STRING` are left out."""
    done = 0
    for escape in _HIDDEN.finditer(frame.data):
        if escape.start() < done or escape.end() + frame.base > frame.limit:
            continue
        span = _string_around(frame.data, escape.start())
        if span is None:
            continue
        done = span[1]
        earlier = _HIDDEN.search(frame.data, *span)
        if earlier is not None and earlier.end() + frame.base > frame.judged:
            yield _unescaped(frame.data, frame.base, *span)


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


def _unescaped(data: bytes, base: int, start: int, end: int) -> Unescaped:
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
    return Unescaped(b"".join(parts), tuple(origins))


def _character(escape: re.Match[bytes]) -> bytes:
    if escape[1] is not None:
        return chr(int(escape[1], 16)).encode("utf-8", "replace")
    return _SIMPLE.get(escape[2], escape[2])
