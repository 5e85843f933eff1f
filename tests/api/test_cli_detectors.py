"""`scanledger detectors list|test`: what is built in, and whether a rule does what it should; without any service."""

import json
from pathlib import Path

import pytest

from domain.detectors import detectors
from tests.api.cli_documents import Cli
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]

KEYWORD = """\
[[detector]]
id = "pii.member-number"
name = "Member number"
confidence = 0.8
validator = "stdnum.luhn"
keywords = ["member no"]
patterns = ['(?<![0-9])[0-9]{8}(?![0-9])']
matches = ["member no 18273649"]
near_misses = ["member no 18273644", "order 18273649"]
"""
LITERAL = """\
[[detector]]
id = "secret.acme-token"
name = "Acme token"
confidence = 0.9
patterns = ['acme_[0-9a-f]{8}(?![0-9a-f])']
matches = [["acme_", "0123abcd"]]
"""


@pytest.fixture
def rules(clean_environment: None) -> Path:
    path = Path("rules.toml")
    path.write_text(KEYWORD + LITERAL)
    return path


def missed(out: str) -> list[str]:
    return [line.removeprefix("  missed  ") for line in out.splitlines() if line.startswith("  missed")]


def test_every_built_in_detector_is_listed_with_what_it_is(scanledger: Cli) -> None:
    ran = scanledger("detectors", "list", "--json")
    listed = json.loads(ran.out)
    assert (ran.code, [one["id"] for one in listed]) == (0, [detector.id for detector in detectors()])
    assert set(listed[0]) == {
        *("id", "name", "category", "severity", "confidence", "validator", "keywords", "patterns")
    }
    [card] = [one for one in listed if one["id"] == "payment.card"]
    assert (card["category"], card["severity"]) == ("payment", "high")


def test_a_category_can_be_listed_alone(scanledger: Cli) -> None:
    ran = scanledger("detectors", "list", "--category", "payment")
    names = [line.split()[0] for line in ran.out.splitlines()[1:] if not line.startswith(" ")]
    assert names == [detector.id for detector in detectors() if detector.category == "payment"]


def test_a_category_that_is_none_is_wrong_usage_and_all_are_named(scanledger: Cli) -> None:
    ran = scanledger("detectors", "list", "--category", "weather")
    assert (ran.code, ran.out) == (2, "")
    assert "payment, phi, pii, secret" in ran.err


def test_without_a_command_the_service_is_asked(scanledger: Cli, service: ScriptedService) -> None:
    service.on("GET /detectors", Answer.data([{"detector": "payment.card", "category": "payment"}]))
    assert json.loads(scanledger("detectors", "--json").out) == [{"detector": "payment.card", "category": "payment"}]


def test_a_rule_that_treats_its_examples_as_it_should_passes(scanledger: Cli, rules: Path) -> None:
    ran = scanledger("detectors", "test", str(rules))
    assert (ran.code, ran.err) == (0, "")
    assert "pii.member-number: 3 of 3 examples pass" in ran.out
    assert "secret.acme-token: 1 of 1 examples pass" in ran.out


def test_a_rule_that_does_not_fails_and_the_example_is_shown(scanledger: Cli, rules: Path) -> None:
    rules.write_text(KEYWORD.replace('validator = "stdnum.luhn"\n', ""))
    ran = scanledger("detectors", "test", str(rules))
    assert ran.code == 1
    assert "pii.member-number: 2 of 3 examples pass" in ran.out
    [failed] = [line for line in ran.out.splitlines() if line.startswith("FAIL")]
    assert failed.split("  ")[-1].strip() == "member no 18273644"


def test_a_built_in_detector_is_tested_by_its_id(scanledger: Cli) -> None:
    assert scanledger("detectors", "test", "pii.email").code == 0


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("weather.rain", "weather.rain is neither a detector nor a category"),
        ("missing.toml", "missing.toml cannot be read"),
        ("bad.toml", "bad.toml.detector[0].confidence: is missing"),
    ],
)
def test_a_rule_that_is_none_is_wrong_usage(scanledger: Cli, rule: str, fault: str) -> None:
    Path("bad.toml").write_text(LITERAL.replace("confidence = 0.9\n", ""))
    ran = scanledger("detectors", "test", rule)
    assert (ran.code, ran.out) == (2, "")
    assert fault in ran.err


def test_what_is_found_in_a_text_is_shown_masked_with_its_place(scanledger: Cli, rules: Path) -> None:
    Path("sample.txt").write_text("first\nmember no: 18273649\n")
    ran = scanledger("detectors", "test", str(rules), "sample.txt")
    assert "pii.member-number in sample.txt:\n  found   2:12  ******49  confidence 0.80\n" in ran.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing", "none of its keywords is in the text: member no"),
        ("member no follows", "a keyword ends at 1:10, but nothing in the text matches"),
        ("member no 18273644", "1:11  ******44  has the shape, but the check stdnum.luhn refuses it"),
        ("18273649 is a member no", "1:1  ******49  has the shape, but no keyword ends within 48 bytes before it"),
    ],
)
def test_of_a_keyword_rule_it_is_told_how_far_a_text_came(scanledger: Cli, rules: Path, text: str, reason: str) -> None:
    rules.write_text(KEYWORD)
    told = missed(scanledger("detectors", "test", str(rules), "--text", text).out)
    assert len(told) == 1
    assert told[0].startswith(f"pattern 1: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing", "nothing in the text begins like acme_"),
        ("acme_0123abcdef", "the text before 1:14 begins like it, but does not match"),
    ],
)
def test_of_a_literal_rule_it_is_told_how_far_a_text_came(scanledger: Cli, rules: Path, text: str, reason: str) -> None:
    rules.write_text(LITERAL)
    told = missed(scanledger("detectors", "test", str(rules), "--text", text).out)
    assert told[0].startswith(f"pattern 1: {reason}")
