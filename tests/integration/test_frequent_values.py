"""Values that are counted all at once in a plain text are found as hit by hit."""

import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.detectors import detectors
from domain.finding import Finding
from infrastructure.detection import frequent, matcher
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.detection.frequent import FrequentValues
from infrastructure.detection.kernels import addresses_at
from infrastructure.formats.limits import Limits

ADDRESSES = HyperscanDetection(
    [one for one in detectors() if one.id in {frequent.FREQUENT, "pii.email"} or one.yields],
    Limits(block_bytes=256 * 1024),
)
PIECES = [
    "203.0.114.7", "10.0.0.1", "127.0.0.1", "8.8.8.8", "255.255.255.255", "256.1.1.1", "01.2.3.4", "1.2.3.4.5",
    "1.2.3.04", "v1.2.3.4", "1.2.3.4x", "1.2.3.4:80", "::ffff:9.9.9.9", "64:ff9b::1.2.3.4", "fe80::1", "1.2.3.4.",
    "1..2.3.4", "999.1.1.1", "a.1.2.3.4", "1.2.3.4-5.6.7.8", "password = 11.22.33.44", "172.20.1.1",
    "192.168.0.9", "0.0.0.0",
]  # fmt: skip
WORDS = [
    "GET /a",
    "client",
    "version",
    "the",
    "2026-01-01",
    "-",
    "host:",
    "release",
    "x" * 40,
    "\\n",
    "é",
    "remote addr",
]


def log(rng: random.Random, lines: int, odd: float) -> bytes:
    def line() -> str:
        address = ".".join(str(rng.randrange(20, 224)) for _ in range(4))
        rest = [rng.choice(PIECES if rng.random() < odd else WORDS) for _ in range(rng.randrange(4))]
        return rng.choice([" ", " - ", "\t"]).join([address, *rest])

    return "\n".join(line() for _ in range(lines)).encode()


def found(content: bytes) -> tuple[Finding, ...]:
    return ADDRESSES.inspect(io.BytesIO(content), name="access.log", size=len(content)).findings


@pytest.fixture
def taken(monkeypatch) -> list[int]:
    """How many values were counted all at once, by frame."""
    counts: list[int] = []
    take = FrequentValues.take

    def spy(self, data, base, ends):
        left = take(self, data, base, ends)
        counts.append(len(ends) - len(left))
        return left

    monkeypatch.setattr(FrequentValues, "take", spy)
    return counts


@pytest.mark.parametrize("seed", range(4))
def test_frequent_addresses_are_found_as_one_by_one(seed, taken, monkeypatch):
    content = log(random.Random(seed), 14_000, odd=0.5 * (seed % 2)).replace(b"\\n", b"\\n" if seed > 1 else b"")
    at_once = found(content)
    assert sum(taken) > 1_000 or seed > 1
    monkeypatch.setattr(matcher, "ENOUGH", 1 << 60)
    assert at_once == found(content)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_address_is_accepted_only_with_the_worth_that_the_rules_give_it(seed):
    raw = b" " * 32 + log(random.Random(seed), 12, odd=0.9) + b" " * 32
    rules = ADDRESSES._matcher
    hits = {
        (start, end): sure
        for start, end, detector, sure, _ in rules.hits(raw, 0, 0, len(raw), rules.nothing_covered())
        if rules.detectors[detector].id == frequent.FREQUENT and sure
    }
    ends = [end >> 14 for end in rules._anchors(raw, 0, 0, len(raw)) if end & 0x3FFF == rules._frequent]
    _, starts, stops, worths = addresses_at(np.frombuffer(raw, np.uint8), np.array(ends, np.int64))
    base = next(one.confidence for one in rules.detectors if one.id == frequent.FREQUENT)
    for start, stop, worth in zip(starts.tolist(), stops.tolist(), worths.tolist(), strict=True):
        assert hits[start, stop] == pytest.approx(worth * base)
