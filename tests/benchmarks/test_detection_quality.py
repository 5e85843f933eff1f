"""What the measurement of detection quality counts as found, missed and false, and that what it plants is valid."""

from random import Random

import pytest

from benchmarks.detection_quality import negatives, peer_rules, secrets
from benchmarks.detection_quality.checked import valid_by, value_of
from benchmarks.detection_quality.numbers import identifiers, planted
from benchmarks.detection_quality.scoring import Reported, Score, of_lines, of_spans
from benchmarks.detection_quality.secret_scores import names
from benchmarks.detection_quality.shapes import made


def test_a_label_is_found_by_a_span_that_covers_most_of_it():
    assert of_spans([(10, 20)], [(10, 20)]) == Score(hits=1)
    assert of_spans([(10, 20)], [(8, 21)]) == Score(hits=1)


def test_half_of_a_value_is_a_miss_and_no_second_fault():
    assert of_spans([(10, 20)], [(10, 14)]) == Score(missed=1)


def test_a_span_far_longer_than_the_label_does_not_find_it():
    assert of_spans([(10, 14)], [(0, 40)]) == Score(missed=1)


def test_what_several_rules_find_in_one_place_counts_once():
    assert of_spans([], [(5, 9), (6, 12), (30, 33)]) == Score(false=2)
    assert of_spans([(5, 9)], [(5, 9), (5, 9)]) == Score(hits=1)


def test_shares_are_those_of_the_textbook():
    score = Score(hits=6, missed=2, false=4)
    assert (score.precision, score.recall) == (0.6, 0.75)
    assert score.f1 == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))


def test_nothing_to_find_and_nothing_found_is_perfect_and_has_no_precision():
    assert (Score().precision, Score().recall, Score().f1) == (None, None, 1.0)


def test_a_secret_of_many_lines_is_found_on_any_of_them():
    assert of_lines([range(3, 9)], [Reported(5, 5, "private-key")]) == Score(hits=1)


def test_reports_beside_the_wanted_line_are_false_once_a_line():
    reports = [Reported(1, 1, "a"), Reported(1, 1, "b"), Reported(4, 4, "a"), Reported(2, 2, "a")]
    assert of_lines([range(2, 3)], reports) == Score(hits=1, false=2)


def test_a_rule_names_a_kind_by_its_vendor():
    assert names("secret.github-token", "github-token")
    assert names("github-fine-grained-pat", "github-token")
    assert not names("generic-api-key", "github-token")


def test_shapes_make_what_they_say():
    assert made("ab_{d4}-{=x|y}", Random(1)) == made("ab_{d4}-{=x|y}", Random(1))
    value = made("{h8}{A2}", Random(1))
    assert (len(value), value[8:].isupper()) == (10, True)
    with pytest.raises(ValueError, match="no shape"):
        made("{nonsense}", Random(1))


def test_the_planted_identifiers_pass_their_checks_and_the_decoys_do_not():
    for identifier in identifiers():
        if identifier.kind in {"payment.card", "payment.iban", "pii.nl-bsn", "phi.gb-nhs-number"}:
            valid = valid_by(identifier.check)
            assert valid(value_of(identifier.shapes[0], identifier.check, Random(7)))
            for text in planted(identifier, 7, 3):
                assert all(valid(text.text[start:end]) for start, end in text.spans)
                label, _, value = text.text.partition(": ")
                assert text.spans or label not in identifier.labels or not valid(value)


def test_a_planted_secret_stands_on_the_lines_that_are_said():
    for case in secrets.cases(3, 1):
        lines = case.text.split("\n")
        assert 1 <= case.lines.start < case.lines.stop <= len(lines)
        assert lines[case.lines.start - 1]


def test_files_of_the_same_seed_are_the_same():
    assert list(secrets.cases(3, 1)) == list(secrets.cases(3, 1))
    assert list(negatives.cases(3, 1)) == list(negatives.cases(3, 1))
    assert not any(case.lines for case in negatives.cases(3, 1))


def test_values_made_from_a_peers_rule_match_it():
    rules = [("acme-key", r"(?i)(?:acme)(?:[ \t\w.-]{0,20})[\s'\"]{0,3}(?:=|>)[\s'\"]{0,5}(ak_[a-f0-9]{8})(?:['\"]|$)")]
    (case,) = peer_rules.cases(rules, 1, 1)
    line = case.text.split("\n")[case.lines.start - 1]
    assert line.lower().startswith("acme_")
    assert "=ak_" in line.lower()
