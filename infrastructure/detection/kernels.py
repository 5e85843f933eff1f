"""Checks of whole columns at once. A kernel accepts a cell only if the search by rules would find exactly one value of
its detector there, the whole cell, and nothing else: so either way of searching gives the same findings.

What a kernel does not accept is not refused: it is left to the rules, one by one.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from domain.detectors.checks import FILE_ENDINGS, NEVER_ISSUED_SSN, card_lengths
from domain.detectors.payment_tables import IBAN_LENGTHS
from infrastructure.detection.phone import possible_lengths

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Mask = NDArray[np.bool_]
Kernel = Callable[[Bytes, Offsets, Offsets], Mask]
"""From a text and where its cells begin and end to which of the cells are accepted."""

_ZERO: Final = ord("0")
_DOT: Final = ord(".")
_COLON: Final = ord(":")
_EMAIL: Final = (
    r"^[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@"
    r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*){0,3}\.[A-Za-z]{2,24}$"
)
_LONGEST_EMAIL: Final = 60
_SHORTEST_EMAIL: Final = 5
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4: Final = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"
_INTERNATIONAL: Final = r"^\+[1-9](?:[ .-]?\d){7,14}$"
_MOST_DIGITS: Final = 16


def _gathered(text: Bytes, starts: Offsets, ends: Offsets) -> tuple[NDArray[np.int32], Bytes]:
    """The cells' characters one after the other, without a Python object for each cell, and where each begins."""
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat((starts - offsets[:-1]).astype(np.int32), lengths)
    places += np.arange(offsets[-1], dtype=np.int32)
    return offsets, np.take(text, places)


def _strings(text: Bytes, starts: Offsets, ends: Offsets) -> Any:
    """The cells as an Arrow array."""
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only some columns need

    offsets, characters = _gathered(text, starts, ends)
    return pa.Array.from_buffers(pa.binary(), len(starts), [None, pa.py_buffer(offsets), pa.py_buffer(characters)])


def _fitting(cells: Any, pattern: str) -> Mask:
    import pyarrow.compute as pc  # noqa: PLC0415 — likewise

    fits: Mask = pc.match_substring_regex(cells, pattern).to_numpy(zero_copy_only=False)
    return fits


def _digits(text: Bytes, starts: Offsets, width: int) -> Bytes:
    """A column for each start with the values of its `width` digits; above 9 for what is no digit."""
    digits: Bytes = text[starts + np.arange(width)[:, None]] - np.uint8(_ZERO)
    return digits


def _numbers(digits: Bytes) -> NDArray[np.int64]:
    """Each column of digits as a number."""
    numbers = np.zeros(digits.shape[1], np.int64)
    for row in digits:
        numbers = numbers * 10 + row
    return numbers


def _varied(digits: Bytes, at_least: int) -> Mask:
    """Which columns have at least two, or three, different digits; 255 stands for none."""
    others = (digits != digits[0]) & (digits != 255)
    varied: Mask = others.any(axis=0)
    if at_least > 2:
        second = np.take_along_axis(digits, others.argmax(axis=0)[None, :], axis=0)
        varied &= (others & (digits != second)).any(axis=0)
    return varied


