"""CSV and its kin (RFC 4180): which record and which column a hit stands in, without parsing the others."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from domain.detectors.rule import CONTEXT_BEFORE
from domain.finding import Occurrence
from infrastructure.formats.charset import UTF8_BOM, Width
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.names import decoded, holds_value, is_plain_name, shown_name
from infrastructure.formats.window import Frame

_DELIMITERS: Final = (b",", b"\t", b";", b"|")
_SNIFFED_LINES: Final = 25
_NOT_QUOTE_OR_NEWLINE: Final = bytes(byte for byte in range(256) if byte not in b'"\n')
# A quote opens a field only at its start (RFC 4180, 2.5); anywhere else it is a plain character, as in 5" pipe.
_QUOTED: Final = re.compile(rb'(?:^|(?<=[,;\t|]))"(?:[^"]++|"")*+"')
_RECORD: Final = re.compile(rb'(?:[^"\n]++|(?:(?<=[,;\t|\n])|\A)"(?:[^"]++|"")*+"|")++|(?=\n)')
_NOTHING: Final = (b"", b"\r")
_BLANK_LINES: Final = (b"\n", b"\r\n")
_BLANK: Final = re.compile(rb"^\r?\n", re.MULTILINE)
_NAME_WORD: Final = re.compile(
    r"(?i)(?:^|[ _-])(?:id|name|date|type|status|email|e-mail|mail|phone|address|city|country|amount|price|key|value"
    r"|code|number|no|time|created|updated|user|url|description|ssn|iban|card|zip|state|notes?|comment)(?:$|[ _-])"
)


class DelimitedLocator(TextLocator):
    """Places hits in a delimited file.

    A record ends at a newline outside quotes. A quote that does not close within `record_reach` bytes is taken as a
    plain character of its line; beyond that reach of its record's start, a hit has no field.
    """

    def __init__(self, width: Width, limits: Limits, delimiter: bytes, header: tuple[str, ...] | None) -> None:
        super().__init__(width, limits)
        self.delimiter: Final = delimiter
        self._header = header
        self._above = 1 if header else 0
        self._names: dict[int, str] = {}
        self._record = 0
        self._record_start = 0
        # Where the field that was reached last begins, and its number in the record.
        self._seen = 0
        self._index = 0
        self._name: str | None = None
        mark = re.escape(delimiter)
        self._field = re.compile(rb'(?:"(?:[^"]++|"")*+"[^%b]*+|[^"%b][^%b]*+|)%b' % (mark, mark, mark, mark))
        field = rb'(?:"(?:[^"]++|"")*+"|("))?+[^%b\n]*+' % mark
        self._whole = re.compile(rb"(?:%b%b)*+%b\n" % (field, mark, field))

    def start_at(self, offset: int) -> None:
        super().start_at(offset)
        self._record_start = self._seen = offset
        if offset > 0:
            self._above = 0

    def records(self) -> int:
        """Without the header. A record counts where it ends, so that one that was cut by mistake counts once."""
        at_end = self._last and self._position == self._base + len(self._data)
        rest = self._data[max(self._record_start - self._base, 0) :] if at_end else b""
        return self._record + bool(rest.strip(b"\r\n")) - self._above

    def begin(self, frame: Frame) -> None:
        super().begin(frame)
        if self._record_start == 0 and frame.base == 0 and frame.data.startswith(UTF8_BOM):
            self._record_start = self._seen = len(UTF8_BOM)

    def settle(self, offset: int) -> None:
        self._advance_records(offset)
        super().settle(offset)

    def column(self, start: int) -> str | None:
        data, stop = self._data, start - self._base
        if data.find(b"\n", max(self._seen - self._base, 0), stop) >= 0:
            self._advance_records(start)
        if self._record_start > self._seen:
            self._seen, self._index = self._record_start, 0
        if start - self._record_start > self._reach:
            self._name = None
            return None
        self._reach_field(self._seen - self._base, stop)
        self._name = self._names.get(self._index) or self._name_of(self._index)
        return self._name

    def _reach_field(self, first: int, stop: int) -> None:
        """Go from the field that begins at `first` to the one that `stop` lies in."""
        data = self._data
        if data.find(b'"', first, stop) < 0:
            passed = data.count(self.delimiter, first, stop)
            if passed:
                self._index += passed
                self._seen = self._base + data.rfind(self.delimiter, first, stop) + 1
            return
        while (field := self._field.match(data, first, stop)) is not None:
            self._index += 1
            first = field.end()
        self._seen = self._base + first

    def near(self, start: int, end: int) -> bytes:  # noqa: ARG002 — what follows is the next column's
        """The column's name and what stands before the hit in its field."""
        stop = start - self._base
        first = max(self._record_start - self._base, stop - CONTEXT_BEFORE, 0)
        field = self._data[first:stop].rpartition(self.delimiter)[2]
        return field if self._name is None else self._name.encode() + b" " + field

    def place(self, start: int, end: int, masked: str) -> Occurrence:
        record = self._record - self._above
        return self._placed(start, end, masked, record_index=record if record >= 0 else None, field=self._name)

    def _name_of(self, index: int) -> str:
        name = self._header[index] if self._header is not None and index < len(self._header) else ""
        name = shown_name(name) if name else f"column_{index + 1}"
        if len(self._names) < len(self._header or ()) + 4096:
            self._names[index] = name
        return name

    def _advance_records(self, offset: int) -> None:
        start, stop = max(self._record_start - self._base, 0), offset - self._base
        newline = self._data.rfind(b"\n", start, stop)
        if newline < 0:
            return
        if self._record_start >= self._base and self._all_even(start, newline):
            self._record += _records(self._data[start : newline + 1])
            self._record_start = self._base + newline + 1
        else:
            self._walk(offset)

    def _all_even(self, start: int, newline: int) -> bool:
        """Whether every newline up to this one stands outside quotes: no quote is left when adjacent pairs are gone."""
        if self._data.find(b'"', start, newline) < 0:
            return True
        marks = self._data[start:newline].translate(None, _NOT_QUOTE_OR_NEWLINE)
        return b'"' not in marks.replace(b'""', b"")

    def _walk(self, offset: int) -> None:
        """Go record by record as far as `offset`."""
        while (end := self._record_end()) is not None and end <= offset:
            first = self._record_start - self._base
            self._record += first < 0 or self._data[first : end - self._base] not in _BLANK_LINES
            self._record_start = end

    def _record_end(self) -> int | None:
        """The offset behind the current record's newline; None if it is not at hand, hence beyond any hit asked for."""
        if self._record_start < self._base:
            newline = self._data.find(b"\n", max(self._record_start + self._reach - self._base, 0))
            return None if newline < 0 else self._base + newline + 1
        start = self._record_start - self._base
        whole = self._whole.match(self._data, start, start + self._reach + 1)
        if whole is not None and whole[1] is None and whole[2] is None:
            return self._base + whole.end()
        first = self._data.find(b"\n", start)
        at_hand = self._last or len(self._data) - start > self._reach
        return self._base + first + 1 if first >= 0 and at_hand else None


