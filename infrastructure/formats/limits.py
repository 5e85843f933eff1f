"""Bounds on what reading one object may cost. Past one of them the object fails as `resource_limit`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from domain.parts import MAX_FINDINGS

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`block_bytes` and `record_reach` shape the reading; the rest are bounds. All in bytes but where named otherwise.

    `record_reach` is how far a table's record or a JSON line is followed for its column or path. `cut_reach` is how
    far behind the place where an object is to be cut in parts a record's beginning is looked for. `inflated_bytes`,
    `entries`, `depth` and the seconds are for an object with all that is packed in it; `processor_seconds` grow by one
    for each of `bytes_a_second` that come out of it.
    """

    block_bytes: int = MIB
    record_reach: int = 64 * 1024
    cut_reach: int = MIB
    inflated_bytes: int = 64 * 1024 * MIB
    inflation_ratio: int = 250
    ratio_applies_above: int = 64 * MIB
    depth: int = 4
    entries: int = 100_000
    processor_seconds: int = 120
    bytes_a_second: int = MIB
    spool_bytes: int = 16 * 1024 * MIB
    document_bytes: int = 64 * MIB
    zstd_window_bytes: int = 64 * MIB
    json_document_bytes: int = 8 * MIB
    parquet_batch_bytes: int = 4 * MIB
    columns: int = MAX_FINDINGS


class BudgetSpent(ObjectUnreadable):
    """The object with all that is packed in it has cost as much as it may: nothing more of it is read."""

    def __init__(self, detail: str) -> None:
        super().__init__(FailReason.RESOURCE_LIMIT, detail)


class Budget:
    """What is left of the bounds of one object, shared by everything that is packed in it.

    Each method raises `BudgetSpent` past its bound.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.thread_time) -> None:
        self.limits: Final = limits
        self._clock = clock
        self._began = clock()
        self._bytes = 0
        self._entries = 0
        self._depth = 0

    def produced(self, count: int) -> None:
        """`count` more bytes came out of a decompression or a document."""
        self._bytes += count
        if self._bytes > self.limits.inflated_bytes:
            raise BudgetSpent("decompresses to more bytes than allowed")
        self.check_time()

    def entry(self) -> None:
        """One more entry of an archive, page of a document, or the like."""
        self._entries += 1
        if self._entries > self.limits.entries:
            raise BudgetSpent(f"has more than {self.limits.entries:,} entries")
        self.check_time()

    def check_time(self) -> None:
        """To be asked at least once for every MiB or so, and in every loop that input can make long."""
        allowed = self.limits.processor_seconds + self._bytes / self.limits.bytes_a_second
        if self._clock() - self._began > allowed:
            raise BudgetSpent("takes longer to read than allowed")

    @contextmanager
    def descent(self) -> Iterator[None]:
        """One level further into what is packed. Too deep, it raises `ObjectUnreadable`, since its neighbours can be
        read all the same."""
        if self._depth >= self.limits.depth:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, f"is packed more than {self.limits.depth} levels deep")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


class InflationGuard:
    """Watches one decompression. `produced` raises `BudgetSpent` when it yields too much for what went in."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._out = 0
        self._in = 0

    def consumed(self, count: int) -> None:
        self._in += count

    def produced(self, count: int) -> None:
        self._out += count
        limits = self._budget.limits
        if self._out > limits.ratio_applies_above and self._out > self._in * limits.inflation_ratio:
            raise BudgetSpent("decompresses at a higher ratio than allowed")
        self._budget.produced(count)
