"""Chunks a second around the whole ring, beside a ring of NATS alone (command → ack) in the same run.

Both run on the same servers, with the same streams and commands of the same size, as many outstanding, through the same
publishing and pulling code. The ring has all its processes and PostgreSQL; the floor has a publisher and a worker.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import uvloop

import infrastructure.wiring as w
from application import object_columns
from application.fairness import window
from application.messages import ScanChunk, Source
from application.ports import ScanLog
from benchmarks.installation import Installation, cpu_seconds, installed, new_id, wait_for
from benchmarks.planted import FILES_A_CHUNK, plant
from benchmarks.ring_workers import FLOOR_POOL
from benchmarks.tables import Table, figure, median, ratio
from domain.connector import ConnectorType
from domain.manifest import ObjectInfo
from infrastructure.messaging.streams import ensure_pool, workers_consumer

AIM = 0.6
CHUNKS = {1: 2_000, 8: 5_000, 64: 8_000}
"""Chunks of one round, by slots."""
_AT_ONCE = 64
_WARM_UP = 1_000


@dataclass(slots=True)
class _Rates:
    """Of each round: chunks a second, and CPU microseconds a chunk of all processes together."""

    chunks: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, measured: Callable[[], float], chunks: int) -> None:
        before = cpu_seconds()
        self.chunks.append(measured())
        self.cpu.append((cpu_seconds() - before) / chunks * 1e6)


def run(*, quick: bool) -> None:
    rounds, share = (1, 5) if quick else (3, 1)
    columns = ("slots", "ring/s", "NATS only/s", "ratio", "aim", "CPU µs, ring", "CPU µs, NATS only")
    table = Table("Ring: no-op chunks a second, beside NATS alone", columns)
    with installed() as service, ExitStack() as stack:
        for role in ("orchestrator", "recorder", "projector"):
            stack.enter_context(service.process("coordinator", ["workers", role]))
        log = w.open_log(service.settings)
        for slots, chunks in CHUNKS.items():
            with _workers(service, slots):
                ours, floor = measure(service, log, slots, rounds, chunks // share)
            rates = figure(median(ours.chunks)), figure(median(floor.chunks))
            beside = f"{ratio(ours.chunks, floor.chunks):.2f}", f"≥ {AIM:.2f}"
            table.add(str(slots), *rates, *beside, figure(median(ours.cpu)), figure(median(floor.cpu)))
    table.notes.append(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    table.show()


@contextmanager
def _workers(service: Installation, slots: int) -> Iterator[None]:
    with (
        service.process("scanner", ["benchmarks.ring_workers", "noop"], workers=slots),
        service.process("scanner", ["benchmarks.ring_workers", "bare"], workers=slots),
    ):
        yield


def measure(service: Installation, log: ScanLog, slots: int, rounds: int, chunks: int) -> tuple[_Rates, _Rates]:
    """Alternating rounds, after one that is not counted: the ring, and NATS alone."""
    ours, floor = _Rates(), _Rates()
    ring(log, _WARM_UP)
    uvloop.run(nats_only(service, slots, _WARM_UP))
    for _ in range(rounds):
        ours.add(lambda: ring(log, chunks), chunks)
        floor.add(lambda: uvloop.run(nats_only(service, slots, chunks)), chunks)
    return ours, floor


def ring(log: ScanLog, chunks: int, *, max_workers: int = 1_024) -> float:
    """Chunks a second, from the moment the scan stands in the log until its end does."""
    planted = plant(log, chunks, max_workers=max_workers)
    begin = w.utc_now()
    wait_for(lambda: log.course(planted.scan_id).status.ended, seconds=60, every=0.1)
    ended_at = log.course(planted.scan_id).ended_at
    assert ended_at is not None
    return planted.chunks / (ended_at - begin).total_seconds()


async def nats_only(service: Installation, slots: int, count: int) -> float:
    """Chunks a second when a publisher keeps the orchestrator's window outstanding and a worker acknowledges.

    The publisher learns what is done by listening to the acknowledgements on their way to the stream.
    """
    broker = await w.open_broker(service.settings, "coordinator")
    await ensure_pool(broker.jetstream, FLOOR_POOL, ack_wait=service.settings.ack_wait_seconds)
    publisher = _Publisher(broker, slots, count)
    await broker.client.subscribe(f"$JS.ACK.COMMANDS.{workers_consumer(FLOOR_POOL)}.>", cb=publisher.acknowledged)
    rate = await publisher.run()
    await broker.close()
    return rate


class _Publisher:
    def __init__(self, broker: w.Broker, slots: int, count: int) -> None:
        self._broker, self._slots, self._count = broker, slots, count
        self._scan = new_id("scan")
        self._sent = self._acked = 0
        self._progress = asyncio.Event()
        self._begin = 0.0

    async def acknowledged(self, _: w.Message) -> None:
        self._acked += 1
        self._progress.set()

    async def run(self) -> float:
        self._begin = time.perf_counter()
        while self._acked < self._count:
            room = min(self._window() - (self._sent - self._acked), self._count - self._sent, _AT_ONCE)
            if room > 0:
                first, self._sent = self._sent, self._sent + room
                await asyncio.gather(*(self._publish(number) for number in range(first, first + room)))
                continue
            self._progress.clear()
            await asyncio.wait_for(self._progress.wait(), 10)
        return self._count / (time.perf_counter() - self._begin)

    def _window(self) -> int:
        rate = self._acked / max(0.25, time.perf_counter() - self._begin)
        return window(self._slots, rate)

    async def _publish(self, number: int) -> None:
        body = _command(self._scan, number)
        subject = w.chunk_subject(FLOOR_POOL, self._scan)
        await self._broker.publish_stored(subject, body, message_id=f"{self._scan}/{number}/1")


def _command(scan: str, number: int) -> bytes:
    """A command of the size that the ring's have."""
    return _BODY.replace(b"scan-0123456789ab", scan.encode()).replace(b"4242", str(number).encode(), 1)


_FIRST = 4_242 * FILES_A_CHUNK
_BODY = (
    ScanChunk(
        scan="scan-0123456789ab",
        pool=FLOOR_POOL,
        chunk=4_242,
        attempt=1,
        plan="2025-06-01T12:00:00.000000+00:00",
        source=Source(connector="conn-0123456789ab", type=ConnectorType.FILESYSTEM, config={"root": "/tmp"}),
        start_index=_FIRST,
        end_index=_FIRST + FILES_A_CHUNK - 1,
        indexes=list(range(_FIRST, _FIRST + FILES_A_CHUNK)),
        objects=object_columns.to_text(
            [ObjectInfo(f"data/year=2000/part-{n:09d}.csv", 1_000, f"{n:032x}") for n in range(FILES_A_CHUNK)]
        ),
    )
    .model_dump_json()
    .encode()
)
