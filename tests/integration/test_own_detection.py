"""A tenant's own detectors and allow list, by the engines that scans run."""

import io
import re
import time
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.own_rules import Trial
from domain.detectors import select
from domain.detectors.own import Allowance, own_detector
from domain.detectors.rule import Detector
from domain.errors import Invalid
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.detection.linear import MAX_LENGTH, Linear
from infrastructure.detection.trial import try_out, unfit_pattern
from infrastructure.formats.limits import Limits

EMPLOYEE = r"(?<![\w-])EMP-\d{6}(?![\w-])"
TIGHT = Limits(block_bytes=5_000, record_reach=512)


def own(*patterns: Any, **changes: Any) -> Detector:
    fields = {"id": "acme.employee-no", "name": "Employee number", "confidence": 0.8, "patterns": list(patterns)}
    return own_detector({**fields, **changes})


def inspect(detection: HyperscanDetection, text: bytes, name: str = "a.txt") -> Inspected:
    return detection.inspect(io.BytesIO(text), name=name, size=len(text))


def places(detector: Detector, text: bytes, limits: Limits | None = None, name: str = "a.txt") -> list[tuple[int, int]]:
    """Offset and length of each hit in a file."""
    found = inspect(HyperscanDetection([detector], limits, occurrences=10_000), text, name).findings
    return [(hit.byte_offset or 0, hit.length or 0) for finding in found for hit in finding.occurrences]


def test_an_own_detector_finds_its_values_beside_those_that_are_built_in():
    detection = HyperscanDetection(select(["pii.email", "acme"], [own(EMPLOYEE)]))
    found = inspect(detection, b"mail: ann@example.org, badge EMP-123456, not XEMP-123456 nor EMP-1234567").findings
    assert [(f.detector, f.category, f.count) for f in found] == [
        ("pii.email", "pii", 1),
        ("acme.employee-no", "acme", 1),
    ]
    assert found[1].occurrences[0].masked.endswith("56")


def test_a_keyword_before_the_value_or_in_the_columns_name_is_enough():
    desk = own(r"(?<!\w)\d{2,4}(?!\w)", keywords=["desk no"])
    assert places(desk, b"Desk no. 17 and 18") == [(9, 2)]
    assert places(desk, b"17 and 18") == []
    assert places(desk, b"name,desk_no\nann,17\nbob,1804\ncid,x\n", name="a.csv") == [(17, 2), (24, 4)]


def test_a_group_is_the_value_and_neighbours_share_what_stands_between():
    key = own(r"(?<!\w)key=(?P<value>[a-f0-9]{8})(?!\w)")
    text = b"key=0123abcd key=89abcdef;key=00000000x key=11111111"
    assert places(key, text) == [(4, 8), (17, 8), (44, 8)]


@pytest.mark.parametrize("lead", [0, 4_990, 4_995, 9_980])
def test_wherever_a_text_is_cut_the_same_is_found(lead: int):
    text = b"-" * lead + b" EMP-123456 EMP-654321\n" * 3
    assert [at for at, _ in places(own(EMPLOYEE), text, TIGHT)] == [
        lead + 23 * line + start for line in range(3) for start in (1, 12)
    ]


PIECES = st.lists(st.sampled_from([b"EMP-", b"123456", b"1", b" ", b"-", b"x", b"\n", b"EMP-000000"]), max_size=60)


@given(pieces=PIECES)
@settings(max_examples=60, deadline=None)
def test_what_is_found_is_what_the_expression_says(pieces: list[bytes]):
    text = b"".join(pieces)
    assert places(own(EMPLOYEE), text) == [(m.start(), 10) for m in re.finditer(EMPLOYEE.encode(), text)]


EVIL = b"a" * 60_000 + b"!"


@pytest.mark.parametrize(
    "pattern",
    [
        r"aaa(a+)+$",
        r"(a+){3,}$",
        r"(a|aa){3,}$",
        r"(a|a?){9}aaa$",
        r"aaa(.*)*b",
        r"(?<!\w)(a{1,9}){3,9}b",
        r"aaa(a*a*a*)*c",
    ],
)
def test_no_pattern_makes_any_text_take_long(pattern: str):
    """In a backtracking engine each of these would outlast the sun."""
    detection = HyperscanDetection([own(pattern)])
    began = time.process_time()
    assert inspect(detection, EVIL).findings == ()
    assert time.process_time() - began < 1.0


def test_evil_keywords_words_and_validators_are_no_way_around():
    detection = HyperscanDetection(
        [own(r"(a+)+$", keywords=["a", "aa a"], context=["a-a a"]), own(r"aaa", validator="iban", id="acme.iban")]
    )
    began = time.process_time()
    assert inspect(detection, EVIL[:20_000]).findings == ()
    assert time.process_time() - began < 5.0


def test_a_value_is_followed_for_a_kibibyte():
    long = own(r"BEGIN[a-z]+END")
    fits, beyond = (b"BEGIN" + b"x" * n + b"END" for n in (MAX_LENGTH - 8, MAX_LENGTH - 7))
    assert places(long, fits + b" " + beyond) == [(0, MAX_LENGTH)]


@pytest.mark.parametrize(
    ("regex", "says"),
    [
        (r"(?<=key=)\w{8}", "looks around, which only"),
        (r"EMP(?=-)-\d+", "looks around, which only"),
        (r"EMP-\d+|B(?!\w)", "looks around, which only"),
        (r"EMP-(\d)\1", "refers back to a group"),
        (r"(?P<q>['\"])EMP-\d+(?P=q)", "refers back to a group"),
        (r"EMP-\d++", "possessive or atomic"),
        (r"EMP-\d{1001}", "too large"),
        (r"EMP-(\w{1,100}){1,100}", "too large"),
        (r"EMP-\Z", r"write \$"),
    ],
)
def test_what_the_engine_cannot_take_is_told_with_its_remedy(regex: str, says: str):
    with pytest.raises(ValueError, match=says):
        Linear(regex)
    assert unfit_pattern(regex)
    with pytest.raises(Invalid) as raised:
        try_out(own(regex), "")
    assert [fault.field for fault in raised.value.faults] == ["patterns[0]"]


