"""A thousand workers in virtual time: what very large scans cost the coordinator, and how well it spreads work.

Nothing is read. The recorder, the orchestrator, the projector and PostgreSQL are real; listings and chunks are reported
by simulated workers, whose chunks last as long as their cost says, give or take a fifth, on a clock of their own. The
objects' sizes are log-normal. CPU seconds are those of this process and of PostgreSQL; the makespan is measured on the
virtual clock, beside the least that any schedule could take: all work ÷ workers, or the longest chunk.

By itself (`python -m benchmarks simulation`) it takes about a quarter of an hour; it is not among the default ones.
"""

import heapq
import math
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import psutil

import infrastructure.wiring as w
from application import object_columns
from application.messages import AnyReport, ChunkCompleted, ListingCompleted, ListingStarted, ObjectsListed
from application.orchestration import Grant, Orchestrator
from application.ports import Append, ScanLog
from application.recording import Recorder
from benchmarks.events import BATCH, Connection
from benchmarks.installation import Installation, cpu_seconds, installed, new_id
from benchmarks.tables import Table, figure
from domain.chunk import cost
from domain.connector import ConnectorCreated, ConnectorType, Execution
from domain.manifest import ObjectInfo
from domain.policy import ScanOptions
from domain.scan_events import ListingUnit, Queued
from infrastructure.postgres.follower import Follower

PAGE: Final = 1_000
BLOCKS: Final = 40
"""Different listing pages; a bucket is these over and over."""

STEP: Final = 0.05
"""Virtual seconds in which the coordinator takes its turns: what ends within one is recorded together."""

MAKESPAN_AIM, FAIRNESS_AIM = 1.05, 1.1
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bucket:
    """`pages` pages of 1,000 objects, log-normal in size with this median in bytes and spread."""

    pages: int
    median: float
    sigma: float
    seed: int = 1

    def blocks(self) -> list[tuple[str, str]]:
        """Pages as they travel, each with its last key."""
        draw = random.Random(self.seed)
        pages = (list(self._page(draw, number)) for number in range(BLOCKS))
        return [(object_columns.to_text(page), page[-1].key) for page in pages]

    def _page(self, draw: random.Random, number: int) -> Iterator[ObjectInfo]:
        for at in range(PAGE):
            size = int(draw.lognormvariate(math.log(self.median), self.sigma)) + 1
            extension = draw.choice(("json", "bin", "csv", "parquet"))
            yield ObjectInfo(
                f"data/part-{number:02}-{at:04}.{extension}", size, f"{draw.getrandbits(128):032x}", _EPOCH
            )


def run(*, quick: bool) -> None:
    large = Bucket(pages=1_000 if quick else 100_000, median=500, sigma=2.0)
    skewed = Bucket(pages=20 if quick else 200, median=200_000, sigma=2.5)
    with installed() as service, service.database() as connection:
        w.tune_collector()
        _large_table(simulated(service, connection, [large], workers=1_000)).show()
        _makespan_table(simulated(service, connection, [skewed], workers=100)).show()
        fair = [Bucket(pages=4 if quick else 40, median=50_000, sigma=2.0, seed=n) for n in range(50)]
        _fairness_table(simulated(service, connection, fair, workers=200)).show()


@dataclass(slots=True)
class Outcome:
    """What a simulation came to. Seconds of CPU and elapsed ones are real, all others virtual; `database` and `grown`
    are bytes that the database and this process have more than before. `held` is per scan the slot-seconds it
    had while all scans still had work."""

    objects: int
    chunks: int
    workers: int
    makespan: float
    ideal: float
    cpu: float
    elapsed: float
    database: int
    grown: int
    held: dict[str, float] = field(default_factory=dict)


def simulated(service: Installation, connection: Connection, buckets: list[Bucket], *, workers: int) -> Outcome:
    """Scan `buckets` at once with that many simulated workers. Raises RuntimeError unless every object is counted."""
    return _Simulation(service, connection, workers).run(buckets)


