"""Chunks: index ranges of the manifest that one worker reads in one go, cut so that each costs about the same."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.coverage import SkipReason
from domain.inventory import Known, Ruleset
from domain.manifest import Filters, ObjectInfo
from domain.parts import splittable

MAX_CHUNK_FILES: Final = 500
MAX_CHUNK_KEY_BYTES: Final = 256 * 1024
"""Keys travel inside the command, and a broker message holds 1 MB."""

SECONDS_PER_FILE: Final = 0.01
BYTES_PER_SECOND: Final = 16 * 1024 * 1024
TARGET_SECONDS: Final = 4.0
"""Cost = SECONDS_PER_FILE × files + bytes ÷ BYTES_PER_SECOND; a chunk aims at TARGET_SECONDS of it."""

HUGE_BYTES: Final = 128 * 1024 * 1024
"""From here on an object that can be read in parts is."""

PART_BYTES: Final = 64 * 1024 * 1024
MAX_PARTS: Final = 256
MAX_PARTS_A_BATCH: Final = 4096
"""A part has about PART_BYTES; more when the object would come to more than MAX_PARTS, or those of one listing batch
together to more than MAX_PARTS_A_BATCH."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`start..end` are inclusive positions in the scan's manifest; `files` and `bytes` count the eligible ones.

    Of a huge object a chunk may be one part, number `part` of `parts`; the others have the numbers beside its own.
    """

    start: int
    end: int
    files: int
    bytes: int
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What planning made of a batch: per object why it is skipped (None: eligible), and the chunks of the rest.

    `scanned_by` names, per object, the earlier scan that an `unchanged` one counts as scanned by (else ""); it is empty
    when there are none.
    """

    skips: tuple[SkipReason | None, ...]
    chunks: tuple[Chunk, ...]
    bytes: int
    limit_reached: bool
    scanned_by: tuple[str, ...] = ()

    @property
    def skipped(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for reason in self.skips:
            if reason is not None:
                counts[reason] = counts.get(reason, 0) + 1
        return counts


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier scans tell of the objects of a batch, by key, and what the present one looks for."""

    known: Mapping[str, Known]
    wanted: Ruleset

    def verdict(self, entry: ObjectInfo) -> tuple[SkipReason | None, str]:
        """Why `entry` need not be read again, and by which scan it counts as scanned, if it does."""
        known = self.known.get(entry.key)
        reason = known.verdict(entry, self.wanted) if known is not None else None
        return reason, known.scan if known is not None and reason is SkipReason.UNCHANGED else ""


def plan(
    objects: Sequence[ObjectInfo],
    *,
    first_index: int,
    filters: Filters,
    room: int | None,
    earlier: Earlier | None = None,
) -> Plan:
    """Decide for every object of a batch, and cut the eligible ones into chunks of equal cost.

    `room` is how many more objects may be planned (None: no limit); further eligible ones are skipped as `max_files`.
    What `earlier` scans have settled is neither sampled nor counted against `room`.
    """
    skips: list[SkipReason | None] = []
    scanned_by: list[str] = []
    eligible = 0
    for entry in objects:
        reason, by = filters.skip(entry), ""
        if reason is None and earlier is not None:
            reason, by = earlier.verdict(entry)
        if reason is None and not filters.samples(entry.key):
            reason = SkipReason.NOT_SAMPLED
        if reason is None and room is not None and eligible >= room:
            reason = SkipReason.MAX_FILES
        eligible += reason is None
        skips.append(reason)
        scanned_by.append(by)
    chunks = _cut(objects, skips, first_index)
    return Plan(
        skips=tuple(skips),
        chunks=chunks,
        bytes=sum(chunk.bytes for chunk in chunks),
        limit_reached=SkipReason.MAX_FILES in skips,
        scanned_by=tuple(scanned_by) if any(scanned_by) else (),
    )


def cost(files: int, size: int) -> float:
    """Expected seconds of work, by the formula beside TARGET_SECONDS."""
    return SECONDS_PER_FILE * files + size / BYTES_PER_SECOND


_Place = tuple[int, ObjectInfo]


def _cut(objects: Sequence[ObjectInfo], skips: Sequence[SkipReason | None], first_index: int) -> tuple[Chunk, ...]:
    eligible = [(first_index + i, objects[i]) for i, reason in enumerate(skips) if reason is None]
    huge = [entry.size for _, entry in eligible if _is_huge(entry)]
    if not huge:
        return _shares(eligible)
    part_bytes = max(PART_BYTES, sum(huge) // MAX_PARTS_A_BATCH)
    chunks: list[Chunk] = []
    run: list[_Place] = []
    for position, entry in eligible:
        if not _is_huge(entry):
            run.append((position, entry))
            continue
        chunks += _shares(run)
        run = []
        chunks += _parts(position, entry.size, min(MAX_PARTS, -(-entry.size // part_bytes)))
    return (*chunks, *_shares(run))


def _is_huge(entry: ObjectInfo) -> bool:
    return entry.size >= HUGE_BYTES and splittable(entry.key)


def _parts(position: int, size: int, parts: int) -> Iterator[Chunk]:
    for part in range(parts):
        share = size * (part + 1) // parts - size * part // parts
        yield Chunk(position, position, 1, share, part, parts)


def _shares(eligible: Sequence[_Place]) -> tuple[Chunk, ...]:
    total = sum(cost(1, entry.size) for _, entry in eligible)
    # Equal shares of the batch, so that it leaves no small tail behind.
    share = total / max(1, round(total / TARGET_SECONDS)) if eligible else 1.0
    chunks: list[Chunk] = []
    run: list[_Place] = []
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


def _chunk(run: Sequence[_Place]) -> Chunk:
    return Chunk(start=run[0][0], end=run[-1][0], files=len(run), bytes=sum(entry.size for _, entry in run))


Sized = tuple[int, int]
"""The manifest position of an object, and its size in bytes."""


def isolated(objects: Sequence[Sized], suspect: int | None) -> tuple[Chunk, ...]:
    """The objects of a chunk that lost its worker, parted so that the guilty one takes fewer with it.

    The `suspect` comes alone, if it is one of them; without one, in halves.
    """
    places = [position for position, _ in objects]
    if suspect in places:
        at = places.index(suspect)
        runs = [objects[:at], objects[at : at + 1], objects[at + 1 :]]
    else:
        middle = len(objects) // 2
        runs = [objects[:middle], objects[middle:]]
    return tuple(Chunk(run[0][0], run[-1][0], len(run), sum(size for _, size in run)) for run in runs if run)


class Unfinished:
    """The manifest positions within chunks that are not accounted for."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._ranges = sorted({(chunk.start, chunk.end) for chunk in chunks})

    def between(self, first: int, last: int) -> set[int]:
        """Those of the positions `first..last` of a manifest page, which no chunk crosses."""
        at = bisect_left(self._ranges, (first, first))
        found: set[int] = set()
        while at < len(self._ranges) and self._ranges[at][0] <= last:
            start, end = self._ranges[at]
            found.update(range(start, end + 1))
            at += 1
        return found


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
