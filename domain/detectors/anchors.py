"""From a pattern to its anchor: the part of it that an engine searches for, and how far the value reaches from there.

An anchor is the beginning of the pattern without its look-arounds, cut where it would get wide: a superset of what
the pattern matches, that ends once, or a few times, in each value. The syntax tree comes from `re` itself, so that
both read a pattern alike.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from domain.detectors.rule import MAX_ANCHOR, Pattern, is_short

_parser: Final = re._parser  # type: ignore[attr-defined]  # the only way to a pattern's syntax tree
_names: Final = re._constants  # type: ignore[attr-defined]

MAX_REACH: Final = 16 * 1024
"""How far from its anchor a value is followed, in bytes."""

_LOOK_AROUND: Final = 16
_WIDE: Final = 64
_MOST_REPEATS: Final = 4 * 1024
_JOINING: Final = (" ", "_", "-", ".", "")

_CATEGORIES: Final = {
    _names.CATEGORY_DIGIT: r"\d",
    _names.CATEGORY_NOT_DIGIT: r"\D",
    _names.CATEGORY_SPACE: r"\s",
    _names.CATEGORY_NOT_SPACE: r"\S",
    _names.CATEGORY_WORD: r"\w",
    _names.CATEGORY_NOT_WORD: r"\W",
}
_BOUNDARIES: Final = {_names.AT_BOUNDARY: r"\b", _names.AT_NON_BOUNDARY: r"\B"}
_REPEATS: Final = (_names.MAX_REPEAT, _names.MIN_REPEAT, _names.POSSESSIVE_REPEAT)
_LOOKS: Final = (_names.ASSERT, _names.ASSERT_NOT)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A Hyperscan expression; the value lies at most `before` bytes left and `after` bytes right of where it ends."""

    expression: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the anchor, and its shortest form to end with; `more`: what follows it may follow in the anchor."""

    text: str
    least: str
    more: bool = True


def anchor_of(pattern: Pattern) -> Anchor:
    """The anchor of a pattern without keywords.

    Raises `ValueError` with the fault: no `re` expression, one that can match nothing, or none that can be bounded.
    """
    tree = parsed(pattern.regex)
    least, most = tree.getwidth()
    if least == 0:
        raise ValueError("matches the empty text; let it need at least one character")
    expression = pattern.anchor if pattern.anchor is not None else _beginning(tree)
    if not expression:
        raise ValueError("begins with nothing definite (^ is not); begin it with a literal, or give an anchor")
    narrow, wide = parsed(expression).getwidth()
    if wide > MAX_ANCHOR:
        raise ValueError(f"its anchor is up to {wide} bytes wide; at most {MAX_ANCHOR} are possible")
    whole = min(most, MAX_REACH)
    before = whole if pattern.anchor is not None else wide
    after = whole if pattern.anchor is not None else max(whole - narrow, 0)
    return Anchor(
        expression,
        (before if pattern.before is None else pattern.before) + _LOOK_AROUND,
        (after if pattern.after is None else pattern.after) + _LOOK_AROUND,
    )


def width_of(regex: str) -> int:
    """The bytes that a match may need at most, its look-arounds included."""
    return int(min(parsed(regex).getwidth()[1], MAX_REACH)) + _LOOK_AROUND


def parsed(regex: str) -> Any:
    """The syntax tree. Raises `ValueError` with the fault if it is no `re` expression over ASCII."""
    try:
        return _parser.parse(regex.encode("ascii"))
    except UnicodeEncodeError:
        raise ValueError("holds a character that is not ASCII; write the bytes as \\x..") from None
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None


def keyword_anchors(keyword: str) -> tuple[str, ...]:
    """The expressions that end behind a keyword, in any case; behind a short one, with the character after it.
    An engine knows the cases of ASCII letters only: a keyword with others is looked for as given, small, and capital.

    One for each way to join its words: literals, with nothing optional in them, are what an engine finds fastest.
    """
    cases = [keyword.lower()] if keyword.isascii() else [keyword, keyword.lower(), keyword.upper()]
    joined = dict.fromkeys(re.escape(sign.join(case.split(" "))) for case in cases for sign in _JOINING)
    return tuple(rf"(?i)(?:^|[^a-z]){text}[^a-z]" if is_short(keyword) else f"(?i){text}" for text in joined)


def _beginning(tree: Any) -> str:
    flags = tree.state.flags
    parts = list(_parts(tree, flags, MAX_ANCHOR))
    while parts and not parts[-1].least:
        parts.pop()
    if not parts:
        return ""
    return "".join(part.text for part in parts[:-1]) + parts[-1].least


def _parts(items: Any, flags: int, room: int) -> Iterator[_Part]:
    """The items of a sequence as far as they are definite and fit into `room` bytes."""
    for op, value in items:
        if op in _LOOKS:
            continue
        part = _part(op, value, flags, room)
        if part is None:
            return
        room -= parsed(part.text).getwidth()[1] if part.text else 0
        if part.text:
            yield part
        if not part.more or room <= 0:
            return


def _part(op: Any, value: Any, flags: int, room: int) -> _Part | None:
    if op is _names.SUBPATTERN:
        _, added, removed, items = value
        return _sequence(items, (flags | added) & ~removed, room)
    if op is _names.ATOMIC_GROUP:
        return _sequence(value, flags, room)
    if op is _names.BRANCH:
        return _branch(value[1], flags, room)
    if op in _REPEATS:
        least, most, repeated = value
        return _repeat(least, most, repeated, flags, room)
    if op is _names.AT:
        text = _BOUNDARIES.get(value)
        return None if text is None else _Part(text, text)
    text = _single(op, value, flags)
    return None if text is None else _Part(text, text)


def _sequence(items: Any, flags: int, room: int) -> _Part | None:
    parts = list(_parts(items, flags, room))
    if not parts:
        return None
    text = "".join(part.text for part in parts)
    least = "".join(part.text for part in parts[:-1]) + parts[-1].least
    definite = sum(op not in _LOOKS for op, _ in items)
    whole = len(parts) == definite and parts[-1].more
    return _Part(f"(?:{text})", f"(?:{least})", whole)


def _branch(branches: Any, flags: int, room: int) -> _Part | None:
    parts = [_sequence(items, flags, room) for items in branches]
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    texts, leasts = ("|".join(dict.fromkeys(chosen)) for chosen in ([p.text for p in known], [p.least for p in known]))
    return _Part(f"(?:{texts})", f"(?:{leasts})", all(part.more for part in known))


def _repeat(least: int, most: Any, items: Any, flags: int, room: int) -> _Part | None:
    if most is _names.MAXREPEAT:
        most = _MOST_REPEATS
    one = _sequence(items, flags, room)
    if one is None:
        return None
    width = parsed(one.text).getwidth()[1]
    if not one.more:
        return _Part(one.text, one.least, more=False) if least else None
    if width * least > room:
        least = most = max(room // max(width, 1), 1)
        text = f"{one.text}{{{least}}}"
        return _Part(text, text, more=False)
    short = f"{one.text}{{{least}}}" if least else ""
    if width * (most - least) > _WIDE or width * most > room:
        return _Part(short, short, more=False) if short else None
    return _Part(f"{one.text}{{{least},{most}}}", short)


def _single(op: Any, value: Any, flags: int) -> str | None:
    if op is _names.LITERAL:
        return _cased(_literal(value), flags)
    if op is _names.NOT_LITERAL:
        return _cased(f"[^{_literal(value)}]", flags)
    if op is _names.ANY:
        return r"[\x00-\xff]" if flags & re.DOTALL else r"[^\n]"
    if op is _names.IN:
        return _cased(_class(value), flags)
    return None


def _class(members: Any) -> str:
    text = ""
    for op, value in members:
        if op is _names.NEGATE:
            text += "^"
        elif op is _names.LITERAL:
            text += _literal(value)
        elif op is _names.RANGE:
            text += f"{_literal(value[0])}-{_literal(value[1])}"
        else:
            text += _CATEGORIES[value]
    return f"[{text}]"


def _literal(byte: int) -> str:
    character = chr(byte)
    return character if character.isascii() and character.isalnum() else f"\\x{byte:02x}"


def _cased(text: str, flags: int) -> str:
    return f"(?i:{text})" if flags & re.IGNORECASE and re.search("[A-Za-z]", text.replace("\\x", "")) else text
