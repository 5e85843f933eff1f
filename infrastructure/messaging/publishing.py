"""Publishing into streams with many messages on their way at once.

The library's own `publish` spends more on each request's token, timer and answer than on sending it.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NoAnswer
from nats.js.errors import APIError, NoStreamResponseError

_NO_RESPONDERS: Final = "503"


class _Answer(msgspec.Struct):
    """JetStream's answer to a message: stored (for the first time or not), or why not."""

    duplicate: bool = False
    error: dict[str, object] | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class Publisher:
    """Publishes over one connection; the answers come to one subscription, made at the first message."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = ""
        self._subscribing = asyncio.Lock()
        self._number = 0
        self._waiting: dict[str, asyncio.Future[_Answer]] = {}

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str] | None, timeout: float) -> bool:
        """Whether the message was stored now, and not before. Raises the library's errors, within `timeout` s."""
        await self._ensure_subscribed()
        self._number += 1
        token = str(self._number)
        loop = asyncio.get_running_loop()
        answer = self._waiting[token] = loop.create_future()
        expiry = loop.call_later(timeout, _expire, answer)
        try:
            await self._client.publish(subject, payload, f"{self._inbox}{token}", dict(headers) if headers else None)
            stored = await answer
        finally:
            expiry.cancel()
            del self._waiting[token]
        if stored.error is not None:
            raise APIError.from_error(stored.error)
        return not stored.duplicate

    async def _ensure_subscribed(self) -> None:
        if self._inbox:
            return
        async with self._subscribing:
            if not self._inbox:
                inbox = f"{self._client.new_inbox()}."
                await self._client.subscribe(f"{inbox}*", cb=self._on_answer)
                self._inbox = inbox

    async def _on_answer(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.removeprefix(self._inbox))
        if answer is None or answer.done():
            return
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            answer.set_exception(NoStreamResponseError())
            return
        try:
            answer.set_result(_decode(message.data))
        except msgspec.MsgspecError as error:
            answer.set_exception(APIError(description=f"not an answer of JetStream: {error}"))


def _expire(answer: "asyncio.Future[_Answer]") -> None:
    if not answer.done():
        answer.set_exception(NoAnswer())
