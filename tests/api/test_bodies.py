"""Strictness: what is not exactly right is named, every fault at once."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bodies import Body, parse_json, validated
from api.schemas import StartScan
from domain.errors import Invalid

GOOD: dict[str, Any] = {"connectors": ["conn-1"], "type": "full"}


def faults(value: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        validated(StartScan, Body(value))
    return {fault.field: fault.message for fault in caught.value.faults}


def test_a_body_with_nothing_but_what_is_required_gets_every_default():
    options = validated(StartScan, Body(GOOD)).options
    assert (options.timeout_minutes, options.coverage_target, options.coverage_strategy) == (120, 0.8, "best_effort")
    assert options.max_files is None
    assert options.max_workers is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("connectors", None),
        ("connectors", "conn-1"),
        ("connectors", []),
        ("connectors", ["conn-1", "conn-1"]),
        ("connectors", [f"conn-{i}" for i in range(101)]),
        ("connectors[0]", [1]),
        ("connectors[1]", ["conn-1", ""]),
        ("type", None),
        ("type", "everything"),
        ("options", None),
        ("options", []),
        ("another", 1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any):
    assert list(faults({**GOOD, field.partition("[")[0]: value})) == [field]


@pytest.mark.parametrize("name", ["connectors", "type"])
def test_a_missing_field_is_named(name: str):
    assert faults({key: value for key, value in GOOD.items() if key != name}) == {name: "is required"}


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("max_files", [0, -1, 1.5, 1.0, "5", True, None, []]),
        ("max_workers", [0, -1, 1.5, "5", False, None]),
        ("file_types", ["csv", None, [f"t{i}" for i in range(101)]]),
        ("file_types[0]", [[""], ["x" * 1025], [".csv"], ["a/b"], [1], [None]]),
        ("prefixes", ["logs/", None, [f"p{i}" for i in range(101)]]),
        ("prefixes[0]", [[""], ["x" * 1025], [7]]),
        ("llm_assist", [1, "true", None]),
        ("timeout_minutes", [0, 10_081, 1.5, "60", True, None]),
        ("coverage_target", [-0.01, 1.01, "0.8", True, None]),
        ("coverage_strategy", ["lax", None, 1]),
        ("sample_percent", [0, 101, 1.5, "50", True, None]),
        ("detectors", ["pii", None, ["pii"] * 201]),
        ("detectors[0]", [["weather"], [""], ["PII"], [1], [None]]),
        ("detectors[1]", [["pii", "pii.mail"]]),
        ("priority", [-1, 10, 0.5, "5", False, None]),
    ],
)
def test_a_wrong_option_is_named(option: str, values: list[Any]):
    name = option.partition("[")[0]
    for value in values:
        assert list(faults({**GOOD, "options": {name: value}})) == [f"options.{option}"], value


def test_every_fault_is_told_at_once():
    body = {"connectors": [], "type": "partial", "options": {"max_files": 0, "x": 1, "file_types": [".csv", 1]}}
    assert set(faults(body)) == {
        "connectors",
        "type",
        "options.max_files",
        "options.x",
        "options.file_types[0]",
        "options.file_types[1]",
    }


OUT_OF_REACH = {"coverage_strategy": "strict", "sample_percent": 79}


def test_a_strict_target_above_the_sample_is_told_with_what_to_do():
    message = faults({**GOOD, "options": OUT_OF_REACH})["options.coverage_target"]
    assert all(part in message for part in ("79 %", "0.79", "options.sample_percent", "best_effort"))


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {**OUT_OF_REACH, "sample_percent": 80}},
        {"options": {**OUT_OF_REACH, "coverage_target": 0.79}},
        {"options": {**OUT_OF_REACH, "coverage_strategy": "best_effort"}},
        {"options": OUT_OF_REACH, "type": "incremental"},
    ],
)
def test_a_target_within_reach_of_the_sample_is_taken(changes: dict[str, Any]):
    assert validated(StartScan, Body({**GOOD, **changes})).options.sample_percent < 100


def test_an_unreachable_target_and_unknown_detectors_are_told_with_every_other_fault():
    options = {**OUT_OF_REACH, "detectors": ["pii", "weather", 1], "max_files": 0, "x": 1}
    assert set(faults({**GOOD, "connectors": ["a", "a"], "options": options})) == {
        "connectors",
        "options.coverage_target",
        "options.detectors[1]",
        "options.detectors[2]",
        "options.max_files",
        "options.x",
    }


def test_a_target_that_is_wrong_in_itself_is_told_once():
    told = faults({**GOOD, "options": {**OUT_OF_REACH, "coverage_target": 2}})
    assert list(told) == ["options.coverage_target"]
    assert "under strict" not in told["options.coverage_target"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"{", "is not valid JSON"),
        (b"{'a': 1}", "is not valid JSON"),
        (b'{"a": 1} x', "is not valid JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 30 + b"}", "too large"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "too many digits"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b'{"a": "\xc3("}', "is not UTF-8"),
        (b'{"a": "x\\u0000"}', "NUL"),
        (b'{"x\\u0000": 1}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"[" * 5_000 + b"]" * 5_000, "nested"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested"),
        (b"[" * 33 + b"]" * 33, "nested"),
    ],
)
def test_what_is_not_plain_json_is_refused_in_words(body: bytes, message: str):
    with pytest.raises(Invalid) as caught:
        validated(StartScan, parse_json(body))
    assert any(message in fault.message for fault in caught.value.faults)


def told(body: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        validated(StartScan, parse_json(body))
    return [fault.field for fault in caught.value.faults]


def test_a_name_given_twice_is_a_fault_of_its_path():
    twice = b'{"connectors": ["c"], "type": "full", "options": {"max_files": 1, "max_files": 2}}'
    assert told(twice) == ["options.max_files"]


@pytest.mark.parametrize("number", [b"9" * 30, b"9" * 5_000, b"-" + b"9" * 5_000, b"1e999", b"NaN", b"-Infinity"])
def test_a_number_that_is_none_is_told_on_its_path_with_every_other_fault(number: bytes):
    body = b'{"connectors": [], "options": {"max_files": %s, "prefixes": ["a", "x\\u0000"]}, "\\ud800": 1}' % number
    assert told(body) == ["options.max_files", "options.prefixes[1]", "?", "connectors", "type"]


def test_a_connector_named_twice_is_told_though_another_is_of_a_wrong_type():
    body = b'{"connectors": ["c", 1, "c", "\\u0000", "\\u0000"], "type": "full"}'
    assert told(body) == ["connectors[3]", "connectors[4]", "connectors[1]", "connectors"]


def test_an_answer_never_lists_more_than_a_hundred_of_such_faults():
    assert len(told(b"[" + b",".join([b"NaN"] * 1_000) + b"]")) == 100


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_but_invalid(body: bytes):
    with suppress(Invalid):
        parse_json(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
_named = st.dictionaries(
    st.sampled_from(
        [
            *("connectors", "type", "options", "max_files", "prefixes", "file_types", "other"),
            *("sample_percent", "coverage_target", "coverage_strategy", "detectors", "priority"),
        ]
    ),
    _json,
)


@given(_named | _json, _named)
def test_no_json_value_raises_anything_but_invalid(body: Any, options: Any):
    for value in (body, {**GOOD, "options": options}):
        with suppress(Invalid):
            validated(StartScan, Body(value))


@pytest.mark.parametrize(
    ("connectors", "message"),
    [([], "must have at least 1 item"), ([f"c{n}" for n in range(101)], "must have at most 100 items")],
)
def test_a_list_of_the_wrong_length_is_told_its_bound(connectors: list[str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        validated(StartScan, Body({"connectors": connectors, "type": "full"}))
    assert [(fault.field, fault.message) for fault in caught.value.faults] == [("connectors", message)]