@dataclass(slots=True)
class _Listing:
    """The listing of one scan, by a simulated worker."""

    scan: str
    blocks: list[tuple[str, str]]
    pages: int
    batch: int = 0
    last: str = ""

    def next(self) -> AnyReport:
        if self.batch == self.pages:
            return ListingCompleted(
                scan=self.scan, worker="lister", unit=0, attempt=1, batches=self.batch, after=self.last
            )
        block, last = self.blocks[self.batch % len(self.blocks)]
        after, self.last = self.last, last
        self.batch += 1
        return ObjectsListed(
            scan=self.scan, worker="lister", unit=0, attempt=1, batch=self.batch, after=after, objects=block
        )


class _Simulation:
    def __init__(self, service: Installation, connection: Connection, workers: int) -> None:
        settings = service.settings
        self._log: ScanLog = w.open_log(settings)
        self._recorder: Recorder = w.open_recorder(settings)
        self._recorder.clock = self._now
        self._follower: Follower = w.open_projector(settings)
        self._connection = connection
        self._orchestrator = Orchestrator()
        self._position = self._log.position()
        self._workers = workers
        self._clock = 0.0
        self._free = workers
        self._queue: deque[Grant] = deque()
        self._working: list[tuple[float, int, Grant]] = []
        self._draw = random.Random(7)
        self._number = 0
        self._durations: list[float] = []
        self._held: dict[str, float] = {}
        self._done = 0
        self._rate = 0.0

    def _now(self) -> datetime:
        # Real microseconds besides, for no two plannings may be of the same moment.
        return _EPOCH + timedelta(seconds=self._clock, microseconds=time.perf_counter_ns() // 1_000 % 50_000)

    def run(self, buckets: list[Bucket]) -> Outcome:
        before, cpu, begin = self._size(), cpu_seconds(), time.perf_counter()
        memory = psutil.Process().memory_info().rss
        listings = [self._queued(bucket) for bucket in buckets]
        scans = [listing.scan for listing in listings]
        self._record([ListingStarted(scan=scan, worker="lister", unit=0, attempt=1) for scan in scans])
        while listings or self._orchestrator.open:
            listings = self._list(listings)
            self._hand_out(contended=len(self._orchestrator.open) == len(scans))
            self._clock += STEP
            self._finish()
        found = [self._log.course(scan) for scan in scans]
        objects = sum(bucket.pages * PAGE for bucket in buckets)
        counted = self._counted(scans)
        if counted != objects or not all(scan.status.ended for scan in found):
            raise RuntimeError(f"{counted} of {objects} objects were accounted for")
        return Outcome(
            objects=objects,
            chunks=self._done,
            workers=self._workers,
            makespan=self._clock,
            ideal=max(sum(self._durations) / self._workers, *self._durations),
            cpu=cpu_seconds() - cpu,
            elapsed=time.perf_counter() - begin,
            database=self._size() - before,
            grown=psutil.Process().memory_info().rss - memory,
            held=self._held,
        )

    def _queued(self, bucket: Bucket) -> _Listing:
        connector, scan = new_id("conn"), new_id("scan")
        created = ConnectorCreated(
            at=self._now(),
            actor="key:benchmark",
            tenant="benchmark",
            name=connector,
            type=ConnectorType.FILESYSTEM,
            execution=Execution.MANAGED,
            pool="default",
            config={"root": "/tmp"},
            has_credentials=False,
        )
        event = Queued(
            at=self._now(),
            actor="key:benchmark",
            tenant="benchmark",
            type="full",
            connectors=(connector,),
            units=(ListingUnit(connector),),
            options=ScanOptions(max_files=10**9, max_workers=10_000, timeout_minutes=10_080),
            ruleset="benchmark",
        )
        self._log.append([Append(connector, 0, [created]), Append(scan, 0, [event])])
        return _Listing(scan, bucket.blocks(), bucket.pages)

    def _list(self, listings: list[_Listing]) -> list[_Listing]:
        """A few pages of each listing: 400 a virtual second, more than the workers can read."""
        share = max(1, int(400 * STEP / max(1, len(listings))))
        for _ in range(share):
            reports = [listing.next() for listing in listings]
            self._record(reports)
            ended = {report.scan for report in reports if isinstance(report, ListingCompleted)}
            listings = [listing for listing in listings if listing.scan not in ended]
        return listings

    def _hand_out(self, *, contended: bool) -> None:
        self._follow()
        self._queue.extend(self._orchestrator.grants(self._workers, self._rate))
        while self._free and self._queue:
            grant = self._queue.popleft()
            chunk = self._orchestrator.open[grant.scan].scan.pending[grant.chunk].chunk
            lasts = cost(chunk.files if chunk.part == 0 else 0, chunk.bytes) * self._draw.uniform(0.8, 1.2)
            self._durations.append(lasts)
            if contended:
                self._held[grant.scan] = self._held.get(grant.scan, 0.0) + lasts
            self._number += 1
            heapq.heappush(self._working, (self._clock + lasts, self._number, grant))
            self._free -= 1

    def _finish(self) -> None:
        reports: list[AnyReport] = []
        while self._working and self._working[0][0] <= self._clock:
            _, _, grant = heapq.heappop(self._working)
            state = self._orchestrator.open[grant.scan].scan.pending[grant.chunk]
            reports.append(
                ChunkCompleted(
                    scan=grant.scan,
                    worker=f"w{self._number % self._workers}",
                    chunk=grant.chunk,
                    attempt=grant.attempt,
                    plan=state.plan,
                    started_at=self._now(),
                    scanned=state.chunk.files,
                    bytes_read=state.chunk.bytes,
                    exceptions=[],
                    findings=[],
                )
            )
        self._free += len(reports)
        self._done += len(reports)
        self._rate += 0.1 * (len(reports) / STEP - self._rate)
        self._record(reports)

    def _record(self, reports: list[AnyReport]) -> None:
        for at in range(0, len(reports), BATCH):
            verdict = self._recorder.record(reports[at : at + BATCH])
            if verdict.changed != len(reports[at : at + BATCH]):
                raise RuntimeError(f"a report changed nothing: {verdict}")

    def _follow(self) -> None:
        while batch := self._log.read(self._position, 500):
            for record in batch:
                self._orchestrator.note(record)
            self._position = batch[-1].position
        while self._follower.catch_up(self._connection):
            pass

    def _counted(self, scans: list[str]) -> int:
        rows = self._connection.execute(
            "SELECT sum((view -> 'coverage' ->> 'scanned')::bigint) FROM scan_views WHERE scan_id = ANY (%s)", (scans,)
        ).fetchone()
        return int(str(rows[0])) if rows else 0

    def _size(self) -> int:
        row = self._connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(str(row[0])) if row else 0


def _large_table(outcome: Outcome) -> Table:
    table = Table(f"A scan of {outcome.objects:,} objects with {outcome.workers:,} workers", ("", "value"))
    table.add("chunks", f"{outcome.chunks:,}")
    table.add("database, GB", figure(outcome.database / 1e9))
    table.add("database, bytes an object", figure(outcome.database / outcome.objects))
    table.add("coordinator CPU seconds", figure(outcome.cpu))
    table.add("CPU µs an object", figure(outcome.cpu / outcome.objects * 1e6))
    table.add("memory that recorder, orchestrator and projector took together, MB", figure(outcome.grown / 1e6))
    table.add("makespan ÷ ideal", f"{outcome.makespan / outcome.ideal:.3f}")
    table.notes.append(f"{outcome.makespan:.0f} virtual seconds, simulated in {outcome.elapsed:.0f}")
    return table


def _makespan_table(outcome: Outcome) -> Table:
    table = Table(
        f"Makespan: {outcome.objects:,} log-normal objects, {outcome.workers} workers",
        ("", "seconds", "÷ ideal", "aim"),
    )
    table.add("makespan", figure(outcome.makespan), f"{outcome.makespan / outcome.ideal:.3f}", f"≤ {MAKESPAN_AIM}")
    table.add("ideal", figure(outcome.ideal), "", "")
    return table


def _fairness_table(outcome: Outcome) -> Table:
    shares = sorted(outcome.held.values())
    table = Table(f"Fairness: {len(shares)} scans at once, {outcome.workers} workers", ("", "largest ÷ least", "aim"))
    table.add("slot-seconds a scan had", f"{shares[-1] / shares[0]:.3f}", f"≤ {FAIRNESS_AIM}")
    table.notes.append("counted while all of them had work")
    return table
