"""Stretches of a text whose escapes hide values from a search of the raw bytes, without their escapes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from infrastructure.formats.window import Frame

MAX_STRING: Final = 4096
"""The longest string, in bytes between its quotes, that is unescaped whole; longer ones in stretches of as much."""

_MARGIN: Final = MAX_STRING // 2


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


def unescaped_stretches(
    frame: Frame,
    escape: re.Pattern[bytes],
    longest: int,
    around: Callable[[bytes, int], tuple[int, int] | None],
    unescaped: Callable[[bytes, int, int, int], tuple[bytes, tuple[int, ...]]],
) -> Iterator[Unescaped]:
    """The stretches whose first `escape`, of `longest` bytes at most, is judged in this frame.

    `around` gives the bounds of the one that an offset lies in, or None if it is too long: that one is given in
    stretches that overlap, and may give a hit twice.
    """
    data, base = frame.data, frame.base
    done = 0
    for found in escape.finditer(data, max(frame.judged - base - longest, 0)):
        start, end = found.span()
        if end + base > frame.limit:
            return
        if start < done or end + base <= frame.judged:
            continue
        span = around(data, start)
        if span is None:
            done = min(start + MAX_STRING, len(data))
            stretch = max(start - _MARGIN, 0), min(done + _MARGIN, len(data))
            yield Unescaped(*unescaped(data, base, *stretch), base + start, base + done)
            continue
        done = span[1]
        first = escape.search(data, *span)
        if first is not None and first.end() + base > frame.judged:
            yield Unescaped(*unescaped(data, base, *span), base + span[0], base + span[1])
