"""What must hold of a log in memory at every moment: its events, its rows and the truth about the objects agree.

Everything is counted here anew, by none of the product's arithmetic.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from application.progress import ScanProgress, begin, project
from domain.chunk import Chunk
from domain.coverage import Coverage, Disposition, FailReason, SkipReason
from domain.scan_events import (
    ENDINGS,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    ListingFailed,
    ListingStarted,
    ObjectsListed,
    Queued,
    Resumed,
    ScanEvent,
)
from tests.application.planted import BUCKETS, TRUTHS, Truth, entry, planning_skip
from tests.application.rewindable_log import RewindableLog

WORKER_LOST = (Disposition.FAILED, FailReason.WORKER_LOST)


@dataclass(slots=True)
class Account:
    """A scan by its events, which are checked one by one."""

    queued: Queued
    view: ScanProgress
    version: int = 1
    ended: bool = False
    enumerated: int = 0
    scanned: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    findings: int = 0
    chunks: int = 0
    open: dict[int, Chunk] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    """Of each open chunk, the one that counts."""
    announced: set[int] = field(default_factory=set)
    unit_attempts: Counter[int] = field(default_factory=Counter)
    """Of each unit, how many came before the one that counts."""

    def note(self, event: ScanEvent) -> None:
        assert not self.ended, f"{event.kind} after the end"
        self.version += 1
        self.view = project(self.view, event)
        match event:
            case ObjectsListed():
                assert event.first_index == self.enumerated
                self.enumerated += event.files
                self.skipped.update(event.skipped)
                self._put(event.first_chunk, event.chunks)
                assert sum(chunk.files for chunk in event.chunks if chunk.part == 0) == event.files - sum(
                    event.skipped.values()
                )
            case ChunkCompleted():
                self._answered(event.chunk, event.attempt)
                del self.open[event.chunk]
                assert event.files == event.scanned + sum(event.skipped.values()) + sum(event.failed.values())
                self.scanned += event.scanned
                self.skipped.update(event.skipped)
                self.failed.update(event.failed)
                self.findings += event.findings
            case ChunkFailed():
                self._chunk_failed(event)
            case ChunkStarted():
                assert (event.chunk in self.announced, event.attempt) == (False, self.attempts[event.chunk])
                self.announced.add(event.chunk)
            case ListingStarted():
                assert event.attempt == self.unit_attempts[event.unit] + 1
            case ListingFailed():
                assert event.attempt == self.unit_attempts[event.unit] + 1
                self.unit_attempts[event.unit] += 1
            case Resumed():
                self._supersede()
            case _:
                self.ended = isinstance(event, ENDINGS)
        self._check_sums()

    def _chunk_failed(self, event: ChunkFailed) -> None:
        self._answered(event.chunk, event.attempt)
        if event.final:
            del self.open[event.chunk]
            self.failed.update({event.reason: event.files})
            self.findings += event.findings
        elif event.replaced_by:
            gone = self.open.pop(event.chunk)
            self._put(event.first_chunk, event.replaced_by)
            assert sum(chunk.files for chunk in event.replaced_by) == gone.files

    def _answered(self, chunk: int, attempt: int) -> None:
        assert attempt == self.attempts[chunk], "another attempt was answered"
        self.attempts[chunk] += 1
        self.announced.discard(chunk)

    def _supersede(self) -> None:
        """Listings that a pause ended are attempted anew."""
        for unit in range(len(self.view.view.units)):
            self.unit_attempts[unit] += 1

    def _put(self, first: int, chunks: tuple[Chunk, ...]) -> None:
        assert not chunks or first == self.chunks
        self.open.update(enumerate(chunks, first))
        self.attempts.update((first + place, 1) for place in range(len(chunks)))
        self.chunks += len(chunks)

    def _check_sums(self) -> None:
        whole = sum(chunk.files for chunk in self.open.values() if chunk.parts == 1)
        parted = len({chunk.start for chunk in self.open.values() if chunk.parts > 1})
        remaining = self.enumerated - self.scanned - self.skipped.total() - self.failed.total()
        assert remaining == whole + parted, f"version {self.version} does not add up"
        view = self.view.view
        assert (view.version, view.findings) == (self.version, self.findings)
        self.check_coverage(view.coverage)

    def check_coverage(self, coverage: Coverage) -> None:
        assert (coverage.enumerated, coverage.scanned) == (self.enumerated, self.scanned)
        assert (+Counter(coverage.skipped), +Counter(coverage.failed)) == (+self.skipped, +self.failed)


class Audit:
    """The accounts of all scans of a log. `excused` are objects that may have lost their worker too often."""

    def __init__(self, log: RewindableLog) -> None:
        self._log = log
        self._restores = log.restores
        self._seen = 0
        self.accounts: dict[str, Account] = {}
        self.excused: set[tuple[str, str]] = set()

    def check(self) -> None:
        """Take in what is new in the log, event by event, then hold the rows of each scan it is of against it."""
        if self._restores != self._log.restores:
            self._restores, self._seen = self._log.restores, 0
            self.accounts.clear()
        touched: set[str] = set()
        for place, record in enumerate(self._log.records[self._seen :], self._seen + 1):
            assert record.position == place
            event = record.event
            if isinstance(event, Queued):
                assert (record.version, record.stream in self.accounts) == (1, False)
                self.accounts[record.stream] = Account(event, begin(record.stream, event))
            elif record.stream in self.accounts:
                assert record.version == self.accounts[record.stream].version + 1
                self.accounts[record.stream].note(event)  # type: ignore[arg-type]  # a scan's stream holds scan events
            touched.add(record.stream)
        self._seen = len(self._log.records)
        for scan_id in touched & self.accounts.keys():
            self._check_scan(scan_id)

    def _check_scan(self, scan_id: str) -> None:
        account = self.accounts[scan_id]
        scan = self._log.scan(scan_id)
        account.check_coverage(scan.coverage)
        assert (scan.version, set(scan.pending)) == (account.version, set(account.open))
        self._check_objects(scan_id, account)

    def _check_objects(self, scan_id: str, account: Account) -> None:
        rows = self._log.rows
        listed, skips = self.listed(scan_id)
        assert (len(listed), len(set(listed))) == (account.enumerated, account.enumerated)
        open_places = {
            place
            for chunk in account.open.values()
            for place in range(chunk.start, chunk.end + 1)
            if skips[place] is None
        }
        exceptions = {row.index: (row.disposition, row.reason) for row in rows.exceptions if row.scan == scan_id}
        assert len(exceptions) == sum(row.scan == scan_id for row in rows.exceptions)
        found = self._found(scan_id, listed)
        assert sum(map(len, found.values())) == account.findings
        fates: Counter[tuple[str, str]] = Counter()
        for place, (connector, key) in enumerate(listed):
            expected = planning_skip(
                key, len(BUCKETS[connector][key]), incremental=account.queued.type == "incremental"
            )
            limited = expected is None and skips[place] is SkipReason.MAX_FILES
            assert limited or skips[place] is expected
            if skips[place] is not None:
                assert place not in open_places
                fates[Disposition.SKIPPED, skips[place]] += 1
            elif place in open_places:
                fates[Disposition.REMAINING, ""] += 1
            else:
                fate = exceptions.pop(place, (Disposition.SCANNED, ""))
                fates[fate] += 1
                self._check_object(scan_id, key, TRUTHS[connector, key], fate, found.pop(place, {}))
        assert (exceptions, found) == ({}, {}), "rows about what is not accounted for"
        assert fates == Counter(
            {
                (Disposition.SCANNED, ""): account.scanned,
                (Disposition.REMAINING, ""): len(open_places),
                **{(Disposition.SKIPPED, reason): count for reason, count in account.skipped.items()},
                **{(Disposition.FAILED, reason): count for reason, count in account.failed.items()},
            }
        )

    def _check_object(
        self, scan_id: str, key: str, truth: Truth, fate: tuple[str, str], found: Mapping[str, list[int]]
    ) -> None:
        if fate == WORKER_LOST and (scan_id, key) in self.excused:
            return
        assert fate == (truth.disposition, truth.reason), key
        if truth.disposition is Disposition.SCANNED:
            assert found == truth.lines, key
        else:
            # The lines of a part that was not read cannot be counted.
            assert {name: len(lines) for name, lines in found.items()} == {
                name: len(lines) for name, lines in truth.lines.items()
            }, key

    def listed(self, scan_id: str) -> tuple[list[tuple[str, str]], list[SkipReason | None]]:
        """The connector and key of each manifest position, as the source has it, and why it was skipped at planning."""
        listed: list[tuple[str, str]] = []
        skips: list[SkipReason | None] = []
        pages = [page for page in self._log.rows.pages if page.scan == scan_id]
        for page in sorted(pages, key=lambda page: page.first_index):
            assert page.first_index == len(listed)
            assert list(page.objects) == [entry(page.connector, one.key) for one in page.objects]
            listed += [(page.connector, one.key) for one in page.objects]
            skips += page.skips
        return listed, skips

    def _found(self, scan_id: str, listed: list[tuple[str, str]]) -> dict[int, dict[str, list[int]]]:
        """Per object, the lines of each detector's hits."""
        found: dict[int, dict[str, list[int]]] = {}
        for row in self._log.rows.findings:
            if row.scan == scan_id:
                lines = [place.line or 0 for place in row.finding.occurrences]
                assert len(lines) == row.finding.count
                assert (row.connector, row.object) == listed[row.index]
                of_object = found.setdefault(row.index, {})
                assert row.finding.detector not in of_object, "a finding was counted twice"
                of_object[row.finding.detector] = lines
        return found
