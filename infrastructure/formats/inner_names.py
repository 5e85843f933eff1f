"""Names of what is packed in an object, as they may be shown: they come from whoever packed it."""

import unicodedata
from typing import Final

from infrastructure.formats.names import decoded

_LONGEST: Final = 1024
_NAMELESS: Final = "(without a name)"
# Controls, formats (right-to-left marks are such), surrogates, private use, unassigned; line and paragraph separators.
_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def inner_name(raw: bytes | str) -> str:
    """The name with everything that is no visible character escaped (`\\u202e`); of a very long one only its end.

    It is only shown, never a path to read from or write to.
    """
    name = (decoded(raw) if isinstance(raw, bytes) else raw) or _NAMELESS
    if len(name) > _LONGEST:
        name = "…" + name[-_LONGEST:]
    if name.isascii() and name.isprintable():
        return name
    return "".join(_shown(character) for character in name)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSHOWN:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
