"""What kind of delimited file it is: its delimiter, how it quotes, and its header, all told by its first records."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Final

from infrastructure.formats.charset import UTF8_BOM
from infrastructure.formats.names import decoded, holds_value, is_plain_name

# Beside the usual ones: the circumflex, the tilde, and the control characters of Hive and of ASCII itself.
_DELIMITERS: Final = (b",", b"\t", b";", b"|", b"^", b"~", b"\x01", b"\x1f")
_ANY: Final = rb"[,;\t|^~\x01\x1f]"
_NONE: Final = rb"[^,;\t|^~\x01\x1f]"
_SNIFFED_LINES: Final = 25
_NOTHING: Final = (b"", b"\r")
# What Excel writes above a table to say its delimiter.
_DELIMITER_SAID: Final = re.compile(rb"(?i)sep=.?$", re.DOTALL)
_SINGLY_QUOTED: Final = re.compile(rb"(?:^|(?<=%b))'[^'\n]*+'(?=%b|\r?$)" % (_ANY, _ANY), re.MULTILINE)
# Behind a quote that closes a field there is a delimiter or the line's end: this one does not.
_ESCAPED_QUOTE: Final = re.compile(rb"\\[\"'](?!%b|[\r\n\"']|\Z)" % _ANY)
_NAME_WORD: Final = re.compile(
    r"(?i)(?:^|[ _-])(?:id|name|date|type|status|email|e-mail|mail|phone|address|city|country|amount|price|key|value"
    r"|code|number|no|time|created|updated|user|url|description|ssn|iban|card|zip|state|notes?|comment)(?:$|[ _-])"
)


@dataclass(frozen=True, slots=True)
class Quoting:
    """How fields are quoted. A quote opens a field only at its beginning (RFC 4180, 2.5): anywhere else it is a plain
    character, as in 5" pipe. Inside it is doubled or, if it `escapes`, stands behind a backslash."""

    mark: bytes = b'"'
    escapes: bool = False

    def pattern(self) -> bytes:
        """A field in quotes."""
        return self.mark + self._behind_mark()

    def _behind_mark(self) -> bytes:
        plain = rb"[^%b\\]++|\\." if self.escapes else rb"[^%b]++"
        return rb"(?:%b|%b)*+%b" % (plain % self.mark, self.mark * 2, self.mark)

    def hidden(self, line: bytes, stand_in: "Callable[[re.Match[bytes]], bytes] | bytes" = b"") -> bytes:
        """The line with something else instead of each field in quotes."""
        return _fields_in_quotes(self).sub(stand_in, line) if self.mark in line else line

    def anywhere(self) -> re.Pattern[bytes]:
        """A field in quotes that stands at the beginning or behind a delimiter. The mark comes first in the expression:
        it is found much faster than a place that it may stand in."""
        return re.compile(rb"%b(?<!%b%b)%b" % (self.mark, _NONE, self.mark, self._behind_mark()), re.DOTALL)

    def sampled(self) -> re.Pattern[bytes]:
        """A record. A quote that does not close in the text is a plain character."""
        opening, mark = rb"(?:(?<=%b)|(?<=\n)|\A)" % _ANY, self.mark
        return re.compile(rb"(?:[^%b\n]++|%b%b|%b)++|(?=\n)" % (mark, opening, self.pattern(), mark), re.DOTALL)


@cache
def _fields_in_quotes(quoting: Quoting) -> re.Pattern[bytes]:
    return quoting.anywhere()


