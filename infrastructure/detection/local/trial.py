"""Detectors tried on their own examples, and on a text, in which what they pass over is explained."""

import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import hyperscan

from application.detecting import Wanted
from application.trying import Example, Explanation, Trial
from domain.detectors import Detector, Pattern
from domain.detectors.anchors import anchor_of, keyword_anchors
from domain.detectors.rule import KEYWORD_REACH
from infrastructure.detection.checks import check_named
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.detection.local.chosen import chosen_detectors, rules_of
from infrastructure.detection.tallies import masked

_TOLD: Final = 5
"""Values that are told for each pattern."""

_CHARACTERS: Final = 60


def tried(rule: str, text: str | None) -> list[Trial]:
    """The detector with the id `rule`, or those of the rule file of that name and `text`, on their own examples.

    Raises `Invalid` with every fault.
    """
    chosen = chosen_detectors(Wanted(detectors=(rule,))) if text is None else rules_of(text, rule)
    return [Trial(detector, _examples(detector)) for detector in chosen]


def explained(detector: Detector, sample: bytes) -> Explanation:
    """What the detector finds in `sample`, as in a text file, and why each of its patterns finds nothing else."""
    explanation = Explanation(detector.id)
    inspected = HyperscanDetection([detector]).inspect(io.BytesIO(sample), name="sample.txt", size=len(sample))
    for finding in inspected.findings:
        for one in finding.occurrences:
            explanation.found.append(f"{one.line}:{one.column}  {one.masked}  confidence {one.confidence or 0:.2f}")
        if (more := finding.count - len(finding.occurrences)) > 0:
            explanation.found.append(f"… and {more} more")
    found = {(one.byte_offset or 0) for finding in inspected.findings for one in finding.occurrences}
    for number, pattern in enumerate(detector.patterns, 1):
        for reason in _Reasons(detector, pattern, sample, found).told():
            explanation.missed.append(f"pattern {number}: {reason}")
    return explanation


def _examples(detector: Detector) -> list[Example]:
    detection = HyperscanDetection([detector])
    wanted = [(text, True) for text in detector.matches] + [(text, False) for text in detector.near_misses]
    return [Example(text, must, _hits(detection, text.encode())) for text, must in wanted]


def _hits(detection: HyperscanDetection, text: bytes) -> int:
    inspected = detection.inspect(io.BytesIO(text), name="example.txt", size=len(text))
    return sum(finding.count for finding in inspected.findings)


class _Reasons:
    """Why one pattern gives no (more) hits in a text: step by step, as the engine goes."""

    def __init__(self, detector: Detector, pattern: Pattern, sample: bytes, found: set[int]) -> None:
        self._pattern = pattern
        self._sample = sample
        self._found = found
        self._validator = detector.validator
        self._check = check_named(detector.validator)
        self._confirm = re.compile(pattern.regex.encode())
        self._lines = [0, *(match.end() for match in re.finditer(b"\n", sample))]

    def told(self) -> Iterator[str]:
        anchors = self._anchor_ends()
        if not anchors:
            yield self._nothing_to_begin_with()
            return
        values = [
            match.span(self._confirm.groupindex.get("value", 0)) for match in self._confirm.finditer(self._sample)
        ]
        missed = [span for span in values if span[0] not in self._found]
        for span in missed[:_TOLD]:
            yield self._passed_over(span, anchors)
        if len(missed) > _TOLD:
            yield f"… and {len(missed) - _TOLD} more that have the shape"
        if not values:
            yield self._no_shape(anchors)

    def _nothing_to_begin_with(self) -> str:
        if self._pattern.keywords:
            return f"none of its keywords is in the text: {', '.join(self._pattern.keywords)}"
        return f"nothing in the text begins like {_shortened(self._pattern.anchor or self._pattern.regex)}"

    def _no_shape(self, anchors: Sequence[int]) -> str:
        if self._pattern.keywords:
            at = self._at(anchors[0])
            return f"a keyword ends at {at}, but nothing in the text matches {_shortened(self._pattern.regex)}"
        at = self._at(anchors[0])
        return f"the text before {at} begins like it, but does not match {_shortened(self._pattern.regex)}"

    def _passed_over(self, span: tuple[int, int], anchors: Sequence[int]) -> str:
        start, end = span
        value = self._sample[start:end]
        shown = f"{self._at(start)}  {masked(value)}"
        if self._check(value) == 0.0:
            return f"{shown}  has the shape, but the check {self._validator} refuses it"
        if self._pattern.keywords:
            before = bisect_right(anchors, start)
            if not before or start - anchors[before - 1] > KEYWORD_REACH:
                return f"{shown}  has the shape, but no keyword ends within {KEYWORD_REACH} bytes before it"
        return f"{shown}  has the shape, but another value near by was taken"

    def _anchor_ends(self) -> list[int]:
        """Where keywords end, or anchors."""
        keywords = self._pattern.keywords
        expressions = (
            [expression for keyword in keywords for expression in keyword_anchors(keyword)]
            if keywords
            else [anchor_of(self._pattern).expression]
        )
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        count = len(expressions)
        database.compile(
            expressions=[one.encode() for one in expressions], ids=list(range(count)), elements=count, flags=0
        )
        ends: set[int] = set()
        # The expression of a short keyword takes in the character behind it.
        behind = [expression.endswith("[^a-z]") for expression in expressions]
        if self._sample:
            database.scan(self._sample, lambda one, _start, end, _flags, _context: ends.add(end - behind[one]))
        return sorted(ends)

    def _at(self, offset: int) -> str:
        line = bisect_right(self._lines, offset)
        return f"{line}:{offset - self._lines[line - 1] + 1}"


def _shortened(expression: str) -> str:
    return expression if len(expression) <= _CHARACTERS else f"{expression[: _CHARACTERS - 1]}…"
