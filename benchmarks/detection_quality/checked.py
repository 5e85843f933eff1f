"""Numbers that pass their own check: by python-stdnum, or by what is published of the others."""

from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from random import Random
from typing import Final

from benchmarks.detection_quality.shapes import Maker, made

_TRIES: Final = 200_000
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VIN_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"

Valid = Callable[[str], bool]


def value_of(shape: str, check: str, random: Random) -> str:
    """A random value of this shape that passes the check. Raises `RuntimeError` if none is found."""
    if check == "bitcoin":
        return _bitcoin(random)
    valid = valid_by(check)
    for _ in range(_TRIES):
        value = made(shape, random, _MAKERS)
        if valid(value):
            return value
    raise RuntimeError(f"no {shape} passes {check}")


def valid_by(check: str) -> Valid:
    """The check of this name: a module of python-stdnum, one from below, or `-` that everything passes."""
    if check == "-":
        return lambda _: True
    if check.startswith("stdnum."):
        is_valid: Valid = import_module(check).is_valid
        return lambda value: is_valid(value.replace(" ", "").replace("-", "") if check == "stdnum.luhn" else value)
    return OTHERS[check]


def _digits(value: str) -> list[int]:
    return [int(character) for character in value if character.isdigit()]


def _luhn(digits: list[int]) -> bool:
    doubled = [sum(divmod(2 * digit, 10)) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _iban(value: str) -> bool:
    turned = value[4:] + value[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _dea(value: str) -> bool:
    d = _digits(value)
    return (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]


def _medicare(value: str) -> bool:
    digits = _digits(value)
    return (
        sum(digit * weight for digit, weight in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9), strict=False)) % 10 == digits[8]
    )


def _kvnr(value: str) -> bool:
    digits = [int(c) for c in f"{ord(value[0]) - 64:02}{value[1:9]}"]
    total = sum(sum(divmod(digit * weight, 10)) for digit, weight in zip(digits, (1, 2) * 5, strict=True))
    return total % 10 == int(value[9])


def _pension(value: str) -> bool:
    digits = [int(c) for c in f"{value[:8]}{ord(value[8]) - 64:02}{value[9:11]}"]
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    return sum(sum(divmod(d * w, 10)) for d, w in zip(digits, weights, strict=True)) % 10 == int(value[11])


def _icao(value: str) -> bool:
    return sum(int(c, 36) * (7, 3, 1)[at % 3] for at, c in enumerate(value[:9])) % 10 == int(value[9])


def _nric(value: str) -> bool:
    total = sum(d * w for d, w in zip(_digits(value), (2, 7, 6, 5, 4, 3, 2), strict=True)) + 4 * (value[0] in "TG")
    return ("JZIHGFEDCBA" if value[0] in "ST" else "XWUTRQPNMLK")[total % 11] == value[-1]


def _my_number(value: str) -> bool:
    digits = _digits(value)
    rest = sum(d * w for d, w in zip(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=False)) % 11
    return digits[11] == (0 if rest <= 1 else 11 - rest)


def _clabe(value: str) -> bool:
    digits = _digits(value)
    # The last weight is 1, so that the check digit makes the sum a multiple of ten.
    return sum(digit * weight % 10 for digit, weight in zip(digits, (3, 7, 1) * 6, strict=True)) % 10 == 0


def _vin(value: str) -> bool:
    values = {
        c: v
        for v, letters in enumerate(("", "AJ", "BKS", "CLT", "DMU", "ENV", "FW", "GPX", "HY", "RZ"))
        for c in letters
    }
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum(
        weight * (int(c) if c.isdigit() else values.get(c, 0)) for c, weight in zip(value, weights, strict=True)
    )
    return value[8] == "0123456789X"[total % 11] and not set(value) & set("IOQ")


def _bitcoin(random: Random) -> str:
    payload = random.choice([b"\x00", b"\x05"]) + random.randbytes(20)
    whole = payload + sha256(sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(whole, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = _BASE58[rest] + text
    return "1" * (len(whole) - len(whole.lstrip(b"\x00"))) + text


def _tax_id(random: Random) -> str:
    """Ten digits of which one stands twice, and any eleventh: the check decides."""
    digits = random.sample("0123456789", 9)
    digits.insert(random.randrange(10), random.choice(digits))
    return "".join(digits) + random.choice("0123456789")


OTHERS: Final[dict[str, Valid]] = {
    "iban": _iban,
    "npi": lambda value: _luhn(_digits("80840" + value)),
    "dea": _dea,
    "medicare_au": _medicare,
    "kvnr": _kvnr,
    "pension_de": _pension,
    "icao": _icao,
    "nric": _nric,
    "my_number": _my_number,
    "clabe": _clabe,
    "vin": _vin,
    "hu": lambda value: import_module("stdnum.hu.anum").is_valid(value[:8]),
    "dk": lambda value: import_module("stdnum.dk.cpr").is_valid(value) and int(value[7]) > 0,
}
"""Checks that python-stdnum does not have, or has with a date that must lie in the past."""

_MAKERS: Final[dict[str, Maker]] = {
    "idnr": _tax_id,
    "vin5": lambda random: "".join(random.choices(_VIN_LETTERS, k=5)),
}
