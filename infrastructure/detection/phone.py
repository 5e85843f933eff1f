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
_POSSIBLE: Final = 0.4
_UNKNOWN_REGION: Final = 0.6


def phone(value: bytes) -> float:
    """A phone number: valid in its country's plan 1, of a possible length less, impossible 0.

    Without a country code it is held against the North American plan, or else is of an unknown region.
    """
    digits = value.replace(b"(0)", b"", 1).translate(None, _NOT_DIGITS)
    if len(set(digits)) <= 2:
        return 0.0
    if value.startswith(b"+"):
        return _international(digits)
    national = digits.removeprefix(b"001") if len(digits) == 13 else digits
    if len(national) == 11 and national.startswith(b"1"):
        national = national[1:]
    if len(national) == 10 and national[0] > ord("1"):
        return _in_plan(1, national)
    return _UNKNOWN_REGION if 7 <= len(digits) <= 15 else 0.0


def _international(digits: bytes) -> float:
    for length in (1, 2, 3):
        country = int(digits[:length])
        if country in COUNTRY_CODE_TO_REGION_CODE:
            return _in_plan(country, digits[length:])
    return 0.0


def _in_plan(country: int, national: bytes) -> float:
    valid, lengths = _plan(country)
    if len(national) not in lengths:
        return 0.0
    return 1.0 if valid.fullmatch(national) else _POSSIBLE


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
