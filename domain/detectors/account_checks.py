"""Checks of bank accounts, devices, and of values that only their label tells apart.

Each takes the bytes that matched and answers a factor of the detector's confidence, as in `checks`.
"""

import re
from typing import Final

from domain.detectors.document_checks import FIRST_YEAR, LAST_YEAR
from domain.detectors.identity_checks import PLACEHOLDER_WORTH, Check, compact, digits_of, placeholder, weighted

_LIKELY_MADE_UP: Final = 0.3


def us_routing(value: bytes) -> float:
    """A US routing number: a Federal Reserve prefix and the check digit (ABA, *Routing Number Policy*)."""
    digits = digits_of(value)
    prefix = 10 * digits[0] + digits[1]
    known = prefix <= 12 or 21 <= prefix <= 32 or 61 <= prefix <= 72 or prefix == 80
    if not known or weighted(digits, (3, 7, 1) * 3) % 10 != 0:
        return 0.0
    return PLACEHOLDER_WORTH if placeholder(value) else 1.0


def clabe(value: bytes) -> float:
    """A Mexican CLABE with its check digit."""
    digits = digits_of(value)
    total = sum(digit * (3, 7, 1)[place % 3] % 10 for place, digit in enumerate(digits[:17]))
    valid = -total % 10 == digits[17]
    return (PLACEHOLDER_WORTH if placeholder(value) else 1.0) if valid else 0.0


_COUNTRIES_LISTED: Final = (
    "AD AE AF AG AI AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG CH CI "
    "CK CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FO FR GA GB GD GE GG GH GI GL GM "
    "GN GQ GR GT GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KM KN KR KW KY KZ LA LB LC LI "
    "LK LR LS LT LU LV LY MA MC MD ME MG MK ML MM MN MO MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NZ OM PA "
    "PE PF PG PH PK PL PS PT PY QA RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH "
    "TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VN VU WF WS XK YE ZA ZM ZW"
)
_COUNTRIES: Final = frozenset(_COUNTRIES_LISTED.split())


def bic(value: bytes) -> float:
    """A bank identifier code whose country exists (ISO 9362)."""
    text = value.decode("ascii")
    return 1.0 if text[4:6] in _COUNTRIES and len(set(text)) > 3 else 0.0


def card_security_code(value: bytes) -> float:
    """Three digits, or four (American Express); what may be a year is likely one."""
    return _LIKELY_MADE_UP if 1900 <= int(value) < 2100 else 1.0


def mac_address(value: bytes) -> float:
    """The address of a network interface; broadcast, all zeros and counted-up ones are none."""
    text = compact(value)
    if len(set(text)) < 4 or text.startswith(("010203", "001122334455", "AABBCCDDEEFF", "123456789ABC")):
        return 0.0
    return 1.0 if int(text[:2], 16) % 2 == 0 else 0.5


def random_hex(value: bytes) -> float:
    """Hexadecimal digits that look drawn at random."""
    text = compact(value)
    return 1.0 if len(set(text)) >= 7 else 0.0


def document_number(value: bytes) -> float:
    """A number of letters and digits that only its label tells apart: four digits at least, no placeholder."""
    digits = digits_of(value)
    if len(digits) < 3 or len(set(digits)) < 2:
        return 0.0
    return _LIKELY_MADE_UP if placeholder(value) else 1.0


_NO_NAMES_LISTED: Final = (
    "string text name none null true false field required optional required input label value varchar char example "
    "column object array type number integer boolean the this please enter your first last full given family middle "
    "unknown not test user default and or for with must should can may will is if in of on as at by to a an i it"
)
_NO_NAMES: Final = frozenset(_NO_NAMES_LISTED.split())


def person_name(value: bytes) -> float:
    """Words in title case that are no words of forms and programs."""
    words = value.decode("utf-8", "ignore").lower().split()
    return 0.0 if any(word.strip(".,") in _NO_NAMES for word in words) else 1.0


_NO_STREETS_LISTED: Final = (
    "hard disk mega tape flash test google pen thumb usb cd dvd zip floppy supreme district high county federal "
    "appeals circuit crown superior the a an of to this on in at root mean least chi"
)
_NO_STREETS: Final = frozenset(_NO_STREETS_LISTED.split())


_END_OF_STREET: Final = re.compile(rb"[,\r\n]| (?:Apt|Suite|Ste|Unit|Flat|Floor)\b")
_WHOLE: Final = re.compile(rb"(?:\b(?:Apt|Suite|Ste|Unit|Flat)\.? ?#?\d|[ \n][A-Z0-9-]*\d[A-Z0-9]* ?[A-Z0-9]*$)")
_PRINTED: Final = re.compile(
    rb"(?:51 Franklin|59 Temple|675 Mass|171 Second|1895 Preston White|160 Saratoga|559 Nathan Abbott|444 Castro) "
)
"""Addresses of organisations that well-known licences print."""

_PLACEHOLDERS: Final = re.compile(rb"12?3?4? (?:Main|Any|Example|Fake|Some) ")
_PRINTED_WORTH: Final = 0.3
_STREET_ALONE: Final = 0.8
_UNLIKELY_STREET: Final = 0.72


def street(value: bytes) -> float:
    """A street address whose name is none of the things that share their last word with streets: 42 Hard Drive.

    With a unit or a postal code it is whole, and worth more. What licences print counts little; 123 Main Street, and
    a number that may be a year (2021 Iain Lane) count for less.
    """
    name = _END_OF_STREET.split(value, maxsplit=1)[0]
    words = name.decode("ascii", "ignore").lower().split()
    if _NO_STREETS.intersection(words[1:-1]):
        return 0.0
    if _PRINTED.match(value):
        return _PRINTED_WORTH
    whole = _WHOLE.search(value, len(name)) is not None
    may_be_year = not whole and words[0].isdigit() and FIRST_YEAR <= int(words[0]) <= LAST_YEAR
    worth = 1.0 if whole else _STREET_ALONE
    return worth * (_UNLIKELY_STREET if may_be_year or _PLACEHOLDERS.match(value) else 1.0)


ACCOUNT_CHECKS: Final[dict[str, Check]] = {
    "bic": bic,
    "card_security_code": card_security_code,
    "clabe": clabe,
    "document_number": document_number,
    "mac_address": mac_address,
    "person_name": person_name,
    "random_hex": random_hex,
    "street": street,
    "us_routing": us_routing,
}
"""The checks by the names that detectors use."""
