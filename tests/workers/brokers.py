"""A NATS server of the workers' tests, with the ring's streams, and connections to it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from nats.js.errors import NotFoundError
from pydantic import SecretStr

from application.messages import Telemetry, WorkInHand
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.rights import COORDINATOR, INBOX_PREFIX
from infrastructure.messaging.streams import (
    COMMANDS,
    CONTROL,
    REPORTS,
    ensure_pool,
    ensure_streams,
    telemetry_subject,
)
from infrastructure.settings import Broker as Address

ACK_WAIT = 1.0


@dataclass(frozen=True)
class Brokers:
    server: EmbeddedNats

    @asynccontextmanager
    async def connected(self, *, fresh: bool = True) -> AsyncIterator[Broker]:
        """A coordinator's connection; with `fresh`, to empty streams."""
        user, password = self.server.login(COORDINATOR)
        address = Address(self.server.url, user, SecretStr(password), None, INBOX_PREFIX)
        broker = await Broker(address, name="test").connect(patience=5)
        try:
            if fresh:
                await _renew(broker)
            yield broker
        finally:
            await broker.close()


async def _renew(broker: Broker) -> None:
    for stream in (COMMANDS, REPORTS, CONTROL):
        try:
            await broker.jetstream.delete_stream(stream)
        except NotFoundError:
            continue
    await ensure_streams(broker.jetstream, ack_wait=ACK_WAIT)
    await ensure_pool(broker.jetstream, "default", ack_wait=ACK_WAIT)


async def until(holds: Callable[[], bool | Awaitable[bool]], *, within: float = 10.0) -> None:
    """Wait until `holds()` is true. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await pause(0.01)


def login_refused(url: str, **login: str) -> bool:
    """Whether the server lets nobody in who shows this. In NATS's own words, for its library leaves sockets open."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=5) as connection:
        told = connection.makefile("rb")
        assert told.readline().startswith(b"INFO ")
        connection.sendall(b"CONNECT %s\r\nPING\r\n" % json.dumps({"verbose": False, **login}).encode())
        answer = told.readline()
        told.close()
    assert answer in {b"PONG\r\n", b"-ERR 'Authorization Violation'\r\n"}
    return answer != b"PONG\r\n"


async def pause(seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def tell(broker: Broker, scanner: str, *work: WorkInHand, slots: int = 2, stopping: bool = False) -> None:
    """What a scanner says of itself once a second."""
    telemetry = Telemetry(scanner=scanner, pool="default", slots=slots, stopping=stopping, work=list(work))
    await broker.client.publish(telemetry_subject(scanner), telemetry.model_dump_json().encode())
