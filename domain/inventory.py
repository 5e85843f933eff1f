"""A connector's inventory: what is known of its objects from the scans that ended, and what follows from it.

An entry states a fact that stays true whatever happens later: that a scan read this key with this etag under this
ruleset, and what it came to. So entries of any age may be used, and nothing has to be pinned while a scan runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.coverage import SkipReason
from domain.manifest import ObjectInfo

KNOWN_SKIPS: Final = frozenset({SkipReason.BINARY, SkipReason.UNSUPPORTED_FORMAT})
"""Reasons found by looking into an object: with the same content they hold again."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What a scan looked for: the digest of all detection, and the ids of the detectors that ran (none: all)."""

    digest: str
    detectors: tuple[str, ...] = ()

    def covers(self, wanted: "Ruleset") -> bool:
        """Whether an object read under this ruleset holds nothing that `wanted` would find beyond it."""
        if self.digest != wanted.digest:
            return False
        return not self.detectors or (bool(wanted.detectors) and set(wanted.detectors) <= set(self.detectors))


@dataclass(frozen=True, slots=True)
class Known:
    """One object as scan `scan` left it: read to its end, or found to be `skipped`."""

    key: str
    size: int
    etag: str
    scan: str
    ruleset: Ruleset
    skipped: SkipReason | None = None

    def verdict(self, entry: ObjectInfo, wanted: Ruleset) -> SkipReason | None:
        """Why `entry` need not be read again: `unchanged`, or the reason that was found before. None: it must be."""
        if not self.is_of(entry) or not self.ruleset.covers(wanted):
            return None
        return self.skipped or SkipReason.UNCHANGED

    def is_of(self, entry: ObjectInfo) -> bool:
        """Whether `entry` is certainly the object that was looked at."""
        return bool(entry.etag) and (entry.etag, entry.size) == (self.etag, self.size)

    def says_more_than(self, other: "Known") -> bool:
        """Whether this is of the same object, looked at for more: a scan for few things does not undo a wider one."""
        same = bool(self.etag) and (self.etag, self.size) == (other.etag, other.size)
        return same and self.ruleset != other.ruleset and self.ruleset.covers(other.ruleset)

    @property
    def forgotten(self) -> "Known":
        """The same key, of which nothing is known but that it was there: should it go, its findings are gone."""
        return replace(self, etag="")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys below `prefix` after `after` and, unless `until` is empty, not after `until`."""

    prefix: str = ""
    after: str = ""
    until: str = ""

    def __contains__(self, key: str) -> bool:
        return key.startswith(self.prefix) and key > self.after and (not self.until or key <= self.until)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object that a scan listed. `known` is what it learned of it; `keeps`: what was known before still holds, if
    the object is still the same."""

    entry: ObjectInfo
    known: Known | None = None
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object of the old inventory that its key range no longer lists."""

    key: str


def accepted(old: Iterable[Known], seen: Iterable[Seen], listed: Sequence[KeyRange]) -> Iterator[Known | Deleted]:
    """The new inventory, in key order, with what is gone between: `old` and `seen` are in key order, and `listed` are
    the ranges that `seen` covers whole.

    What lies outside of them stays as it was. Of failed and remaining objects nothing is known, and they come again.
    """
    before = iter(old)
    kept = next(before, None)
    for one in seen:
        key = one.entry.key
        while kept is not None and kept.key < key:
            yield _unless_gone(kept, listed)
            kept = next(before, None)
        same = kept if kept is not None and kept.key == key else None
        if same is not None:
            kept = next(before, None)
        if one.known is not None:
            yield same if same is not None and same.says_more_than(one.known) else one.known
        elif same is not None:
            yield same if one.keeps and same.is_of(one.entry) else same.forgotten
    while kept is not None:
        yield _unless_gone(kept, listed)
        kept = next(before, None)


def _unless_gone(known: Known, listed: Sequence[KeyRange]) -> Known | Deleted:
    return Deleted(known.key) if any(known.key in keys for keys in listed) else known


def boundaries(keys: Sequence[str], pieces: int) -> tuple[str, ...]:
    """At most `pieces` − 1 of the sorted `keys` that cut them into runs of about the same length."""
    if pieces < 2 or len(keys) < 2:
        return ()
    cuts = {len(keys) * n // pieces for n in range(1, pieces)} - {0}
    return tuple(keys[at] for at in sorted(cuts))
