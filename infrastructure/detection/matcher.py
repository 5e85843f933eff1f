"""From bytes to hits: one Hyperscan pass finds where values may stand, `re` and a check decide."""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from domain.detectors import Detector
from domain.detectors.anchors import Anchor, keyword_anchors
from domain.detectors.checks import Check
from domain.detectors.column_names import KeywordsOfColumns
from domain.detectors.rule import KEYWORD_REACH, MAX_ANCHOR, Pattern
from infrastructure.detection.anchor_cache import anchors_of
from infrastructure.detection.checks import check_named
from infrastructure.detection.database_cache import database_of
from infrastructure.detection.frequent import ADDRESS_ANCHOR, ENOUGH, FREQUENT, FrequentValues
from infrastructure.detection.tallies import Tallies

if TYPE_CHECKING:
    from infrastructure.detection.own_search import OwnRule, OwnSearch

Hit = tuple[int, int, int, float, bytes]
"""A value: its start and end in the text, the index of its detector, its confidence (0 if it failed its check), and,
only where the text does not hold the value as it is, the value."""

_RULE_BITS: Final = 14
_RULE_MASK: Final = (1 << _RULE_BITS) - 1
_WIDEST_KEYWORD: Final = 64
_AROUND_VALUES: Final = b" \t\"':="
_BEYOND: Final = 8
"""Bytes behind the last anchor that a boundary at its end looks at."""

_NAMES_KEPT: Final = 4096


class Rule(NamedTuple):
    """A pattern, ready for the hot loop. `keyword`: the value is looked for behind the anchor, not around it; `cover`
    is where the end of the last hit of its detector of that kind is noted."""

    detector: int
    value: "Value"
    before: int
    after: int
    confidence: float
    check: Check
    keyword: bool
    keywords: tuple[str, ...]
    cover: int


class Value:
    """The expression of a value, compiled when it is first needed: of hundreds, most texts need a few."""

    __slots__ = ("_regex", "finditer", "group", "search")

    def __init__(self, regex: str) -> None:
        self._regex = regex
        self.group: int
        self.search: Callable[..., re.Match[bytes] | None]
        self.finditer: Callable[..., Iterator[re.Match[bytes]]]

    def __getattr__(self, name: str) -> Any:
        if name not in Value.__slots__:
            raise AttributeError(name)
        compiled = re.compile(self._regex.encode())
        self.group = compiled.groupindex.get("value", 0)
        self.search, self.finditer = compiled.search, compiled.finditer
        return getattr(self, name)


