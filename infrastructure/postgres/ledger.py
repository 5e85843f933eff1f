"""The ledger of a scan: its manifest, with what became of every object, as of one version of its view.

An object's disposition is found in this order: skipped at planning (in the manifest page), skipped or failed while
reading (a row of object_exceptions), scanned (its chunk is done; a row may hold a remark on it), remaining. Rows of
chunks that the view does not know as done yet are left aside, so that the sums are those of the view's own coverage.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from application import object_columns
from application.progress import Replaced, ScanView
from application.reading import LedgerEntry, LedgerPage
from domain.coverage import Disposition, FailReason, SkipReason
from infrastructure.postgres.read_pool import ReadPool

_PAGES_A_CALL: Final = 64
"""Manifest pages decoded in one call at most: about 0.15 s of work."""

_PAGES_A_BATCH: Final = 8
_HEADS_A_CALL: Final = 20_000
"""Manifest pages passed over by their heads alone in one call at most."""

_FAILURES: Final = frozenset(FailReason)
_ONLY_WHILE_READING: Final = frozenset({SkipReason.BINARY, SkipReason.UNSUPPORTED_FORMAT})

_HEADS = """
SELECT first_index, files, connector, first_chunk, chunk_starts FROM manifest_pages
WHERE scan_id = %s AND first_index >= coalesce(
    (SELECT max(first_index) FROM manifest_pages WHERE scan_id = %s AND first_index <= %s), 0)
  AND first_index < %s
ORDER BY first_index LIMIT %s
"""
_EXCEPTIONS = """
SELECT object_index, disposition, reason, detail FROM object_exceptions
WHERE scan_id = %s AND object_index BETWEEN %s AND %s
"""
_MATCHING_EXCEPTIONS = """
SELECT object_index, disposition, reason, detail FROM object_exceptions
WHERE scan_id = %s AND object_index > %s
  AND disposition = coalesce(%s, disposition) AND reason = coalesce(%s, reason)
ORDER BY object_index LIMIT %s
"""
_BLOCKS = "SELECT first_index, objects FROM manifest_pages WHERE scan_id = %s AND first_index = ANY (%s)"

_Exceptions = Mapping[int, tuple[Disposition, str, str]]


@dataclass(frozen=True, slots=True)
class _Head:
    """A manifest page without its objects."""

    first_index: int
    files: int
    connector: str
    first_chunk: int
    chunk_starts: Sequence[int]

    @property
    def chunks(self) -> range:
        return range(self.first_chunk, self.first_chunk + len(self.chunk_starts))

    @property
    def last_index(self) -> int:
        return self.first_index + self.files - 1

    def chunks_of(self, index: int) -> range:
        """The chunk that an eligible object at `index` was planned into; of a huge one, those of all its parts."""
        last = bisect_right(self.chunk_starts, index) - 1
        first = bisect_left(self.chunk_starts, self.chunk_starts[last])
        return range(self.first_chunk + first, self.first_chunk + last + 1)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, of which version."""

    view: ScanView
    disposition: Disposition | None
    reason: str | None
    after: int
    limit: int

    @property
    def replaced(self) -> Mapping[int, Replaced]:
        return {replaced.chunk: replaced for replaced in self.view.replaced}

    @property
    def impossible(self) -> bool:
        """Whether the view's sums already say that nothing matches."""
        coverage = self.view.coverage
        counts = {
            Disposition.SCANNED: coverage.scanned,
            Disposition.SKIPPED: coverage.total_skipped,
            Disposition.FAILED: coverage.total_failed,
            Disposition.REMAINING: coverage.remaining,
            None: coverage.enumerated,
        }
        if self.reason is not None and not {**coverage.skipped, **coverage.failed}.get(self.reason):
            return True
        return counts[self.disposition] == 0

    @property
    def only_exceptions(self) -> bool:
        if self.disposition is Disposition.FAILED or self.reason in _FAILURES:
            return True
        # An incremental scan can know such a reason from an earlier one, and plan by it.
        return self.reason in _ONLY_WHILE_READING and self.view.type != "incremental"

    def may_be_in(self, head: _Head) -> bool:
        """False if the page's head alone says that nothing in it matches."""
        if self.disposition is Disposition.REMAINING:
            done, replaced = self.view.done, self.replaced
            return any(chunk not in done or chunk in replaced for chunk in head.chunks)
        if self.disposition is Disposition.SCANNED:
            return any(chunk in self.view.done for chunk in head.chunks)
        return True

    def matches(self, entry: LedgerEntry) -> bool:
        return self.disposition in {None, entry.disposition} and self.reason in {None, entry.reason}


@dataclass(frozen=True, slots=True)
class _Batch:
    """A few pages in order: their heads, their compressed objects, and the exceptions among those."""

    heads: Sequence[_Head]
    blocks: Mapping[int, bytes]
    exceptions: _Exceptions