def faults(detector: Detector) -> dict[str, str]:
    with pytest.raises(Invalid) as raised:
        try_out(detector, "")
    return {fault.field: fault.message for fault in raised.value.faults}


def test_an_anchor_that_the_search_engine_refuses_is_told_in_its_words():
    told = faults(own({"regex": r"EMP-\d{6}", "anchor": r"EMP(?=-)"}))
    assert "Hyperscan" in told["patterns[0]"]


def test_an_unknown_validator_is_told_with_those_there_are():
    for name in ("lunn", "stdnum.no.such", "stdnum.", "os.path", "stdnum.util"):
        assert {"card", "iban"} <= set(faults(own(EMPLOYEE, validator=name))["validator"].replace(",", "").split())
    assert faults(own(EMPLOYEE, "EMP-(?=1)\\d+", validator="lunn")).keys() == {"validator", "patterns[1]"}
    assert try_out(own(r"\d{9}", validator="stdnum.nl.bsn", matches=["111222333"]), "").matches == (1,)


def test_examples_that_do_not_hold_are_all_told():
    detector = own(
        EMPLOYEE, matches=["EMP-1", "EMP-123456", "EMP-123456 EMP-123457"], near_misses=["EMP-1", "EMP-123456"]
    )
    told = faults(detector)
    assert told.keys() == {"matches[0]", "matches[2]", "near_misses[1]"}
    assert "found 2 times" in told["matches[2]"]


def test_a_sample_is_answered_with_the_place_of_each_hit_masked():
    trial = try_out(own(EMPLOYEE, context=["badge"]), "one\nbadge EMP-123456\n\n" + "x" * 100 + " EMP-654321")
    assert isinstance(trial, Trial)
    first, second = trial.hits
    assert (first.line, first.column, first.byte_offset, first.length, first.confidence) == (2, 7, 10, 10, 0.9)
    assert (second.line, second.confidence, trial.count) == (4, 0.8, 2)
    assert first.masked == "***-****56"


# The allow list -------------------------------------------------------------------------------------------------------

CARDS = b"card 4111111111111111 and 4242 4242 4242 4242 and 5555555555554444, mail ann@example.com"
CHOSEN = select(["payment.card", "pii.email"])


def counted(*allowed: Allowance, name: str = "a.txt", text: bytes = CARDS) -> tuple[dict[str, int], int]:
    inspected = inspect(HyperscanDetection(CHOSEN, allowed=allowed), text, name)
    return {finding.detector: finding.count for finding in inspected.findings}, inspected.allowed


def value(text: bytes, detector: str | None = None) -> Allowance:
    return Allowance(detector, sha256=sha256(text).hexdigest())


def test_what_is_on_the_list_is_counted_and_not_found():
    assert counted() == ({"payment.card": 3, "pii.email": 1}, 0)
    assert counted(value(b"4111111111111111")) == ({"payment.card": 2, "pii.email": 1}, 1)
    assert counted(Allowance("payment", pattern=r"4[\d ]+")) == ({"payment.card": 1, "pii.email": 1}, 2)
    assert counted(Allowance(pattern=r".*@example\.com")) == ({"payment.card": 3}, 1)
    assert counted(Allowance(object_prefix="test/"), name="test/a.txt") == ({}, 4)
    assert counted(Allowance("pii", object_prefix="test/"), name="test/a.txt") == ({"payment.card": 3}, 1)


def test_what_is_on_the_list_for_others_is_found():
    for one in (
        value(b"4111111111111111", "pii"),
        value(b"411111111111111"),
        Allowance(pattern="4111"),
        Allowance(object_prefix="test/"),
    ):
        assert counted(one) == ({"payment.card": 3, "pii.email": 1}, 0)


@pytest.mark.parametrize("rows", [3, 2_000])
def test_in_a_column_the_list_holds_for_each_row(rows: int):
    cards = [b"4111111111111111", b"5555555555554444"]
    text = b"id,card\n" + b"".join(b"%d,%s\n" % (row, cards[row % 2]) for row in range(rows))
    found, allowed = counted(value(cards[0]), name="a.csv", text=text)
    assert (found, allowed) == ({"payment.card": rows // 2}, rows - rows // 2)


def test_of_values_that_are_counted_at_once_the_list_is_heeded_as_well():
    lines = [b"mail from user%d@example.%s today\n" % (n, b"com" if n % 3 else b"org") for n in range(3_000)]
    detection = HyperscanDetection(select(["pii.email"]), allowed=[Allowance(pattern=r".*@example\.org")])
    inspected = inspect(detection, b"".join(lines))
    assert ([finding.count for finding in inspected.findings], inspected.allowed) == ([2_000], 1_000)


def test_an_own_detector_looks_into_columns_that_are_full_of_other_values():
    rows = b"".join(b"%d,user%d@example.com\n" % (n, n) for n in range(3_000))
    ours = own(r"user1\d\d\d@example\.com")
    found = inspect(HyperscanDetection([*select(["pii.email"]), ours]), b"id,email\n" + rows, "a.csv").findings
    assert {finding.detector: finding.count for finding in found} == {"pii.email": 3_000, ours.id: 1_000}
