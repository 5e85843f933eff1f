"""What a detector found, with the secret itself masked away. Raw values never leave the reader."""

import string
from dataclasses import dataclass, field
from typing import Final

MAX_OCCURRENCES: Final = 15
"""Occurrences kept per finding; `count` counts them all."""

_SHOWN_AT_MOST: Final = 4
_ASCII_HIDDEN: Final = {ord(character): "*" for character in string.ascii_letters + string.digits}


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Where one hit stands. `byte_offset` and `length` are in bytes of the (decompressed) object, from 0;
    `line` counts from 1; `column` is the byte column in that line, from 1.

    Tables add `record_index` (from 0, the header not counted) and `field` (the column's name, or `column_N` from 1
    without a header); JSON adds `json_path` (`$.user.email`). `masked` shows at most 4 characters of the value.
    """

    masked: str
    byte_offset: int | None = None
    length: int | None = None
    line: int | None = None
    column: int | None = None
    record_index: int | None = None
    field: str | None = None
    json_path: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One detector's hits in one object and, in tables, one column. `confidence` is 0..1."""

    detector: str
    category: str
    confidence: float
    count: int
    occurrences: tuple[Occurrence, ...] = field(default=())
    column: str | None = None


def mask(value: str) -> str:
    """`value` with all but its last characters hidden: at most 4 shown, and never more than a quarter of it.

    Letters, digits and whatever is not ASCII become `*`; punctuation stays, so that the shape can be recognised:
    `4111-1111-1111-1111` → `****-****-****-1111`.
    """
    if value.isascii():
        return _mask_ascii(value)
    shown = min(_SHOWN_AT_MOST, sum(map(_tells, value)) // 4)
    masked: list[str] = []
    for character in reversed(value):
        if _tells(character) and shown > 0:
            shown -= 1
            masked.append(character)
        else:
            masked.append("*" if _tells(character) else character)
    return "".join(reversed(masked))


def _mask_ascii(value: str) -> str:
    hidden = value.translate(_ASCII_HIDDEN)
    shown = min(_SHOWN_AT_MOST, (hidden.count("*") - value.count("*")) // 4)
    kept = len(value)
    while shown > 0:
        kept -= 1
        shown -= value[kept].isalnum()
    return hidden[:kept] + value[kept:]


def _tells(character: str) -> bool:
    # Many scripts write vowels as marks that are no letters to `isalnum`.
    return character.isalnum() or not character.isascii()
