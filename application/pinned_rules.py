"""A tenant's own rules on the wire: the body of `OwnRules`, compressed, as text."""

import base64
from typing import Final

import zstandard

from domain.detectors.own import MAX_BYTES, OwnRules, of_body

_MOST: Final = 4 * MAX_BYTES
"""More than any body has."""


def to_text(body: bytes) -> str:
    """For a command; empty for no rules."""
    return base64.b64encode(zstandard.compress(body)).decode("ascii") if body else ""


def from_text(text: str) -> OwnRules:
    """What `to_text` was given. Raises `ValueError` for what is no such text."""
    if not text:
        return OwnRules()
    try:
        data = base64.b64decode(text, validate=True)
        if zstandard.frame_content_size(data) > _MOST:
            raise ValueError("these rules are larger than a tenant's can be")
        return of_body(zstandard.decompress(data, max_output_size=_MOST))
    except zstandard.ZstdError as error:
        raise ValueError(f"no rules: {error}") from None
