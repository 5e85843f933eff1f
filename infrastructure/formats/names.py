"""Names of columns and JSON members as they may be shown: one that could be data itself is masked."""

import re
from functools import lru_cache
from typing import Final

from domain.finding import mask

_PLAIN: Final = re.compile(r"[^\W\d](?:[^\W\d]|\d{1,4}(?!\d)|[ .()/#%$:-]){0,63}")


def is_plain_name(name: str) -> bool:
    """Whether it looks like a name that a schema gives: a letter first, no long number, no `@`, at most 64 long."""
    return _PLAIN.fullmatch(name) is not None


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
