"""A tenant's own rules: what they may be, and by what a scan is pinned to them."""

from dataclasses import replace
from typing import Any

import pytest

from domain.detectors import detectors, names, select
from domain.detectors.own import (
    MAX_ALLOWANCES,
    MAX_DETECTORS,
    Allowance,
    OwnRules,
    combined,
    of_body,
    own_detector,
    require_room,
    require_room_on_list,
)
from domain.detectors.rule import Detector
from domain.detectors.rulebook import detector_of, fields_of
from domain.errors import Conflict, Invalid

FIELDS: dict[str, Any] = {
    "id": "acme.employee-no",
    "name": "Employee number",
    "confidence": 0.8,
    "patterns": [r"EMP-\d{6}", {"regex": r"\d{6}", "keywords": ["employee no"]}],
    "context": ["staff"],
    "severity": "low",
    "matches": ["EMP-123456"],
}


def detector(**changes: Any) -> Detector:
    return own_detector({**FIELDS, **changes})


RULES = OwnRules((detector(),), (Allowance("acme", sha256="ab" * 32), Allowance(object_prefix="fixtures/")))


def test_every_detector_can_be_written_as_fields_and_read_back():
    assert [detector_of(fields_of(one)) for one in detectors()] == list(detectors())
    assert own_detector(fields_of(detector())) == detector()


def test_rules_come_back_from_their_body_as_far_as_findings_depend_on_them():
    read = of_body(RULES.body)
    assert read.body == RULES.body
    assert read.allowed == RULES.allowed
    [one] = read.detectors
    assert one == replace(detector(), name=one.id, matches=())
    assert one.custom


def test_the_digest_is_of_what_findings_depend_on_and_of_nothing_else():
    same = OwnRules((detector(name="No.", matches=[], near_misses=["EMP"]),), RULES.allowed[::-1])
    assert same.digest == RULES.digest
    others = [
        OwnRules((), RULES.allowed),
        OwnRules(RULES.detectors),
        OwnRules((detector(severity="high"),), RULES.allowed),
        OwnRules((detector(confidence=0.9),), RULES.allowed),
        OwnRules((detector(patterns=[r"EMP-\d{7}"]),), RULES.allowed),
    ]
    assert len({RULES.digest, *(other.digest for other in others)}) == 6


def test_without_rules_of_its_own_a_tenants_ruleset_is_what_is_built_in():
    assert not OwnRules()
    assert OwnRules().digest == ""
    assert combined("r1", OwnRules().digest) == "r1"
    assert len({"r1", combined("r1", RULES.digest), combined("r2", RULES.digest)}) == 3


def test_own_detectors_are_chosen_by_id_and_category_like_any_other():
    own = [detector()]
    assert {"acme", "acme.employee-no", "pii"} <= names(own)
    assert select(["acme"], own) == tuple(own)
    assert len(select([], own)) == len(detectors()) + 1
    with pytest.raises(KeyError, match=r"acme\.other"):
        select(["acme.other"], own)


def faults(**changes: Any) -> list[str]:
    with pytest.raises(Invalid) as raised:
        detector(**changes)
    return [fault.field for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"id": "Employee"}, ["id"]),
        ({"name": "x" * 201}, ["name"]),
        ({"patterns": []}, ["patterns"]),
        ({"patterns": ["EMP-\\d{6}"] * 21}, ["patterns"]),
        ({"patterns": ["a" * 1001, "EMP(", "ab"]}, ["patterns[1]"]),
        ({"patterns": ["a" * 1001, "EMP-1", "ab"]}, ["patterns[0]", "patterns[2]"]),
        (
            {"patterns": ["EMP-[[:alpha:]]{9}", r"EMP-[\[a]", "EMP-[a--z]", {"regex": "[&&]abc"}]},
            ["patterns[0]", "patterns[2]", "patterns[3]"],
        ),
        ({"patterns": [{"regex": "EMP-1", "before": 9000}]}, ["patterns[0]"]),
        ({"keywords": ["two  blanks", "fine word", "- dash", "x" * 49]}, ["keywords[0]", "keywords[2]", "keywords[3]"]),
        ({"context": ["w"] * 51}, ["context"]),
        ({"matches": ["x" * 4097]}, ["matches[0]"]),
        ({"near_misses": ["x"] * 51}, ["near_misses"]),
        ({"severity": "grave"}, ["severity"]),
    ],
)
def test_what_no_own_detector_can_be_is_told_with_every_fault(changes: dict[str, Any], fields: list[str]):
    assert faults(**changes) == fields


def test_a_value_may_be_short_where_a_keyword_must_stand_before_it():
    assert detector(patterns=[r"\d{2}"], keywords=["desk"]).patterns[0].keywords == ("desk",)


def test_a_tenant_has_room_for_so_many_detectors_and_no_more():
    require_room([detector()] * MAX_DETECTORS)
    large = detector(matches=["x" * 4_000] * 17)
    for too_many in ([detector()] * (MAX_DETECTORS + 1), [large], [detector(patterns=["EMP-1"] * 20)] * 11):
        with pytest.raises(Conflict) as raised:
            require_room(too_many)
        assert raised.value.code == "DETECTOR_LIMIT_REACHED"


def test_an_allow_list_has_room_for_so_many_entries_and_no_more():
    require_room_on_list([Allowance(sha256="ab" * 32)] * MAX_ALLOWANCES)
    for too_many in ([Allowance(sha256="ab" * 32)] * (MAX_ALLOWANCES + 1), [Allowance(pattern="x" * 1_000)] * 70):
        with pytest.raises(Conflict) as raised:
            require_room_on_list(too_many)
        assert raised.value.code == "ALLOW_LIST_LIMIT_REACHED"
