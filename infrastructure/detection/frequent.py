"""Values that are so frequent in a plain text, as in access logs, that they are confirmed and counted all at once.

Once the first occurrences of a finding are kept, another hit changes its count, and its confidence only where a word
of its context stands near. What is found is the same as hit by hit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from domain.detectors import Detector
from domain.detectors.rule import CONTEXT_BEFORE
from infrastructure.detection.database_cache import database_of
from infrastructure.detection.tallies import Tallies
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.window import Frame

if TYPE_CHECKING:
    from infrastructure.detection.cells import Offsets

FREQUENT: Final = "network.ip-address"
"""The detector whose values may be that frequent in a text without columns."""

ADDRESS_ANCHOR: Final = r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d"
"""The anchor of its pattern of IPv4 addresses, which the kernel takes its places from."""

ENOUGH: Final = 512
"""From so many on, values are counted all at once."""

_CASELESS: Final = 1
_MARGIN: Final = 24
_NEAR: Final = CONTEXT_BEFORE + 64


@dataclass(frozen=True, slots=True)
class _Counted:
    """Values that were confirmed all at once: where they begin and end in the text, in order, and their confidences."""

    starts: "Offsets"
    ends: "Offsets"
    confidences: Any

    def within(self, span: range) -> "_Counted":
        """Those that begin in `span`."""
        own = (self.starts >= span.start) & (self.starts < span.stop)
        return _Counted(self.starts[own], self.ends[own], self.confidences[own])

    def meets(self, start: int, end: int) -> bool:
        before = int(self.starts.searchsorted(end))
        return before > 0 and int(self.ends[before - 1]) > start


class FrequentValues:
    """Counts the values of one detector in one text without columns."""

    def __init__(self, number: int, detector: Detector, tallies: Tallies) -> None:
        self._number = number
        self._detector = detector
        self._tallies = tallies
        self._last: list[_Counted] = []
        self._new: list[_Counted] = []
        words = {word for given in detector.context for word in (given, given.replace(" ", ""))}
        expressions = [re.escape(word).replace("\\ ", "[ _.\\-\\t]").encode() for word in sorted(words)]
        self._context = database_of(expressions, _CASELESS)

    def take(self, data: bytes, base: int, ends: Sequence[int]) -> list[int]:
        """Confirm the values around these anchors of a text that begins at `base`; the anchors that are left to be
        looked at one by one."""
        import numpy as np  # noqa: PLC0415 — 20 MB that only texts full of values need

        from infrastructure.detection.kernels import addresses_at  # noqa: PLC0415 — likewise

        anchors = np.array(ends, np.int64)
        inside = (anchors > _MARGIN) & (anchors < len(data) - _MARGIN)
        accepted, starts, stops, worths = addresses_at(np.frombuffer(data, np.uint8), anchors[inside])
        self._new.append(_Counted(starts + base, stops + base, worths * self._detector.confidence))
        left: list[int] = np.concatenate([anchors[~inside], anchors[inside][~accepted]]).tolist()
        return left

    def meets(self, start: int, end: int) -> bool:
        """Whether one of the values counted lately shares a byte with `start..end`."""
        return any(counted.meets(start, end) for counted in (*self._last, *self._new))

    def record(self, span: range, frame: Frame, locator: TextLocator) -> None:
        """Tally the values of this frame, which `locator` has begun, that start in `span`."""
        tally = self._tallies.of(self._number, None)
        for counted in self._new:
            own = counted.within(span)
            tally.count += len(own.starts)
            self._raise(own, frame, locator)
        self._last, self._new = self._new, []

    def _raise(self, counted: _Counted, frame: Frame, locator: TextLocator) -> None:
        """Let the finding's confidence rise by these values, if one of them could make it."""
        import numpy as np  # noqa: PLC0415 — see above

        tally = self._tallies.of(self._number, None)
        best = float(counted.confidences.max(initial=0.0))
        if not tally.could_rise(best):
            return
        words: list[int] = []
        self._context.scan(frame.data, lambda _word, _from, to, _flags, _context: words.append(to + frame.base))
        near = np.array([*sorted(words), np.iinfo(np.int64).max], np.int64)
        telling = near[np.searchsorted(near[:-1], counted.starts - _NEAR)] <= counted.ends + _NEAR
        telling |= counted.confidences > tally.confidence
        for at in np.flatnonzero(telling).tolist():
            if not tally.could_rise(best):
                return
            tally.rise(float(counted.confidences[at]), locator.near(int(counted.starts[at]), int(counted.ends[at])))
