"""What the measurement of detection speed gives to others to read: the same patterns, and streams of the said size."""

import re
from random import Random

import pytest

from benchmarks.detect_speed.corpora import LINES, card, iban
from benchmarks.detect_speed.in_process import Endless
from benchmarks.detect_speed.rust_patterns import _translated
from benchmarks.detection_quality.checked import OTHERS, valid_by


def test_a_pattern_keeps_its_meaning_but_for_look_arounds():
    translated = _translated(r"(?<![\w-])gh[ops]_[A-Za-z0-9]{36}(?!\w)")
    assert translated is not None
    assert "(?<!" not in translated
    assert re.fullmatch(translated, "ghp_" + "a1" * 18)
    assert not re.fullmatch(translated, "ghx_" + "a1" * 18)


def test_case_and_repeats_are_kept():
    translated = _translated(r"(?i:key)[ =]{1,3}(?P<value>[a-f]{2,5})")
    assert translated is not None
    assert re.fullmatch(translated, "KEY = abc")
    assert not re.fullmatch(translated, "KEY = ABC")


def test_what_rust_has_not_is_left_out():
    assert _translated(r"(a|b)\1") is None


@pytest.mark.parametrize("size", [1, 999_999, 2_500_000])
def test_a_stream_has_the_size_that_is_said(size):
    stream = Endless(b"0123456789\n" * 100_000, size)
    got = 0
    while piece := stream.read(300_000):
        got += len(piece)
    assert got == size


def test_the_planted_values_pass_their_checks():
    random = Random(1)
    assert all(valid_by("stdnum.luhn")(card(random)) for _ in range(50))
    assert all(OTHERS["iban"](iban(random)) for _ in range(50))


def test_every_kind_of_line_is_one_line():
    for _, _, line in LINES.values():
        assert line(Random(1)).rstrip("\n").count("\n") == 0
