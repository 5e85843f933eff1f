"""File names as keys.

A name that is UTF-8 is its own key. Elsewhere each byte that is not UTF-8 is written as U+FFFD and two hexadecimal
digits, and a U+FFFD of the name itself as U+FFFD and `00`: every key is UTF-8 and names exactly one file.
"""

import re

MARK = "\N{REPLACEMENT CHARACTER}"

_MARKED = re.compile(f"{MARK}([0-9a-f]{{2}})")
_LONE = re.compile("[\udc80-\udcff]")


def key_of(name: bytes) -> str:
    """The key for a name or path as the system gives it."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii():
        return text
    return _LONE.sub(lambda lone: f"{MARK}{ord(lone[0]) - 0xDC00:02x}", text.replace(MARK, f"{MARK}00"))


def name_of(key: str) -> bytes:
    """The name that `key_of` made `key` from."""
    return _MARKED.sub(_unmarked, key).encode("utf-8", "surrogateescape")


def _unmarked(mark: re.Match[str]) -> str:
    value = int(mark[1], 16)
    return chr(0xDC00 + value) if value else MARK
