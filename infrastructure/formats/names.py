"""Names of columns and JSON members as they may be shown: one that could be data itself is masked."""

import re
from functools import cache, lru_cache
from typing import Final

from domain.detectors import detectors
from domain.finding import mask
from infrastructure.detection.anchor_cache import anchors_of
from infrastructure.detection.database_cache import database_of

_PLAIN: Final = re.compile(r"[^\W\d](?:[\w .()/#%$:?!&,;'*+-]){0,63}")
_LONG_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=]{16,}")
_JOINED_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,}")
_TURN: Final = re.compile(r"\d(?=[A-Za-z])|[A-Za-z](?=\d)")
_MOST_TURNS: Final = 4
_MOST_DIGITS: Final = 8
_LONGEST_WORD: Final = 32


def is_plain_name(name: str) -> bool:
    """Whether it looks like a name that a schema gives: a letter first, at most 64 long, and nothing of a value."""
    return _PLAIN.fullmatch(name) is not None and not holds_value(name)


@lru_cache(maxsize=4096)
def holds_value(name: str) -> bool:
    """Whether a detector's pattern, many digits, an address or a token that nobody would call a word stands in it.

    The patterns alone, without their checks: a name that is masked needlessly costs less than a value that is shown.
    """
    if "@" in name or sum(character.isdigit() for character in name) > _MOST_DIGITS:
        return True
    if any(_is_token(run) for run in _LONG_TOKEN.findall(name)):
        return True
    # Of words joined by _ or -, as in address_line_2, a token is told by how often letters and digits take turns.
    if any(len(_TURN.findall(run)) > _MOST_TURNS for run in _JOINED_TOKEN.findall(name)):
        return True
    return _values().stand_in(name.encode("utf-8", "replace"))


class _Values:
    """The values that can be told without a keyword: their anchors are searched for first, all at once."""

    def __init__(self) -> None:
        every = (pattern for one in detectors() for pattern in one.patterns if not one.yields)
        patterns = [pattern for pattern in every if not pattern.keywords]
        self._expressions = [pattern.regex.encode() for pattern in patterns]
        self._database = database_of([anchor.expression.encode() for anchor in anchors_of(patterns)])

    def stand_in(self, text: bytes) -> bool:
        found: set[int] = set()
        self._database.scan(text, lambda number, _from, _to, _flags, _context: found.add(number))
        return any(re.search(self._expressions[number], text) for number in found)


@cache
def _values() -> _Values:
    return _Values()


def _is_token(run: str) -> bool:
    return len(run) > _LONGEST_WORD or (any(map(str.isdigit, run)) and any(map(str.isalpha, run)))


@lru_cache(maxsize=4096)
def shown_name(name: str) -> str:
    """The name itself, or, where it could be a value (`bob@firm.com`, `4111…`), masked and at most 64 characters."""
    return name if is_plain_name(name) else mask(name[:64])


def decoded(raw: bytes) -> str:
    """UTF-8, else Latin-1, which takes every byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
