"""Dispositions, their reasons, and the arithmetic of coverage.

Every discovered object has exactly one disposition, so at every moment
`enumerated = scanned + skipped + failed + remaining`. All comparisons are made on integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache


class Disposition(StrEnum):
    """What became of a discovered object."""

    SCANNED = "scanned"
    SKIPPED = "skipped"
    FAILED = "failed"
    REMAINING = "remaining"


class SkipReason(StrEnum):
    """Why an object was not read, by rule or by request."""

    FILE_TYPE = "file_type"
    PREFIX = "prefix"
    BINARY = "binary"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    ARCHIVED_STORAGE_CLASS = "archived_storage_class"
    MAX_FILES = "max_files"
    NOT_SAMPLED = "not_sampled"
    UNCHANGED = "unchanged"


class FailReason(StrEnum):
    """Why an object that should have been read was not read to its end."""

    ACCESS_DENIED = "access_denied"
    NOT_FOUND = "not_found"
    CHANGED_DURING_READ = "changed_during_read"
    NETWORK = "network"
    TIMEOUT = "timeout"
    PARSE_ERROR = "parse_error"
    ENCRYPTED = "encrypted"
    RESOURCE_LIMIT = "resource_limit"
    WORKER_LOST = "worker_lost"


class CoverageStrategy(StrEnum):
    BEST_EFFORT = "best_effort"
    STRICT = "strict"


class EnumerationStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


def merged(left: Mapping[str, int], right: Mapping[str, int]) -> Mapping[str, int]:
    """Counts by reason, added up."""
    if not right:
        return left
    total = dict(left)
    for reason, count in right.items():
        total[reason] = total.get(reason, 0) + count
    return total


@lru_cache(maxsize=1_024)
def _as_written(target: float) -> Fraction:
    """The decimal that a client wrote, exactly."""
    return Fraction(repr(target))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What reading a set of objects came to. `files` is the number of objects accounted for, `allowed` that of hits
    that an allow list kept out of the findings."""

    scanned: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    bytes_read: int = 0
    findings: int = 0
    allowed: int = 0

    @property
    def files(self) -> int:
        return self.scanned + sum(self.skipped.values()) + sum(self.failed.values())


@dataclass(frozen=True, slots=True)
class Coverage:
    """The sums of a scan. Nothing here is negative, and `remaining` is what the rest leaves over."""

    enumerated: int = 0
    scanned: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_skipped(self) -> int:
        return sum(self.skipped.values())

    @property
    def total_failed(self) -> int:
        return sum(self.failed.values())

    @property
    def processed(self) -> int:
        return self.scanned + self.total_skipped + self.total_failed

    @property
    def remaining(self) -> int:
        return self.enumerated - self.processed

    @property
    def covered(self) -> int:
        """Scanned now, or by the earlier scan that an `unchanged` object names."""
        return self.scanned + self.skipped.get(SkipReason.UNCHANGED, 0)

    def discovered(self, files: int, skipped: Mapping[str, int]) -> "Coverage":
        return replace(self, enumerated=self.enumerated + files, skipped=merged(self.skipped, skipped))

    def accounted(self, outcome: Outcome) -> "Coverage":
        return Coverage(
            enumerated=self.enumerated,
            scanned=self.scanned + outcome.scanned,
            skipped=merged(self.skipped, outcome.skipped),
            failed=merged(self.failed, outcome.failed),
        )

    def share(self, enumeration: EnumerationStatus) -> Fraction:
        """`coverage_pct`, exactly: covered ÷ enumerated; of nothing, 1 if enumeration is complete, else 0."""
        if self.enumerated:
            return Fraction(self.covered, self.enumerated)
        return Fraction(int(enumeration is EnumerationStatus.COMPLETE))

    def share_of_eligible(self, enumeration: EnumerationStatus) -> Fraction:
        """`coverage_of_eligible`: scanned ÷ (enumerated − skipped); of nothing eligible, as `share` of nothing."""
        eligible = self.enumerated - self.total_skipped
        if eligible:
            return Fraction(self.scanned, eligible)
        return Fraction(int(self.enumerated > 0 or enumeration is EnumerationStatus.COMPLETE))

    def completeness(self, enumeration: EnumerationStatus, listed: Fraction) -> Fraction:
        """`completeness_score`: coverage × share of listing units listed to their end × (1 − failed ÷ enumerated)."""
        failed = Fraction(self.total_failed, self.enumerated) if self.enumerated else Fraction(0)
        return self.share(enumeration) * listed * (1 - failed)

    def meets(self, target: float, enumeration: EnumerationStatus) -> bool:
        """Whether the covered share reaches `target`, compared exactly as the decimal the client wrote."""
        return self.share(enumeration) >= _as_written(target)
