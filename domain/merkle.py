"""Merkle trees as RFC 9162, section 2.1, has them: how a log grows, and how to prove what it holds.

A proof is told in two steps, so that no tree need be in memory: which spans of leaves it is made of (here), and the
hashes of those spans, from wherever they are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()

Span = tuple[int, int]
"""Leaves from the first number up to the second, without it."""


def leaf_hash(line: bytes) -> bytes:
    return sha256(b"\0" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Node:
    """The perfect subtree over the 2^level leaves from index · 2^level on."""

    level: int
    index: int


class Frontier:
    """A tree as far as its growth needs it: the perfect subtrees that it is made of, the largest first.

    `size` counts its leaves; `hashes` has one hash for each bit that is set in it.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(hashes)}")
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf: bytes) -> Sequence[bytes]:
        """Add a leaf by its hash; gives the hashes of the subtrees that it completes, of level 1, 2, …"""
        completed: list[bytes] = []
        hashes, size = self.hashes, self.size
        while size & 1:
            leaf = sha256(b"\1" + hashes.pop() + leaf).digest()
            completed.append(leaf)
            size >>= 1
        hashes.append(leaf)
        self.size += 1
        return completed

    def root(self) -> bytes:
        return combined(self.hashes) if self.hashes else EMPTY_ROOT


def combined(hashes: Sequence[bytes]) -> bytes:
    """The root over neighbouring subtrees, from left to right, of which none is smaller than the next."""
    *rest, root = hashes
    for left in reversed(rest):
        root = node_hash(left, root)
    return root


def perfect(span: Span) -> Iterator[Node]:
    """The perfect subtrees that a span of a proof is made of, from left to right."""
    first, past = span
    while first < past:
        level = (past - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        yield Node(level, first >> level)
        first += 1 << level


def inclusion_spans(index: int, size: int) -> Sequence[Span]:
    """The spans of the proof (2.1.3.1) that leaf `index` is in a tree of `size`. Raises ValueError if it is not."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    spans: list[Span] = []
    first, past = 0, size
    while past - first > 1:
        middle = first + _split(past - first)
        if index < middle:
            spans.append((middle, past))
            past = middle
        else:
            spans.append((first, middle))
            first = middle
    return spans[::-1]


def consistency_spans(older: int, newer: int) -> Sequence[Span]:
    """The spans of the proof (2.1.4.1) that the tree of `newer` leaves begins with that of `older`; at least one."""
    if not 0 < older <= newer:
        raise ValueError(f"a tree of {newer} cannot be shown to continue one of {older}")
    spans: list[Span] = []
    first, past = 0, newer
    whole = True
    while older != past:
        middle = first + _split(past - first)
        if older <= middle:
            spans.append((middle, past))
            past = middle
        else:
            spans.append((first, middle))
            first, whole = middle, False
    return ([] if whole else [(first, past)]) + spans[::-1]


def _split(leaves: int) -> int:
    """The largest power of two below."""
    return 1 << ((leaves - 1).bit_length() - 1)


def included(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` leads from the hash of leaf `index` to the root of the tree of `size` (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(hash_, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def consistent(older: int, older_root: bytes, newer: int, newer_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `newer` leaves begins with that of `older` (2.1.4.2)."""
    if not 0 < older <= newer:
        return False
    if older == newer:
        return not proof and older_root == newer_root
    path = [older_root, *proof] if older & (older - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = older - 1, newer - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for hash_ in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(hash_, old), node_hash(hash_, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, hash_)
        place, last = place >> 1, last >> 1
    return last == 0 and old == older_root and new == newer_root
