"""The search for a tenant's own detectors. Each step of it is linear in the text, whatever the tenant wrote.

Hyperscan finds where values may stand, as for the rules that are built in; RE2, and not a backtracking engine, decides.
Where it has found that no match begins, it does not look again.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import hyperscan

from domain.detectors.anchors import Anchor, anchor_of, keyword_anchors
from domain.detectors.checks import Check
from domain.detectors.rule import KEYWORD_REACH, MAX_ANCHOR, Detector, Pattern
from infrastructure.detection.checks import check_named
from infrastructure.detection.linear import MAX_LENGTH, Found, Linear

OwnHit = tuple[int, int, int, float, bytes]

_WIDEST_KEYWORD: Final = 64
_RULE_BITS: Final = 20
_RULE_MASK: Final = (1 << _RULE_BITS) - 1


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A pattern of a tenant's detector. `keywords`: a value is looked for behind one of them."""

    place: int
    detector: int
    value: Linear
    before: int
    confidence: float
    check: Check
    keywords: tuple[str, ...]


class OwnSearch:
    """The tenant's detectors, compiled. `detectors` go by their index among all. One search at a time.

    Raises `ValueError` for a pattern that an engine cannot take, which `domain.detectors.own` and a trial rule out.
    """

    def __init__(self, detectors: Sequence[tuple[int, Detector]]) -> None:
        expressions: dict[str, list[OwnRule]] = {}
        self.rules: Final[list[OwnRule]] = []
        for index, detector in detectors:
            check = tolerant(check_named(detector.validator))
            for pattern in detector.patterns:
                anchor = _reach(pattern)
                rule = OwnRule(
                    place=len(self.rules),
                    detector=index,
                    value=Linear(pattern.regex),
                    before=anchor.before,
                    confidence=detector.confidence,
                    check=check,
                    keywords=pattern.keywords,
                )
                self.rules.append(rule)
                for expression in anchors(pattern):
                    expressions.setdefault(expression, []).append(rule)
        self._rules_of: Final = [tuple(rules) for rules in expressions.values()]
        self._behind_word: Final = [expression.endswith("[^a-z]") for expression in expressions]
        self._database = compiled(list(expressions))
        self.before: Final = max((rule.before for rule in self.rules), default=0)
        self.after: Final = KEYWORD_REACH + MAX_LENGTH + 1

    def hits(self, data: bytes, base: int, judged: int, limit: int, covered: list[int]) -> list[OwnHit]:
        """As `Matcher.hits`."""
        found: list[OwnHit] = []
        bare = [0] * len(self.rules)
        for packed in self._anchors(data, base, judged, limit):
            number = packed & _RULE_MASK
            end = (packed >> _RULE_BITS) - self._behind_word[number]
            for rule in self._rules_of[number]:
                done = covered[2 * rule.detector] - base
                if rule.keywords:
                    match = _behind(rule, data, max(end, done), end)
                elif end > max(done, bare[rule.place]):
                    match = _around(rule, data, max(end - rule.before, done, 0), end, bare)
                else:
                    continue
                if match is not None:
                    confidence = rule.confidence * rule.check(data[match.start : match.stop])
                    found.append((base + match.start, base + match.stop, rule.detector, confidence, b""))
                    if confidence > 0.0:
                        covered[2 * rule.detector] = base + match.end
        return found

    def _anchors(self, data: bytes, base: int, judged: int, limit: int) -> list[int]:
        """Ends of anchors in `judged < end <= limit` with their expression in the low bits, in order."""
        skipped = max(judged - base - MAX_ANCHOR - 1, 0)
        text: Any = memoryview(data)[skipped:]
        if not text:
            return []
        found: list[int] = []
        self._database.scan(
            text, lambda rule, _from, to, _flags, _context: found.append((to + skipped) << _RULE_BITS | rule)
        )
        found.sort()
        low = bisect_right(found, (judged - base) << _RULE_BITS | _RULE_MASK)
        return found[low : bisect_right(found, (limit - base) << _RULE_BITS | _RULE_MASK)]


def _around(rule: OwnRule, data: bytes, first: int, end: int, bare: list[int]) -> Found | None:
    """The match around the anchor that ends at `end`: it begins before that, and does not end before.

    `bare`: by rule, up to where no match begins, as far as that is known.
    """
    stop = min(end + 2 * MAX_LENGTH, len(data))
    begin = max(first - rule.value.lead, bare[rule.place], 0)
    alone = True
    while begin < end:
        place = rule.value.first(data, begin, stop)
        if alone:
            bare[rule.place] = max(bare[rule.place], min(stop if place is None else place, stop - MAX_LENGTH))
        if place is None or place >= end:
            return None
        alone = False
        found = rule.value.at(data, place)
        if found is not None and found.end >= end and found.start >= first:
            return found
        begin = place + 1 if found is None else max(found.end, place + 1)
    return None


def _behind(rule: OwnRule, data: bytes, first: int, end: int) -> Found | None:
    """The first valid value that begins within `KEYWORD_REACH` bytes behind a keyword that ends at `end`."""
    last = end + KEYWORD_REACH
    match: Found | None = None
    begin = max(first - rule.value.lead, 0)
    while begin <= last:
        place = rule.value.first(data, begin, min(last + MAX_LENGTH, len(data)))
        if place is None or place > last:
            break
        found = rule.value.at(data, place)
        if found is not None and found.start >= first:
            match = found
            if rule.check(data[found.start : found.stop]) > 0.0:
                break
        begin = place + 1 if found is None else max(found.end, place + 1)
    return match


def _reach(pattern: Pattern) -> Anchor:
    return Anchor("", _WIDEST_KEYWORD, 0) if pattern.keywords else anchor_of(pattern)


def anchors(pattern: Pattern) -> Iterator[str]:
    """The expressions to search for with Hyperscan. Raises `ValueError` if there are none."""
    if pattern.keywords:
        yield from dict.fromkeys(anchor for keyword in pattern.keywords for anchor in keyword_anchors(keyword))
    else:
        yield anchor_of(pattern).expression


def compiled(expressions: Sequence[str]) -> Any:
    """A database of these expressions. Raises `ValueError` with what Hyperscan says of one that it cannot take."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    encoded = [expression.encode() for expression in expressions]
    try:
        database.compile(expressions=encoded, ids=range(len(encoded)), elements=len(encoded), flags=0)
    except hyperscan.error as error:
        raise ValueError(str(error)) from None
    return database


def tolerant(check: Check) -> Check:
    """The check of values of any shape: where it was not made for one, that is not valid."""

    def judged(value: bytes) -> float:
        try:
            return check(value)
        except Exception:  # noqa: BLE001 — it may stumble over whatever a tenant's pattern brings before it
            return 0.0

    return judged
