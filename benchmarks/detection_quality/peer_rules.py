"""Values made from the peers' own rules: random texts that their regular expressions match.

It shows what they know and we don't. It favours them, since no text is made that they would not match; but a value made
blindly may also fail what they check besides, so that they miss some themselves.
"""

import re
import string
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from benchmarks.detection_quality.carriers import Case, placed

_parser: Final = re._parser  # type: ignore[attr-defined]  # the only way to a pattern's syntax tree
_names: Final = re._constants  # type: ignore[attr-defined]

_WORD: Final = string.ascii_letters + string.digits
_PRINTABLE: Final = _WORD + "_-+/=.:;,!@ "
_IN_CATEGORY: Final = {
    _names.CATEGORY_DIGIT: string.digits,
    _names.CATEGORY_WORD: _WORD,
    _names.CATEGORY_SPACE: " ",
    _names.CATEGORY_NOT_SPACE: _WORD,
    _names.CATEGORY_NOT_WORD: " ",
    _names.CATEGORY_NOT_DIGIT: string.ascii_letters,
}
_FLAG_INSIDE: Final = re.compile(r"\(\?([ims]+)\)")
_NO_SECRET: Final = re.compile(r"-(?:id|url|host|domain|name|username|repository)(?:\.\d)?$|-id-|public|mail-address")
_FEW: Final = 3
_MANY: Final = 10
_ENDINGS: Final = ("_api_key", "_token", "_secret", "_key")


def cases(rules: Sequence[tuple[str, str]], seed: int, each: int) -> Iterator[Case]:
    """`each` files a rule, each with a text that its expression matches. Left out are rules that `re` cannot read, and
    those of names and ids that only go with a secret."""
    for number, (name, pattern) in enumerate(rules):
        if _NO_SECRET.search(name):
            continue
        random = Random(f"{seed}-{name}")
        try:
            tree = _parser.parse(_pythonic(pattern))
            checked = re.compile(_pythonic(pattern))
        except (re.error, OverflowError):
            continue
        for turn in range(each):
            text = _sample(tree, random).strip("\n")
            if checked.search(f"{text}\n") and len(text) < 4000:
                case = placed("settings.conf", text, name, f"rule{number:03}-{turn}", random)
                yield Case(case.path, case.text, name, case.lines)


def _pythonic(pattern: str) -> str:
    """The expression as `re` reads it: flags that are set half-way stand at the front instead."""
    flags = "".join(sorted(set("".join(_FLAG_INSIDE.findall(pattern)))))
    bare = _FLAG_INSIDE.sub("", pattern).replace(r"\z", r"\Z").replace("(?<", "(?P<").replace("(?P<!", "(?<!")
    bare = bare.replace("(?P<=", "(?<=").replace("[[:alnum:]]", "[A-Za-z0-9]")
    return f"(?{flags}){bare}" if flags else bare


def _sample(items: Any, random: Random) -> str:
    return "".join(_one(op, value, random) for op, value in items)


def _one(op: Any, value: Any, random: Random) -> str:
    if op is _names.LITERAL:
        return chr(value)
    if op is _names.NOT_LITERAL:
        return random.choice([letter for letter in _WORD if ord(letter) != value])
    if op is _names.ANY:
        return random.choice(_WORD)
    if op is _names.IN:
        return random.choice(_members(value))
    if op is _names.SUBPATTERN:
        return _sample(value[3], random)
    if op is _names.ATOMIC_GROUP:
        return _sample(value, random)
    if op is _names.BRANCH:
        return _sample(_branch(value[1], random), random)
    if op in {_names.MAX_REPEAT, _names.MIN_REPEAT, _names.POSSESSIVE_REPEAT}:
        least, most, repeated = value
        if least == 0 and int(most) >= _MANY and _may_be_name(repeated):
            return random.choice(_ENDINGS)
        count = least if _may_be_junk(repeated) else random.randint(least, min(int(most), least + _FEW))
        return "".join(_sample(repeated, random) for _ in range(count))
    return ""


def _branch(branches: Any, random: Random) -> Any:
    """An equals sign or the line's end where they will do: what a file most likely has there."""
    for branch in branches:
        if [*branch] in ([(_names.LITERAL, ord("="))], [(_names.AT, _names.AT_END)]):
            return branch
    return random.choice(branches)


def _may_be_name(repeated: Any) -> bool:
    """Whether it stands for the rest of a variable's name, behind that of a vendor."""
    return (
        len(repeated) == 1 and repeated[0][0] is _names.IN and (_names.CATEGORY, _names.CATEGORY_WORD) in repeated[0][1]
    )


def _may_be_junk(repeated: Any) -> bool:
    """Whether it stands for what may be between a name and its value: blanks and quotes."""
    if len(repeated) != 1 or repeated[0][0] is not _names.IN:
        return False
    members = repeated[0][1]
    return (_names.CATEGORY, _names.CATEGORY_SPACE) in members or (_names.LITERAL, ord(" ")) in members


def _members(members: Any) -> str:
    letters = ""
    negated = False
    for op, value in members:
        if op is _names.NEGATE:
            negated = True
        elif op is _names.LITERAL:
            letters += chr(value)
        elif op is _names.RANGE:
            letters += "".join(map(chr, range(value[0], min(value[1], 0x7E) + 1)))
        elif op is _names.CATEGORY:
            letters += _IN_CATEGORY[value]
    if negated:
        return "".join(letter for letter in _WORD if letter not in letters) or "~"
    # Blanks of every sort are one: a value that a line's end cuts is no value.
    plain = "".join(letter for letter in letters if letter in _PRINTABLE or letter.isprintable())
    return plain or letters
