"""Cells of a column as NumPy arrays: their characters, their digits, and what kinds of characters they are of."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Mask = NDArray[np.bool_]

_ZERO: Final = ord("0")


def gathered(text: Bytes, starts: Offsets, ends: Offsets) -> tuple[NDArray[np.int32], Bytes]:
    """The cells' characters one after the other, without a Python object for each cell, and where each begins."""
    if len(starts) and (starts[1:] == ends[:-1]).all():  # as Arrow has them
        return np.append(starts - starts[0], ends[-1] - starts[0]).astype(np.int32), text[starts[0] : ends[-1]]
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat((starts - offsets[:-1]).astype(np.int32), lengths)
    places += np.arange(offsets[-1], dtype=np.int32)
    return offsets, np.take(text, places)


def marked(marks: Mask, offsets: NDArray[np.int32]) -> Mask:
    """Which cells have a marked character, of those that begin at `offsets`, none of them empty. Fast if few have."""
    cells: Mask = np.zeros(len(offsets) - 1, np.bool_)
    cells[np.searchsorted(offsets, np.flatnonzero(marks), "right") - 1] = True
    return cells


def characters_at(text: Bytes, starts: Offsets, width: int) -> Bytes:
    """A column for each start with the `width` characters from there on."""
    characters: Bytes = np.take(text, starts.astype(np.int32) + np.arange(width, dtype=np.int32)[:, None])
    return characters


def digits_at(text: Bytes, starts: Offsets, width: int) -> Bytes:
    """A column for each start with the values of its `width` digits; above 9 for what is no digit."""
    digits: Bytes = characters_at(text, starts, width) - np.uint8(_ZERO)
    return digits


def numbers_of(digits: Bytes) -> NDArray[np.int64]:
    """Each column of digits as a number."""
    numbers = np.zeros(digits.shape[1], np.int64)
    for row in digits:
        numbers = numbers * 10 + row
    return numbers


def different_digits(characters: Bytes, first: NDArray[np.int32]) -> Bytes:
    """How many different digits each of the cells has that begin at these places, none of them empty."""
    return _COUNTS_OF_BITS[np.bitwise_or.reduceat(np.take(_BITS, characters), first)]


_BITS: Final = np.array([1 << (byte - _ZERO) if 0 <= byte - _ZERO < 10 else 0 for byte in range(256)], np.uint16)
_COUNTS_OF_BITS: Final = np.array([bits.bit_count() for bits in range(1 << 10)], np.uint8)


def kinds_of(characters: Bytes, table: bytes) -> Bytes:
    """What the table, which `table_of_kinds` made, says of each character."""
    return np.frombuffer(characters.tobytes().translate(table), np.uint8)


def table_of_kinds(*kinds: bytes) -> bytes:
    """For each byte the place, from 1 on, of those of these that it is among; 0 for none."""
    table = bytearray(256)
    for kind, members in enumerate(kinds, 1):
        for member in members:
            table[member] = kind
    return bytes(table)
