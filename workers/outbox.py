"""What is on its way into a stream, which may be full or away: nothing else waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

_AT_ONCE: Final = 64
"""Bodies in memory: a command can be nearly a megabyte."""


class Outbox:
    """Sends things side by side, each known by its key while it is under way. It ends with its term of leadership."""

    def __init__(self, failed: Callable[[], None]) -> None:
        """`failed()` is called when something could not be sent for a reason other than the end."""
        self._failed = failed
        self._failure: BaseException | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bulk = asyncio.Semaphore(_AT_ONCE)
        self.over = False

    def put(self, key: str, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have `send()` run; nothing happens while another one goes by the same key, and after the end."""
        if self.over or self.under_way(key):
            return
        task = self._tasks[key] = asyncio.create_task(send())
        task.add_done_callback(lambda _: self._done(key, task))

    async def bulk(self, send: Callable[[], Awaitable[None]]) -> None:
        """Run `send()` when fewer than 64 others of the bulk are at it."""
        async with self._bulk:
            if not self.over:
                await send()

    def under_way(self, key: str) -> bool:
        return key in self._tasks

    def raise_failure(self) -> None:
        """Raises what the first of those that failed died of."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Take nothing more; what waits for room gives up."""
        self.over = True

    async def close(self) -> None:
        """End, and return when nothing is under way any more."""
        self.end()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _done(self, key: str, task: "asyncio.Task[None]") -> None:
        del self._tasks[key]
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not self.over:
            self._failure = self._failure or failure
            self._failed()
