"""From bytes to hits: one Hyperscan pass finds where values may stand, `re` and a check decide."""

import re
import threading
from collections.abc import Sequence
from typing import Any, Final

import hyperscan

from domain.detectors import Detector
from domain.detectors.checks import Check
from domain.detectors.rule import MAX_ANCHOR, Pattern
from infrastructure.detection.checks import CHECKS

Hit = tuple[int, int, int, float, bytes]
"""A value: its start and end in the text, the index of its detector, its confidence, and, only where the text does
not hold the value as it is, the value."""

_Rule = tuple[int, re.Pattern[bytes], int, int, int, float, Check]
"""A pattern, ready for the hot loop: detector, confirm, group of the value, before, after, confidence, check."""

_RULE_BITS: Final = 12
_RULE_MASK: Final = (1 << _RULE_BITS) - 1


class Matcher:
    """The detectors, compiled. Safe to use from several threads, one at a time."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._rules: list[_Rule] = []
        anchors: list[bytes] = []
        for index, detector in enumerate(detectors):
            for pattern in detector.patterns:
                self._rules.append(_rule(index, detector, pattern))
                anchors.append(pattern.anchor.encode())
        self._lock = threading.Lock()
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        if anchors:
            self._database.compile(expressions=anchors, ids=range(len(anchors)), elements=len(anchors), flags=0)
        patterns = [pattern for detector in detectors for pattern in detector.patterns]
        self.before: Final = max((pattern.before for pattern in patterns), default=0)
        self.after: Final = max((pattern.after for pattern in patterns), default=0)
        self.detectors: Final = tuple(detectors)

    def nothing_covered(self) -> list[int]:
        """The state of a text's search before its first byte."""
        return [0] * len(self.detectors)

    def hits(self, data: bytes, base: int, judged: int, limit: int, covered: list[int]) -> list[Hit]:
        """The hits whose anchors end in `judged < end <= limit`, in the order of these ends.

        `data` starts at `base` of the text, and reaches `before` bytes left and `after` bytes right of each such
        end, or to the text's ends. `covered` (where the last hit of each detector ended) is carried on.
        """
        found: list[Hit] = []
        for anchor in self._anchors(data, base, judged, limit):
            detector, confirm, group, before, after, confidence, check = self._rules[anchor & _RULE_MASK]
            end = anchor >> _RULE_BITS
            done = covered[detector] - base
            if end <= done:
                continue
            first = max(end - before, done, 0)
            match = confirm.search(data, first, end + after)
            while match is not None and match.end() < end:
                match = confirm.search(data, match.end(), end + after)
            if match is None or match.start() >= end:
                continue
            start, stop = match.span(group)
            worth = check(data[start:stop])
            if worth > 0.0:
                found.append((base + start, base + stop, detector, confidence * worth, b""))
                covered[detector] = base + match.end()
        return found

    def _anchors(self, data: bytes, base: int, judged: int, limit: int) -> list[int]:
        """Ends of anchors in `data` with their rule in the low bits, in order."""
        skipped = max(judged - base - MAX_ANCHOR - 1, 0)
        text: Any = memoryview(data)[skipped:] if skipped else data  # any buffer will do, whatever its stub says
        if not self._rules or not text:
            return []
        found: list[int] = []
        append = found.append
        with self._lock:
            self._database.scan(text, lambda rule, _from, to, _flags, _context: append(to << _RULE_BITS | rule))
        low, high = (judged - base) << _RULE_BITS | _RULE_MASK, (limit - base) << _RULE_BITS | _RULE_MASK
        shift = skipped << _RULE_BITS
        return sorted(end + shift for end in found if low < end + shift <= high)


def _rule(index: int, detector: Detector, pattern: Pattern) -> _Rule:
    confirm = re.compile(pattern.confirm.encode())
    check = CHECKS[detector.validator] if detector.validator else _always
    group = confirm.groupindex.get("value", 0)
    return index, confirm, group, pattern.before, pattern.after, detector.confidence, check


def _always(_value: bytes) -> float:
    return 1.0