def email(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    accepted = (ends - starts <= _LONGEST_EMAIL) & (ends - starts > _SHORTEST_EMAIL)
    ends = np.where(accepted, ends, starts)
    accepted &= _fitting(_strings(text, starts, ends), _EMAIL)
    for length, endings in _endings().items():
        named = np.flatnonzero(accepted & (text[np.maximum(ends - length - 1, 0)] == _DOT))
        letters = text[ends[named, None] + np.arange(-length, 0)] | np.uint8(0x20)
        accepted[named] = ~np.isin(_packed(letters), endings)
    return accepted


@cache
def _endings() -> dict[int, NDArray[np.int64]]:
    """The endings of file names by their length, packed."""
    lengths = sorted({len(ending) for ending in FILE_ENDINGS})
    rows = {length: [list(ending) for ending in FILE_ENDINGS if len(ending) == length] for length in lengths}
    return {length: _packed(np.array(rows[length], np.uint8)) for length in lengths}


def _packed(letters: Bytes) -> NDArray[np.int64]:
    """Each row of letters as one number."""
    packed: NDArray[np.int64] = letters.astype(np.int64) @ (256 ** np.arange(letters.shape[1], dtype=np.int64))
    return packed


def ip_address(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    return _fitting(_strings(text, starts, ends), _IPV4)


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


def _octet_before(text: Bytes, right: Offsets, *, first: bool) -> tuple[Offsets, NDArray[np.int64], Mask]:
    """The octet that ends at `right`: where it begins, its value, and whether it is one, with a dot before it unless it
    is the first."""
    digits = [text[right - place].astype(np.int64) - _ZERO for place in (1, 2, 3)]
    there = [(digit >= 0) & (digit <= 9) for digit in digits]
    two, three = there[1], there[1] & there[2]
    value = digits[0] + np.where(two, 10 * digits[1], 0) + np.where(three, 100 * digits[2], 0)
    left = right - 1 - two - three
    leading = np.where(three, digits[2], np.where(two, digits[1], 1))
    sound: Mask = there[0] & (value <= 255) & (leading != 0)
    return left, value, sound if first else sound & (text[left - 1] == _DOT)


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
    digits = _digits(text, starts[accepted], 11)
    dashes = (digits[3] == 253) & (digits[6] == 253)  # 253 is `-` less `0`
    plain = np.delete(digits, (3, 6), axis=0)
    number = _numbers(plain)
    area, group, serial = number // 1_000_000, number // 10_000 % 100, number % 10_000
    issued = (area != 0) & (area != 666) & (area < 900) & (group != 0) & (serial != 0)
    doubtful = np.isin(number, [int(known) for known in NEVER_ISSUED_SSN])
    accepted[accepted] = dashes & (plain < 10).all(axis=0) & issued & ~doubtful & _varied(plain, 2)
    return accepted


def card(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    accepted: Mask = np.zeros(len(starts), np.bool_)
    lengths = ends - starts
    for length in (15, 16):
        of_length = lengths == length
        accepted[of_length] = _cards(_digits(text, starts[of_length], length))
    return accepted


def _cards(digits: Bytes) -> Mask:
    real = (digits < 10).all(axis=0)
    doubled = digits[-2::-2].astype(np.int16) * 2
    total = digits[-1::-2].sum(axis=0, dtype=np.int16) + (doubled - 9 * (doubled > 9)).sum(axis=0, dtype=np.int16)
    issuers = _issuers(len(digits))[np.where(real, _numbers(digits[:4]), 0)]
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
            accepted[of_length] = _ibans(text[starts[of_length] + np.arange(length)[:, None]])
    return accepted


def _ibans(characters: Bytes) -> Mask:
    values = _BASE36[characters]
    known = _countries(len(values))[values[0].astype(np.int64) * 36 + values[1]]
    shaped: Mask = (values < 36).all(axis=0) & known & (values[2:4] < 10).all(axis=0)
    remainder = np.zeros(values.shape[1], np.int32)
    for row in (*values[4:], *values[:4]):
        value = row.astype(np.int32)
        remainder = (remainder * np.where(value > 9, np.int32(100), np.int32(10)) + value) % np.int32(97)
    shaped &= remainder == 1
    return shaped


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
    cells = _strings(text, starts, ends)
    accepted = _fitting(cells, _INTERNATIONAL)
    if accepted.any():
        digits, counts = _padded(text, starts[accepted], ends[accepted])
        accepted[accepted] = _plans()[_numbers(digits[:3]), counts] & _varied(digits, 3)
    return accepted


def _padded(text: Bytes, starts: Offsets, ends: Offsets) -> tuple[Bytes, Offsets]:
    """The digits of each cell, 8 to 15 of them, as columns that are padded with 255, and how many each has."""
    characters = _gathered(text, starts, ends)[1]
    are_digits = (characters - np.uint8(_ZERO)) < 10
    digits = characters[are_digits] - np.uint8(_ZERO)
    counts = np.add.reduceat(are_digits, np.cumsum(ends - starts) - (ends - starts), dtype=np.int64)
    rows = np.full((len(starts), _MOST_DIGITS), 255, np.uint8)
    rows[np.arange(_MOST_DIGITS) < counts[:, None]] = digits
    return rows.T, counts


@cache
def _plans() -> Mask:
    """By the first three digits and the count of all, whether a number with this country code may have so many."""
    table: Mask = np.zeros((1000, _MOST_DIGITS), np.bool_)
    for prefix in range(100, 1000):
        for count in possible_lengths(b"%03d" % prefix):
            table[prefix, min(count, _MOST_DIGITS - 1)] = True
    return table


KERNELS: Final[dict[str, Kernel]] = {
    "network.ip-address": ip_address,
    "payment.card": card,
    "payment.iban": iban,
    "pii.email": email,
    "pii.phone": phone,
    "pii.us-ssn": us_ssn,
}
"""The kernels by the detector that they stand for."""
