"""What a scan's length costs: bytes and seconds of replay per 100,000 chunks, and each chunk's cost in a short one.

A chunk's cost is everything the coordinator does for it but messaging: the orchestrator grants it, the recorder decides
and commits, orchestrator and projector follow the log. It is the CPU time of this process and of PostgreSQL together;
the elapsed time is given too. Long and short scans take turns in the same process, with the collector of the roles.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import infrastructure.wiring as w
from application.orchestration import Grant, Orchestrator
from application.ports import ScanLog
from application.recording import Recorder
from benchmarks.events import BATCH, Connection, completion
from benchmarks.installation import Installation, cpu_seconds, installed
from benchmarks.planted import Planted, plant
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.postgres.follower import Follower

AIM = 1.15
SLOTS = 64
CHUNKS_A_SECOND = 1_000.0
MAX_WORKERS = 1_024
SHORT = 1_000
_TABLES = ("stored_events", "manifest_pages")


def run(*, quick: bool) -> None:
    long, turns, shorts = (10_000, 2, 3) if quick else (100_000, 10, 4)
    with installed() as service, service.database() as connection:
        w.tune_collector()
        coordinator = _Coordinator.of(service, connection)
        before = _sizes(connection)
        planted = plant(coordinator.log, long, max_workers=MAX_WORKERS)
        listed = _sizes(connection)
        long_costs, short_costs = _take_turns(coordinator, planted, turns, shorts)
        _cost_table(planted.chunks, long_costs, short_costs).show()
        chunks = planted.chunks + turns * shorts * SHORT
        sizes = {
            "events of the chunks": (_sizes(connection)["stored_events"] - listed["stored_events"]) / chunks,
            "events of their listing": (listed["stored_events"] - before["stored_events"]) / planted.chunks,
            "manifest, 4 objects each": (listed["manifest_pages"] - before["manifest_pages"]) / planted.chunks,
        }
        _size_table(sizes).show()
        _replay_table(service, coordinator.log, planted, chunks).show()


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds a chunk."""

    cpu: float
    elapsed: float


@dataclass
class _Coordinator:
    """Recorder, orchestrator and projector, called one after the other."""

    log: ScanLog
    recorder: Recorder
    orchestrator: Orchestrator
    follower: Follower
    connection: Connection
    position: int = 0

    @classmethod
    def of(cls, service: Installation, connection: Connection) -> "_Coordinator":
        settings = service.settings
        recorder, follower = w.open_recorder(settings), w.open_projector(settings)
        return cls(w.open_log(settings), recorder, Orchestrator(), follower, connection)

    def follow(self) -> None:
        while batch := self.log.read(self.position, 500):
            for record in batch:
                self.orchestrator.note(record)
            self.position = batch[-1].position
        while self.follower.catch_up(self.connection):
            pass

    def complete(self, planted: Planted, chunks: int) -> "_Cost":
        """The cost of the next `chunks` chunks of a scan; those in hand at once end in any order."""
        done = 0
        self.recorder.scan(planted.scan_id)
        cpu, begin = cpu_seconds(), time.perf_counter()
        hands: list[Grant] = []
        while done < chunks:
            hands += [g for g in self.orchestrator.grants(SLOTS, CHUNKS_A_SECOND) if g.scan == planted.scan_id]
            random.shuffle(hands)
            ended, hands = hands[: min(BATCH, chunks - done)], hands[min(BATCH, chunks - done) :]
            self.recorder.record([completion(planted, grant.chunk) for grant in ended])
            self.follow()
            done += len(ended)
        cost = _Cost((cpu_seconds() - cpu) / chunks, (time.perf_counter() - begin) / chunks)
        self._put_back(planted, hands)
        return cost

    def _put_back(self, planted: Planted, hands: Sequence[Grant]) -> None:
        kept = self.orchestrator.open.get(planted.scan_id)
        if kept is None:
            return
        for grant in hands:
            del kept.outstanding[grant.chunk]
            kept.ready.appendleft(grant.chunk)


def _take_turns(
    coordinator: _Coordinator, planted: Planted, turns: int, shorts: int
) -> tuple[list[_Cost], list[_Cost]]:
    long_costs: list[_Cost] = []
    short_costs: list[_Cost] = []
    coordinator.follow()
    for _ in range(turns):
        parked = coordinator.orchestrator.open.pop(planted.scan_id)
        costs = [_short(coordinator) for _ in range(shorts)]
        short_costs.append(_Cost(median(cost.cpu for cost in costs), median(cost.elapsed for cost in costs)))
        coordinator.orchestrator.open[planted.scan_id] = parked
        long_costs.append(coordinator.complete(planted, planted.chunks // turns))
    return long_costs, short_costs


def _short(coordinator: _Coordinator) -> _Cost:
    planted = plant(coordinator.log, SHORT, max_workers=MAX_WORKERS)
    coordinator.follow()
    return coordinator.complete(planted, planted.chunks)


def _sizes(connection: Connection) -> dict[str, int]:
    """Bytes of each table, with its indexes and everything else that belongs to it."""
    found: dict[str, int] = {}
    for table in _TABLES:
        (size,) = connection.execute("SELECT pg_total_relation_size(%s)", (table,)).fetchone() or (0,)
        found[table] = int(str(size))
    return found


def _cost_table(chunks: int, long: Sequence[_Cost], short: Sequence[_Cost]) -> Table:
    table = Table("Cost of a chunk", ("", f"{chunks:,} chunks", f"{SHORT:,} chunks", "ratio", "aim"))
    for name, aim in (("cpu", f"≤ {AIM}"), ("elapsed", "")):
        ours, others = ([getattr(cost, name) * 1e6 for cost in costs] for costs in (long, short))
        table.add(f"µs {name}", figure(median(ours)), figure(median(others)), f"{ratio(ours, others):.2f}", aim)
    table.notes.append(f"CPU of the last part of the long scan against its first: {long[-1].cpu / long[0].cpu:.2f}")
    return table


def _size_table(sizes: Mapping[str, float]) -> Table:
    table = Table("Database", ("", "bytes a chunk", "MB per 100,000"))
    for name, size in sizes.items():
        table.add(name, figure(size), figure(size / 10))
    return table


def _replay_table(service: Installation, log: ScanLog, planted: Planted, chunks: int) -> Table:
    begin = time.perf_counter()
    log.scan(planted.scan_id)
    folded = time.perf_counter()
    replayed = w.rebuild_views(service.settings)
    rebuilt = time.perf_counter()
    table = Table("Replay", ("", "seconds per 100,000 chunks"))
    table.add("fold of one scan from its events", f"{(folded - begin) * 100_000 / planted.chunks:.2f}")
    table.add("rebuild of all views from the log", f"{(rebuilt - folded) * 100_000 / chunks:.2f}")
    table.notes.append(f"{replayed.events:,} events, of which {replayed.differing} rows came out otherwise")
    return table
