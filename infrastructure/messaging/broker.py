"""A connection to NATS that outlives the server, and publishing that ends only when the message is stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from application.tracing import TRACEPARENT, current
from domain.errors import Permanent, ServiceUnavailable
from infrastructure.messaging.publishing import Publisher
from infrastructure.settings import Broker as Address

PUBLISH_TIMEOUT: Final = 5.0
_AWAY = (NatsError, JetStreamError, TimeoutError, OSError)

HEADERS_ROOM: Final = 1_024

STORE_FAILED: Final = 10077
"""JetStream's code for a message that is beyond a stream's limits."""

_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 2.0
_LONGEST_DELAY_WHEN_FULL: Final = 0.25
"""A stream makes room with every acknowledgement; a server that is away takes its time."""

log = structlog.get_logger(__name__)


class StreamFull(ServiceUnavailable):
    """The server is there, and the stream takes nothing more for now."""


class MessageTooLarge(Permanent):
    """The server takes no message of this size, now or ever."""


class Broker:
    """One connection, reconnecting for ever. What must happen after each reconnection is told to `on_reconnect`."""

    def __init__(self, address: Address, *, name: str) -> None:
        self._address = address
        self._name = name
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._catching_up: set[asyncio.Task[None]] = set()
        self.giving_up = False
        self.client = Client()
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=PUBLISH_TIMEOUT)
        self._publisher = Publisher(self.client)

    async def connect(self, *, patience: float | None = None) -> "Broker":
        """Connect, waiting `patience` seconds for the server (None: for ever). Raises ServiceUnavailable."""
        deadline = None if patience is None else asyncio.get_running_loop().time() + patience
        while True:
            try:
                await self._connect_once()
            except _AWAY as error:
                if deadline is not None and asyncio.get_running_loop().time() > deadline:
                    raise ServiceUnavailable(f"The broker does not answer at {self._address.url}.") from error
                log.info("broker.waiting", connection=self._name, error=type(error).__name__)
                await asyncio.sleep(0.3)
            else:
                return self

    async def _connect_once(self) -> None:
        address = self._address
        await self.client.connect(
            servers=address.url.split(","),
            name=self._name,
            user=address.user,
            password=address.password.get_secret_value() if address.password else None,
            user_credentials=str(address.credentials) if address.credentials else None,
            inbox_prefix=address.inbox_prefix,
            connect_timeout=3,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds; the library waits fractions as well
            max_reconnect_attempts=-1,
            # A connection that a cancelled flush left without its reader is noticed within two of these.
            ping_interval=5,
            max_outstanding_pings=2,
            allow_reconnect=True,
            error_cb=self._on_error,
            reconnected_cb=self._on_reconnected,
        )

    def on_reconnect(self, action: Callable[[], Awaitable[None]]) -> None:
        self._reconnected.append(action)

    async def _on_reconnected(self) -> None:
        log.info("broker.reconnected", connection=self._name)
        # In tasks of their own: the library reads no message, nor notices another loss, before this returns.
        for action in self._reconnected:
            task = asyncio.create_task(self._catch_up(action))
            self._catching_up.add(task)
            task.add_done_callback(self._catching_up.discard)

    async def _catch_up(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except Exception as error:  # noqa: BLE001 — the connection may be gone again; then all is done anew
            log.warning("broker.catching_up_failed", connection=self._name, error=str(error) or type(error).__name__)

    async def _on_error(self, error: Exception) -> None:
        log.debug("broker.error", connection=self._name, error=str(error) or type(error).__name__)

    @property
    def connected(self) -> bool:
        return bool(self.client.is_connected)

    def _require_connected(self) -> None:
        # Asked of a connection that is down, the library waits for its time-out.
        if not self.connected:
            raise ServiceUnavailable("The broker does not answer.")

    async def publish_stored(
        self, subject: str, payload: bytes, *, message_id: str, wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        """Publish until JetStream says it is stored, however long that takes; false if it had been stored before.

        A full stream (`discard: new`) or a server that is away makes this wait: that is the back-pressure. Raises
        ServiceUnavailable only after `give_up` or when it is not `wanted()` any more, and MessageTooLarge at once.
        """
        delay = _FIRST_DELAY
        while True:
            try:
                return await self.publish_once(subject, payload, message_id=message_id)
            except ServiceUnavailable as error:
                if self.giving_up or not wanted():
                    raise
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_WHEN_FULL if isinstance(error, StreamFull) else _LONGEST_DELAY)

    async def publish_once(
        self, subject: str, payload: bytes, *, message_id: str | None = None, timeout: float = PUBLISH_TIMEOUT
    ) -> bool:
        """Publish into a stream; false if it had been stored before. Raises ServiceUnavailable or MessageTooLarge."""
        headers = {"Nats-Msg-Id": message_id} if message_id else {}
        if (context := current()) is not None:
            headers[TRACEPARENT] = context
        self._require_connected()
        if len(payload) + HEADERS_ROOM > self.client.max_payload:
            raise MessageTooLarge(f"A message of {len(payload)} bytes is more than the broker takes.")
        try:
            return await self._publisher.publish(subject, payload, headers, timeout)
        except APIError as error:
            full = error.err_code == STORE_FAILED
            raise (StreamFull if full else ServiceUnavailable)(f"NATS: {error.description}.") from error
        except _AWAY as error:
            raise ServiceUnavailable("The broker does not answer.") from error

    async def latest(self, stream: str, subject: str) -> bytes | None:
        """The last message of a subject, by direct get; None if there is none. Raises ServiceUnavailable."""
        self._require_connected()
        try:
            message = await self.jetstream.get_msg(stream, subject=subject, direct=True)
        except NotFoundError:
            return None
        except APIError as error:
            if error.code == 404:
                return None
            raise ServiceUnavailable("The broker does not answer.") from error
        except _AWAY as error:
            raise ServiceUnavailable("The broker does not answer.") from error
        return message.data or b""

    async def subjects(self, stream: str) -> Collection[str]:
        """The subjects of all messages a stream holds. Raises ServiceUnavailable."""
        self._require_connected()
        try:
            state = (await self.jetstream.stream_info(stream, subjects_filter=">")).state
        except _AWAY as error:
            raise ServiceUnavailable("The broker does not answer.") from error
        return (state.subjects or {}).keys()

    async def message_ids(self, stream: str) -> AsyncIterator[str]:
        """The ids of all messages a stream holds, in order. Raises ServiceUnavailable."""
        sequence = 1
        while True:
            self._require_connected()
            try:
                message = await self.jetstream.get_msg(stream, seq=sequence, subject=">", direct=True, next=True)
            except NotFoundError:
                return
            except APIError as error:
                if error.code == 404:
                    return
                raise ServiceUnavailable("The broker does not answer.") from error
            except _AWAY as error:
                raise ServiceUnavailable("The broker does not answer.") from error
            sequence = (message.seq or 0) + 1
            if message.headers and "Nats-Msg-Id" in message.headers:
                yield message.headers["Nats-Msg-Id"]

    def give_up(self) -> None:
        """The process ends: who waits for a server that is away waits no longer."""
        self.giving_up = True

    async def close(self) -> None:
        """Send what is buffered, then disconnect."""
        with contextlib.suppress(*_AWAY):
            if self.connected:
                await self.client.flush(timeout=2)
        with contextlib.suppress(*_AWAY):
            await self.client.close()
