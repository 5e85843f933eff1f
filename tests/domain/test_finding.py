"""Masking: enough to recognise a value by its owner, too little to use it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.finding import mask


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("4111-1111-1111-1111", "****-****-****-1111"),
        ("jane.doe@example.com", "****.***@******e.com"),
        ("123-45-6789", "***-**-**89"),
        ("abc", "***"),
        ("abcd", "***d"),
        ("", ""),
        ("ÄÖÜß1234", "******34"),
        ("naïve", "****e"),
    ],
)
def test_masking_keeps_the_shape_and_the_last_characters(value: str, masked: str) -> None:
    assert mask(value) == masked


@given(value=st.text(max_size=60))
def test_no_more_than_four_characters_nor_a_quarter_of_a_value_is_ever_shown(value: str) -> None:
    masked = mask(value)
    secret = [at for at, character in enumerate(value) if character.isalnum() or not character.isascii()]
    shown = [at for at in secret if masked[at] != "*"]
    assert len(masked) == len(value)
    assert len(shown) <= min(4, len(secret) // 4)
    assert all(masked[at] == value[at] for at in shown)
    assert all(masked[at] == value[at] for at in range(len(value)) if at not in secret)


@given(value=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60))
def test_what_is_shown_is_the_end_of_the_value(value: str) -> None:
    shown = min(4, len(value) // 4)
    assert mask(value) == "*" * (len(value) - shown) + value[len(value) - shown :]


def test_letters_written_with_combining_marks_are_hidden_whole() -> None:
    assert mask("हिन्दीभाषा") == "********षा"
