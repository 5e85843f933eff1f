"""Escapes that hide values from a scan of the raw bytes: as the letter before one, or as characters of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infrastructure.formats.window import Frame

MAX_STRING: Final = 4096
"""The longest string, in bytes between its quotes, that is unescaped whole; of longer ones as much around an escape."""

# Any number of backslashes, because strings are often escaped again and again on their way into a log.
_SEPARATOR: Final = re.compile(rb"\\+(?:[nrtbf]|u(?!00[2-7])[0-9A-Fa-f]{4})")

_HIDDEN: Final = re.compile(rb"\\u00[2-7][0-9A-Fa-f]")
_ESCAPE: Final = re.compile(rb'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_SIMPLE: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def separated(data: bytes) -> bytes:
    """`data` with blanks for its escaped white space and non-ASCII characters, so that a value behind one stands free.

    As long as before. In a path such as `C:\\new` it costs a letter that no value needs.
    """
    return _SEPARATOR.sub(lambda escape: b" " * len(escape[0]), data) if b"\\" in data else data


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
    """The strings whose first hiding escape is judged in this frame; of longer ones what lies around each such escape.

    The latter may overlap, so that what is found in them may be found twice.
    """
    done = 0
    for escape in _HIDDEN.finditer(frame.data):
        if escape.start() < done or escape.end() + frame.base > frame.limit:
            continue
        span = _string_around(frame.data, escape.start())
        if span is None:
            around = max(escape.start() - MAX_STRING // 2, 0), escape.end() + MAX_STRING // 2
            if escape.end() + frame.base > frame.judged:
                yield _unescaped(frame.data, frame.base, around[0], min(around[1], len(frame.data)))
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
