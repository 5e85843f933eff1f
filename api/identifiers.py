"""Ids of scans, connectors and so on: 128 bits in lower-case Crockford base 32, and what cannot be one."""

import re
from typing import Final

from domain.errors import NotFound

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS: Final = 26
_SHAPE: Final = re.compile(r"[0-9a-z-]{1,64}")


def scan_id(seed: bytes) -> str:
    """The scan id of the first 16 bytes of `seed`."""
    return f"scan-{_text(seed)}"


def connector_id(seed: bytes) -> str:
    return f"conn-{_text(seed)}"


def allowance_id(seed: bytes) -> str:
    return f"alw-{_text(seed)}"


def webhook_id(seed: bytes) -> str:
    return f"whk-{_text(seed)}"


def _text(seed: bytes) -> str:
    number = int.from_bytes(seed[:16], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (_DIGITS - 1), -1, -5))


def possible(what: str, identifier: str) -> str:
    """`identifier`, if anything could have it. Raises NotFound otherwise, without asking the database."""
    if not _SHAPE.fullmatch(identifier):
        raise NotFound(what, identifier[:100])
    return identifier
