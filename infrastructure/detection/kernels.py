"""Checks of whole columns at once. A kernel accepts a cell only if the search by rules would find exactly one value of
its detector there, the whole cell, and nothing else: so either way of searching gives the same findings.

What a kernel does not accept is not refused: it is left to the rules, one by one.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.detectors.checks import NEVER_ISSUED_SSN, card_lengths
from domain.detectors.payment_tables import IBAN_LENGTHS
from infrastructure.detection.cells import (
    Bytes,
    Mask,
    Offsets,
    characters_at,
    different_digits,
    digits_at,
    gathered,
    kinds_of,
    marked,
    numbers_of,
    table_of_kinds,
)
from infrastructure.detection.email_kernel import email
from infrastructure.detection.phone import possible_lengths

Kernel = Callable[[Bytes, Offsets, Offsets], Mask]
"""From a text and where its cells begin and end to which of the cells are accepted."""

_ZERO: Final = ord("0")
_DOT: Final = ord(".")
_COLON: Final = ord(":")
_SHORTEST_IPV4: Final = 7
_LONGEST_IPV4: Final = 15
_SHORTEST_PHONE: Final = 9
_LONGEST_PHONE: Final = 30
_FEWEST_DIGITS: Final = 8
_MOST_DIGITS: Final = 16
_FEWEST_DIFFERENT: Final = 3


def ip_address(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    lengths = ends - starts
    accepted: Mask = (lengths >= _SHORTEST_IPV4) & (lengths <= _LONGEST_IPV4)
    right = ends[accepted]
    sound: Mask = np.ones(len(right), np.bool_)
    for place in range(4):
        left, _, is_octet = _octet_before(text, right, least=starts[accepted], first=place == 3)
        sound &= is_octet
        right = left - 1
    accepted[accepted] = sound & (right + 1 == starts[accepted])
    return accepted


def addresses_at(text: Bytes, ends: Offsets) -> tuple[Mask, Offsets, Offsets, NDArray[np.float64]]:
    """The IPv4 addresses around anchors that end behind the first digit of the fourth octet, at least 20 bytes from the
    text's ends: which are accepted, and of these where each begins and ends, and what it is worth."""
    octets: list[NDArray[np.int64]] = []
    accepted: Mask = np.ones(len(ends), np.bool_)
    more = _is_digit(text, ends)
    stops = ends + more + (more & _is_digit(text, ends + 1))
    right = stops
    for place in range(4):
        left, value, sound = _octet_before(text, right, first=place == 3)
        accepted &= sound
        octets.insert(0, value)
        right = left - 1
    starts = right + 1
    before, after = text[starts - 1], text[stops]
    dotted = (after == _DOT) & _is_digit(text, stops + 1)
    accepted &= ~_WORD[before] & (before != _DOT) & (before != _COLON) & ~_WORD[after] & ~dotted
    return accepted, starts[accepted], stops[accepted], _reach_of([octet[accepted] for octet in octets])


def _octet_before(
    text: Bytes, right: Offsets, *, first: bool, least: "Offsets | int" = 0
) -> tuple[Offsets, NDArray[np.int64], Mask]:
    """The octet that ends at `right`: where it begins, not before `least`, its value, and whether it is one, with a dot
    before it unless it is the first."""
    places = [right - place for place in (1, 2, 3)]
    digits = [text[np.maximum(place, 0)].astype(np.int64) - _ZERO for place in places]
    there = [(digit >= 0) & (digit <= 9) & (place >= least) for digit, place in zip(digits, places, strict=True)]
    two, three = there[1], there[1] & there[2]
    value = digits[0] + np.where(two, 10 * digits[1], 0) + np.where(three, 100 * digits[2], 0)
    left = right - 1 - two - three
    leading = np.where(three, digits[2], np.where(two, digits[1], 1))
    sound: Mask = there[0] & (value <= 255) & (leading != 0)
    return left, value, sound if first else sound & (text[np.maximum(left - 1, 0)] == _DOT)