class Matcher:
    """The detectors, compiled. Safe to use from several threads, one at a time."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors: Final = tuple(detectors)
        self.yielding: Final = frozenset(place for place, detector in enumerate(detectors) if detector.yields)
        expressions: dict[str, list[Rule]] = {}
        self._own: Final = _own_search([(at, detector) for at, detector in enumerate(detectors) if detector.custom])
        built_in = [(index, detector) for index, detector in enumerate(detectors) if not detector.custom]
        anchors = iter(anchors_of([pattern for _, detector in built_in for pattern in detector.patterns]))
        for index, detector in built_in:
            check = check_named(detector.validator)
            for pattern in detector.patterns:
                for expression, rule in _rules(index, detector, pattern, check, next(anchors)):
                    expressions.setdefault(expression, []).append(rule)
        self._rules: Final = [tuple(rules) for rules in expressions.values()]
        self._behind_word: Final = [expression.endswith("[^a-z]") for expression in expressions]
        self._lock = threading.Lock()
        self._scans: Final = [_scan(numbered) for numbered in _grouped(expressions, self.detectors)]
        self._frequent = _number_of_frequent(list(expressions), self._rules, self.detectors)
        rules = [rule for rules in self._rules for rule in rules]
        self._gated: list[Rule | OwnRule] = [rule for rule in dict.fromkeys(rules) if rule.keyword]
        self.before: int = max((rule.before for rule in rules), default=0)
        self.after: int = max((rule.after for rule in rules), default=0)
        if self._own is not None:
            self._gated += [rule for rule in self._own.rules if rule.keywords]
            self.before, self.after = max(self.before, self._own.before), max(self.after, self._own.after)
        self._names: KeywordsOfColumns | None = None
        self._announced: dict[str, tuple[Rule | OwnRule, ...]] = {}

    @property
    def has_own(self) -> bool:
        """Whether a tenant's own detectors are among them."""
        return self._own is not None

    def nothing_covered(self) -> list[int]:
        """The state of a text's search before its first byte."""
        return [0] * (2 * len(self.detectors))

    def hits(
        self,
        data: bytes,
        base: int,
        judged: int,
        limit: int,
        covered: list[int],
        *,
        frequent: FrequentValues | None = None,
        delimiter: bytes | None = None,
    ) -> list[Hit]:
        """The hits whose anchors end in `judged < end <= limit`, in the order of these ends; a tenant's own come last.

        `data` starts at `base` of the text, and reaches `before` bytes left and `after` bytes right of each such
        end, or to the text's ends. `covered` (where the last hit of each detector ended) is carried on. What `frequent`
        takes is not among them. With a `delimiter`, a value must stand in the same cell as its keyword.
        """
        found: list[Hit] = []
        rules_of, behind_word = self._rules, self._behind_word
        anchors = self._anchors(data, base, judged, limit)
        if frequent is not None:
            anchors = self._left(anchors, data, base, frequent)
        for anchor in anchors:
            number = anchor & _RULE_MASK
            end = (anchor >> _RULE_BITS) - behind_word[number]
            for rule in rules_of[number]:
                done = covered[rule[8]] - base
                if rule[6]:
                    hit = _behind(rule, data, max(end, done), end, delimiter)
                elif end > done:
                    hit = _around(rule, data, max(end - rule[2], done, 0), end)
                else:
                    continue
                if hit is not None:
                    start, stop, confidence, last = hit
                    found.append((base + start, base + stop, rule[0], confidence, b""))
                    if confidence > 0.0:
                        covered[rule[8]] = base + last
        if self._own is not None:
            with self._lock:
                found += self._own.hits(data, base, judged, limit, covered)
        return found

    def frequent(self, tallies: Tallies) -> FrequentValues | None:
        """What counts frequent values in a text without columns, if the detector is there and found enough of them."""
        number = self._frequent
        if number is None:
            return None
        detector = self._rules[number][0].detector
        tally = tallies.found(detector, None)
        if tally is None or tallies.may_allow(detector) or tally.count < max(ENOUGH, tallies.occurrences):
            return None
        return FrequentValues(detector, self.detectors[detector], tallies)

    def _left(self, anchors: list[int], data: bytes, base: int, frequent: FrequentValues) -> list[int]:
        """The anchors without those of frequent values, which are counted all at once."""
        number = self._frequent
        ends = [anchor >> _RULE_BITS for anchor in anchors if anchor & _RULE_MASK == number]
        if len(ends) < ENOUGH:
            return anchors
        left = [anchor for anchor in anchors if anchor & _RULE_MASK != number]
        left += [end << _RULE_BITS | (number or 0) for end in frequent.take(data, base, ends)]
        left.sort()
        return left

    def announced(self, column: str) -> "tuple[Rule | OwnRule, ...]":
        """The rules whose keywords are in the name of this column: there, their values need no other."""
        if self._names is None:
            self._names = KeywordsOfColumns([rule.keywords for rule in self._gated])
        rules = self._announced.get(column)
        if rules is None:
            rules = tuple(self._gated[index] for index in self._names.of(column))
            if len(self._announced) < _NAMES_KEPT:
                self._announced[column] = rules
        return rules

    def _anchors(self, data: bytes, base: int, judged: int, limit: int) -> list[int]:
        """Ends of anchors in `data` with their rule in the low bits, in order."""
        skipped = max(judged - base - MAX_ANCHOR - 1, 0)
        stop = limit - base + _BEYOND
        # Any buffer will do, whatever its stub says.
        text: Any = memoryview(data)[skipped:stop] if skipped or stop < len(data) else data
        if not self._rules or not text:
            return []
        found: list[int] = []
        with self._lock:
            for scan in self._scans:
                scan(text, found.append)
        found.sort()
        shift = skipped << _RULE_BITS
        low = bisect_right(found, ((judged - base) << _RULE_BITS | _RULE_MASK) - shift)
        high = bisect_right(found, ((limit - base) << _RULE_BITS | _RULE_MASK) - shift)
        wanted = found[low:high]
        return [end + shift for end in wanted] if shift else wanted


def _own_search(detectors: Sequence[tuple[int, Detector]]) -> "OwnSearch | None":
    if not detectors:
        return None
    from infrastructure.detection.own_search import OwnSearch  # noqa: PLC0415 — an engine that few need

    return OwnSearch(detectors)


