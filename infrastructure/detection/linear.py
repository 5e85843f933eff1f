"""Expressions that tenants write: matched by RE2, in time linear in the text, whatever expression and text are."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import re2

from domain.detectors.anchors import parsed

MAX_LENGTH: Final = 1024
"""Bytes of a match at most, the characters that must not stand beside it included."""

_ENGINE_BYTES: Final = 2 * 1024 * 1024
_MOST_STEPS: Final = 1_500
"""The size of a compiled expression, which each byte of a text may cost once."""

_ONE: Final = r"(\[\^?\]?(?:[^\]\\]|\\.)*\]|\\[dDsSwW]|[A-Za-z0-9_@#%&,:;/=-])"
_BEHIND: Final = re.compile(rf"(\(\?[ims]+\))?\(\?<!{_ONE}\)", re.DOTALL)
_AHEAD: Final = re.compile(rf"\(\?!{_ONE}\)$", re.DOTALL)
_TOO_LARGE: Final = (
    "is too large when its repeats are written out; repeat less often, nest fewer repeats, or leave the upper bound"
    " out: {20,} is smaller than {20,500}"
)
_NO_LOOKING: Final = (
    r"looks around, which only (?<!…) at its very beginning and (?!…) at its very end can, of one character or class"
    r" each, as in (?<![\w-])…(?![\w-]); elsewhere use \b, or match what stands there and mark the value (?P<value>…)"
)
_REMEDIES: Final = (
    (
        re.compile(r"invalid perl operator: \(\?<?[=!]"),
        _NO_LOOKING,
    ),
    (
        re.compile(r"invalid escape sequence: \\[1-9]|invalid perl operator: \(\?P"),
        "refers back to a group, which no linear engine can; write the alternatives out, or drop it",
    ),
    (
        re.compile(r"invalid repetition size|too large"),
        _TOO_LARGE,
    ),
    (
        re.compile(r"bad repetition operator|invalid perl operator: \(\?>"),
        "has a possessive or atomic part; the engine never goes back, so write a plain repeat",
    ),
    (re.compile(r"invalid escape sequence: \\Z"), r"has \Z; write $"),
)


class Found(NamedTuple):
    """A match: `start` and `stop` are those of the value, `begin` and `end` those of the whole."""

    start: int
    stop: int
    begin: int
    end: int

    def span(self, _group: int) -> tuple[int, int]:
        """The value's place, as a match of `re` has it."""
        return self.start, self.stop


class Linear:
    """One expression, in the syntax of rule files.

    A negative look-around of one character at its very beginning, and one at its very end, are taken for what they
    say; RE2 has no others. Raises `ValueError` with the fault and its remedy.
    """

    def __init__(self, regex: str) -> None:
        core, behind, ahead = _parted(regex)
        whole = regex if not (behind or ahead) else _bounded(core, behind, ahead)
        try:
            self._engine = re2.compile(whole.encode("ascii"), _options())
        except re2.error as error:
            raise ValueError(_told(error)) from None
        if self._engine.programsize > _MOST_STEPS:
            raise ValueError(_TOO_LARGE)
        self.group: Final = 0
        self.lead: Final = 1 if behind else 0
        """Bytes before a value that a match looks at."""
        groups = {str(name, "ascii"): group for name, group in dict(self._engine.groupindex).items()}
        self._core: Final = groups.get(_CORE, 0)
        self._value: Final = groups.get("value", self._core)

    def first(self, text: bytes, begin: int, stop: int) -> int | None:
        """Where the leftmost match begins that lies in `begin..stop`."""
        found = self._engine.search(text, begin, stop)
        return None if found is None else int(found.start())

    def at(self, text: bytes, begin: int) -> Found | None:
        """The match that begins there, if it has at most MAX_LENGTH bytes."""
        found = self._engine.match(text, begin, begin + MAX_LENGTH)
        if found is None:
            return None
        start, stop = found.span(self._value)
        return None if start < 0 else Found(start, stop, begin, found.end(self._core))

    def finditer(self, text: bytes) -> Iterator[Found]:
        """The matches, from left to right, none of which shares a byte with another but what stands beside them."""
        begin, end = 0, len(text)
        while begin < end:
            window = begin + 2 * MAX_LENGTH
            place = self.first(text, begin, window)
            if place is None:
                begin = window - MAX_LENGTH
                continue
            found = self.at(text, place)
            if found is None:
                begin = place + 1
                continue
            yield found
            # What stands beside a value may stand beside the next one, too.
            begin = max(found.end, place + 1)

    def is_whole(self, text: bytes) -> bool:
        """Whether it matches all of the text."""
        return self._engine.fullmatch(text) is not None


_CORE: Final = "_core"


def _options() -> "re2.Options":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _ENGINE_BYTES
    options.log_errors = False
    return options


def _parted(regex: str) -> tuple[str, str, str]:
    """The expression without the look-arounds at its ends, and what must not stand there; "" for nothing.

    The syntax tree tells that they are at the ends: in `a|b(?!c)` there is none.
    """
    items = list(parsed(regex))
    behind, ahead = _BEHIND.match(regex), _AHEAD.search(regex)
    core, before, after = regex, "", ""
    if ahead is not None and _looks(items[-1], 1):
        core, after = core[: ahead.start()], ahead[1]
    if behind is not None and _looks(items[0], -1):
        core, before = (behind[1] or "") + core[behind.end() :], behind[2]
    return core, before, after


def _looks(item: tuple[object, object], direction: int) -> bool:
    kind, value = item
    return str(kind) == "ASSERT_NOT" and isinstance(value, tuple) and value[0] == direction


def _bounded(core: str, behind: str, ahead: str) -> str:
    flags = re.match(r"\(\?[ims]+\)", core)
    start = flags.end() if flags else 0
    before = rf"(?:\A|{_other(behind)})" if behind else ""
    after = rf"(?:{_other(ahead)}|\z)" if ahead else ""
    return f"{core[:start]}{before}(?P<{_CORE}>{core[start:]}){after}"


def _other(one: str) -> str:
    """The class of all characters but these."""
    if one.startswith("[^"):
        return f"[{one[2:]}"
    return f"[^{one[1:]}" if one.startswith("[") else f"[^{one}]"


def _told(error: Exception) -> str:
    text = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
    for known, remedy in _REMEDIES:
        if known.search(text):
            return remedy
    return f"is none that a linear engine can take: {text}"