class Ledger:
    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    async def objects(
        self, view: ScanView, disposition: Disposition | None, reason: str | None, after: int, limit: int
    ) -> LedgerPage:
        """As `ReadModel.objects` says. Memory: a few manifest pages, however large the scan."""
        wanted = _Wanted(view, disposition, reason, after, limit)
        if wanted.impossible:
            return LedgerPage([], None)
        return await (self._from_exceptions(wanted) if wanted.only_exceptions else self._from_manifest(wanted))

    async def _from_exceptions(self, wanted: _Wanted) -> LedgerPage:
        """Everything that matches stands in object_exceptions: fetch just the pages that those objects are on."""
        scan, end = wanted.view.scan_id, wanted.view.coverage.enumerated
        disposition = None if wanted.disposition is None else wanted.disposition.value
        rows = await self._pool.rows(
            _MATCHING_EXCEPTIONS, (scan, wanted.after, disposition, wanted.reason, wanted.limit)
        )
        exceptions = _exceptions(rows)
        found: list[LedgerEntry] = []
        for at, indexes in await self._pages_of(scan, [row[0] for row in rows], end):
            block = await self._blocks(scan, [at])
            entries = await asyncio.to_thread(_entries, wanted.view, at, block[at.first_index], exceptions, indexes)
            found.extend(entry for entry in entries if wanted.matches(entry))
        return LedgerPage(found, rows[-1][0] if len(rows) == wanted.limit else None)

    async def _pages_of(self, scan: str, indexes: Sequence[int], end: int) -> list[tuple[_Head, list[int]]]:
        pages: list[tuple[_Head, list[int]]] = []
        for index in indexes:
            if index >= end:
                break
            if not pages or index > pages[-1][0].last_index:
                pages.extend((head, []) for head in await self._heads(scan, index, end, 1))
            pages[-1][1].append(index)
        return pages

    async def _from_manifest(self, wanted: _Wanted) -> LedgerPage:
        """Walk the pages in order until there are enough, or until this call has done its share."""
        scan, end = wanted.view.scan_id, wanted.view.coverage.enumerated
        found: list[LedgerEntry] = []
        at, decoded, passed = wanted.after, 0, 0
        while at + 1 < end and decoded < _PAGES_A_CALL and passed < _HEADS_A_CALL:
            # A page whose head says enough costs little, so many heads are taken at once when heads can say it.
            heads = await self._heads(scan, at + 1, end, _PAGES_A_BATCH if wanted.disposition is None else 200)
            if not heads:
                break
            passed += len(heads)
            candidates = [head for head in heads if wanted.may_be_in(head)][:_PAGES_A_BATCH]
            through = candidates[-1] if len(candidates) == _PAGES_A_BATCH else heads[-1]
            decoded += len(candidates)
            for entry in await self._walk(wanted, candidates, at):
                found.append(entry)
                if len(found) == wanted.limit:
                    return LedgerPage(found, entry.index if entry.index + 1 < end else None)
            at = through.last_index
        return LedgerPage(found, at if at + 1 < end else None)

    async def _walk(self, wanted: _Wanted, heads: Sequence[_Head], after: int) -> Sequence[LedgerEntry]:
        if not heads:
            return []
        scan = wanted.view.scan_id
        blocks = await self._blocks(scan, heads)
        rows = await self._pool.rows(_EXCEPTIONS, (scan, heads[0].first_index, heads[-1].last_index))
        return await asyncio.to_thread(_matching, wanted, _Batch(heads, blocks, _exceptions(rows)), after)

    async def _heads(self, scan: str, start: int, end: int, limit: int) -> list[_Head]:
        """The page that holds `start` and those after it."""
        rows = await self._pool.rows(_HEADS, (scan, scan, start, end, limit))
        return [_Head(*row) for row in rows]

    async def _blocks(self, scan: str, heads: Sequence[_Head]) -> dict[int, bytes]:
        rows = await self._pool.rows(_BLOCKS, (scan, [head.first_index for head in heads]))
        return {row[0]: row[1] for row in rows}


def _exceptions(rows: Sequence[Sequence[object]]) -> _Exceptions:
    return {int(str(i)): (Disposition(str(d)), str(reason), str(detail)) for i, d, reason, detail in rows}


def _matching(wanted: _Wanted, batch: _Batch, after: int) -> list[LedgerEntry]:
    found: list[LedgerEntry] = []
    end = wanted.view.coverage.enumerated
    for head in batch.heads:
        indexes = range(max(after + 1, head.first_index), min(end, head.last_index + 1))
        for entry in _entries(wanted.view, head, batch.blocks[head.first_index], batch.exceptions, indexes):
            if wanted.matches(entry):
                found.append(entry)
                if len(found) == wanted.limit:
                    return found
    return found


def _entries(
    view: ScanView, head: _Head, data: bytes, exceptions: _Exceptions, indexes: Sequence[int]
) -> Iterator[LedgerEntry]:
    block = object_columns.decode(data)
    chunks = _Chunks(view, head)
    for index in indexes:
        place = index - head.first_index
        entry, skip = block.objects[place], block.skips[place] if block.skips else None
        if skip is not None:
            by = block.scanned_by[place] if block.scanned_by else ""
            yield LedgerEntry(index, head.connector, entry, Disposition.SKIPPED, skip.value, scanned_by=by or None)
            continue
        chunk, done = chunks.of(index)
        if not done:
            yield LedgerEntry(index, head.connector, entry, Disposition.REMAINING, chunk=chunk)
        elif index in exceptions:
            disposition, reason, detail = exceptions[index]
            yield LedgerEntry(index, head.connector, entry, disposition, reason or None, detail, chunk)
        else:
            yield LedgerEntry(index, head.connector, entry, Disposition.SCANNED, chunk=chunk)


class _Chunks:
    """Which chunk answers for an object of a page, and whether it is done: planned ones, or those in their place."""

    def __init__(self, view: ScanView, head: _Head) -> None:
        self._done = view.done
        self._head = head
        self._replaced = {replaced.chunk: replaced for replaced in view.replaced}

    def of(self, index: int) -> tuple[int, bool]:
        planned = self._head.chunks_of(index)
        if len(planned) > 1:
            return planned[0], all(chunk in self._done for chunk in planned)
        chunk = planned[0]
        while (replaced := self._replaced.get(chunk)) is not None:
            chunk = replaced.first_chunk + bisect_right(replaced.starts, index) - 1
        return chunk, chunk in self._done
