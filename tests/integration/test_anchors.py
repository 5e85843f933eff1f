"""The anchor that is derived from a pattern never hides what the pattern matches."""

import re

import hyperscan
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.detectors.anchors import anchor_of, keyword_anchors
from domain.detectors.rule import MAX_ANCHOR, Pattern

LETTERS = st.sampled_from(["a", "b", "1", "-", "[ab]", "[^a]", r"\d", r"\w", ".", "(?i:b)", r"\.", "[0-9a]", r"\x62"])
REPEATS = st.sampled_from(["", "", "?", "{2}", "{0,2}", "{1,3}", "{2,80}", "{3,200}", "+", "*"])
AROUND = st.sampled_from(["", r"(?<![\w-])", r"(?!\w)", r"(?=b|1)", r"\b"])


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    alternatives = st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})")
    named = inner.map(lambda part: f"({part})")
    return st.lists(st.tuples(alternatives | named, REPEATS).map("".join), min_size=1, max_size=3).map("".join)


PATTERNS = st.recursive(
    st.lists(st.tuples(AROUND, LETTERS, REPEATS).map("".join), min_size=1, max_size=4).map("".join),
    joined,
    max_leaves=6,
)


def ends(expression: str, text: bytes) -> list[int]:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[expression.encode()], ids=[0], elements=1, flags=0)
    found: list[int] = []
    database.scan(text, lambda _rule, _from, to, _flags, _context: found.append(to))
    return found


@given(regex=PATTERNS, text=st.text("aab1-. B", min_size=1, max_size=60))
def test_an_anchor_ends_in_every_value_and_says_how_far_that_reaches(regex, text):
    raw = text.encode()
    try:
        anchor = anchor_of(Pattern(regex))
        found = ends(anchor.expression, raw)
    except (ValueError, hyperscan.error):  # no anchor, or a pattern that can never match: refused, and said so
        assume(False)
    for match in re.finditer(regex.encode(), raw):
        if match.end() > match.start():
            inside = [end for end in found if match.start() < end <= match.end()]
            assert inside
            assert all(end - match.start() <= anchor.before and match.end() - end <= anchor.after for end in inside[:1])


@pytest.mark.parametrize(
    ("regex", "anchor"),
    [
        (r"ghp_[A-Za-z0-9]{36}(?!\w)", r"ghp\x5f(?:[A-Za-z0-9]){36}"),
        (r"(?<!\w)xoxb-[a-z0-9-]{10,250}", r"xoxb\x2d(?:[a-z0-9\x2d]){10}"),
        (r"eyJ[\w-]{8,1024}\.eyJ", r"eyJ(?:[\w\x2d]){8}"),
        (r"a(?:b|cd)?", "a"),
    ],
)
def test_an_anchor_is_the_definite_beginning_of_its_pattern(regex, anchor):
    assert anchor_of(Pattern(regex)).expression == anchor


@pytest.mark.parametrize(
    ("regex", "fault"),
    [
        ("a*", "empty text"),
        ("(?<=a)(?=b)", "empty text"),
        (r"\d*\.a{0,3}x", "nothing definite"),
        ("a(b", "no regular expression"),
        ("é", "not ASCII"),
        ("a{" + "9" * 30 + "}", "no regular expression"),
    ],
)
def test_a_pattern_without_an_anchor_is_refused_with_the_reason(regex, fault):
    with pytest.raises(ValueError, match=fault):
        anchor_of(Pattern(regex))


def test_an_anchor_of_ones_own_must_not_be_wider_than_a_cut_allows():
    with pytest.raises(ValueError, match=f"at most {MAX_ANCHOR}"):
        anchor_of(Pattern("@b", anchor="a{200}@"))


@pytest.mark.parametrize("text", ["tax id", "TAX_ID", "Tax-Id", "taxid"])
def test_the_words_of_a_keyword_may_be_joined_in_any_way(text):
    assert any(ends(expression, f"my {text} 1".encode()) for expression in keyword_anchors("tax id"))


@pytest.mark.parametrize(("text", "found"), [("nie: 1", True), ("NIE 1", True), ("genie 1", False), ("nief 1", False)])
def test_a_short_keyword_counts_as_a_word_only(text, found):
    assert any(ends(expression, text.encode()) for expression in keyword_anchors("nie")) is found
