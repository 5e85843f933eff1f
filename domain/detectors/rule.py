"""What a detector is: patterns, the check that a match must pass, and the words that speak for or against it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

MAX_ANCHOR: Final = 128
"""The widest anchor, in bytes: what an engine must see again on both sides of a cut."""

CONTEXT_BEFORE: Final = 56
CONTEXT_AFTER: Final = 16
"""Bytes around a hit in which context words count."""

_CONFIRMED_SHARE: Final = 0.5
_DENIED_FACTOR: Final = 0.4
_WHOLE_WORD_BELOW: Final = 5


@dataclass(frozen=True, slots=True)
class Pattern:
    """One shape of a value.

    `anchor` is a Hyperscan expression at most `MAX_ANCHOR` bytes wide, cheap to search and made to end once for
    each value. `confirm` is a `re` expression that finds the value around that end: at most `before` bytes to its
    left and `after` bytes to its right. Its group `value`, if it has one, is the value; else the whole match is.
    """

    anchor: str
    confirm: str
    before: int = 48
    after: int = 48


@dataclass(frozen=True)
class Detector:
    """One kind of sensitive value. `id` is `<category>.<name>`; `confidence` (0..1) is that of a valid match.

    `validator` names a check of the matched bytes; `context` words near a hit raise its confidence, `denial`
    words lower it. `matches` are texts in which it must find exactly one value, `near_misses` texts in which none.
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

    @property
    def category(self) -> str:
        return self.id.partition(".")[0]

    @cached_property
    def context_words(self) -> re.Pattern[bytes] | None:
        return _words(self.context)

    @cached_property
    def denial_words(self) -> re.Pattern[bytes] | None:
        return _words(self.denial)

    def in_context(self, confidence: float, near: bytes) -> float:
        """`confidence` raised half-way to 1 by a context word in `near`, or lowered to 0.4 of it by a denial."""
        if self.denial_words is not None and self.denial_words.search(near):
            return confidence * _DENIED_FACTOR
        if self.context_words is not None and self.context_words.search(near):
            return self.best(confidence)
        return confidence

    def best(self, confidence: float) -> float:
        """The most that `in_context` can make of `confidence`."""
        return confidence + (1 - confidence) * _CONFIRMED_SHARE if self.context else confidence


def _words(words: Sequence[str]) -> re.Pattern[bytes] | None:
    """An expression for any of the words; short ones only where no letter stands beside them (`pan`, not `company`)."""
    if not words:
        return None
    long = [re.escape(word) for word in words if len(word) >= _WHOLE_WORD_BELOW]
    short = [rf"(?<![a-z]){re.escape(word)}(?![a-z])" for word in words if len(word) < _WHOLE_WORD_BELOW]
    return re.compile("|".join(long + short).encode(), re.IGNORECASE)
