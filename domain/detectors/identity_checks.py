"""Checks of numbers that states give to people and companies, where no library has them.

Each takes the bytes that matched and answers a factor of the detector's confidence, as in `checks`.
"""

from calendar import monthrange
from collections.abc import Callable, Sequence
from typing import Final

Check = Callable[[bytes], float]

PLACEHOLDER_WORTH: Final = 0.3
"""What is left of a number that satisfies its rules and is still what people type to fill a form."""

_NOT_DIGITS: Final = bytes(byte for byte in range(256) if not 48 <= byte <= 57)
_NOT_ALNUM: Final = bytes(byte for byte in range(256) if not chr(byte).isalnum() or byte > 127)
_FEW: Final = 5
_RISING: Final = b"01234567890123456789"
_COUNTED: Final = b"1234567891011121314151617181920"
_FALLING: Final = b"98765432109876543210"


def digits_of(value: bytes) -> list[int]:
    """The decimal digits of a value, its separators dropped."""
    return [byte - 48 for byte in value.translate(None, _NOT_DIGITS)]


def compact(value: bytes) -> str:
    """A value in upper case without separators."""
    return value.translate(None, _NOT_ALNUM).decode("ascii").upper()


def placeholder(value: bytes) -> bool:
    """Whether the digits of a value, five at least, are all the same, or count up or down: 000000000, 123456789,
    12345678910."""
    digits = value.translate(None, _NOT_DIGITS)
    same = len(set(digits)) == 1
    return len(digits) >= _FEW and (same or digits in _RISING or digits in _FALLING or _COUNTED.startswith(digits))


def luhn_total(digits: Sequence[int]) -> int:
    """The Luhn sum of digits, the last of which is the check digit."""
    return sum(digits[::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])


def weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    """The sum of products of digits and weights, as far as the shorter of both reaches."""
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day."""
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _worth(value: bytes, valid: bool) -> float:
    return (PLACEHOLDER_WORTH if placeholder(value) else 1.0) if valid else 0.0


def any_number(value: bytes) -> float:
    """A number without a check digit: placeholders count for little."""
    return _worth(value, valid=True)


def luhn_number(value: bytes) -> float:
    """A number that ends in its Luhn check digit."""
    digits = digits_of(value)
    return _worth(value, len(digits) > 1 and luhn_total(digits) % 10 == 0)


_NINO_NEVER: Final = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ", "OO"})
_NINO_EXAMPLES: Final = frozenset({"QQ123456C", "AB123456C", "AB123456A"})


def uk_nino(value: bytes) -> float:
    """A UK National Insurance number: prefixes in use only (HMRC, *NIM39110*); published examples count for little."""
    text = compact(value)
    if (
        text[:2] in _NINO_NEVER
        or text[0] in "DFIQUV"
        or text[1] in "DFIQUVO"
        or text[8:] not in {"A", "B", "C", "D", ""}
    ):
        return 0.0
    return PLACEHOLDER_WORTH if text in _NINO_EXAMPLES else _worth(value, valid=True)


def singapore_nric(value: bytes) -> float:
    """A Singapore NRIC or FIN with its check letter; series S, T, F, G and M."""
    text = compact(value)
    offset, letters = {
        "S": (0, "JZIHGFEDCBA"),
        "T": (4, "JZIHGFEDCBA"),
        "F": (0, "XWUTRQPNMLK"),
        "G": (4, "XWUTRQPNMLK"),
        "M": (3, "XWUTRQPNJLK"),
    }[text[0]]
    total = offset + weighted(digits_of(value), (2, 7, 6, 5, 4, 3, 2))
    return _worth(value, text[-1] == letters[total % 11])


def hong_kong_id(value: bytes) -> float:
    """A Hong Kong identity card number: one or two letters, six digits, a check character modulo 11."""
    text = compact(value)
    body = [36, *map(_letter, text)] if len(text) == 8 else [*map(_letter, text)]
    return _worth(value, weighted(body, (9, 8, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0)


def _letter(character: str) -> int:
    return int(character, 36)


_TAIWAN_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVXYWZIO"


def taiwan_id(value: bytes) -> float:
    """A Taiwanese national or resident identity number with its check digit."""
    text = compact(value)
    place = divmod(10 + _TAIWAN_LETTERS.index(text[0]), 10)
    total = weighted([*place, *digits_of(value)], (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1))
    return _worth(value, total % 10 == 0)


def kazakhstan_iin(value: bytes) -> float:
    """A Kazakh individual identification number: date of birth, century and check digit."""
    digits = digits_of(value)
    total = weighted(digits, range(1, 12)) % 11
    if total == 10:
        total = weighted(digits, (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)) % 11
    valid = _short_date(digits[:6]) and 1 <= digits[6] <= 6 and total == digits[11]
    return _worth(value, valid)


def _short_date(digits: Sequence[int]) -> bool:
    """Whether six digits are year, month and day. A year that leaps in some century will do."""
    year, month, day = (10 * tens + ones for tens, ones in zip(digits[::2], digits[1::2], strict=True))
    return is_date(2000 + year, month, day)


def hungarian_id(value: bytes) -> float:
    """A Hungarian personal number; its check digit counts forwards, since 1997 backwards."""
    digits = digits_of(value)
    forward, backward = weighted(digits[:10], range(1, 11)), weighted(digits[:10], range(10, 0, -1))
    valid = 1 <= digits[0] <= 8 and _short_date(digits[1:7]) and digits[10] in {forward % 11, backward % 11}
    return _worth(value, valid)


def hungarian_tax_id(value: bytes) -> float:
    """A Hungarian personal tax number: begins with 8, modulo 11."""
    digits = digits_of(value)
    return _worth(value, digits[0] == 8 and weighted(digits[:9], range(1, 10)) % 11 == digits[9])


def luxembourg_id(value: bytes) -> float:
    """A Luxembourgish national number: date of birth and its first check digit (Luhn)."""
    digits = digits_of(value)
    year = int("".join(map(str, digits[:4])))
    born = is_date(year, 10 * digits[4] + digits[5], 10 * digits[6] + digits[7]) if 1850 <= year <= 2035 else False
    return _worth(value, born and luhn_total(digits[:12]) % 10 == 0)


def saudi_id(value: bytes) -> float:
    """A Saudi national (1…) or resident (2…) number with its Luhn check digit."""
    return luhn_number(value) if value[:1] in b"12" else 0.0


def emirates_id(value: bytes) -> float:
    """An Emirates ID: country 784, year of birth, Luhn check digit."""
    digits = digits_of(value)
    year = int("".join(map(str, digits[3:7])))
    return luhn_number(value) if digits[:3] == [7, 8, 4] and 1900 <= year <= 2035 else 0.0


def kuwait_civil_id(value: bytes) -> float:
    """A Kuwaiti civil number: century, date of birth, check digit modulo 11."""
    digits = digits_of(value)
    expected = 11 - weighted(digits, (2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return _worth(value, 1 <= digits[0] <= 3 and _short_date(digits[1:7]) and expected == digits[11])


_EGYPT_PLACES: Final = frozenset({*range(1, 5), *range(11, 20), *range(21, 30), *range(31, 36), 88})


def egypt_id(value: bytes) -> float:
    """An Egyptian national number: century, date of birth and a governorate that exists."""
    digits = digits_of(value)
    place = 10 * digits[7] + digits[8]
    return _worth(value, digits[0] in {2, 3} and _short_date(digits[1:7]) and place in _EGYPT_PLACES)


def iran_id(value: bytes) -> float:
    """An Iranian national code with its check digit modulo 11."""
    digits = digits_of(value)
    rest = weighted(digits[:9], range(10, 1, -1)) % 11
    return _worth(value, digits[9] == (rest if rest < 2 else 11 - rest))


def sri_lanka_id(value: bytes) -> float:
    """A Sri Lankan identity card number, old or new: year and day of birth (women: plus 500)."""
    digits = digits_of(value)
    text = "".join(map(str, digits))
    year, day = (1900 + int(text[:2]), int(text[2:5])) if len(text) == 9 else (int(text[:4]), int(text[4:7]))
    return _worth(value, 1900 <= year <= 2035 and 1 <= day % 500 <= 366 and day < 867)


def russian_snils(value: bytes) -> float:
    """A Russian SNILS with its two check digits."""
    digits = digits_of(value)
    total = weighted(digits[:9], range(9, 0, -1)) % 101 % 100
    return _worth(value, total == 10 * digits[9] + digits[10])


_SVNR_WEIGHTS: Final = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)


def german_pension(value: bytes) -> float:
    """A German pension insurance number: date of birth, initial, check digit (SGB VI, § 147; VKVV § 4)."""
    text = compact(value)
    place = ord(text[8]) - 64
    digits = [int(c) for c in text[:8]] + [*divmod(place, 10)] + [int(c) for c in text[9:]]
    total = sum(sum(divmod(d * w, 10)) for d, w in zip(digits[:12], _SVNR_WEIGHTS, strict=True))
    month, day = int(text[4:6]), int(text[2:4])
    return _worth(value, 1 <= month <= 12 and 1 <= day <= 81 and total % 10 == digits[12])


def spanish_social_security(value: bytes) -> float:
    """A Spanish social security number: province, number, two check digits modulo 97."""
    text = "".join(map(str, digits_of(value)))
    province, number, stated = int(text[:2]), int(text[2:10]), int(text[10:])
    whole = province * 10_000_000 + number if number < 10_000_000 else int(text[:10])
    return _worth(value, (1 <= province <= 53 or province == 66) and whole % 97 == stated)


def polish_id_card(value: bytes) -> float:
    """A Polish identity card number: three letters, a check digit, five digits."""
    total = weighted([*map(_letter, compact(value))], (7, 3, 1, 9, 7, 3, 1, 7, 3))
    return _worth(value, total % 10 == 0)


def canadian_sin(value: bytes) -> float:
    """A Canadian social insurance number: Luhn; the example that is printed everywhere counts for little."""
    return PLACEHOLDER_WORTH if digits_of(value) == [0, 4, 6, 4, 5, 4, 2, 8, 6] else luhn_number(value)


def uruguayan_ci(value: bytes) -> float:
    """A Uruguayan identity number with its check digit."""
    digits = digits_of(value)
    return _worth(value, -weighted(digits[:-1][-7:], (2, 9, 8, 7, 6, 3, 4)) % 10 == digits[-1])


def mexican_rfc(value: bytes) -> float:
    """A Mexican RFC: a date that exists behind the letters. Not every issued one satisfies its check character."""
    text = compact(value.replace(b"&", b"A"))
    return _worth(value, _short_date(digits_of(text[-9:-3].encode())) if text[-9:-3].isdigit() else False)


IDENTITY_CHECKS: Final[dict[str, Check]] = {
    "any_number": any_number,
    "canadian_sin": canadian_sin,
    "egypt_id": egypt_id,
    "emirates_id": emirates_id,
    "german_pension": german_pension,
    "hong_kong_id": hong_kong_id,
    "hungarian_id": hungarian_id,
    "hungarian_tax_id": hungarian_tax_id,
    "iran_id": iran_id,
    "kazakhstan_iin": kazakhstan_iin,
    "kuwait_civil_id": kuwait_civil_id,
    "luhn_number": luhn_number,
    "luxembourg_id": luxembourg_id,
    "mexican_rfc": mexican_rfc,
    "polish_id_card": polish_id_card,
    "russian_snils": russian_snils,
    "saudi_id": saudi_id,
    "singapore_nric": singapore_nric,
    "spanish_social_security": spanish_social_security,
    "sri_lanka_id": sri_lanka_id,
    "taiwan_id": taiwan_id,
    "uk_nino": uk_nino,
    "uruguayan_ci": uruguayan_ci,
}
"""The checks by the names that detectors use."""
