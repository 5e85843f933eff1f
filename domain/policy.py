"""What a client asks of a scan, and what the service holds itself to while it runs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.coverage import CoverageStrategy
from domain.manifest import Filters

MAX_CHUNK_LOSSES: Final = 3
"""A chunk that lost its worker this often is given up as `worker_lost`."""

MAX_CHUNK_ATTEMPTS: Final = 10
"""So often an attempt at a chunk may fail, whether or not that could be laid to it: nothing goes on for ever."""

MAX_LISTING_FAILURES: Final = 5
"""A listing unit that failed this often without listing anything more is given up."""


MAX_FANNED_OUT: Final = 64
"""Once a scan has this many listing units, none is parted any further."""

DEFAULT_PRIORITY: Final = 5


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The options of a scan, complete: tier ceilings and defaults are applied, nothing is left open."""

    max_files: int
    max_workers: int
    file_types: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    timeout_minutes: int = 120
    coverage_target: float = 0.8
    coverage_strategy: CoverageStrategy = CoverageStrategy.BEST_EFFORT
    max_object_bytes: int | None = None
    sample_percent: int = 100
    detectors: tuple[str, ...] = ()
    priority: int = DEFAULT_PRIORITY

    @property
    def filters(self) -> Filters:
        return Filters(frozenset(self.file_types), self.max_object_bytes, self.sample_percent)

    @property
    def weight(self) -> float:
        """How much of its tenant's share a scan gets beside others: it doubles every two steps of priority."""
        return float(2 ** ((self.priority - DEFAULT_PRIORITY) / 2))

    @property
    def timeout(self) -> timedelta:
        return timedelta(minutes=self.timeout_minutes)
