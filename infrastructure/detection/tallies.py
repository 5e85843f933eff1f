"""Findings in the making: exact counts, the best confidence, and the first occurrences, masked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from domain.detectors import Detector
from domain.finding import MAX_OCCURRENCES, Finding, Occurrence, agreed, mask
from infrastructure.formats.extracted import Place
from infrastructure.formats.names import decoded

if TYPE_CHECKING:
    from infrastructure.detection.allowed import ObjectAllowances

_MASKED_AT_MOST: Final = 64


class Tally:
    """One detector's hits in one column."""

    __slots__ = ("_detector", "_seen", "_sure", "ceiling", "confidence", "count", "occurrences")

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._seen: tuple[float, bytes] | None = None
        self._sure = 0.0
        self.ceiling = detector.best(detector.confidence)
        self.count = 0
        self.confidence = 0.0
        self.occurrences: list[Occurrence] = []

    def could_rise(self, confidence: float) -> bool:
        """Whether a hit of this confidence, in the best context, would raise the finding's."""
        return self.confidence < self.ceiling and self.confidence < self._detector.best(confidence)

    def could_rise_in(self, near: bytes) -> bool:
        """Whether a hit that is certain, in this neighbourhood, would raise the finding's confidence."""
        return self.confidence < self._detector.in_context(self._detector.confidence, near)

    def rise(self, confidence: float, near: bytes) -> float:
        """The confidence of a hit with this neighbourhood; it is the finding's if it is the best so far."""
        if self._seen != (confidence, near):
            self._seen = (confidence, near)
            self._sure = self._detector.in_context(confidence, near)
            self.confidence = max(self.confidence, self._sure)
        return self._sure

    def keep(self, occurrence: Occurrence) -> None:
        """Keep a hit."""
        self.occurrences.append(occurrence)

    def move(self, place: Place, inner_path: str | None) -> None:
        """The hit kept last stands at `place` of its document, in this file of the object."""
        last = self.occurrences[-1]
        extracted = place != Place()
        self.occurrences[-1] = replace(
            last,
            byte_offset=None if extracted else last.byte_offset,
            record_index=last.record_index if place.record_index is None else place.record_index,
            field=last.field or place.field,
            inner_path=inner_path,
            page=place.page,
            sheet=place.sheet,
            cell=place.cell,
        )


class Tallies:
    """All tallies of one object. Beyond `columns` of them, hits count for the object as a whole.

    At most `occurrences` hits of each are kept.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        columns: int,
        occurrences: int = MAX_OCCURRENCES,
        allowances: "ObjectAllowances | None" = None,
    ) -> None:
        self._detectors = detectors
        self.allowances: Final = allowances
        """What is not to be tallied, if anything: whoever counts hits asks `allow` first."""
        self.allowed = 0
        self._columns = columns
        self._tallies: dict[tuple[int, str | None], Tally] = {}
        self._rejected: Counter[tuple[int, str]] = Counter()
        self.occurrences: Final = occurrences
        self.records = 0

    def of(self, detector: int, column: str | None) -> Tally:
        tally = self._tallies.get((detector, column))
        if tally is not None:
            return tally
        if len(self._tallies) >= self._columns and column is not None:
            return self.of(detector, None)
        tally = self._tallies[detector, column] = Tally(self._detectors[detector])
        return tally

    def allow(self, detector: int, value: bytes) -> bool:
        """Whether the value is on the allow list; it is counted for that."""
        allowed = self.allowances is not None and self.allowances.allow(detector, value)
        self.allowed += allowed
        return allowed

    def may_allow(self, detector: int) -> bool:
        """Whether the allow list speaks of any values of this detector."""
        return self.allowances is not None and self.allowances.concern(detector)

    def found(self, detector: int, column: str | None) -> Tally | None:
        """The tally of a detector's hits in a column, if there are any."""
        return self._tallies.get((detector, column))

    def in_column(self, column: str) -> list[tuple[int, Tally]]:
        """The detectors that found something in a column, with their tallies."""
        return [(index, tally) for (index, name), tally in self._tallies.items() if name == column]

    def reject(self, detector: int, column: str | None) -> None:
        """A value that looks like a hit of this detector failed its check. Only columns are judged by that."""
        if column is not None and len(self._rejected) < self._columns:
            self._rejected[detector, column] += 1

    def add_records(self, records: int) -> None:
        """A table, or some of it, has so many records."""
        self.records += records

    def findings(self, *, whole: bool = True) -> tuple[Finding, ...]:
        """What was found, in order of detector and column; in the `whole` object, or in one part of it."""
        ordered = sorted(self._tallies.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        found = tuple(self._finding(index, column, tally) for (index, column), tally in ordered)
        return tuple(agreed(finding, self.records) for finding in found) if whole else found

    def _finding(self, index: int, column: str | None, tally: Tally) -> Finding:
        return Finding(
            detector=self._detectors[index].id,
            category=self._detectors[index].category,
            confidence=shown_confidence(tally.confidence),
            count=tally.count,
            occurrences=tuple(tally.occurrences),
            column=column,
            rejected=self._rejected[index, column] if column is not None else 0,
        )


def shown_confidence(confidence: float) -> float:
    """A confidence as it is told."""
    return round(min(confidence, 1.0), 2)


def masked(value: bytes) -> str:
    """The value masked; of a long one only its end."""
    text = mask(decoded(value[-_MASKED_AT_MOST:]))
    return text if len(value) <= _MASKED_AT_MOST else f"…{text}"
