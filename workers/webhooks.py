"""The webhooks' process: enters what is to be delivered, and delivers it.

Each webhook has a queue of its own, and is sent to by one sender at a time, in the order of the log. One that does not
answer takes one of many places, for some seconds a turn, and delays no other.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog

from application.history import cloud_event
from application.ports import Clock
from application.webhooks import Due, Post, Turn, WebhookQueue
from domain.errors import ServiceUnavailable
from domain.webhook import DeliveryStatus, verdict
from infrastructure.wiring import (
    Settings,
    open_webhook_follower,
    open_webhook_http,
    open_webhook_queue,
    utc_now,
)

PLACES: Final = 48
"""Webhooks that are sent to at once."""

PLACES_A_TENANT: Final = 12
"""So that no tenant's slow receivers take all of them."""

IDLE_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 2.0
PRUNE_SECONDS: Final = 600.0
GRACE_SECONDS: Final = 1.0
_DATABASE_THREADS: Final = 4

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class WebhookSender:
    """Sends what is due, webhook by webhook. Any number of senders may work on one queue."""

    def __init__(
        self,
        queue: WebhookQueue,
        post: Post,
        clock: Clock,
        *,
        keep: timedelta,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._post = post
        self._clock = clock
        self._keep = keep
        self._jitter = jitter
        self._threads = ThreadPoolExecutor(_DATABASE_THREADS, thread_name_prefix="webhooks")
        self._turns: dict[asyncio.Task[None], str] = {}
        self._begun = 0
        self._failure: BaseException | None = None
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set. What is under way then has a second; else it is left, to be sent again."""
        stopped = asyncio.create_task(stop.wait())
        pruning = asyncio.create_task(self._prune_regularly())
        try:
            while not stop.is_set():
                pause = await self._begin_turns()
                await asyncio.wait([stopped, *self._turns], timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            pruning.cancel()
            await self._end()

    async def drain(self) -> None:
        """Send all that is due now, and return when it is settled."""
        while True:
            idle, begun = not self._turns, self._begun
            await self._begin_turns()
            # Where turns were going on, one that ended meanwhile may have kept another from being claimed.
            if idle and self._begun == begun:
                return
            if self._turns:
                await asyncio.wait(self._turns, return_when=asyncio.FIRST_COMPLETED)

    async def _begin_turns(self) -> float:
        """Begin as many turns as there are places for; gives the seconds after which to look again at the latest.

        Raises what an earlier turn died of.
        """
        if self._failure is not None:
            raise self._failure
        try:
            while len(self._turns) < PLACES:
                turn = await self._asked(self._queue.claim, self._clock(), self._full_tenants())
                if turn is None:
                    break
                task = asyncio.create_task(self._serve(turn))
                self._turns[task] = turn.tenant
                self._begun += 1
                task.add_done_callback(self._ended)
        except ServiceUnavailable:
            log.warning("webhooks.interrupted")
            return AWAY_SECONDS
        return IDLE_SECONDS

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._turns[task]
        if not task.cancelled():
            self._failure = self._failure or task.exception()

    def _full_tenants(self) -> Sequence[str]:
        return [tenant for tenant, turns in Counter(self._turns.values()).items() if turns >= PLACES_A_TENANT]

    async def _serve(self, turn: Turn) -> None:
        """One webhook's turn. It ends early where its receiver does not accept something: others wait."""
        try:
            for number, due in enumerate(turn.due, 1):
                if not await self._deliver(turn, due, last=number == len(turn.due)):
                    return
            if not turn.due:
                await self._asked(self._queue.release, turn)
        except asyncio.CancelledError:
            await self._asked(self._queue.release, turn)
            raise
        except ServiceUnavailable:
            # The lease ends by itself. What was accepted and could not be settled is sent again, under the same id.
            log.warning("webhooks.unsettled", webhook=turn.webhook_id)

    async def _deliver(self, turn: Turn, due: Due, *, last: bool) -> bool:
        """Attempt a delivery, and note how it went; whether the turn goes on."""
        event = due.event
        answered = await self._post(turn.url, cloud_event(event, turn.tenant), event.event_id, turn.secrets)
        now = self._clock()
        judged = verdict(answered, due.attempts + 1, now, self._jitter())
        if judged.status is DeliveryStatus.DEAD:
            log.warning("webhooks.dead", webhook=turn.webhook_id, event_id=event.event_id, status=answered.status)
        ends = last or self._stopping or not answered.accepted
        held = await self._asked(lambda: self._queue.settle(turn, due, answered, judged, now, last=ends))
        return held and not ends

    async def _prune_regularly(self) -> None:
        while True:
            try:
                while await self._asked(self._queue.prune, self._clock() - self._keep):
                    pass
            except ServiceUnavailable:
                log.warning("webhooks.not_pruned")
            await asyncio.sleep(PRUNE_SECONDS)

    async def _asked(self, function: Callable[..., Result], *values: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *values)

    async def _end(self) -> None:
        self._stopping = True
        turns = list(self._turns)
        if turns:
            _, late = await asyncio.wait(turns, timeout=GRACE_SECONDS)
            for turn in late:
                turn.cancel()
            await asyncio.gather(*turns, return_exceptions=True)
        self._threads.shutdown()


async def run_webhooks(settings: Settings, stop: asyncio.Event) -> None:
    """Follow the log and send until `stop` is set. Raises what the follower or the sender died of."""
    halt = threading.Event()
    queue, http = open_webhook_queue(settings), open_webhook_http(settings)
    keep = timedelta(days=settings.webhook_delivered_days)
    sender = WebhookSender(queue, http.post, utc_now, keep=keep)
    following = asyncio.create_task(asyncio.to_thread(open_webhook_follower(settings).run, halt))
    sending = asyncio.create_task(sender.run(stop))
    log.info("webhooks.started")
    try:
        await asyncio.wait([following, sending], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        halt.set()
        await asyncio.gather(following, sending)
        await http.close()
        queue.close()
    log.info("webhooks.stopped")
