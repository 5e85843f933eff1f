"""Members of JSON lines that are counted all at once are found as hit by hit."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.finding import Finding
from infrastructure.detection import kernels
from infrastructure.formats.json_paths import PathWalker
from infrastructure.formats.json_template import alike_lines, template_of
from tests.integration.test_dense_columns import (
    ALL,
    FEW,
    KERNELS,
    MAKERS,
    USUAL,
    HyperscanDetection,
    counted,
    inspected,
)

__all__ = ["counted"]

KEYS = ["email", "phone", "ssn", "card", "iban", "ip", "value", "order", "a b"]
KINDS = list(KERNELS)
ODD = ["", None, 7, "two words", 'say "hi"', "é", "a@b.co, c@d.eu"]


def cell(kind: str, rng: random.Random) -> str | int | None:
    if rng.random() < 0.7:
        return USUAL[kind]
    return MAKERS[kind](rng) if rng.random() < 0.8 else rng.choice(ODD)


def lines(seed: int, *, nested: bool, spaced: bool, count: int = 3_500) -> bytes:
    """JSON lines with a member of each kind, mostly; some with other keys, in another order, or broken."""
    rng = random.Random(seed)
    keys = rng.sample(KEYS, len(KINDS))
    separators = (", ", ": ") if spaced else (",", ":")
    written = []
    for number in range(count):
        record: dict[str, object] = {
            "n": number,
            **{key: cell(kind, rng) for key, kind in zip(keys, KINDS, strict=True)},
        }
        if rng.random() < 0.02:
            record = dict(sorted(record.items(), reverse=rng.random() < 0.5))
        if nested:
            record = {"id": str(number), "user": record, "tags": ["x", rng.choice(["jane.doe@firm.com", "y"])]}
        line = json.dumps(record, separators=separators, ensure_ascii=rng.random() < 0.5)
        written.append(line[: rng.randrange(len(line))] if rng.random() < 0.005 else line)
    return "\n".join(written).encode()


def found(detection: HyperscanDetection, content: bytes) -> tuple[Finding, ...]:
    return inspected(detection, content, "a.ndjson").findings


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize(("seed", "spaced"), [(1, True), (2, False), (3, True)])
def test_dense_members_are_found_as_hit_by_hit(seed, spaced, nested, counted, monkeypatch):
    content = lines(seed, nested=nested, spaced=spaced)
    at_once = found(FEW, content)
    assert sum(counted) > 500
    monkeypatch.setattr(kernels, "KERNELS", {})
    assert at_once == found(FEW, content)


def test_beside_all_other_rules_it_makes_no_difference_either(counted, monkeypatch):
    content = lines(4, nested=True, spaced=True)
    at_once = found(ALL, content)
    assert sum(counted) > 500
    monkeypatch.setattr(kernels, "KERNELS", {})
    assert at_once == found(ALL, content)


RECORDS = st.recursive(
    st.sampled_from(["v", "", "a b", 1, None, "{", "]", ":", ","]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(
    records=st.lists(st.dictionaries(st.sampled_from("abc"), RECORDS, min_size=1), min_size=1, max_size=6),
    spaced=st.booleans(),
)
def test_a_value_in_a_line_that_is_alike_has_the_template_s_path(records, spaced):
    separators = (", ", ": ") if spaced else (",", ":")
    texts = [json.dumps(record, separators=separators) for record in records]
    raw = ("\n".join(texts) + "\n").encode()
    template = template_of(texts[0].encode())
    assert template is not None
    split = alike_lines(np.frombuffer(raw, np.uint8), template, len(raw), 10_000)
    assert split.alike[0]
    for member in template.members:
        starts, _, there = split.values(member)
        paths = [path_at(raw, int(starts[at]), int(split.starts[at])) for at in np.flatnonzero(there)]
        assert there[0]
        assert set(paths) == {paths[0]}


def path_at(raw: bytes, place: int, line: int) -> str | None:
    walker = PathWalker(line)
    walker.advance(raw, 0, place)
    return walker.path(indices=False)
