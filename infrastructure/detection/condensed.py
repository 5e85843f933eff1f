"""A frame without most of what was counted in it, so that a search has little left to go through.

Of each counted stretch a few blanks are left: more than any rule that is built in takes between two parts of a value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.detection.matcher import Hit
from infrastructure.formats.window import Frame

Offsets = NDArray[np.int64]

LEFT: Final = 16
"""Blanks that are left of a counted stretch."""

_BLANK: Final = 32


@dataclass(frozen=True, slots=True)
class Condensed:
    """What is left of `frame`: piece i, from `places[i]` of its data on, begins at `begins[i]` of `data`."""

    frame: Frame
    data: bytes
    places: Offsets
    begins: Offsets

    def before(self, offset: int) -> int:
        """How many bytes of the data stand before this offset of the text."""
        place = max(offset - self.frame.base, 0)
        piece = int(self.places.searchsorted(place, "right")) - 1
        after = int(self.begins[piece + 1]) if piece + 1 < len(self.begins) else len(self.data)
        return min(int(self.begins[piece]) + place - int(self.places[piece]), after)

    def origins(self, places: Sequence[int]) -> list[int]:
        """The offsets in the text of the bytes at these places of the data."""
        at = np.array(places, np.int64)
        pieces = self.begins.searchsorted(at, "right") - 1
        found: list[int] = (at + (self.places - self.begins)[pieces] + self.frame.base).tolist()
        return found

    def spread(self, hits: Sequence[Hit]) -> list[Hit]:
        """Hits in the data as hits in the text."""
        starts = self.origins([hit[0] for hit in hits])
        lasts = self.origins([hit[1] - 1 for hit in hits])
        return [(start, last + 1, *hit[2:]) for start, last, hit in zip(starts, lasts, hits, strict=True)]


Joined = Callable[[Any, Any, Any], Any]
"""From a text, where a stretch ends and where the next one begins in it, to whether only what separates values stands
between."""


def condensed(frame: Frame, offset: int, counted: Sequence[tuple[Any, Any, Any]], joined: Joined) -> Condensed:
    """The frame without the accepted cells of some columns, the first column first: of each, `accepted`, and its
    `starts` and `ends` from `offset` on. Cells that are `joined` are taken together with what stands between them."""
    whole = np.frombuffer(frame.data, np.uint8)
    accepted, starts, ends = (np.stack(rows, axis=1) for rows in zip(*counted, strict=True))
    starts, ends = (places[accepted] + offset - frame.base for places in (starts, ends))
    if len(starts):
        apart = ~joined(whole, ends[:-1], starts[1:])
        starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    lasts = np.minimum(starts + LEFT, ends)
    places, stops = np.append(0, ends), np.append(lasts, len(whole))
    lengths = stops - places
    begins = np.cumsum(lengths) - lengths
    origins = np.repeat((places - begins).astype(np.int32), lengths)
    origins += np.arange(len(origins), dtype=np.int32)
    data = np.take(whole, origins)
    blanks = (begins[1:] - (lasts - starts))[:, None] + np.arange(LEFT)
    data[np.minimum(blanks, begins[1:, None] - 1)] = _BLANK
    return Condensed(frame, data.tobytes(), places, begins)
