"""What docs/detection.md says of rules, formats and bounds is what the code has; its examples do what it says."""

import io
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from domain.detectors import detectors, own, rulebook
from domain.detectors.rule import CONTEXT_AFTER, CONTEXT_BEFORE, KEYWORD_REACH, SEVERITIES, UNKNOWN_SEVERITY
from domain.finding import Finding, agreed
from infrastructure.detection import kernels, linear
from infrastructure.detection.checks import CHECKS
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.detection.local.pool import MEMORY_BYTES, STALL_SECONDS
from infrastructure.formats import signatures
from infrastructure.formats.compression import DECOMPRESSIONS
from infrastructure.formats.layouts import LAYOUTS
from infrastructure.formats.limits import Limits
from infrastructure.formats.readers import FORMATS
from infrastructure.settings import Settings

DOCUMENT: Final = (Path(__file__).parent.parent / "docs" / "detection.md").read_text("utf-8")
UNITS: Final = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def rows(heading: str) -> list[list[str]]:
    """The rows of the table that begins with this heading, cell by cell."""
    [table] = re.findall(rf"^\| {re.escape(heading)} \|[^\n]*\n\|[-:| ]+\|\n((?:\|[^\n]*\n)+)", DOCUMENT, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()]


def chapter(title: str) -> str:
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def number(text: str) -> int:
    """`64 KiB` or `100,000`."""
    amount, _, unit = text.replace(",", "").partition(" ")
    return int(amount) * UNITS.get(unit, 1)


def found(detection: HyperscanDetection, text: str) -> list[Finding]:
    inspected = detection.inspect(io.BytesIO(text.encode()), name="example.txt", size=len(text))
    return list(inspected.findings)


def test_the_categories_are_told_with_their_severities_and_how_many_detectors_they_have():
    counts = Counter(detector.category for detector in detectors())
    expected = [[f"`{category}`", str(counts[category]), SEVERITIES[category]] for category in sorted(counts)]
    assert rows("category") == expected
    assert f"severity {UNKNOWN_SEVERITY} unless" in DOCUMENT.replace("\n", " ")


def test_the_example_of_a_rule_finds_its_examples_and_leaves_its_near_misses_alone():
    [toml] = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    [detector] = rulebook.detectors_of(toml, "docs/detection.md")
    detection = HyperscanDetection([detector])
    assert detector.matches
    assert detector.near_misses
    assert [sum(one.count for one in found(detection, text)) for text in detector.matches] == [1] * len(
        detector.matches
    )
    assert [found(detection, text) for text in detector.near_misses] == [[]] * len(detector.near_misses)


def test_every_field_of_a_rule_and_of_a_pattern_is_in_its_table_and_no_other():
    assert sorted(row[0].strip("`") for row in rows("field")) == sorted(rulebook._FIELDS)
    assert sorted(row[0].strip("`") for row in rows("field of a pattern")) == sorted(rulebook._PATTERN_FIELDS)
    required = {row[0].strip("`") for row in rows("field") if row[2].startswith("required")}
    assert required == {fault.field for fault in rulebook._unknown({})}


def test_how_far_words_reach_is_told():
    needed = {row[0]: row[2] for row in rows("words")}
    assert f"at most {KEYWORD_REACH} bytes" in needed["`keywords`"]
    assert needed["`context`"].startswith(f"{CONTEXT_BEFORE} bytes before the value, {CONTEXT_AFTER} bytes after it")


def test_every_validator_is_named_once():
    named = [name for row in rows("kind") for name in re.findall(r"`(\w+)`", row[1])]
    assert sorted(named) == sorted(CHECKS)


@pytest.fixture(scope="module")
def cards() -> HyperscanDetection:
    return HyperscanDetection([detector for detector in detectors() if detector.id == "payment.card"])


@pytest.mark.parametrize("row", rows("text"), ids=lambda row: row[0])
def test_an_example_of_confidence_has_the_confidence_that_is_told(cards, row):
    [finding] = found(cards, row[0].strip("`"))
    assert f"{finding.confidence:.2f}" == row[1]


@pytest.mark.parametrize(
    ("count", "rejected", "records", "confidence"),
    [(16, 0, 20, 0.9), (15, 0, 20, 0.8), (16, 0, 19, 0.8), (5, 15, 20, 0.4), (6, 14, 20, 0.8), (5, 14, 20, 0.8)],
)
def test_a_column_is_judged_from_where_the_document_says(count, rejected, records, confidence):
    told = [
        re.findall(r"(\d+) (?:values|records|%)", row[1]) + re.findall(r"(\d+) %", row[1])
        for row in rows("of a column")
    ]
    assert told == [["20", "30", "30"], ["20", "80", "80"]]
    finding = Finding("a.b", "a", 0.8, count, column="c", rejected=rejected)
    assert agreed(finding, records).confidence == confidence


def test_every_kernel_is_named():
    [told] = re.findall(r"There are kernels for (.*?)\. ", chapter("Columns").replace("\n", " "))
    assert re.findall(r"`([a-z.-]+)`", told) == list(kernels.KERNELS)


def test_the_formats_are_told_in_the_order_in_which_they_are_tried():
    assert [row[0] for row in rows("format")] == [one.name for one in FORMATS]


def test_the_compressions_and_the_layouts_are_told_in_the_order_in_which_they_are_tried():
    codecs = [decompression.__name__.removesuffix("Stream").lower() for _, decompression in DECOMPRESSIONS]
    assert [row[0] for row in rows("compression")] == codecs
    layouts = [sniffer.__name__.strip("_").replace("_", " ") for sniffer in LAYOUTS]
    assert [row[0].lower() for row in rows("text layout")] == layouts


def test_everything_that_is_refused_by_name_is_told():
    told = DOCUMENT.replace("\n", " ").split("Encrypted, as told by the first bytes: ")[1]
    encrypted, unsupported = told.split(" Unsupported: ")
    for _, what in signatures._ENCRYPTED:
        assert what in encrypted.split("; by their readers")[0]
    for _, what in signatures._UNSUPPORTED:
        assert what in unsupported


def test_every_limit_is_told_with_its_default():
    told = {row[0].strip("`"): number(row[1]) for row in rows("limit")}
    assert told == {field.name: field.default for field in fields(Limits)}


def test_the_bounds_of_processes_are_the_codes():
    memory, stalled, _ = rows("bound")
    assert number(memory[1]) == MEMORY_BYTES
    assert f"`reader_memory_bytes` ({memory[1]})" in memory[2]
    assert Settings.model_fields["reader_memory_bytes"].default == MEMORY_BYTES
    assert stalled[1] == f"{STALL_SECONDS:g} s"
    assert stalled[2] == f"`stall_seconds` ({Settings.model_fields['stall_seconds'].default})"


def test_what_a_tenant_may_have_is_told():
    assert [number(row[1]) for row in rows("of a tenant")] == [
        own.MAX_DETECTORS,
        own.MAX_PATTERNS_TOGETHER,
        own.MAX_PATTERNS,
        own.MAX_PATTERN,
        linear.MAX_LENGTH,
        own.MAX_WORDS,
        own.MAX_EXAMPLES,
        own.MAX_EXAMPLE,
        own.MAX_BYTES,
        own.MAX_ALLOWANCES,
    ]
    assert f"must need at least {own.LEAST_VALUE} bytes" in DOCUMENT
    assert f"more than {linear._MOST_STEPS:,} steps" in DOCUMENT.replace("\n", " ")