def _reach_of(octets: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """What addresses are worth, as `domain.detectors.checks.ip_address` says."""
    first, second, third, fourth = octets
    small = np.maximum(np.maximum(first, second), np.maximum(third, fourth)) < 20
    private = (first == 10) | ((first == 192) & (second == 168)) | ((first == 169) & (second == 254))
    private |= (first == 172) & (second >= 16) & (second <= 31)
    unrouted = (first == 0) | (first == 127) | (first >= 224)
    documented = ((first == 192) & (second == 0) & (third == 2)) | ((first == 198) & (second == 51) & (third == 100))
    documented |= (first == 203) & (second == 0) & (third == 113)
    version = (first < 10) & (second < 10)
    version |= (first < 20) & (np.maximum(second, np.maximum(third, fourth)) < 100)
    return np.select([unrouted, documented, private, small, version], [0.2, 0.5, 0.65, 0.4, 0.5], 1.0)


def _is_digit(text: Bytes, places: Offsets) -> Mask:
    digits: Mask = (text[places] - np.uint8(_ZERO)) < 10
    return digits


def _words() -> Mask:
    table: Mask = np.zeros(256, np.bool_)
    table[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")] = True
    return table


_WORD: Final = _words()


def us_ssn(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    accepted: Mask = ends - starts == 11
    digits = digits_at(text, starts[accepted], 11)
    dashes = (digits[3] == 253) & (digits[6] == 253)  # 253 is `-` less `0`
    plain = np.delete(digits, (3, 6), axis=0)
    number = numbers_of(plain)
    area, group, serial = number // 1_000_000, number // 10_000 % 100, number % 10_000
    issued = (area != 0) & (area != 666) & (area < 900) & (group != 0) & (serial != 0)
    doubtful = np.isin(number, [int(known) for known in NEVER_ISSUED_SSN])
    accepted[accepted] = dashes & (plain < 10).all(axis=0) & issued & ~doubtful & (plain != plain[0]).any(axis=0)
    return accepted


def card(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    accepted: Mask = np.zeros(len(starts), np.bool_)
    lengths = ends - starts
    for length in (15, 16):
        of_length = lengths == length
        accepted[of_length] = _cards(digits_at(text, starts[of_length], length))
    return accepted


def _cards(digits: Bytes) -> Mask:
    real = (digits < 10).all(axis=0)
    doubled = digits[-2::-2].astype(np.int16) * 2
    total = digits[-1::-2].sum(axis=0, dtype=np.int16) + (doubled - 9 * (doubled > 9)).sum(axis=0, dtype=np.int16)
    issuers = _issuers(len(digits))[np.where(real, numbers_of(digits[:4]), 0)]
    accepted: Mask = real & (total % 10 == 0) & issuers
    return accepted


@cache
def _issuers(length: int) -> Mask:
    """By the first four digits, whether there are cards of this length."""
    table: Mask = np.array([length in card_lengths(b"%04d" % prefix) for prefix in range(10_000)])
    return table


def iban(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    accepted: Mask = np.zeros(len(starts), np.bool_)
    lengths = ends - starts
    for length in set(IBAN_LENGTHS.values()):
        of_length = lengths == length
        if of_length.any():
            accepted[of_length] = _ibans(characters_at(text, starts[of_length], length))
    return accepted


def _ibans(characters: Bytes) -> Mask:
    values = _BASE36[characters]
    known = _countries(len(values))[values[0].astype(np.int64) * 36 + values[1]]
    shaped: Mask = (values < 36).all(axis=0) & known & (values[2:4] < 10).all(axis=0)
    remainder, most = np.zeros(values.shape[1], np.int64), 1
    for row in (*values[4:], *values[:4]):
        letters = row > 9
        any_letter = letters.any()
        scale = np.where(letters, 100, 10) if any_letter else 10
        remainder = remainder * scale + row
        most *= 100 if any_letter else 10
        if most > _LARGE:
            remainder, most = remainder % 97, 97
    shaped &= remainder % 97 == 1
    return shaped


_LARGE: Final = 10**15
"""A remainder below a hundred times that, and less than a hundred more, fits into 64 bits."""


def _base36() -> Bytes:
    table = np.full(256, 255, np.uint8)
    for value, character in enumerate(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        table[character] = value
    return table


_BASE36: Final = _base36()


@cache
def _countries(length: int) -> Mask:
    """By the first two characters in base 36, whether this is a country whose IBANs have this length."""
    table: Mask = np.zeros(256 * 36 + 256, np.bool_)
    for country, own in IBAN_LENGTHS.items():
        table[int(country, 36)] = own == length
    return table


def phone(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    """`+[1-9]`, and 7 to 14 digits more with at most one of ` .-` before each."""
    lengths = ends - starts
    accepted: Mask = (lengths >= _SHORTEST_PHONE) & (lengths <= _LONGEST_PHONE)
    if not accepted.any():
        return accepted
    offsets, characters = gathered(text, starts[accepted], ends[accepted])
    first, last = offsets[:-1], offsets[1:] - 1
    kinds = kinds_of(characters, _PHONE_KINDS)
    are_digits = kinds == _DIGIT
    sound = are_digits.copy()
    sound[1:] |= (kinds[1:] == _JOIN) & are_digits[:-1]
    sound[first] = kinds[first] == _PLUS
    shaped = ~marked(~sound, offsets) & are_digits[last]
    shaped &= (characters[first + 1] - np.uint8(_ZERO + 1)) < 9
    passed = np.cumsum(are_digits, dtype=np.int32)
    counts = passed[last] - passed[first]
    shaped &= (counts >= _FEWEST_DIGITS) & (counts < _MOST_DIGITS)
    shaped &= different_digits(characters, first) >= _FEWEST_DIFFERENT
    digits = characters[np.append(np.flatnonzero(are_digits), [0, 0])] - np.uint8(_ZERO)
    begins = passed[first]
    country = numbers_of(np.stack([np.take(digits, begins + place, mode="clip") for place in range(3)]))
    shaped[shaped] = _plans(country[shaped])[country[shaped], counts[shaped]]
    accepted[accepted] = shaped
    return accepted


_DIGIT: Final = 1
_JOIN: Final = 2
_PLUS: Final = 3
_PHONE_KINDS: Final = table_of_kinds(b"0123456789", b" .-", b"+")


def _plans(prefixes: NDArray[np.int64]) -> Mask:
    """By the first three digits, for these at least, and the count of all, whether a number with this country code may
    have so many. Told when first asked for: all countries together take 0.15 s."""
    table, told = _plans_so_far()
    for prefix in np.unique(prefixes[~told[prefixes]]).tolist():
        for count in possible_lengths(b"%03d" % prefix):
            table[prefix, min(count, _MOST_DIGITS - 1)] = True
        told[prefix] = True
    return table


@cache
def _plans_so_far() -> tuple[Mask, Mask]:
    return np.zeros((1000, _MOST_DIGITS), np.bool_), np.zeros(1000, np.bool_)


KERNELS: Final[dict[str, Kernel]] = {
    "network.ip-address": ip_address,
    "payment.card": card,
    "payment.iban": iban,
    "pii.email": email,
    "pii.phone": phone,
    "pii.us-ssn": us_ssn,
}
"""The kernels by the detector that they stand for."""
