"""Our regular expressions as ripgrep takes them: without look-arounds and back-references."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.peers import peer, run
from domain.detectors import detectors
from domain.detectors.anchors import anchor_of
from domain.detectors.rule import Pattern

_parser: Final = re._parser  # type: ignore[attr-defined]  # the only way to a pattern's syntax tree
_names: Final = re._constants  # type: ignore[attr-defined]

_CATEGORIES: Final = {
    _names.CATEGORY_DIGIT: r"\d",
    _names.CATEGORY_NOT_DIGIT: r"\D",
    _names.CATEGORY_SPACE: r"\s",
    _names.CATEGORY_NOT_SPACE: r"\S",
    _names.CATEGORY_WORD: r"\w",
    _names.CATEGORY_NOT_WORD: r"\W",
}
_PLACES: Final = {_names.AT_BOUNDARY: r"\b", _names.AT_NON_BOUNDARY: r"\B"}
_SIMPLE: Final = ["--no-config", "-j1", "-a", "--no-unicode", "--count-matches", "--regex-size-limit=2G"]


def rg(patterns: Path, target: Path) -> list[str]:
    """The command that counts what the patterns of this file match."""
    return [peer("rg"), *_SIMPLE, "--dfa-size-limit=2G", "-f", str(patterns), str(target)]


def patterns() -> list[str]:
    """All patterns of all detectors; those behind a keyword without it, as `rg` has no notion of near."""
    return list(_distinct(pattern.regex for one in detectors() for pattern in one.patterns))


def anchors() -> list[str]:
    """What we search for ourselves: keywords and beginnings, less than what the patterns say."""
    return list(_distinct(part for one in detectors() for pattern in one.patterns for part in _anchors(pattern)))


def _anchors(pattern: Pattern) -> Iterator[str]:
    if not pattern.keywords:
        yield anchor_of(pattern).expression
    for keyword in pattern.keywords:
        yield "(?i)" + "[ _.-]?".join(map(re.escape, keyword.encode().decode("latin-1").split(" ")))


def _distinct(expressions: Iterable[str]) -> Iterator[str]:
    seen: dict[str, None] = {}
    for expression in expressions:
        translated = _translated(expression)
        if translated:
            seen.setdefault(translated)
    yield from seen


def written(expressions: list[str], path: Path, empty: Path) -> int:
    """Write those that `rg` takes to `path`, and return how many it does not."""
    taken = _taken(expressions, path, empty)
    path.write_text("\n".join(taken) + "\n", "ascii")
    return len(expressions) - len(taken)


def _taken(expressions: list[str], path: Path, empty: Path) -> list[str]:
    """Halves what is refused until the culprits stand alone."""
    path.write_text("\n".join(expressions) + "\n", "ascii")
    if run(rg(path, empty)).returncode != 2:
        return expressions
    if len(expressions) == 1:
        return []
    half = len(expressions) // 2
    return _taken(expressions[:half], path, empty) + _taken(expressions[half:], path, empty)


def _translated(expression: str) -> str | None:
    try:
        tree = _parser.parse(expression.encode("latin-1"))
        text = _items(tree)
    except (re.error, KeyError, UnicodeEncodeError):
        return None
    return f"(?i:{text})" if tree.state.flags & re.IGNORECASE and text else text


def _items(items: Any) -> str:
    return "".join(_one(op, value) for op, value in items)


def _one(op: Any, value: Any) -> str:
    """Raises `KeyError` for what Rust's engine does not have."""
    if op in {_names.ASSERT, _names.ASSERT_NOT}:
        return ""
    if op is _names.LITERAL:
        return _literal(value)
    if op is _names.NOT_LITERAL:
        return f"[^{_literal(value)}\\n]"
    if op is _names.ANY:
        return "."
    if op is _names.IN:
        return _class(value)
    if op is _names.AT:
        return _PLACES.get(value, "")
    if op is _names.SUBPATTERN:
        return _group(_items(value[3]), value[1])
    if op is _names.ATOMIC_GROUP:
        return _group(_items(value), 0)
    if op is _names.BRANCH:
        return _group("|".join(map(_items, value[1])), 0)
    if op in {_names.MAX_REPEAT, _names.MIN_REPEAT, _names.POSSESSIVE_REPEAT}:
        least, most, repeated = value
        end = "" if most is _names.MAXREPEAT else min(int(most), max(least, 1_000))
        return f"{_group(_items(repeated), 0)}{{{least},{end}}}"
    raise KeyError(op)


def _group(text: str, flags: int) -> str:
    return f"(?i:{text})" if flags & re.IGNORECASE else f"(?:{text})"


def _class(members: Any) -> str:
    text = ""
    negated = False
    for op, value in members:
        if op is _names.NEGATE:
            negated = True
        elif op is _names.LITERAL:
            text += _literal(value)
        elif op is _names.RANGE:
            text += f"{_literal(value[0])}-{_literal(value[1])}"
        else:
            text += _CATEGORIES[value]
    # Line by line: no match goes over a line's end, as a class that excludes something would.
    return f"[^{text}\\n]" if negated else f"[{text}]"


def _literal(byte: int) -> str:
    return chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\x{byte:02x}"
