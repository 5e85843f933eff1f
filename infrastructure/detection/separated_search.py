"""The search of a text in which escaped white space (`\\n`) may separate values, or be no escape at all (`C:\\new`)."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from infrastructure.detection.frequent import FrequentValues
from infrastructure.detection.matcher import Hit, Matcher
from infrastructure.formats.json_escapes import separated
from infrastructure.formats.window import Frame

if TYPE_CHECKING:
    from infrastructure.detection.condensed import Condensed

_AROUND: Final = 256


class SeparatedSearch:
    """Searches frame after frame. What is found does not depend on where the frames are cut.

    Escapes separate values. With `literal`, where a backslash may as well be a plain character, what is only found so
    is found, too; of two readings of the same place, that with a separator counts.
    """

    def __init__(self, matcher: Matcher, *, literal: bool, delimiter: bytes | None = None) -> None:
        self._matcher = matcher
        self._delimiter = delimiter
        self._literal = literal
        self._covered = matcher.nothing_covered()
        self._literally_covered = matcher.nothing_covered()

    def hits(self, frame: "Frame | Condensed", frequent: FrequentValues | None = None) -> list[Hit]:
        """The hits whose anchors are judged in this frame, in no order, without those that `frequent` took."""
        if not isinstance(frame, Frame):
            return self._left(frame)
        text = separated(frame.data)
        found = self._search(text, frame, self._covered, frequent if text == frame.data else None)
        if not self._literal:
            return found
        if text == frame.data:
            self._literally_covered[:] = self._covered
            return found
        literal = self._search(frame.data, frame, self._literally_covered)
        taken = sorted((detector, start, end) for start, end, detector, *_ in found)
        return found + [hit for hit in literal if not _is_met(hit, taken) and self._is_hidden(hit, text, frame)]

    def _left(self, left: "Condensed") -> list[Hit]:
        """The hits in what is left of a frame, in which no escape stands."""
        base = left.frame.base
        before = [left.before(end) if end > base else 0 for end in self._covered]
        covered = before.copy()
        judged, limit = left.before(left.frame.judged), left.before(left.frame.limit)
        found = left.spread(self._matcher.hits(left.data, 0, judged, limit, covered, delimiter=self._delimiter))
        moved = [at for at, (was, end) in enumerate(zip(before, covered, strict=True)) if was != end]
        for at, last in zip(moved, left.origins([covered[at] - 1 for at in moved]), strict=True):
            self._covered[at] = last + 1
        self._literally_covered[:] = self._covered
        return found

    def _search(
        self, text: bytes, frame: Frame, covered: list[int], frequent: FrequentValues | None = None
    ) -> list[Hit]:
        return self._matcher.hits(
            text, frame.base, frame.judged, frame.limit, covered, frequent=frequent, delimiter=self._delimiter
        )

    def _is_hidden(self, hit: Hit, text: bytes, frame: Frame) -> bool:
        """Whether the separators hide this hit: with them, its detector finds nothing in its place in any frame."""
        start, end, detector = hit[:3]
        if frame.judged + _AROUND < start and (frame.last or end + _AROUND < frame.limit):
            return True
        first = max(start - _AROUND, frame.base)
        place = text[first - frame.base : end + _AROUND - frame.base]
        nothing = self._matcher.nothing_covered()
        others = self._matcher.hits(place, first, first, first + len(place), nothing, delimiter=self._delimiter)
        return not any(other[2] == detector and other[0] < end and other[1] > start for other in others)


def _is_met(hit: Hit, taken: Sequence[tuple[int, int, int]]) -> bool:
    """Whether one of `taken` (detector, start and end, in order) has this hit's detector and a part of its place."""
    start, end, detector = hit[:3]
    at = bisect_left(taken, (detector, end, 0))
    return at > 0 and taken[at - 1][0] == detector and taken[at - 1][2] > start
