"""Lines of JSON that are built alike, taken apart all at once.

A line is told apart by its quotes, if it has no backslash. Two lines with as many of them, with the same brackets
between the same ones, and with the same keys above a value, have the same path at that value.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Mask = NDArray[np.bool_]

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_NEWLINE: Final = ord("\n")
_COLON: Final = ord(":")
_SPACE: Final = ord(" ")


def _bracket_table() -> Mask:
    table: Mask = np.zeros(256, np.bool_)
    table[list(b"{}[]")] = True
    return table


_BRACKETS: Final = _bracket_table()


@dataclass(frozen=True, slots=True)
class Member:
    """A string that is the value of a key: which of the line's strings it is, and those above it by their key."""

    string: int
    keys: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """How a line is built: the number of its quotes, and its brackets with the number of quotes before each."""

    quotes: int
    brackets: bytes
    before: tuple[int, ...]
    members: tuple[Member, ...]


def template_of(line: bytes) -> Template | None:
    """The template of a line with all strings that are values of keys; None for one that cannot be told apart."""
    if b"\\" in line or line.count(b'"') % 2 or not line.startswith(b"{"):
        return None
    pieces = line.split(b'"')
    brackets, before, members = b"", [], []
    above: list[tuple[int, bytes] | None] = []
    key: tuple[int, bytes] | None = None
    for number, piece in enumerate(pieces):
        if number % 2:
            string = number // 2
            if pieces[number + 1].startswith(b":"):
                key = string, piece
            elif key is not None and key[0] == string - 1 and pieces[number - 1] in (b":", b": "):
                members.append(Member(string, tuple(one for one in (*above, key) if one is not None)))
            continue
        for sign in piece:
            if sign in b"{[":
                above.append(key if key is not None and key[0] == number // 2 - 1 else None)
            elif sign in b"}]" and above:
                above.pop()
            if sign in b"{}[]":
                brackets += bytes((sign,))
                before.append(number)
    return Template(len(pieces) - 1, brackets, tuple(before), tuple(members))


@dataclass(frozen=True, slots=True)
class AlikeLines:
    """The whole lines of a text that begins with one: where each begins and ends, its quotes, and which are alike."""

    text: Bytes
    starts: Offsets
    ends: Offsets
    quotes: Offsets
    first: Offsets
    alike: Mask

    def end(self) -> int:
        """Where the line after the last one begins."""
        return int(self.ends[-1]) + 1 if len(self.ends) else 0

    def keys(self, member: Member) -> Offsets:
        """Where this member's key begins in each line in which it has the same path; anywhere in others."""
        opening = np.minimum(self.first + 2 * member.keys[-1][0], len(self.quotes) - 1)
        begins: Offsets = self.quotes[opening] + 1 if len(self.quotes) else self.starts
        return begins

    def values(self, member: Member) -> tuple[Offsets, Offsets, Mask]:
        """Where this member's value begins and ends in each line, and in which lines it has the same path; in others
        it is empty."""
        there = self.alike.copy()
        for string, key in member.keys:
            there[there] = self._are_key(self.first[there] + 2 * string, key)
        opening = self.first[there] + 2 * member.string
        gap = self.quotes[opening] - self.quotes[opening - 1]
        spaced = (gap == 3) & (self.text[self.quotes[opening] - 1] == _SPACE)
        there[there] = (gap == 2) | spaced
        starts, ends = self.starts.copy(), self.starts.copy()
        opening = self.first[there] + 2 * member.string
        starts[there], ends[there] = self.quotes[opening] + 1, self.quotes[opening + 1]
        return starts, ends, there

    def _are_key(self, opening: Offsets, key: bytes) -> Mask:
        """Whether the strings with these opening quotes are this key."""
        begins, stops = self.quotes[opening] + 1, self.quotes[opening + 1]
        same: Mask = (stops - begins == len(key)) & (self.text[np.minimum(stops + 1, len(self.text) - 1)] == _COLON)
        letters = self.text[begins[same, None] + np.arange(len(key))]
        same[same] = (letters == np.frombuffer(key, np.uint8)).all(axis=1)
        return same


def alike_lines(text: Bytes, template: Template, before: int, longest: int) -> AlikeLines:
    """The whole lines that begin before offset `before`, with those marked that are built like the template, and are
    no longer than `longest`."""
    ends = np.flatnonzero(text == _NEWLINE)
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    count = int(np.searchsorted(starts, before))
    starts, ends = starts[:count], ends[:count]
    quotes = np.flatnonzero(text == _QUOTE)
    escapes = np.flatnonzero(text == _BACKSLASH)
    first, last = np.searchsorted(quotes, starts), np.searchsorted(quotes, ends)
    alike = (last - first == template.quotes) & (ends - starts <= longest)
    alike &= np.searchsorted(escapes, starts) == np.searchsorted(escapes, ends)
    if count:
        alike &= _same_brackets(text, ends, quotes, first, template)
    return AlikeLines(text, starts, ends, quotes, first, alike)


def _same_brackets(text: Bytes, ends: Offsets, quotes: Offsets, first: Offsets, template: Template) -> Mask:
    """Which lines have the template's brackets outside of strings, with as many quotes before each."""
    places = np.flatnonzero(_BRACKETS[text[: int(ends[-1])]])
    lines = np.searchsorted(ends, places)
    before = np.searchsorted(quotes, places) - first[lines]
    outside = before % 2 == 0
    places, lines, before = places[outside], lines[outside], before[outside]
    same: Mask = np.bincount(lines, minlength=len(ends)) == len(template.brackets)
    begins = np.searchsorted(lines, np.flatnonzero(same))[:, None] + np.arange(len(template.brackets))
    signs = (text[places[begins]] == np.frombuffer(template.brackets, np.uint8)).all(axis=1)
    same[same] = signs & (before[begins] == np.array(template.before, np.int64)).all(axis=1)
    return same
