"""Escapes that hide values from a scan of the raw bytes: as the letter before one, or as characters of it."""

import re
from collections.abc import Iterator
from typing import Final

from infrastructure.formats.unescaping import MAX_STRING, Unescaped, unescaped_stretches
from infrastructure.formats.window import Frame

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


def unescaped_strings(frame: Frame) -> Iterator[Unescaped]:
    """The strings whose first hiding escape is judged in this frame. Stretches of long ones may give a hit twice."""
    return unescaped_stretches(frame, _HIDDEN, _HIDDEN_LENGTH, _string_around, _unescaped)


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
