"""Findings in the making: exact counts, the best confidence, and the first occurrences, masked."""

from collections.abc import Sequence
from typing import Final

from domain.detectors import Detector
from domain.finding import Finding, Occurrence, mask
from infrastructure.formats.names import decoded

_MASKED_AT_MOST: Final = 64


class Tally:
    """One detector's hits in one column."""

    __slots__ = ("_detector", "_seen", "ceiling", "confidence", "count", "occurrences")

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._seen: tuple[float, bytes] | None = None
        self.ceiling = detector.best(detector.confidence)
        self.count = 0
        self.confidence = 0.0
        self.occurrences: list[Occurrence] = []

    def could_rise(self, confidence: float) -> bool:
        """Whether a hit of this confidence, in the best context, would raise the finding's."""
        return self.confidence < self.ceiling and self.confidence < self._detector.best(confidence)

    def rise(self, confidence: float, near: bytes) -> None:
        """Take the confidence of a hit with this neighbourhood, if it is the best so far."""
        if self._seen != (confidence, near):
            self._seen = (confidence, near)
            self.confidence = max(self.confidence, self._detector.in_context(confidence, near))


class Tallies:
    """All tallies of one object. Beyond `columns` of them, hits count for the object as a whole."""

    def __init__(self, detectors: Sequence[Detector], columns: int) -> None:
        self._detectors = detectors
        self._columns = columns
        self._tallies: dict[tuple[int, str | None], Tally] = {}

    def of(self, detector: int, column: str | None) -> Tally:
        tally = self._tallies.get((detector, column))
        if tally is not None:
            return tally
        if len(self._tallies) >= self._columns and column is not None:
            return self.of(detector, None)
        tally = self._tallies[detector, column] = Tally(self._detectors[detector])
        return tally

    def findings(self) -> tuple[Finding, ...]:
        """What was found, in order of detector and column."""
        ordered = sorted(self._tallies.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        return tuple(
            Finding(
                detector=self._detectors[index].id,
                category=self._detectors[index].category,
                confidence=round(min(tally.confidence, 1.0), 2),
                count=tally.count,
                occurrences=tuple(tally.occurrences),
                column=column,
            )
            for (index, column), tally in ordered
        )


def masked(value: bytes) -> str:
    """The value masked; of a long one only its end."""
    text = mask(decoded(value[-_MASKED_AT_MOST:]))
    return text if len(value) <= _MASKED_AT_MOST else f"…{text}"
