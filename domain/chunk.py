"""Chunks: index ranges of the manifest that one worker reads in one go, cut so that each costs about the same."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.coverage import SkipReason
from domain.manifest import Filters, ObjectInfo

MAX_CHUNK_FILES: Final = 500
MAX_CHUNK_KEY_BYTES: Final = 256 * 1024
"""Keys travel inside the command, and a broker message holds 1 MB."""

SECONDS_PER_FILE: Final = 0.01
BYTES_PER_SECOND: Final = 16 * 1024 * 1024
TARGET_SECONDS: Final = 4.0
"""Cost = SECONDS_PER_FILE × files + bytes ÷ BYTES_PER_SECOND; a chunk aims at TARGET_SECONDS of it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`start..end` are inclusive positions in the scan's manifest; `files` and `bytes` count the eligible ones."""

    start: int
    end: int
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What planning made of a batch: per object why it is skipped (None: eligible), and the chunks of the rest."""

    skips: tuple[SkipReason | None, ...]
    chunks: tuple[Chunk, ...]
    bytes: int
    limit_reached: bool

    @property
    def skipped(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for reason in self.skips:
            if reason is not None:
                counts[reason] = counts.get(reason, 0) + 1
        return counts


def plan(objects: Sequence[ObjectInfo], *, first_index: int, filters: Filters, room: int | None) -> Plan:
    """Decide for every object of a batch, and cut the eligible ones into chunks of equal cost.

    `room` is how many more objects may be planned (None: no limit); further eligible ones are skipped as `max_files`.
    """
    skips: list[SkipReason | None] = []
    eligible = 0
    for entry in objects:
        reason = filters.skip(entry)
        if reason is None and room is not None and eligible >= room:
            reason = SkipReason.MAX_FILES
        eligible += reason is None
        skips.append(reason)
    chunks = _cut(objects, skips, first_index)
    return Plan(
        skips=tuple(skips),
        chunks=chunks,
        bytes=sum(chunk.bytes for chunk in chunks),
        limit_reached=SkipReason.MAX_FILES in skips,
    )


def cost(files: int, size: int) -> float:
    """Expected seconds of work, by the formula beside TARGET_SECONDS."""
    return SECONDS_PER_FILE * files + size / BYTES_PER_SECOND


def _cut(objects: Sequence[ObjectInfo], skips: Sequence[SkipReason | None], first_index: int) -> tuple[Chunk, ...]:
    eligible = [(first_index + i, objects[i]) for i, reason in enumerate(skips) if reason is None]
    total = sum(cost(1, entry.size) for _, entry in eligible)
    # Equal shares of the batch, so that it leaves no small tail behind.
    share = total / max(1, round(total / TARGET_SECONDS)) if eligible else 1.0
    chunks: list[Chunk] = []
    run: list[tuple[int, ObjectInfo]] = []
    spent, key_bytes, bucket = 0.0, 0, 0
    for position, entry in eligible:
        price, length = cost(1, entry.size), 4 * len(entry.key)
        full = len(run) >= MAX_CHUNK_FILES or key_bytes + length > MAX_CHUNK_KEY_BYTES
        # An object belongs to the share that its middle falls into.
        bucket, before = int((spent + price / 2) / share), bucket
        if run and (full or bucket != before):
            chunks.append(_chunk(run))
            run, key_bytes = [], 0
        run.append((position, entry))
        spent += price
        key_bytes += length
    if run:
        chunks.append(_chunk(run))
    return tuple(chunks)


def _chunk(run: Sequence[tuple[int, ObjectInfo]]) -> Chunk:
    return Chunk(start=run[0][0], end=run[-1][0], files=len(run), bytes=sum(entry.size for _, entry in run))


@dataclass(frozen=True, slots=True)
class ChunkSet:
    """A set of chunk numbers as sorted, disjoint, non-touching ranges: small when work ends nearly in order."""

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.ranges, (number, float("inf"))) - 1
        return at >= 0 and self.ranges[at][1] >= number

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def with_(self, number: int) -> "ChunkSet":
        """The set and `number`."""
        if number in self:
            return self
        at = bisect_right(self.ranges, (number, float("inf")))
        before, after = self.ranges[:at], self.ranges[at:]
        first = last = number
        if before and before[-1][1] == number - 1:
            first, before = before[-1][0], before[:-1]
        if after and after[0][0] == number + 1:
            last, after = after[0][1], after[1:]
        return ChunkSet((*before, (first, last), *after))
