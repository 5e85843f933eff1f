"""Pings to webhooks from the API: a few at once, each on a loop of its own, so that a look-up that hangs holds nobody
else up."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Final

from application.ports import Clock
from domain.errors import ServiceUnavailable
from domain.webhook import Answered
from infrastructure.webhooks.http import Patience, WebhookHttp

_AT_ONCE: Final = 8


class WebhookTrials:
    """`Post`. `allowed` is as `target_of` takes it."""

    def __init__(self, allowed: Sequence[str], clock: Clock) -> None:
        self._allowed = allowed
        self._clock = clock
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    async def __call__(self, url: str, body: bytes, message_id: str, secrets: Sequence[str]) -> Answered:
        """What came back. Raises ServiceUnavailable while too many pings are under way."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Answered] = loop.create_future()
        if not self._free.acquire(blocking=False):
            raise ServiceUnavailable("Too many webhooks are being tested just now; try again in a moment.")

        def tell(answered: Answered) -> None:
            if not outcome.done():
                outcome.set_result(answered)

        async def ask() -> None:
            http = WebhookHttp(self._allowed, self._clock)
            answered = await http.post(url, body, message_id, secrets)
            # The API may have ended meanwhile.
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, answered)
            await http.close()

        def run() -> None:
            try:
                asyncio.run(ask())
            finally:
                self._free.release()

        threading.Thread(target=run, name=f"ping-{message_id}", daemon=True).start()
        try:
            return await asyncio.wait_for(outcome, Patience().total + 2)
        except TimeoutError:
            return Answered(None, "The receiver could not be asked in time.")
