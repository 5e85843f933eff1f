"""Random values from a shape: literal text with `{…}` for what varies.

`{d9}` nine digits, `{d9-11}` nine to eleven; `A` upper-case letters, `a` lower-case, `N` upper-case letters and digits,
`n` lower-case and digits, `w` letters and digits, `h` hexadecimal, `H` in upper case, `b` base64url, `s` base64, `B`
base32; `{u}` a UUID; `{=x|y}` one of these; `{%y%m%d}` a day of birth; `{!name}` what the maker of that name makes.
"""

import re
import string
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from random import Random
from typing import Final
from uuid import UUID

Maker = Callable[[Random], str]

_MIXED: Final = string.ascii_letters + string.digits
_CLASSES: Final = {
    "d": string.digits,
    "A": string.ascii_uppercase,
    "a": string.ascii_lowercase,
    "N": string.ascii_uppercase + string.digits,
    "n": string.ascii_lowercase + string.digits,
    "w": _MIXED,
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "b": _MIXED + "-_",
    "s": _MIXED + "+/",
    "B": string.ascii_uppercase + "234567",
}
_VARYING: Final = re.compile(r"\{([^{}]+)\}")
_RUN: Final = re.compile(r"([dAaNnwhHbsB])(\d+)(?:-(\d+))?")


def made(shape: str, random: Random, makers: Mapping[str, Maker] | None = None) -> str:
    """A value of this shape. Raises `ValueError` if it holds what is no shape."""
    return _VARYING.sub(lambda match: _piece(match[1], random, makers or {}), shape)


def begins_with(shape: str) -> str:
    """The literal text that every value of this shape begins with."""
    return shape.partition("{")[0]


def _piece(spec: str, random: Random, makers: Mapping[str, Maker]) -> str:
    run = _RUN.fullmatch(spec)
    if run is not None:
        letters, least = _CLASSES[run[1]], int(run[2])
        return "".join(random.choices(letters, k=random.randint(least, int(run[3] or least))))
    if spec == "u":
        return str(UUID(int=random.getrandbits(128), version=4))
    if spec.startswith("="):
        return random.choice(spec[1:].split("|"))
    if spec.startswith("%"):
        return (date(1940, 1, 1) + timedelta(days=random.randrange(24_000))).strftime(spec)
    if spec.startswith("!") and spec[1:] in makers:
        return makers[spec[1:]](random)
    raise ValueError(f"{{{spec}}} is no shape")
