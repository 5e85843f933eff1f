"""What a client asks of a scan, and what the service holds itself to while it runs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.coverage import CoverageStrategy
from domain.manifest import Filters

MAX_CHUNK_LOSSES: Final = 3
"""A chunk that lost its worker this often is given up as `worker_lost`."""

MAX_CHUNK_ATTEMPTS: Final = 10
"""So often a chunk is tried at most, whether or not its losses could be laid to it: nothing goes on for ever."""

MAX_LISTING_FAILURES: Final = 5
"""A listing unit that failed this often without listing anything more is given up."""


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

    @property
    def filters(self) -> Filters:
        return Filters(frozenset(self.file_types), self.max_object_bytes)

    @property
    def timeout(self) -> timedelta:
        return timedelta(minutes=self.timeout_minutes)