def _records(lines: bytes) -> int:
    """The number of records in whole lines without quoted newlines: blank ones are none."""
    count = lines.count(b"\n")
    if lines[:1] in {b"\n", b"\r"} or b"\n\n" in lines or b"\n\r\n" in lines:
        count -= len(_BLANK.findall(lines))
    return count


def sniff_delimited(head: bytes, name: str) -> tuple[bytes, tuple[str, ...] | None] | None:
    """The delimiter and the header of a delimited file; None if it is not one.

    By name (`.csv`, `.tsv`, `.psv`) any text will do. Without it, at least five lines must have the same number, two
    or more, of one delimiter.
    """
    extension = name.rpartition(".")[2]
    lines = _sample(head)
    named = {"csv": b",", "tsv": b"\t", "tab": b"\t", "psv": b"|"}.get(extension)
    delimiter = _delimiter(lines, strict=named is None) or named
    if delimiter is None or not lines:
        return None
    rows = [_cells(line, delimiter) for line in lines]
    return delimiter, _header(rows)


def record_shape(head: bytes, delimiter: bytes) -> tuple[int, int]:
    """Where the first record of a delimited file ends, and the number of fields that most of its records have."""
    records = _sampled(head)
    counts = Counter(len(_cells(record[0], delimiter)) for record in records)
    first = records[0].end() + 1 if records else 0
    return len(head) - len(head.removeprefix(UTF8_BOM)) + first, counts.most_common(1)[0][0] if counts else 1


def _sample(head: bytes) -> list[bytes]:
    return [record[0].rstrip(b"\r") for record in _sampled(head)]


def _sampled(head: bytes) -> list[re.Match[bytes]]:
    """The first whole records, blank ones left out. A quote that does not close in the head is a plain character."""
    text = head.removeprefix(UTF8_BOM)
    whole = text[: text.rfind(b"\n") + 1 or len(text)]
    records = (record for record in _RECORD.finditer(whole) if record[0] not in _NOTHING)
    return list(islice(records, _SNIFFED_LINES))


def _delimiter(lines: Sequence[bytes], *, strict: bool) -> bytes | None:
    """The delimiter that most lines have equally often."""
    best: tuple[int, int, bytes] | None = None
    for delimiter in _DELIMITERS:
        counts = Counter(_QUOTED.sub(b"", line).count(delimiter) for line in lines)
        if not counts:
            return None
        count, share = counts.most_common(1)[0]
        if count == 0 or (strict and (count < 2 or share < max(5, len(lines)))):
            continue
        if best is None or (share, count) > best[:2]:
            best = (share, count, delimiter)
    return best[2] if best else None


def _cells(line: bytes, delimiter: bytes) -> list[str]:
    hidden = _QUOTED.sub(lambda quoted: quoted[0].replace(delimiter, b"\0"), line)
    return [decoded(cell.replace(b"\0", delimiter)).strip().strip('"').strip() for cell in hidden.split(delimiter)]


def _header(rows: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
    """The first row, if it names the columns below; a cell of it that is no name, or no new one, is left empty.

    Most of its cells must be names and none of them a value, and it must differ from the rows below: by a word that
    headers use, or by a column that holds under the name what is no name.
    """
    first = rows[0]
    if any(holds_value(cell) for cell in first):
        return None
    names = tuple(cell if is_plain_name(cell) and cell not in first[:at] else "" for at, cell in enumerate(first))
    if 2 * sum(map(bool, names)) < len(names):
        return None
    if any(_NAME_WORD.search(name) for name in names):
        return names
    columns = ([row[at] for row in rows[1:] if at < len(row) and row[at]] for at, name in enumerate(names) if name)
    return names if any(2 * sum(not is_plain_name(cell) for cell in cells) > len(cells) for cells in columns) else None
