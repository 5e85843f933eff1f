"""Trying out what tenants write, before it is kept: whether the engines take it, and whether it does what it says."""

import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from application.own_rules import Hit, Trial
from domain.detectors import Detector
from domain.errors import Fault, Invalid, ObjectSkipped, ObjectUnreadable
from infrastructure.detection.checks import CHECKS, check_named
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.detection.linear import Linear
from infrastructure.detection.own_search import anchors, compiled

_NAME: Final = re.compile(r"[a-z0-9_-]+|stdnum(?:\.[a-z0-9_]+){1,3}")

MOST_HITS: Final = 200
"""Hits in a sample that are shown."""


def try_out(detector: Detector, sample: str) -> Trial:
    """What a tenant's detector finds in its examples and in the sample. Nothing of that is kept.

    Raises `Invalid` with every fault: patterns that an engine cannot take, no such validator, and then each example
    that is not found once, and each near miss that is found.
    """
    if faults := [*_unknown_validator(detector), *_unfit_patterns(detector)]:
        raise Invalid(faults)
    detection = HyperscanDetection([detector], occurrences=MOST_HITS)
    matches = [_count(detection, text) for text in detector.matches]
    near_misses = [_count(detection, text) for text in detector.near_misses]
    if faults := [*_unfound(matches), *_found(near_misses)]:
        raise Invalid(faults)
    count, hits = _hits(detection, sample)
    return Trial(tuple(matches), tuple(near_misses), count, tuple(hits))


def unfit_pattern(regex: str) -> str | None:
    """What is wrong with an expression for whole values; None if nothing is."""
    try:
        Linear(regex)
    except ValueError as error:
        return str(error)
    return None


def _unknown_validator(detector: Detector) -> Iterator[Fault]:
    if not _is_known(detector.validator):
        names = ", ".join(sorted(CHECKS))
        told = f"is not known; there are {names}, and stdnum.<module> for each module of python-stdnum, such as"
        yield Fault("validator", f"{told} stdnum.nl.bsn")


def _is_known(validator: str | None) -> bool:
    try:
        check_named(validator)
    except KeyError:
        return False
    return validator is None or _NAME.fullmatch(validator) is not None


def _unfit_patterns(detector: Detector) -> Iterator[Fault]:
    for place, pattern in enumerate(detector.patterns):
        field = f"patterns[{place}]"
        try:
            Linear(pattern.regex)
        except ValueError as error:
            yield Fault(field, str(error))
            continue
        try:
            compiled([*anchors(pattern)])
        except ValueError as error:
            yield Fault(field, f"is not taken by the search engine, Hyperscan: {str(error).rstrip('.')}; simplify it")


def _unfound(counts: Sequence[int]) -> Iterator[Fault]:
    for place, count in enumerate(counts):
        if count != 1:
            found = f"is found {count} times" if count else "is not found"
            yield Fault(f"matches[{place}]", f"{found}; it must be found exactly once")


def _found(counts: Sequence[int]) -> Iterator[Fault]:
    for place, count in enumerate(counts):
        if count:
            yield Fault(f"near_misses[{place}]", "is found; it must not be")


def _count(detection: HyperscanDetection, text: str) -> int:
    return _hits(detection, text)[0]


def _hits(detection: HyperscanDetection, text: str) -> tuple[int, list[Hit]]:
    """How many hits a text has, and the first of them in order."""
    content = text.encode("utf-8", "surrogatepass")
    try:
        inspected = detection.inspect(io.BytesIO(content), name="sample.txt", size=len(content))
    except (ObjectSkipped, ObjectUnreadable) as error:
        raise Invalid([Fault("sample", f"cannot be read as a text: {error.detail or error.reason}")]) from None
    places = [place for finding in inspected.findings for place in finding.occurrences]
    hits = [Hit(p.byte_offset, p.length, p.line, p.column, p.masked, p.confidence) for p in places]
    hits.sort(key=lambda hit: hit.byte_offset or 0)
    return sum(finding.count for finding in inspected.findings), hits[:MOST_HITS]
