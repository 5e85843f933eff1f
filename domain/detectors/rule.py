"""What a detector is: patterns, the check that a match must pass, and the words that speak for or against it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, Literal

MAX_ANCHOR: Final = 128
"""The widest anchor, in bytes: what an engine must see again on both sides of a cut."""

KEYWORD_REACH: Final = 48
"""How many bytes behind a keyword a value may begin."""

CONTEXT_BEFORE: Final = 56
CONTEXT_AFTER: Final = 16
"""Bytes around a hit in which context words count."""

Severity = Literal["low", "medium", "high", "critical"]

SEVERITIES: Final[dict[str, Severity]] = {
    "secret": "critical",
    "payment": "high",
    "phi": "high",
    "pii": "medium",
    "network": "low",
}
"""How grave a finding of each category is, unless its detector says otherwise."""

UNKNOWN_SEVERITY: Final[Severity] = "medium"
"""Of any other category."""

_CONFIRMED_SHARE: Final = 0.5
_DENIED_FACTOR: Final = 0.4
_WHOLE_WORD_BELOW: Final = 5
_JOINS_TO_BLANKS: Final = bytes(0x20 if byte in b"_.-\t" else byte for byte in range(256))
_PARTS_OF_A_NAME: Final = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One shape of a value.

    `regex` is a `re` expression over bytes. Its group `value`, if it has one, is the value; else the whole match is.
    `keywords`, if there are any: one of them must stand within `KEYWORD_REACH` bytes before the value, or in the name
    of its column. `anchor` is a Hyperscan expression at most `MAX_ANCHOR` bytes wide, made to end once in each value,
    to be searched for instead of the beginning of `regex`; the value then lies at most `before` bytes to the left of
    this end and `after` bytes to its right.
    """

    regex: str
    keywords: tuple[str, ...] = ()
    anchor: str | None = None
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Detector:
    """One kind of sensitive value. `id` is `<category>.<name>`; `confidence` (0..1) is that of a valid match.

    `validator` names a check of the matched bytes; `context` words near a hit raise its confidence, `denial`
    words lower it. One that `yields` finds nothing where another detector does. A `custom` one is a tenant's own: it is
    matched in time linear in the text, whatever its patterns are. `matches` are texts in which it must
    find exactly one value, `near_misses` texts in which none.
    """

    id: str
    name: str
    confidence: float
    patterns: tuple[Pattern, ...]
    matches: tuple[str, ...]
    near_misses: tuple[str, ...]
    validator: str | None = None
    context: tuple[str, ...] = ()
    denial: tuple[str, ...] = ()
    own_severity: Severity | None = None
    yields: bool = False
    custom: bool = False

    @property
    def category(self) -> str:
        return self.id.partition(".")[0]

    @property
    def severity(self) -> Severity:
        return self.own_severity or SEVERITIES.get(self.category, UNKNOWN_SEVERITY)

    @cached_property
    def context_words(self) -> "Words":
        return Words(self.context)

    @cached_property
    def denial_words(self) -> "Words":
        return Words(self.denial)

    def in_context(self, confidence: float, near: bytes) -> float:
        """`confidence` raised by a context word in `near`, or lowered to 0.4 of it by a denial.

        A context word raises that of a valid value half-way to 1, and that of a doubtful one in proportion: a
        loopback address stays unlikely to matter, whatever stands before it.
        """
        words = plain_words(near)
        if self.denial_words.stand_in(words):
            return confidence * _DENIED_FACTOR
        if self.context_words.stand_in(words):
            return self.best(confidence)
        return confidence

    def best(self, confidence: float) -> float:
        """The most that `in_context` can make of `confidence`."""
        raised = self.confidence + (1 - self.confidence) * _CONFIRMED_SHARE
        return confidence * raised / self.confidence if self.context else confidence


def plain_words(text: bytes) -> bytes:
    """`text` in lower case, with a blank for each sign that may join the words of a name."""
    return text.lower().translate(_JOINS_TO_BLANKS)


class Words:
    """Words that are looked for near a hit: a blank in one stands for any sign that joins words, or for none.

    Short ones count only where no letter stands beside them (`pan`, not `company`)."""

    def __init__(self, words: Sequence[str]) -> None:
        plain = [plain_words(word.encode()) for word in words]
        every = dict.fromkeys([*plain, *(word.replace(b" ", b"") for word in plain)])
        self._long = [word for word in every if not is_short(word)]
        short = [re.escape(word) for word in every if is_short(word)]
        self._short = [word for word in every if is_short(word)]
        self._alone = re.compile(b"(?<![a-z])(?:" + b"|".join(short) + b")(?![a-z])")

    def stand_in(self, text: bytes) -> bool:
        """Whether one of them stands in this plain text."""
        for word in self._long:
            if word in text:
                return True
        for word in self._short:
            if word in text:
                return self._alone.search(text) is not None
        return False


def is_short(word: str | bytes) -> bool:
    """Whether it is a word only where no letter stands beside it."""
    return len(word) < _WHOLE_WORD_BELOW


def words_of_name(name: str) -> str:
    """A column's name as lower-case words: `userTaxId`, `user_tax_id` and `User tax-ID` are all `user tax id`."""
    return " ".join(part for part in _PARTS_OF_A_NAME.split(name) if part).lower()


def names_column(keywords: tuple[str, ...], name: str) -> bool:
    """Whether a column of this name holds what the keywords announce: one of them is among its words, in order."""
    words = f" {words_of_name(name)} "
    joined = words.replace(" ", "")
    return any(spaced in words or (part and part in joined) for spaced, part in keyword_names(keywords))


@cache
def keyword_names(keywords: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Each keyword as words of a name, with a blank around, and as what may be any part of one: empty if it is short,
    unless it is of a script in which words may stand without a blank between them."""
    names = [(words_of_name(keyword), is_short(keyword) and keyword.isascii()) for keyword in keywords]
    return tuple((f" {words} ", "" if alone else words.replace(" ", "")) for words, alone in names if words)
