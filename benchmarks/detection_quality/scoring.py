"""Precision, recall and F1, from spans or from lines."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(slots=True)
class Score:
    """What was found of what is there (`hits`), missed, and found where nothing is."""

    hits: int = 0
    missed: int = 0
    false: int = 0

    @property
    def precision(self) -> float | None:
        """None if nothing was found at all."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else None

    @property
    def recall(self) -> float | None:
        """None if there was nothing to find."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else None

    @property
    def f1(self) -> float:
        """2·hits ÷ (2·hits + missed + false); 1 if there was nothing to find and nothing was found."""
        all_told = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / all_told if all_told else 1.0

    def add(self, other: "Score") -> None:
        self.hits += other.hits
        self.missed += other.missed
        self.false += other.false


def of_spans(labelled: Sequence[Span], found: Iterable[Span]) -> Score:
    """A labelled span is a hit if a found one overlaps it by at least half of the longer of the two; each counts once.

    Two found spans that overlap each other are one: a kind may be found by several rules. What matches no label is
    false, unless it is inside one: half an IP address is a miss already.
    """
    merged = _merged(found)
    hit = [any(_alike(label, span) for span in merged) for label in labelled]
    false = sum(not any(_overlap(label, span) for label in labelled) for span in merged)
    return Score(sum(hit), len(hit) - sum(hit), false)


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _overlap(one: Span, other: Span) -> int:
    return max(min(one[1], other[1]) - max(one[0], other[0]), 0)


def _alike(label: Span, span: Span) -> bool:
    longer = max(label[1] - label[0], span[1] - span[0])
    return 2 * _overlap(label, span) >= longer > 0


@dataclass(frozen=True, slots=True)
class Reported:
    """A report of lines `first..last` as `kind`."""

    first: int
    last: int
    kind: str


def of_lines(
    wanted: Sequence[range], reported: Sequence[Reported], counts: Callable[[Reported], bool] = lambda _: True
) -> Score:
    """Each of the `wanted` ranges of lines is found if a report that `counts` touches it. Reports that touch none of
    them are false, one a line."""

    def touches(lines: range, report: Reported) -> bool:
        return report.first < lines.stop and lines.start <= report.last

    hits = sum(any(counts(report) and touches(lines, report) for report in reported) for lines in wanted)
    astray = {r.first for r in reported if counts(r) and not any(touches(lines, r) for lines in wanted)}
    return Score(hits, len(wanted) - hits, len(astray))