def announced_hits(rules: "Sequence[Rule | OwnRule]", text: bytes) -> Iterator[Hit]:
    """The hits of these rules in values that need no keyword before them, rule by rule."""
    for rule in rules:
        for match in rule.value.finditer(text):
            start, stop = match.span(rule.value.group)
            yield start, stop, rule.detector, rule.confidence * rule.check(text[start:stop]), b""


def _around(rule: Rule, data: bytes, first: int, end: int) -> tuple[int, int, float, int] | None:
    """The value around the anchor that ends at `end`: its start, its end, its confidence, and the match's end."""
    search, stop = rule[1].search, end + rule[3]
    match = search(data, first, stop)
    while match is not None and match.end() < end:
        match = search(data, match.end(), stop)
    if match is None or match.start() >= end:
        return None
    return _checked(rule, data, match)


def _behind(
    rule: Rule, data: bytes, first: int, end: int, delimiter: bytes | None
) -> tuple[int, int, float, int] | None:
    """The first valid value that begins within `KEYWORD_REACH` bytes behind a keyword that ends at `end`."""
    last = end + KEYWORD_REACH
    if delimiter is not None:
        last = _end_of_cell(data, end, last, delimiter)
        if not data[end:last].strip(_AROUND_VALUES):
            return None
    hit: tuple[int, int, float, int] | None = None
    for match in rule[1].finditer(data, first, end + rule[3]):
        if match.start() > last:
            break
        hit = _checked(rule, data, match)
        if hit[2] > 0.0:
            return hit
    return hit


def _end_of_cell(data: bytes, start: int, stop: int, delimiter: bytes) -> int:
    """Where the cell ends that goes on at `start`; `stop` if it does not end before."""
    for end in (data.find(delimiter, start, stop), data.find(b"\n", start, stop)):
        if end >= 0:
            stop = end
    return stop


def _checked(rule: Rule, data: bytes, match: re.Match[bytes]) -> tuple[int, int, float, int]:
    start, stop = match.span(rule[1].group)
    return start, stop, rule[4] * rule[5](data[start:stop]), match.end()


def _rules(
    index: int, detector: Detector, pattern: Pattern, check: Check, anchor: Anchor
) -> Iterator[tuple[str, Rule]]:
    """The expressions to search for, each with what is to be done where it ends."""
    value = Value(pattern.regex)
    if not pattern.keywords:
        sure = detector.confidence
        yield anchor.expression, Rule(index, value, anchor.before, anchor.after, sure, check, False, (), 2 * index)
        return
    after = KEYWORD_REACH + anchor.after
    confidence, keywords = detector.confidence, pattern.keywords
    rule = Rule(index, value, _WIDEST_KEYWORD, after, confidence, check, True, keywords, 2 * index + 1)
    for keyword in pattern.keywords:
        for expression in keyword_anchors(keyword):
            yield expression, rule


def _number_of_frequent(
    expressions: Sequence[str], rules: Sequence[Sequence[Rule]], detectors: Sequence[Detector]
) -> int | None:
    """The number of the expression that ends in frequent values alone."""
    for number, (expression, own) in enumerate(zip(expressions, rules, strict=True)):
        if expression == ADDRESS_ANCHOR and [detectors[rule.detector].id for rule in own] == [FREQUENT]:
            return number
    return None


Numbered = list[tuple[int, bytes]]


def _grouped(expressions: Mapping[str, Sequence[Rule]], detectors: Sequence[Detector]) -> list[Numbered]:
    """The expressions with their numbers, in groups that are searched faster one after the other than all together:
    words, short words, what begins with literals, and shapes of numbers."""
    groups: dict[str, Numbered] = {}
    for number, (expression, rules) in enumerate(expressions.items()):
        if rules[0].keyword:
            kind = "short words" if expression.endswith("[^a-z]") else "words"
        else:
            kind = "literals" if detectors[rules[0].detector].category == "secret" else "shapes"
        groups.setdefault(kind, []).append((number, expression.encode()))
    return list(groups.values())


def _scan(numbered: Numbered) -> Callable[[Any, Callable[[int], None]], None]:
    """Searches a text for some expressions, and hands on where each ends with its number in the low bits."""
    numbers = [number for number, _ in numbered]
    database = database_of([expression for _, expression in numbered])

    def scan(text: Any, append: Callable[[int], None]) -> None:
        database.scan(text, lambda place, _from, to, _flags, _context: append(to << _RULE_BITS | numbers[place]))

    return scan
