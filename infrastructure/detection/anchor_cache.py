"""Anchors, kept in the user's cache folder beside the databases: to derive hundreds takes a third of a second."""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Final

import orjson

from domain.detectors.anchors import Anchor, anchor_of, width_of
from domain.detectors.rule import Pattern
from infrastructure.detection.user_cache import keep, kept

_FEW: Final = 64


def anchors_of(patterns: Sequence[Pattern]) -> list[Anchor]:
    """The anchor of each pattern; of one with keywords an empty one, with the width of its value as `after`.

    What it gives is the same whether it was kept or not. Raises `ValueError` for a pattern that has none.
    """
    if len(patterns) <= _FEW:
        return [_anchor(pattern) for pattern in patterns]
    name = _key(patterns)
    content = kept(name)
    if content is None:
        anchors = [_anchor(pattern) for pattern in patterns]
        keep(name, orjson.dumps([[anchor.expression, anchor.before, anchor.after] for anchor in anchors]))
        return anchors
    return [Anchor(*fields) for fields in orjson.loads(content)]


def _anchor(pattern: Pattern) -> Anchor:
    return Anchor("", 0, width_of(pattern.regex)) if pattern.keywords else anchor_of(pattern)


def _key(patterns: Sequence[Pattern]) -> str:
    """Names all that anchors depend on: the patterns, and the code that derives them."""
    digest = hashlib.sha256((resources.files("domain.detectors") / "anchors.py").read_bytes())
    for pattern in patterns:
        digest.update(
            repr((pattern.regex, bool(pattern.keywords), pattern.anchor, pattern.before, pattern.after)).encode()
        )
    return digest.hexdigest() + ".anchors"