@cache
def _sampled_record(quoting: Quoting) -> re.Pattern[bytes]:
    return quoting.sampled()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written. `above` counts the records that stand above the first of data."""

    delimiter: bytes
    quoting: Quoting = Quoting()
    header: tuple[str, ...] = ()
    above: int = 0

    def field(self) -> re.Pattern[bytes]:
        """A field with the delimiter behind it."""
        return _field(self.delimiter, self.quoting)

    def record(self) -> re.Pattern[bytes]:
        """A record with its newline; its two groups hold a quote that does not close."""
        return _record(self.delimiter, self.quoting)


@cache
def _field(delimiter: bytes, quoting: Quoting) -> re.Pattern[bytes]:
    mark, quote = re.escape(delimiter), quoting.mark
    forms = rb"(?:%b[^%b]*+|[^%b%b][^%b]*+|)%b" % (quoting.pattern(), mark, quote, mark, mark, mark)
    return re.compile(forms, re.DOTALL)


@cache
def _record(delimiter: bytes, quoting: Quoting) -> re.Pattern[bytes]:
    mark = re.escape(delimiter)
    field = rb"(?:%b|(%b))?+[^%b\n]*+" % (quoting.pattern(), quoting.mark, mark)
    return re.compile(rb"(?:%b%b)*+%b\n" % (field, mark, field), re.DOTALL)


def sniff_delimited(head: bytes, name: str) -> Dialect | None:
    """The dialect of a delimited file; None if it is not one.

    By name (`.csv`, `.tsv`, `.psv`) any text will do. Without it, at least five lines must have the same number, two
    or more, of one delimiter.
    """
    extension = name.rpartition(".")[2]
    named = {"csv": b",", "tsv": b"\t", "tab": b"\t", "psv": b"|"}.get(extension)
    quoting = _quoting(head)
    lines = [record[0].rstrip(b"\r") for record in _sampled(head, quoting)]
    above = _preamble(lines, quoting)
    lines = lines[above:]
    delimiter = _delimiter(lines, quoting, strict=named is None) or named
    if delimiter is None or not lines:
        return None
    header = header_of(_cells(line, delimiter, quoting) for line in lines)
    return Dialect(delimiter, quoting, header or (), above + bool(header))


def record_shape(head: bytes, dialect: Dialect) -> tuple[int, int]:
    """Where the first record of a delimited file ends, or the last that stands above its data, and the number of
    fields that most of its records have."""
    records = _sampled(head, dialect.quoting)
    counts = Counter(len(_cells(record[0], dialect.delimiter, dialect.quoting)) for record in records)
    first = records[max(dialect.above, 1) - 1].end() + 1 if records else 0
    return len(head) - len(head.removeprefix(UTF8_BOM)) + first, counts.most_common(1)[0][0] if counts else 1


def header_of(rows: Iterable[Sequence[str]]) -> tuple[str, ...] | None:
    """The first row, if it names the columns below; a cell of it that is no name, or no new one, is left empty.

    Most of its cells must be names and none of them a value, and it must differ from the rows below: by a word that
    headers use, or by a column that holds under the name what is no name.
    """
    below = iter(rows)
    first = next(below)
    if any(holds_value(cell) for cell in first):
        return None
    new = {cell: at for at, cell in reversed(list(enumerate(first)))}
    names = tuple(cell if is_plain_name(cell) and new[cell] == at else "" for at, cell in enumerate(first))
    if 2 * sum(map(bool, names)) < len(names):
        return None
    if any(_NAME_WORD.search(name) for name in names):
        return names
    others = list(below)
    columns = ([row[at] for row in others if at < len(row) and row[at]] for at, name in enumerate(names) if name)
    return names if any(2 * sum(not is_plain_name(cell) for cell in cells) > len(cells) for cells in columns) else None


def _quoting(head: bytes) -> Quoting:
    lines = head.count(b"\n")
    may_be_single = b'"' not in head and head.count(b"'") > lines
    single = may_be_single and len(_SINGLY_QUOTED.findall(head)) > lines
    mark = b"'" if single else b'"'
    return Quoting(mark, any(escaped[0][1:] == mark for escaped in _ESCAPED_QUOTE.finditer(head)))


def _sampled(head: bytes, quoting: Quoting) -> list[re.Match[bytes]]:
    """The first whole records, blank ones left out. A quote that does not close in the head is a plain character."""
    text = head.removeprefix(UTF8_BOM)
    whole = text[: text.rfind(b"\n") + 1 or len(text)]
    records = (found for found in _sampled_record(quoting).finditer(whole) if found[0] not in _NOTHING)
    return list(islice(records, _SNIFFED_LINES))


def _preamble(lines: Sequence[bytes], quoting: Quoting) -> int:
    """How many lines stand above the table: `sep=;`, comments, and titles, which hold none of its delimiter."""
    delimiter = _delimiter(lines, quoting, strict=False)
    if delimiter is None:
        return 0
    counts = [quoting.hidden(line).count(delimiter) for line in lines]
    usual, share = Counter(counts).most_common(1)[0]
    if usual == 0 or share < 2:
        return 0
    above = int(_DELIMITER_SAID.match(lines[0]) is not None)
    while counts[above] == 0 or (lines[above][:1] == b"#" and counts[above] != usual):
        above += 1
    return above


def _delimiter(lines: Sequence[bytes], quoting: Quoting, *, strict: bool) -> bytes | None:
    """The delimiter that most lines have equally often."""
    best: tuple[int, int, bytes] | None = None
    text = b"\n".join(lines)
    plain = quoting.hidden(text).split(b"\n") if quoting.mark in text else lines
    least = max(5, len(lines)) * 2 if strict else 1
    for delimiter in _DELIMITERS:
        if text.count(delimiter) < least:
            continue
        counts = Counter(line.count(delimiter) for line in plain)
        if not counts:
            return None
        count, share = counts.most_common(1)[0]
        if count == 0 or (strict and (count < 2 or share < max(5, len(lines)))):
            continue
        if best is None or (share, count) > best[:2]:
            best = (share, count, delimiter)
    return best[2] if best else None


def _cells(line: bytes, delimiter: bytes, quoting: Quoting) -> list[str]:
    if quoting.mark not in line and line.isascii():
        return [cell.strip() for cell in line.decode("ascii").split(delimiter.decode("ascii"))]
    hidden = quoting.hidden(line, lambda quoted: quoted[0].replace(delimiter, b"\0"))
    mark = quoting.mark.decode()
    return [decoded(cell.replace(b"\0", delimiter)).strip().strip(mark).strip() for cell in hidden.split(delimiter)]
