"""Publishing a batch behind the known end of a stream, with all of it on its way at once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from domain.errors import ServiceUnavailable
from infrastructure.messaging.broker import PUBLISH_TIMEOUT, STORE_FAILED, Broker, StreamFull

EXPECTED: Final = "Nats-Expected-Last-Sequence"
_WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be stored."""

    subject: str
    headers: Mapping[str, str]
    body: bytes


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    duplicate: bool = False
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(slots=True)
class _Batch:
    size: int
    over: "asyncio.Future[bool]"
    tokens: str
    stored: int = 0


class Pipeline:
    """Publishes one batch at a time over one connection; the answers come to one subscription."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._inbox = ""
        self._number = 0
        self._batch: _Batch | None = None
        broker.on_reconnect(self._interrupted)

    async def publish(self, messages: Sequence[Outgoing], *, after: int) -> bool:
        """Store `messages` in order right behind sequence `after`; false if the stream ends elsewhere.

        Each says which sequence it is to follow, so none is stored out of its place, whoever else publishes and
        whatever gets lost. After anything but true some of the first may have been stored: look at the stream's end.
        Raises StreamFull or ServiceUnavailable.
        """
        await self._ensure_subscribed()
        self._number += 1
        batch = _Batch(len(messages), asyncio.get_running_loop().create_future(), f"{self._number}.")
        self._batch = batch
        try:
            for index, message in enumerate(messages):
                if batch.over.done():
                    break
                headers = {**message.headers, EXPECTED: str(after + index)}
                reply = f"{self._inbox}{batch.tokens}{index}"
                await self._broker.client.publish(message.subject, message.body, reply, headers)
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                return await batch.over
        except (NatsError, TimeoutError, OSError) as error:
            raise ServiceUnavailable("The broker does not answer.") from error
        finally:
            self._batch = None
            if not batch.over.cancel() and not batch.over.cancelled():
                # Looked at, or asyncio would complain that nobody did.
                batch.over.exception()

    async def _ensure_subscribed(self) -> None:
        if not self._broker.connected:
            # Asked of a connection that is down, the library keeps the messages and sends them later.
            raise ServiceUnavailable("The broker does not answer.")
        if not self._inbox:
            inbox = f"{self._broker.client.new_inbox()}."
            await self._broker.client.subscribe(f"{inbox}>", cb=self._on_answer)
            self._inbox = inbox

    async def _interrupted(self) -> None:
        """The answers that had not come never will."""
        if self._batch is not None and not self._batch.over.done():
            self._batch.over.set_exception(ServiceUnavailable("The broker was away."))

    async def _on_answer(self, message: Msg) -> None:
        batch = self._batch
        if batch is None or batch.over.done() or not message.subject.startswith(batch.tokens, len(self._inbox)):
            return
        if fault := _fault(message):
            batch.over.set_exception(fault)
            return
        answer = _decode(message.data)
        if answer.error is not None or answer.duplicate:
            batch.over.set_result(False)
            return
        batch.stored += 1
        if batch.stored == batch.size:
            batch.over.set_result(True)


def _fault(message: Msg) -> ServiceUnavailable | None:
    """What is wrong with the server or the stream, not with where it ends."""
    if message.headers and "Status" in message.headers:
        return ServiceUnavailable("NATS: there is no such stream.")
    error = _decode(message.data).error
    if error is None or error.err_code in _WRONG_LAST_SEQUENCE:
        return None
    return (StreamFull if error.err_code == STORE_FAILED else ServiceUnavailable)(f"NATS: {error.description}.")
