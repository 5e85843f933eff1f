"""A storm over a ring: scans under way without end, one fault after another, and everything made whole again."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import psutil
import structlog

from infrastructure.s3_server import S3Server
from tests.end_to_end.ring import ROLES, SERVERS, Ring
from tests.torture.chaos_proxy import ChaosProxy
from tests.torture.clients import Clients
from tests.torture.faults import MakeGood, Planned, Reach, lose_store
from tests.torture.figures import Journal, Struck, redeliveries
from tests.torture.sources import PREFIXES, Source, Sources, deep, flat, wide
from tests.torture.stormy_s3 import StormyS3

_TICK: Final = 0.02
_PATIENCE: Final = 15.0
_LONGEST_WAIT: Final = 60.0
_LAG: Final = 0.6
_SLOW_LAG: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Standing:
    """A fault that has not been made good."""

    until: float
    make_good: MakeGood
    given_up_at: float


@dataclass
class Storm:
    """`run` strikes in the order of the plan; what still holds its target is waited for."""

    reach: Reach
    rng: Random
    journal: Journal = field(default_factory=Journal)
    _standing: dict[str, _Standing] = field(default_factory=dict)

    def run(self, plan: Sequence[Planned]) -> None:
        """All of the plan; then everything is whole, and the API is ready."""
        due = time.monotonic()
        for fault in plan:
            due = max(due + fault.pause, time.monotonic() - 1)
            self._wait("its time comes", partial(_has_come, due))
            self._wait(f"{fault.holds} is whole", partial(self._is_free, fault.holds))
            self._strike(fault)
        self._wait("everything is whole", lambda: not self._standing)
        self.reach.ring.make_whole(scanners=2)

    def _is_free(self, name: str) -> bool:
        return name not in self._standing

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        tick, deadline = threading.Event(), time.monotonic() + _LONGEST_WAIT
        self._tick()
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {_LONGEST_WAIT} s"
            tick.wait(_TICK)
            self._tick()

    def _tick(self) -> None:
        """Make good what is due, and start again what ended of itself."""
        for name, standing in list(self._standing.items()):
            if time.monotonic() >= standing.until:
                self._make_good(name, standing)
        for name in (*SERVERS, *ROLES, "scanner-2"):
            if name not in self._standing and not self.reach.ring.alive(name):
                self.journal.died[name] += 1
                log.warning("storm.ended_of_itself", name=name)
                self.reach.ring.start(name)

    def _strike(self, fault: Planned) -> None:
        make_good: list[MakeGood] = []
        at = 0.0

        def struck() -> bool:
            nonlocal at
            at = time.time()
            with suppress(psutil.NoSuchProcess):
                make_good.extend(filter(None, [fault.kind.strike(self.reach, fault.target, self.rng)]))
            return bool(make_good)

        if fault.kind.strike is lose_store:
            self.journal.redelivered += redeliveries(self.reach.ring)
        self._wait(f"there is {fault.target}", struck)
        now = time.monotonic()
        self.journal.struck.append(Struck(at, fault.kind.name, fault.target))
        log.info("storm.struck", kind=fault.kind.name, target=fault.target, seconds=round(fault.seconds, 2))
        self._standing[fault.holds] = _Standing(now + fault.seconds, make_good[0], now + fault.seconds + _PATIENCE)

    def _make_good(self, name: str, standing: _Standing) -> None:
        if standing.make_good():
            del self._standing[name]
            return
        if time.monotonic() > standing.given_up_at:
            # As a supervisor would; told apart in the journal, for it should not be needed.
            self.journal.died[f"{name} (did not heed SIGTERM)"] += 1
            self.reach.ring.kill(name)


def _has_come(due: float) -> bool:
    return time.monotonic() >= due


@contextmanager
def open_reach(path: Path, readable: Path, server: S3Server, rng: Random) -> Iterator[Reach]:
    """A ring with two scanners whose every connection to a server goes through a proxy."""
    with ExitStack() as stack:
        links: dict[str, ChaosProxy] = {}

        def link(name: str, port: int) -> int:
            links[name] = stack.enter_context(ChaosProxy(port, Random(rng.random())))
            return links[name].port

        s3 = stack.enter_context(StormyS3(server, Random(rng.random()), lag=_LAG))
        ring = Ring(path, [readable])
        ring.link = link
        stack.enter_context(ring.running())
        ring.make_whole(scanners=2)
        yield Reach(ring, links, s3)


@contextmanager
def open_clients(
    reach: Reach, readable: Path, server: S3Server, rng: Random, *, size: int, together: int, slow: bool
) -> Iterator[Clients]:
    """Clients that scan folders and buckets of about 40 × `size` objects, alone and together.

    `slow`: and one bucket that is too slow for its scan to end in time.
    """
    with ExitStack() as stack:
        client = server.client()
        stack.callback(client.close)
        calm = stack.enter_context(StormyS3(server, Random(rng.random()), lag=_LAG))
        sources = Sources(reach.ring, readable, client, rng)
        mixes = _mixes(sources, calm, reach.s3, size)
        late: list[Source] = []
        if slow:
            proxy = stack.enter_context(StormyS3(server, Random(rng.random()), lag=_SLOW_LAG))
            late.append(sources.bucket("slow", wide(40), proxy, stormy=False, prefixes=PREFIXES))
        ring = reach.ring
        clients = Clients(ring.client, ring.database_url, mixes, late, Random(rng.random()), together=together)
        stack.callback(clients.abandon)
        yield clients


def _mixes(sources: Sources, calm: StormyS3, stormy: StormyS3, size: int) -> list[list[Source]]:
    """What is scanned together. Nothing is done to folders and to what goes through `calm`."""
    small = sources.folder("small", flat(40))
    long_keys = sources.folder("long-keys", deep(100 * size))
    many = sources.folder("many", wide(8 * size), prefixes=PREFIXES, large=2)
    calm_bucket = sources.bucket("calm", wide(3 * size), calm, stormy=False, prefixes=PREFIXES, large=1)
    stormy_bucket = sources.bucket("stormy", wide(4 * size), stormy, stormy=True, prefixes=PREFIXES, large=2)
    flat_bucket = sources.bucket("flat", flat(30 * size), stormy, stormy=True, large=1)
    return [[small], [long_keys], [many], [calm_bucket], [many, calm_bucket], [stormy_bucket], [flat_bucket]]
