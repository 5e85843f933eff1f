"""Whether a number can be dialled, by the metadata of libphonenumber, without its slow parser."""

import re
from functools import lru_cache
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

_NOT_DIGITS: Final = bytes(byte for byte in range(256) if not 48 <= byte <= 57)
_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
_TRUNK_COUNTRIES: Final = (44, 49, 33, 31, 32, 39, 41, 43, 46, 48, 61, 64, 91, 27, 81, 55, 972, 353)
"""Countries in which a zero is dialled before a national number (in Italy it is a part of the number)."""

_PRINTED: Final = re.compile(rb"1?(?:6175425942|6175422652|4122684387|4122687395|3172784100|3172745902|5106437201)")
"""Numbers of organisations that well-known licences print."""

_TESTED: Final = re.compile(rb"1?500555\d{4}")
_DRAMA: Final = re.compile(rb"(?:(?:001|1)?[2-9]\d\d)55501\d\d|(?:0044|44|0)(?:7700900|2079460|1632960)\d{3}")
_EXTENSION: Final = re.compile(rb",? ?(?:x|ext)")
_POSSIBLE: Final = 0.6
_UNKNOWN_REGION: Final = 0.6
_NATIONAL: Final = 0.7
_NOWHERE: Final = 0.4
_FICTIONAL: Final = 0.6
_TOLL_FREE: Final = 0.6
"""Whom everybody may call at his own cost is no private person."""

_TOLL_FREE_AREAS: Final = frozenset(b"800 833 844 855 866 877 888".split())
_MADE_UP: Final = 0.3
_SUBSCRIBER: Final = 7
_ONLY_BLANKS: Final = 0.7
"""Three numbers in a row, 571 612 1056, may be just that."""


def phone(value: bytes) -> float:
    """A phone number: valid in its country's plan 1, of a possible length less, impossible 0.

    Without a country code it is held against the North American plan, or, if it begins with a zero, against those of
    countries that dial one; or else is of an unknown region. An extension does not count.
    """
    number = _EXTENSION.split(value, maxsplit=1)[0].replace(b"(0)", b"", 1)
    digits = number.translate(None, _NOT_DIGITS)
    if len(set(digits)) <= 2:
        return 0.0
    return _likely(digits) * _dialled(number, digits)


def _likely(digits: bytes) -> float:
    """How likely somebody has it: little where the subscriber's digits are all one, or it is a provider's test number
    or one that licences print; less for what is set aside for fiction (NANP 555-01XX; Ofcom, *Numbers for drama*)."""
    if len(set(digits[-_SUBSCRIBER:])) == 1 or _TESTED.fullmatch(digits) or _PRINTED.fullmatch(digits):
        return _MADE_UP
    return _FICTIONAL if _DRAMA.fullmatch(digits) else 1.0


def _dialled(number: bytes, digits: bytes) -> float:
    if number.startswith(b"+"):
        return _international(digits)
    if digits.startswith(b"00"):
        return _international(digits[2:])
    if digits.startswith(b"0"):
        return _behind_a_zero(digits)
    if len(digits) == 11 and digits.startswith(b"1"):
        digits = digits[1:]
    if len(digits) == 10 and digits[0] > ord("1"):
        return _in_plan(1, digits) * (_ONLY_BLANKS if number.count(b" ") == len(number) - 10 > 0 else 1.0)
    return _UNKNOWN_REGION if 7 <= len(digits) <= 15 else 0.0


def possible_lengths(prefix: bytes) -> frozenset[int]:
    """How many digits an international number that begins with these three may have, its country code included."""
    found = _country_of(prefix)
    return frozenset() if found is None else frozenset(length + found[1] for length in _plan(found[0])[1])


def _international(digits: bytes) -> float:
    found = _country_of(digits)
    return 0.0 if found is None else _in_plan(found[0], digits[found[1] :])


def _country_of(digits: bytes) -> tuple[int, int] | None:
    """The country code that the number begins with, and its length."""
    for length in (1, 2, 3):
        country = int(digits[:length] or b"0")
        if country in COUNTRY_CODE_TO_REGION_CODE:
            return country, length
    return None


def _behind_a_zero(digits: bytes) -> float:
    if not 8 <= len(digits) <= 13:
        return 0.0
    for country in _TRUNK_COUNTRIES:
        valid, _ = _plan(country)
        if valid.fullmatch(digits if country == 39 else digits[1:]):
            return _NATIONAL
    return _NOWHERE


def _in_plan(country: int, national: bytes) -> float:
    valid, lengths = _plan(country)
    if len(national) not in lengths:
        return 0.0
    if not valid.fullmatch(national):
        return _POSSIBLE
    return _TOLL_FREE if country == 1 and national[:3] in _TOLL_FREE_AREAS else 1.0


@lru_cache(maxsize=512)
def _plan(country: int) -> tuple[re.Pattern[bytes], frozenset[int]]:
    """All valid national numbers of a country code, and their possible lengths."""
    patterns: list[str] = []
    lengths: set[int] = set()
    for region in COUNTRY_CODE_TO_REGION_CODE[country]:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(country, region)
        if metadata is None or metadata.general_desc is None:
            continue
        lengths.update(metadata.general_desc.possible_length)
        kinds = (getattr(metadata, kind) for kind in _KINDS)
        patterns += [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return re.compile("|".join(dict.fromkeys(patterns)).encode() or b"(?!)"), frozenset(lengths)
