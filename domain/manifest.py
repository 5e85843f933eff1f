"""The manifest: every discovered object, in key order, with what was decided about it at planning."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from domain.coverage import SkipReason

ARCHIVED_STORAGE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""S3 classes that answer a GET with InvalidObjectState until restored (S3 User Guide, *Storage classes*)."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as its listing describes it. `size` in bytes; `etag` is the provider's, opaque, maybe empty."""

    key: str
    size: int
    etag: str = ""
    last_modified: datetime | None = None
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a scan asks to read. Extensions are lower-case and without the dot; empty means all.

    Which objects a sample takes depends on their keys alone, so that a scan that goes on, or is repeated, takes the
    same, and a larger sample takes all of a smaller one's.
    """

    file_types: frozenset[str] = frozenset()
    max_object_bytes: int | None = None
    sample_percent: int = 100

    def skip(self, entry: ObjectInfo) -> SkipReason | None:
        """Why this object is not to be read, or None if it is eligible."""
        if self.file_types and not self._has_type(entry.key):
            return SkipReason.FILE_TYPE
        if entry.size == 0:
            return SkipReason.EMPTY
        if entry.storage_class in ARCHIVED_STORAGE_CLASSES:
            return SkipReason.ARCHIVED_STORAGE_CLASS
        if self.max_object_bytes is not None and entry.size > self.max_object_bytes:
            return SkipReason.TOO_LARGE
        return None

    def samples(self, key: str) -> bool:
        """Whether the sample takes an eligible object of this key."""
        if self.sample_percent >= 100:
            return True
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) * 100 < self.sample_percent << 64

    def _has_type(self, key: str) -> bool:
        name = key.rpartition("/")[2].lower()
        return any(name.endswith(f".{extension}") for extension in self.file_types)


def distinct_prefixes(configured: Sequence[str], requested: Sequence[str]) -> tuple[str, ...]:
    """The prefixes to list so that every object below both a configured and a requested prefix is listed once.

    No prefixes on one side means no limit from it. The answer is sorted and no member lies below another; it is
    empty only when both sides name prefixes and none of them meet.
    """
    left, right = tuple(configured) or ("",), tuple(requested) or ("",)
    meeting = {max(a, b, key=len) for a in left for b in right if a.startswith(b) or b.startswith(a)}
    return tuple(sorted(p for p in meeting if not any(p != q and p.startswith(q) for q in meeting)))
