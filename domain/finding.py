"""What a detector found, with the secret itself masked away. Raw values never leave the reader."""

import string
from dataclasses import dataclass, field, replace
from typing import Final

MAX_OCCURRENCES: Final = 15
"""Occurrences kept per finding; `count` counts them all."""

_VALUES_THAT_TELL: Final = 20
_AGREES: Final = 0.8
_DISAGREES: Final = 0.3
_DOUBTED: Final = 0.5

_SHOWN_AT_MOST: Final = 4
_ASCII_HIDDEN: Final = {ord(character): "*" for character in string.ascii_letters + string.digits}


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Where one hit stands. `byte_offset` and `length` are in bytes of the (decompressed) object, from 0;
    `line` counts from 1; `column` is the byte column in that line, from 1.

    Tables add `record_index` (from 0, the header not counted) and `field` (the column's name, or `column_N` from 1
    without a header); JSON adds `json_path` (`$.user.email`), a workbook `sheet` and `cell` (`C17`), a document its
    `page` (or slide, from 1). Text that was taken out of a document has no byte offset; its line and column are those
    in the text. `inner_path` names the file within an archive, `b/d.zip!/e.csv` one that is packed twice; offsets and
    lines are then those of that file. `masked` shows at most 4 characters of the value. `confidence` is that of this
    hit alone.
    """

    masked: str
    byte_offset: int | None = None
    length: int | None = None
    line: int | None = None
    column: int | None = None
    record_index: int | None = None
    field: str | None = None
    json_path: str | None = None
    confidence: float | None = None
    inner_path: str | None = None
    page: int | None = None
    sheet: str | None = None
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One detector's hits in one object and, in tables, one column. `confidence` is 0..1.

    `rejected` counts the values of a column that look like hits, but failed their check.
    """

    detector: str
    category: str
    confidence: float
    count: int
    occurrences: tuple[Occurrence, ...] = field(default=())
    column: str | None = None
    rejected: int = 0


def agreed(finding: Finding, records: int) -> Finding:
    """The finding with its confidence by how much of its column agrees, in a table of so many records.

    Where 80 % of a column's values are of one kind, that they are is half-way to certain. Where most of what looks
    alike fails its check, the rest is likely to pass by chance: of random numbers one in ten has the right check digit.
    """
    alike = finding.count + finding.rejected
    if finding.column is None:
        return finding
    if alike >= _VALUES_THAT_TELL and finding.count < _DISAGREES * alike:
        return replace(finding, confidence=round(finding.confidence * _DOUBTED, 2))
    if records >= _VALUES_THAT_TELL and finding.count >= _AGREES * records:
        return replace(finding, confidence=round(finding.confidence + (1 - finding.confidence) / 2, 2))
    return finding


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
