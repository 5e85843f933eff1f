"""Occurrences as lines: what each is worth, and that no name in them steers a terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.detecting import LocalFinding, line_of, told_confidences
from domain.finding import Finding, Occurrence, agreed

FIELDS = (
    *("object", "detector", "category", "severity", "confidence", "byte_offset", "length", "line", "column"),
    *("record_index", "field", "json_path", "inner_path", "page", "sheet", "cell", "masked"),
)
FOUND = LocalFinding("pii.email", "pii", "medium", None, 0.8, hits=1)


def finding(*own: float, column: str | None = "mail", rejected: int = 0, count: int | None = None) -> Finding:
    occurrences = tuple(Occurrence("***", confidence=confidence) for confidence in own)
    counted = len(own) if count is None else count
    return Finding("pii.email", "pii", max(own), counted, occurrences, column, rejected)


def test_outside_of_tables_an_occurrence_keeps_its_own_confidence() -> None:
    assert told_confidences(finding(0.8, 0.32, column=None)) == [0.8, 0.32]


def test_where_a_column_agrees_every_occurrence_has_the_raised_confidence() -> None:
    raised = agreed(finding(*[0.8] * 19, 0.6), records=20)
    assert raised.confidence == 0.9
    assert told_confidences(raised) == [0.9] * 20


def test_where_a_column_disagrees_no_occurrence_is_surer_than_the_finding() -> None:
    lowered = agreed(finding(0.8, 0.3, rejected=30), records=40)
    assert lowered.confidence == 0.4
    assert told_confidences(lowered) == [0.4, 0.3]


def test_a_column_that_tells_nothing_changes_nothing() -> None:
    assert told_confidences(agreed(finding(0.8, 0.3), records=3)) == [0.8, 0.3]


def test_a_finding_whose_best_hit_was_not_kept_raises_no_other() -> None:
    unsure = Finding("pii.email", "pii", 0.5, 9, (Occurrence("***", confidence=0.3),), "mail")
    assert told_confidences(unsure) == [0.3]


@given(
    own=st.lists(st.sampled_from([0.2, 0.32, 0.5, 0.77, 0.95, 1.0]), min_size=1, max_size=40),
    rejected=st.integers(0, 200),
    records=st.integers(0, 60),
)
def test_the_surest_occurrence_is_as_sure_as_the_finding(own: list[float], rejected: int, records: int) -> None:
    whole = agreed(finding(*own, rejected=rejected), records)
    assert max(told_confidences(whole)) == whole.confidence


def test_a_line_has_exactly_the_fields_that_are_promised_and_null_for_what_is_unknown() -> None:
    line = json.loads(line_of("a.txt", FOUND, 0.8, Occurrence("***@x", byte_offset=3, length=5, line=1, column=4)))
    assert tuple(line) == FIELDS
    assert {name for name, value in line.items() if value is None} == {
        *("record_index", "field", "json_path", "inner_path", "page", "sheet", "cell")
    }


@given(st.text())
def test_a_line_is_one_line_of_printable_ascii_whatever_the_name(name: str) -> None:
    line = line_of(name, FOUND, 0.8, Occurrence(name, field=name))
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\u202egpj.exe", "\x7f"])
def test_a_name_comes_out_of_a_line_as_it_was(name: str) -> None:
    assert json.loads(line_of(name, FOUND, 0.8, Occurrence("***")))["object"] == name
