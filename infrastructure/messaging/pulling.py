"""Pulling from a JetStream consumer, through server restarts and lost requests.

The library's `fetch` stalls when the server restarts under it. Here every request has a deadline of its own, a
reconnection asks again at once, and what arrives beyond what was asked for goes back.
"""

import asyncio
import contextlib
import json
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from infrastructure.messaging.broker import Broker

_EXPIRES: Final = 20.0
_LATE: Final = 2.0
_EXPIRED: Final = "408"
_PENDING: Final = "Nats-Pending-Messages"

log = structlog.get_logger(__name__)


class Pull:
    """Messages of one durable consumer. `release(n)` allows n more to be in hand; each message takes one.

    A request stands for `expires` seconds, then it is made again.
    """

    def __init__(self, broker: Broker, stream: str, consumer: str, *, expires: float = _EXPIRES) -> None:
        self._broker = broker
        self._expires = expires
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = broker.client.new_inbox()
        self._messages: asyncio.Queue[Msg] = asyncio.Queue()
        self._wanted = 0
        self._requests: dict[str, tuple[int, float]] = {}
        self._number = 0
        self._subscription: Subscription | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._subscription = await self._broker.client.subscribe(f"{self._inbox}.*", cb=self._on_message)
        self._broker.on_reconnect(self._ask_anew)
        self._ticker = asyncio.create_task(self._tick())

    async def release(self, count: int = 1) -> None:
        """Allow `count` more messages."""
        self._wanted += count
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_soon())

    async def next(self) -> Msg:
        return await self._messages.get()

    def waiting(self) -> int:
        """Messages that have arrived and not been taken."""
        return self._messages.qsize()

    async def stop(self) -> list[Msg]:
        """Ask for no more; gives the messages that had arrived and were not taken."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._subscription is not None:
            with contextlib.suppress(Exception):
                await self._subscription.unsubscribe()
        return [self._messages.get_nowait() for _ in range(self._messages.qsize())]

    async def _on_message(self, message: Msg) -> None:
        if _is_status(message):
            await self._over(message)
            return
        self._served(1)
        if self._wanted <= 0:
            # A request from before a reconnection can be served as well as the one that replaced it.
            await message.nak()
            return
        self._wanted -= 1
        self._messages.put_nowait(message)

    def _served(self, count: int) -> None:
        """Count messages against the oldest requests: they do not say which one they answer."""
        for request, (remaining, deadline) in list(self._requests.items()):
            if not count:
                return
            taken = min(count, remaining)
            count -= taken
            if taken == remaining:
                del self._requests[request]
            else:
                self._requests[request] = (remaining - taken, deadline)

    async def _over(self, status: Msg) -> None:
        """A request has ended without being served in full."""
        headers = status.headers or {}
        remaining, _ = self._requests.pop(status.subject.rpartition(".")[2], (0, 0.0))
        # The server serves its requests in turn; so what was counted against this one may have come from others.
        self._served(max(0, int(headers.get(_PENDING, remaining)) - remaining))
        if headers.get("Status") == _EXPIRED:
            await self._ask()

    async def _ask_soon(self) -> None:
        """One request for everything that is released at the same moment."""
        await asyncio.sleep(0)
        self._asking = None
        # What could not be asked for now is asked for at the next tick.
        with contextlib.suppress(Exception):
            await self._ask()

    async def _ask(self) -> None:
        missing = self._wanted - sum(remaining for remaining, _ in self._requests.values())
        if missing <= 0 or not self._broker.connected or self._subscription is None:
            return
        self._number += 1
        request = str(self._number)
        self._requests[request] = (missing, asyncio.get_running_loop().time() + self._expires + _LATE)
        body = json.dumps({"batch": missing, "expires": int(self._expires * 1e9)}).encode()
        try:
            await self._broker.client.publish(self._subject, body, reply=f"{self._inbox}.{request}")
        except Exception:
            self._requests.pop(request, None)
            raise

    async def _ask_anew(self) -> None:
        self._requests.clear()
        await self._ask()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            now = asyncio.get_running_loop().time()
            self._requests = {key: value for key, value in self._requests.items() if value[1] > now}
            with contextlib.suppress(Exception):
                await self._ask()


def _is_status(message: Msg) -> bool:
    """Whether the server says why there is no message (404, 408, 409…) instead of giving one."""
    return bool(message.headers) and "Status" in message.headers  # type: ignore[operator]  # bool() has ruled out None
