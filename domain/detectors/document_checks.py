"""Checks of documents, vehicles, dates and health numbers, where no library has them.

Each takes the bytes that matched and answers a factor of the detector's confidence, as in `checks`.
"""

import re
from typing import Final

from domain.detectors.identity_checks import (
    PLACEHOLDER_WORTH,
    Check,
    compact,
    digits_of,
    is_date,
    luhn_total,
    placeholder,
    weighted,
)

_VIN_VALUES: Final = dict(
    zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", [*range(10), *range(1, 9), *range(1, 6), 7, 9, *range(2, 10)], strict=True)
)
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def vin(value: bytes) -> float:
    """A vehicle identification number. North America and China demand its check digit, others do not (ISO 3779)."""
    text = compact(value)
    if len(set(text)) < 6 or text.isalpha() or not text[-4:].isdigit():
        return 0.0
    rest = weighted([_VIN_VALUES[character] for character in text], _VIN_WEIGHTS) % 11
    if text[8] == "0123456789X"[rest]:
        return 1.0
    return 0.0 if text[0] in "12345L" else 0.7


def icao_digit(text: str) -> int:
    """The check digit of a field of a travel document (ICAO 9303-3, 4.9)."""
    return sum((0 if c == "<" else int(c, 36)) * (7, 3, 1)[place % 3] for place, c in enumerate(text)) % 10


def passport_mrz(value: bytes) -> float:
    """The two lines of a passport's machine-readable zone, or the second alone, with all their check digits."""
    line = value.split()[-1].decode("ascii")
    fields = ((line[:9], line[9]), (line[13:19], line[19]), (line[21:27], line[27]))
    if any(str(icao_digit(field)) != stated for field, stated in fields):
        return 0.0
    return 1.0 if str(icao_digit(line[:10] + line[13:20] + line[21:43])) == line[43] else 0.0


def german_document(value: bytes) -> float:
    """A German identity card or passport number; a tenth character must be its check digit."""
    text = compact(value)
    if text.isalpha() or sum(character.isdigit() for character in text) < 2:
        return 0.0
    if len(text) == 10:
        return 1.0 if text[9] == str(icao_digit(text[:9])) else 0.0
    return 0.8


def uk_driving_licence(value: bytes) -> float:
    """A UK driver number: surname, decade, month (women: plus 50), day and year of birth, initials."""
    text = compact(value)
    month, day = int(text[6:8]) % 50, int(text[8:10])
    return 1.0 if 1 <= month <= 12 and 1 <= day <= 31 and not text.startswith("99999") else 0.0


_MONTHS: Final = {
    name: month
    for month, names in enumerate(
        (
            "jan ene gen janv januar january enero gennaio janeiro janvier januari styczen",
            "feb fev fevr februar february febrero febbraio fevereiro februari",
            "mar mrz mars march marzo maerz maart marco",
            "apr abr avr april abril aprile avril",
            "may mai mag maj mayo maggio maio mei",
            "jun giu juin june juni junio giugno junho",
            "jul lug juil july juli julio luglio julho juillet",
            "aug ago aout august agosto augustus",
            "sep set sept september septiembre settembre setembro septembre",
            "oct okt ott out october oktober octubre ottobre outubro octobre",
            "nov november noviembre novembre novembro",
            "dec dez dic december dezember diciembre dicembre dezembro decembre",
        ),
        start=1,
    )
    for name in names.split()
}
FIRST_YEAR, LAST_YEAR = 1900, 2030
_WORDS: Final = re.compile(r"\d+|[a-z]+")


def birth_date(value: bytes) -> float:
    """A day between 1900 and 2030, in any order of its parts; a year of two digits counts for less."""
    text = value.lower().replace("ä".encode(), b"ae").replace("ç".encode(), b"c").decode("ascii", "ignore")
    parts = [part for part in _WORDS.findall(text) if part.isdigit() or part in _MONTHS]
    if len(parts) == 1 and len(parts[0]) == 8:
        parts = _unjoined(parts[0])
    if len(parts) < 3:
        return 0.0
    named = next((part for part in parts if not part.isdigit()), None)
    numbers = [int(part) for part in parts if part.isdigit()][:3]
    longest = max(len(part) for part in parts if part.isdigit())
    year = next((n for n in numbers if n > 31), numbers[-1])
    numbers.remove(year)
    if longest < 4:
        year += 1900 if year > 30 else 2000
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return 0.0
    valid = _any_order(year, numbers, _MONTHS[named] if named else None)
    return (1.0 if longest == 4 or named else 0.8) if valid else 0.0


