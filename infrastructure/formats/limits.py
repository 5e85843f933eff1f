"""Bounds on what reading one object may cost. Past one of them the object fails as `resource_limit`."""

from dataclasses import dataclass
from typing import Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from domain.parts import MAX_FINDINGS

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`block_bytes` and `record_reach` shape the reading; the rest are bounds. All in bytes but the ratio and depth.

    `record_reach` is how far a table's record or a JSON line is followed for its column or path. `cut_reach` is how
    far behind the place where an object is to be cut in parts a record's beginning is looked for.
    """

    block_bytes: int = MIB
    record_reach: int = 64 * 1024
    cut_reach: int = MIB
    inflated_bytes: int = 64 * 1024 * MIB
    inflation_ratio: int = 250
    ratio_applies_above: int = 64 * MIB
    compression_depth: int = 3
    zstd_window_bytes: int = 64 * MIB
    json_document_bytes: int = 8 * MIB
    parquet_spool_bytes: int = 16 * 1024 * MIB
    parquet_batch_bytes: int = 4 * MIB
    columns: int = MAX_FINDINGS


class InflationGuard:
    """Watches one decompression. `produced` raises `ObjectUnreadable(resource_limit)` when it yields too much."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._out = 0
        self._in = 0

    def consumed(self, count: int) -> None:
        self._in += count

    def produced(self, count: int) -> None:
        self._out += count
        if self._out > self._limits.inflated_bytes:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "decompresses to more bytes than allowed")
        if self._out > self._limits.ratio_applies_above and self._out > self._in * self._limits.inflation_ratio:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "decompresses at a higher ratio than allowed")
