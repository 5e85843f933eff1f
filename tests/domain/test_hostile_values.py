"""Repetitive texts, however long, cost no rule more than its share: neither its expressions nor its check."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.detectors import detectors
from domain.detectors.anchors import parsed
from domain.detectors.checks import CHECKS
from domain.detectors.plausibility import drawn_at_random, is_code, is_identifier, is_placeholder, key, password

ALL: Final = detectors()
LONG: Final = 8 * 1024
LONGEST: Final = 64 * 1024
EXPRESSION_SECONDS: Final = 0.05
CHECK_SECONDS: Final = 0.25
TURNS: Final = 4
OUT_OF_SHAPE: Final = (ValueError, KeyError, IndexError, TypeError)
"""What a check may raise of a value that its expression never gives it."""

names: Final = re._constants  # type: ignore[attr-defined]
OF_CATEGORY: Final = {names.CATEGORY_DIGIT: b"7", names.CATEGORY_SPACE: b" "}


def seconds(work: Callable[[], object], limit: float) -> float:
    """The processor time of the quickest of a few turns, of which most need but one."""
    best = float("inf")
    for _ in range(TURNS):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
        if best < limit:
            break
    return best


def alphabet(items: Any) -> Iterator[bytes]:
    """One character for each place in an expression, in their order."""
    for op, value in items:
        if op is names.LITERAL:
            yield bytes([value])
        elif op is names.IN:
            yield member(value)
        elif op in (names.MAX_REPEAT, names.MIN_REPEAT, names.POSSESSIVE_REPEAT):
            yield from alphabet(value[2])
        elif op is names.SUBPATTERN:
            yield from alphabet(value[3])
        elif op is names.BRANCH:
            for branch in value[1]:
                yield from alphabet(branch)
        elif op in (names.ASSERT, names.ASSERT_NOT):
            yield from alphabet(value[1])


def member(members: Any) -> bytes:
    op, value = members[0]
    if op is names.LITERAL:
        return bytes([value])
    if op is names.RANGE:
        return bytes([value[0]])
    return OF_CATEGORY.get(value, b"a")


def hostile_texts(regex: str) -> Iterator[bytes]:
    """Long repetitions of what the expression takes: each character, each two and more neighbours."""
    signs = list(dict.fromkeys(alphabet(parsed(regex))))
    pieces = [*signs, *(a + b for a, b in pairwise(signs)), *(b"".join(signs[:n]) for n in (4, 8))]
    for piece in dict.fromkeys([*pieces, b"1a-", b"1.", b"aB3", b"a."]):
        yield (piece * (LONG // len(piece)))[: LONG - 2] + b"\n!"


def test_no_expression_takes_long_over_repetitions_of_its_own_characters():
    slow = {}
    for detector in ALL:
        for pattern in detector.patterns:
            found = re.compile(pattern.regex.encode()).finditer
            for text in hostile_texts(pattern.regex):
                took = seconds(lambda found=found, text=text: list(found(text)), EXPRESSION_SECONDS)
                if took >= EXPRESSION_SECONDS:
                    slow[detector.id, pattern.regex] = (took, text[:20])
    assert slow == {}


def widths() -> dict[str, int]:
    """The widest value that each check is given, in bytes."""
    widest: dict[str, int] = {}
    for detector in ALL:
        for pattern in detector.patterns:
            if detector.validator in CHECKS:
                width = int(min(parsed(pattern.regex).getwidth()[1], LONGEST))
                widest[detector.validator] = max(widest.get(detector.validator, 0), width)
    return widest


WIDTHS: Final = widths()
PIECES: Final = ["a", "a-", "1.", "1a-", "a.b_", "aB3", "=", "/+", "A1 ", "0", "password-", "x1.y2-", "ey", "-----"]


def judge(check: Callable[[bytes], object], value: bytes) -> None:
    with contextlib.suppress(*OUT_OF_SHAPE):
        check(value)


def takes_long(check: Callable[[bytes], object], piece: str, last: str, width: int) -> bool:
    """Whether it does for such a value of any length: short ones first, since one may take for ever."""
    values = ((piece * size)[: size - 1].encode() + last.encode() for size in (24, 28, 512, width) if size <= width)
    return any(seconds(lambda value=value: judge(check, value), CHECK_SECONDS) >= CHECK_SECONDS for value in values)


@pytest.mark.parametrize("name", sorted(WIDTHS))
@settings(max_examples=20)
@given(piece=st.sampled_from(PIECES) | st.text("ab19AZ.-_/+= :", min_size=1, max_size=6), last=st.sampled_from("!a1="))
def test_no_check_takes_long_over_the_widest_value_that_it_is_given(name, piece, last):
    assert not takes_long(CHECKS[name], piece, last, WIDTHS[name])


@pytest.mark.parametrize(
    "check", [drawn_at_random, is_code, is_identifier, is_placeholder, key, password], ids=lambda check: check.__name__
)
@settings(max_examples=20)
@given(piece=st.sampled_from(PIECES) | st.text("ab19AZ.-_/+= :", min_size=1, max_size=6), last=st.sampled_from("!a1="))
def test_whether_a_secret_looks_like_one_is_answered_in_linear_time(check, piece, last):
    assert not takes_long(check, piece, last, LONGEST)