def _unjoined(digits: str) -> list[str]:
    """Eight digits as year, month and day, or as two parts and the year."""
    if FIRST_YEAR <= int(digits[:4]) <= LAST_YEAR:
        return [digits[:4], digits[4:6], digits[6:]]
    return [digits[:2], digits[2:4], digits[4:]]


def _any_order(year: int, numbers: list[int], month: int | None) -> bool:
    if month is not None:
        return is_date(year, month, numbers[0])
    first, second = numbers
    return is_date(year, first, second) or is_date(year, second, first)


def npi(value: bytes) -> float:
    """A US National Provider Identifier: Luhn behind the prefix 80840 (45 CFR 162.406)."""
    digits = digits_of(value)
    if luhn_total([8, 0, 8, 4, 0, *digits]) % 10 != 0:
        return 0.0
    return PLACEHOLDER_WORTH if placeholder(value[:9]) else 1.0


def dea(value: bytes) -> float:
    """A US DEA registration number with its check digit."""
    digits = digits_of(value)
    odd, even = digits[0] + digits[2] + digits[4], digits[1] + digits[3] + digits[5]
    if (odd + 2 * even) % 10 != digits[6]:
        return 0.0
    return PLACEHOLDER_WORTH if placeholder(value[2:8]) else 1.0


def australian_medicare(value: bytes) -> float:
    """An Australian Medicare card number: begins with 2 to 6, its ninth digit checks the first eight."""
    digits = digits_of(value)
    valid = 2 <= digits[0] <= 6 and weighted(digits[:8], (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == digits[8]
    return 1.0 if valid and len(set(digits[:9])) > 2 else 0.0


def german_health_insurance(value: bytes) -> float:
    """A German health insurance number (KVNR): a letter, eight digits, a check digit over the letter's place."""
    text = compact(value)
    place = ord(text[0]) - 64
    digits = [*divmod(place, 10), *(int(character) for character in text[1:9])]
    total = sum(sum(divmod(digit * (1, 2)[at % 2], 10)) for at, digit in enumerate(digits))
    return (PLACEHOLDER_WORTH if placeholder(value[1:9]) else 1.0) if total % 10 == int(text[9]) else 0.0


def hungarian_taj(value: bytes) -> float:
    """A Hungarian social security number (TAJ) with its check digit."""
    digits = digits_of(value)
    return 1.0 if weighted(digits[:8], (3, 7) * 4) % 10 == digits[8] and not placeholder(value) else 0.0


def quebec_health(value: bytes) -> float:
    """A Québec health card: four letters of the name, then year, month (women: plus 50) and day of birth."""
    digits = digits_of(value)
    month, day = (10 * digits[2] + digits[3]) % 50, 10 * digits[4] + digits[5]
    return 1.0 if 1 <= month <= 12 and 1 <= day <= 31 else 0.0


_OF_A_TOWN: Final = 4


def coordinates(value: bytes) -> float:
    """A latitude or a pair of coordinates that exist. Four decimals, eleven metres, may mean a town as well."""
    found = re.findall(rb"-?\d{1,3}\.\d+", value)
    numbers = [float(part) for part in found]
    if not numbers or abs(numbers[0]) > (90 if len(numbers) > 1 else 180):
        return 0.0
    if not any(numbers) or any(abs(number) > 180 for number in numbers):
        return 0.0
    return 1.0 if max(len(part.partition(b".")[2]) for part in found) > _OF_A_TOWN else 0.8


def expiry(value: bytes) -> float:
    """The month and year of a card's end: a month that exists, a year from 2000 to 2059."""
    digits = digits_of(value)
    month, year = 10 * digits[0] + digits[1], 10 * digits[-2] + digits[-1]
    return 1.0 if 1 <= month <= 12 and year < 60 else 0.0


DOCUMENT_CHECKS: Final[dict[str, Check]] = {
    "australian_medicare": australian_medicare,
    "birth_date": birth_date,
    "coordinates": coordinates,
    "dea": dea,
    "expiry": expiry,
    "german_document": german_document,
    "german_health_insurance": german_health_insurance,
    "hungarian_taj": hungarian_taj,
    "npi": npi,
    "passport_mrz": passport_mrz,
    "quebec_health": quebec_health,
    "uk_driving_licence": uk_driving_licence,
    "vin": vin,
}
"""The checks by the names that detectors use."""
