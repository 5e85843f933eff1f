"""Framing: an object's text in overlapping frames, so that no cut between two reads can hide or repeat a hit."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

from infrastructure.formats.streams import PeekableStream

_FIRST_BYTES: Final = (112 * 1024, 192 * 1024)


@dataclass(frozen=True, slots=True)
class Reach:
    """How many bytes around an anchor must be at hand. `before`: from a value's start to its anchor; `after`: beyond
    the anchor; `back`: left of a value, for its context and its record."""

    before: int
    after: int
    back: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of the text with its offset `base`. Offsets are in the whole text.

    Anchors that end in `judged < end <= limit` are judged in this frame, with all their reach at hand; values that
    start before `settled` are complete after it. Both borders only grow, and in the `last` frame reach the end.
    """

    data: bytes
    base: int
    judged: int
    limit: int
    settled: int
    last: bool


def frames(
    stream: PeekableStream, reach: Reach, block_bytes: int, *, base: int = 0, ends: bool = True
) -> Iterator[Frame]:
    """The whole text in frames of `block_bytes` and their overlap, smaller ones first, from which to learn how to
    search the others. What is judged and settled in total does not depend on the block size.

    Of a text that is read from `base` on, nor to its end (`ends`), what lies within reach of these cuts is judged
    without all its surroundings, or not at all.
    """
    data, judged, settled, read = b"", base, base, False
    sizes = chain(_FIRST_BYTES, repeat(block_bytes))
    while not read:
        wanted = min(next(sizes), block_bytes)
        block = stream.read_full(wanted)
        read = len(block) < wanted
        last = read and ends
        data = data + block if data else block
        end = base + len(data)
        limit = end if last else max(judged, end - reach.after)
        settled = end if last else max(settled, limit - reach.before)
        yield Frame(data, base, judged, limit, settled, last)
        judged = limit
        keep = max(base, settled - reach.back)
        data, base = data[keep - base :], keep
