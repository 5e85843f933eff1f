"""Live events to many clients at once: deliveries a second, beside a server that only writes the same bytes.

Every client follows all events of the tenant. The floor writes one ready-made chunk to as many connections, on the same
loop, with nothing to read, decode or decide.
"""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

import infrastructure.wiring as w
from benchmarks.events import BATCH, completion
from benchmarks.installation import ROOT, Installation, installed, wait_for
from benchmarks.planted import Planted, plant
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.embedded.folder import free_port
from infrastructure.postgres.tenants import DEFAULT_TENANT, bootstrap

MARK = b"data: {"


class Client(asyncio.Protocol):
    """Sends one request and counts the events that come."""

    def __init__(self, request: bytes) -> None:
        self.events = 0
        self.opened = False
        self._request = request
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.opened = True
        seen = self._tail + data
        self.events += seen.count(MARK)
        self._tail = seen[-(len(MARK) - 1) :]


@dataclass(frozen=True)
class Load:
    """`ports` of the API and the floor, `pid` of the API."""

    service: Installation
    planted: Planted
    key: str
    ports: tuple[int, int]
    clients: int
    rounds: int
    batches: int
    pid: int


def run(*, quick: bool) -> None:
    clients, rounds, batches = (50, 1, 2) if quick else (1_000, 5, 5)
    with installed() as service, ExitStack() as running:
        settings = service.settings
        key = bootstrap(service.database_url, settings.encryption_key_bytes(), tier="enterprise")
        planted = plant(w.open_log(settings), BATCH * batches * rounds, max_workers=64, tenant=DEFAULT_TENANT)
        ports = free_port(), free_port()
        api = running.enter_context(service.process("api", ["api"], port=ports[0]))
        running.enter_context(_floor(ports[1]))
        load = Load(
            service=service,
            planted=planted,
            key=key,
            ports=ports,
            clients=clients,
            rounds=rounds,
            batches=batches,
            pid=api.pid,
        )
        figures = asyncio.run(_measured(load))
    _show(clients, *figures)


@contextmanager
def _floor(port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_fanout", str(port)], cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


async def _measured(load: Load) -> tuple[list[float], list[float], list[float], tuple[float, float, float]]:
    """Deliveries a second, those of the floor, ms to the last client of a batch; MB before, with clients, after."""
    await asyncio.to_thread(wait_for, lambda: all(map(_listens, load.ports)), seconds=20)
    memory = psutil.Process(load.pid).memory_info
    before = memory().rss / 1e6
    ours = await _connected(
        load.ports[0], f"GET /api/v1/events/live HTTP/1.1\r\nAuthorization: Bearer {load.key}\r\n", load.clients
    )
    bare = await _connected(load.ports[1], "GET / HTTP/1.1\r\n", load.clients)
    connected = memory().rss / 1e6
    recorder = w.open_recorder(load.service.settings)
    recorder.scan(load.planted.scan_id)
    chunks = iter(range(load.planted.chunks))
    rates: list[float] = []
    floor: list[float] = []
    delays: list[float] = []
    for _ in range(load.rounds):
        begun = time.perf_counter()
        for _ in range(load.batches):
            reports = [completion(load.planted, next(chunks)) for _ in range(BATCH)]
            delays.append(await _delivered(ours, lambda said=reports: recorder.record(said)) * 1e3)
        rates.append(load.clients * BATCH * load.batches / (time.perf_counter() - begun))
        seconds = [await _delivered(bare, lambda: _listens(load.ports[1])) for _ in range(load.batches)]
        floor.append(load.clients * BATCH * load.batches / sum(seconds))
    return rates, floor, delays, (before, connected, memory().rss / 1e6)


def _listens(port: int) -> bool:
    """Whether a server does; to the floor a new connection is also the sign to send a batch to all others."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _connected(port: int, head: str, clients: int) -> list[Client]:
    loop = asyncio.get_running_loop()
    request = f"{head}Host: 127.0.0.1\r\n\r\n".encode()
    opened = [Client(request) for _ in range(clients)]
    for client in opened:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await until(lambda: all(client.opened for client in opened))
    return opened


async def _delivered(clients: list[Client], act: Callable[[], object]) -> float:
    """Seconds from `act` until every client has one batch more."""
    wanted = [client.events + BATCH for client in clients]
    begun = time.perf_counter()
    await asyncio.to_thread(act)
    await until(lambda: all(client.events >= want for client, want in zip(clients, wanted, strict=True)))
    return time.perf_counter() - begun


async def until(holds: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    while not holds():
        # What comes in meanwhile is read by the loop.
        turn = loop.create_future()
        loop.call_later(0.002, turn.set_result, None)
        await turn


def _show(
    clients: int, ours: list[float], floor: list[float], delays: list[float], megabytes: tuple[float, float, float]
) -> None:
    table = Table(f"Events to {clients:,} live clients, {BATCH} at once", ("", "deliveries/s", "ratio"))
    table.add("the API, with recording", figure(median(ours)), f"{ratio(ours, floor):.2f}")
    table.add("the same bytes, only written", figure(median(floor)), "")
    table.notes.append(f"from the reports to the last client: median {median(delays):.0f} ms for {BATCH} events")
    before, connected, after = megabytes
    table.notes.append(
        f"the API's memory: {before:.0f} MB alone, {connected:.0f} with all clients, {after:.0f} at the end"
    )
    table.show()
