"""A log, a NATS server of a test's own, and publishers between them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from application.ports import Append
from domain.errors import ServiceUnavailable
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.event_stream import EventStream
from infrastructure.messaging.rights import COORDINATOR, INBOX_PREFIX
from infrastructure.messaging.streams import COMMANDS, EVENTS, REPORTS, Limits, ensure_streams
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.event_tail import EventTail
from infrastructure.settings import Broker as Address
from tests.domain.given import queued
from tests.domain.samples import SAMPLES
from workers.publisher import EventPublisher

STARTED = next(event for event in SAMPLES if event.kind == "scan.chunk-started")
USUAL = Limits()
TWO_WEEKS = timedelta(days=14)

_scans = itertools.count(1)


@dataclass
class Bench:
    """A server whose EVENTS is empty, and a log."""

    server: EmbeddedNats
    url: str
    log: PostgresScanLog
    broker: Broker
    tails: list[EventTail] = field(default_factory=list)

    def record(self, count: int, *, tenant: str = "acme", ago: timedelta = timedelta(), prefix: str = "") -> str:
        """Record a new scan with so many events that happened so long ago; gives its id."""
        scan = f"scan-{next(_scans)}"
        at = datetime.now(UTC) - ago
        first = replace(queued(prefixes=(prefix,)), at=at, tenant=tenant)
        self.log.append([Append(scan, 0, [first, *[replace(STARTED, at=at)] * (count - 1)])])
        return scan

    def positions(self) -> list[int]:
        return [recorded.position for recorded in self.log.read(0, 1_000_000)]

    def publisher(self, *, keeps: timedelta = TWO_WEEKS, broker: Broker | None = None) -> EventPublisher:
        tail = EventTail(self.url)
        self.tails.append(tail)
        return EventPublisher(tail, EventStream(broker or self.broker), keeps=keeps, settle=0.1, poll=0.1)

    def forget_connections(self) -> None:
        """Close all connections of publishers to the log."""
        for tail in self.tails:
            tail.close()

    @asynccontextmanager
    async def publishing(self, *publishers: EventPublisher) -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = [asyncio.create_task(publisher.run(stop)) for publisher in publishers or [self.publisher()]]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*running)

    async def sequences(self) -> tuple[int, int]:
        return await EventStream(self.broker).bounds()

    async def last_sequence(self) -> int:
        """0 while the server is away."""
        with suppress(ServiceUnavailable):
            return (await self.sequences())[1]
        return 0

    async def messages(self) -> list[Msg]:
        """All that EVENTS holds, in order."""
        first, last = await self.sequences()
        if last < first:
            return []
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=5)
        pull = await self.broker.jetstream.pull_subscribe("", stream=EVENTS, config=config)
        found: list[Msg] = []
        while len(found) < last - first + 1:
            found += await pull.fetch(min(500, last - first + 1 - len(found)), timeout=10)
        await pull.unsubscribe()
        return found

    async def published(self) -> list[str]:
        """The ids of all messages that EVENTS holds, in order."""
        return [(message.headers or {}).get("Nats-Msg-Id", "") for message in await self.messages()]

    async def renew(self, limits: Limits = USUAL) -> None:
        """As after a loss of all that NATS had stored, and the making anew of what was lost."""
        for stream in (EVENTS, COMMANDS, REPORTS):
            with suppress(NotFoundError):
                await self.broker.jetstream.delete_stream(stream)
        await ensure_streams(self.broker.jetstream, ack_wait=30, limits=limits)


def expected(positions: list[int], generation: int = 1) -> list[str]:
    return [f"{generation}/{position}" for position in positions]


@asynccontextmanager
async def connected(server: EmbeddedNats) -> AsyncIterator[Broker]:
    name, password = server.login(COORDINATOR)
    address = Address(server.url, name, SecretStr(password), None, INBOX_PREFIX)
    broker = await Broker(address, name="bench").connect(patience=5)
    try:
        yield broker
    finally:
        await broker.close()


def with_bench(
    server: EmbeddedNats,
    url: str,
    test: Callable[[Bench], Coroutine[Any, Any, None]],
    *,
    limits: Limits = USUAL,
) -> None:
    """Run `test` on the log at `url` and on a fresh stream of events."""

    async def body() -> None:
        async with connected(server) as broker:
            bench = Bench(server, url, PostgresScanLog(url), broker)
            await bench.renew(limits)
            try:
                await test(bench)
            finally:
                bench.forget_connections()
                bench.log.close()

    asyncio.run(body())
