"""Telling what a piece of work comes to, while the work goes on."""

import asyncio
from collections.abc import Awaitable, Callable


class Reporting:
    """The reports of one piece of work: each is on its way while the work goes on; the next waits for it."""

    def __init__(self, publish: Callable[[bytes], Awaitable[None]], announce: Callable[[], Awaitable[None]]) -> None:
        self._publish = publish
        self._announce = announce
        self._timer: asyncio.TimerHandle | None = None
        self._announcing: asyncio.Future[None] | None = None
        self._storing: asyncio.Future[None] | None = None

    async def announce(self) -> None:
        """Say that the work has begun; returns when that is stored."""
        await self._announce()

    def announce_after(self, seconds: float) -> None:
        """Say so after a while, unless the work is over by then."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin_announcing)

    def _begin_announcing(self) -> None:
        self._announcing = asyncio.ensure_future(self._announce())

    async def report(self, body: bytes) -> None:
        """Put a report on its way, as soon as the one before is stored. Raises MessageTooLarge if that one is."""
        await self._stored()
        self._storing = asyncio.ensure_future(self._publish(body))

    async def done(self) -> None:
        """Returns when all that was reported is stored. Raises MessageTooLarge."""
        if self._timer is not None:
            self._timer.cancel()
        if self._announcing is not None:
            await self._announcing
        await self._stored()

    async def _stored(self) -> None:
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing
