"""Columns that are counted all at once are found as hit by hit: same counts, same places, same confidence."""

import io
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.detectors import detectors
from domain.detectors.payment_tables import IBAN_LENGTHS
from domain.finding import Finding
from infrastructure.detection import kernels
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.detection.kernels import KERNELS
from infrastructure.formats.limits import Limits

BY_ID = {detector.id: detector for detector in detectors()}
FEW = HyperscanDetection([BY_ID[name] for name in KERNELS], Limits(block_bytes=160 * 1024))
ALL = HyperscanDetection(limits=Limits(block_bytes=160 * 1024))


def with_check_digit(payload: str) -> str:
    digits = [int(digit) for digit in reversed(payload + "0")]
    total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return payload + str(-total % 10)


def card(rng: random.Random) -> str:
    payload = rng.choice(["4", "51", "2223", "34"]) + "".join(rng.choices("0123456789", k=14))
    return with_check_digit(payload[: rng.choice([14, 15, 15, 15])])


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(IBAN_LENGTHS))
    account = "".join(rng.choices("0123456789" if rng.random() < 0.8 else "0123456789ABZ", k=IBAN_LENGTHS[country] - 4))
    number = int("".join(str(int(character, 36)) for character in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02d}{account}"


def email(rng: random.Random) -> str:
    local = rng.choice(["jane.doe", "x_1", "o'brien", "a..b", "bob+news", "-x", "git", "a" * 64, "z.", "MiXed"])
    domain = rng.choice(["firm.com", "a-b.org", "example.com", "mail.firm.co.uk", "x.png", "-a.de", "a_b.de", "1.zip"])
    return f"{local}@{domain}"


def address(rng: random.Random) -> str:
    octets = [
        rng.choice([0, 1, 7, 10, 127, 192, 255, 256, rng.randrange(256)]) for _ in range(rng.choice([4, 4, 4, 3]))
    ]
    return ".".join(map(str, octets))


def ssn(rng: random.Random) -> str:
    area, group = rng.choice([0, 123, 536, 666, 899, 900]), rng.choice([0, 12, 90])
    serial, dash = rng.choice([0, 6789, rng.randrange(10_000)]), rng.choice("--- ")
    return f"{area:03d}{dash}{group:02d}{dash}{serial:04d}"


def phone(rng: random.Random) -> str:
    code = rng.choice(["1", "49", "44", "376", "999", "7", "290"])
    rest = "".join(rng.choices("0123456789", k=rng.choice([4, 7, 9, 10, 11, 13])))
    return rng.choice(["+{} {}", "+{}{}", "+{}-{}", "+{} ({})", "{} {}"]).format(code, rest)


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "network.ip-address": address,
    "payment.card": card,
    "payment.iban": iban,
    "pii.email": email,
    "pii.phone": phone,
    "pii.us-ssn": ssn,
}
USUAL = {
    "network.ip-address": "203.0.114.7",
    "payment.card": "4532015112830366",
    "payment.iban": "DE89370400440532013000",
    "pii.email": "jane.doe@firm.com",
    "pii.phone": "+49 30 9018201",
    "pii.us-ssn": "536-90-4399",
}
NAMES = ["id", "mail", "phone", "ssn", "konto", "ip", "notes", "card", "a b"]
ODD = ["", "-", "n/a", "two@a.com b@c.de", " 8.8.8.8 ", "x4532015112830366", "é", "4532 0151 1283 0366", '5" pipe']


def cell(kind: str, rng: random.Random, odd: list[str]) -> str:
    if rng.random() < 0.5:
        return USUAL[kind]
    return MAKERS[kind](rng) if rng.random() < 0.9 else rng.choice(odd)


def table(seed: int, *, quoting: str, newline: str, delimiter: str) -> bytes:
    """A table of six columns of one kind each, mostly, one of words, and some records out of order."""
    rng = random.Random(seed)
    kinds = list(KERNELS)
    rng.shuffle(kinds)
    lines = [delimiter.join(["n", *rng.sample(NAMES, len(kinds))])]
    odd = ODD if quoting == "some" else ODD[:-1]
    for number in range(4_000):
        cells = [str(number), *(cell(kind, rng, odd) for kind in kinds)]
        if quoting == "all" or (quoting == "some" and rng.random() < 0.1):
            cells = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in cells]
        if rng.random() < 0.01:
            cells = cells[: rng.randrange(1, 9)] + ["more"] * rng.randrange(3)
        lines.append(delimiter.join(cells))
    return newline.join(lines).encode() + (newline.encode() if rng.random() < 0.5 else b"")


def inspected(detection: HyperscanDetection, content: bytes, name: str) -> Inspected:
    return detection.inspect(io.BytesIO(content), name=name, size=len(content))


def found(detection: HyperscanDetection, content: bytes) -> tuple[Finding, ...]:
    return inspected(detection, content, "a.csv").findings


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """The cells that were counted all at once, by column and frame."""
    counts: list[int] = []

    def spying(kernel):
        def spy(text, starts, ends):
            accepted = kernel(text, starts, ends)
            counts.append(int(np.count_nonzero(accepted)))
            return accepted

        return spy

    monkeypatch.setattr(kernels, "KERNELS", {name: spying(kernel) for name, kernel in KERNELS.items()})
    return counts


@pytest.mark.parametrize("quoting", ["none", "some", "all"])
@pytest.mark.parametrize(("seed", "delimiter", "newline"), [(1, ",", "\n"), (2, ";", "\r\n")])
def test_dense_columns_are_found_as_hit_by_hit(seed, delimiter, newline, quoting, *, counted, monkeypatch):
    content = table(seed, quoting=quoting, newline=newline, delimiter=delimiter)
    at_once = found(FEW, content)
    if quoting != "some":
        assert sum(counted) > 4_000
    monkeypatch.setattr(kernels, "KERNELS", {})
    assert at_once == found(FEW, content)


def test_beside_all_other_rules_it_makes_no_difference_either(counted, monkeypatch):
    content = table(3, quoting="none", newline="\n", delimiter=",")
    at_once = found(ALL, content)
    assert sum(counted) > 4_000
    monkeypatch.setattr(kernels, "KERNELS", {})
    assert at_once == found(ALL, content)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(sorted(KERNELS)))
def test_a_kernel_accepts_only_cells_in_which_the_rules_find_one_value_and_nothing_else(seed, kind):
    rng = random.Random(seed)
    cells = [MAKERS[kind](rng) for _ in range(20)] + [USUAL[kind]]
    text = np.frombuffer("\n".join(cells).encode(), np.uint8)
    ends = np.cumsum([len(cell.encode()) + 1 for cell in cells]) - 1
    starts = ends - [len(cell.encode()) for cell in cells]
    accepted = KERNELS[kind](text, starts, ends)
    assert accepted[-1]
    for cell in (cell for cell, is_accepted in zip(cells, accepted, strict=True) if is_accepted):
        raw = cell.encode()
        hits = ALL._matcher.hits(raw, 0, 0, len(raw), ALL._matcher.nothing_covered())
        sure = [(start, end, ALL._matcher.detectors[detector].id) for start, end, detector, *_ in hits]
        assert (0, len(raw), kind) in sure
        assert {name for _, _, name in sure} == {kind}
