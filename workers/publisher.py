"""The publisher: what the log holds, in its order, once each, in the stream that subscribers read."""

import asyncio
import random
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from application.publishing import EventLog, Owned, Place, Published, agrees, last_agreed
from domain.errors import ServiceUnavailable
from infrastructure.wiring import EventStream, utc_now

BATCH: Final = 500
_KEEP_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.5
_STAND_BACK_SECONDS: Final = (0.05, 0.5)

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class EventPublisher:
    """Publishes until it is stopped. Any number of these may run: the stream takes each event from one of them.

    `keeps`: how long the stream keeps an event. One that lost everything is filled again with what is not older, and
    with what had not been published. `settle`: seconds after which no message of another publisher is on its way still.
    `poll`: seconds after which it looks whether there is more, or the stream is lost, should nothing have told it.
    """

    def __init__(
        self, events: EventLog, stream: EventStream, *, keeps: timedelta, settle: float = 6.0, poll: float = 1.0
    ) -> None:
        self._events = events
        self._stream = stream
        self._keeps = keeps
        self._settle = settle
        self._poll = poll
        self._kept: int | None = None
        self._kept_at = 0.0
        self._trouble = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set, through any loss of database, broker or stream, and while it is full."""
        log.info("publisher.started")
        while not stop.is_set():
            try:
                await self._publish(stop)
            except ServiceUnavailable as error:
                self._told(str(error))
                await _pause(stop, _RETRY_SECONDS)
        log.info("publisher.stopped")

    def _told(self, trouble: str) -> None:
        """Once, however often it is tried."""
        if trouble and trouble != self._trouble:
            log.warning("publisher.waiting", trouble=trouble)
        self._trouble = trouble

    async def _publish(self, stop: asyncio.Event) -> None:
        """Publish until the stream turns out to end elsewhere: it was lost, or another publisher is at it."""
        place = await self.place()
        self._kept = None
        batch = await self._next(place.position)
        while not stop.is_set():
            if not batch:
                await self._keep(place.position)
                await asyncio.to_thread(self._events.wait, self._poll)
                batch = await self._next(place.position)
                if not batch and (await self._stream.bounds())[1] != place.sequence:
                    return
                continue
            reached = batch[-1].event.position
            publishing = self._stream.publish(batch, generation=place.generation, after=place.sequence)
            fits, following = await _both(publishing, self._next(reached))
            if not fits:
                await _pause(stop, random.uniform(*_STAND_BACK_SECONDS))  # noqa: S311 — so that two do not keep step
                return
            self._told("")
            place = place.after(len(batch), reached)
            batch = following
            if time.monotonic() - self._kept_at > _KEEP_SECONDS:
                await self._keep(place.position)

    async def _next(self, position: int) -> list[Owned]:
        return await asyncio.to_thread(self._events.after, position, BATCH)

    async def _keep(self, position: int) -> None:
        if position != self._kept:
            await asyncio.to_thread(self._events.keep, position)
            self._kept, self._kept_at = position, time.monotonic()

    async def place(self) -> Place:
        """Where to go on, by what the stream and the log hold now."""
        first, last = await self._stream.bounds()
        if last < first:
            return Place(last, 1, await asyncio.to_thread(self._beginning, last > 0))
        newest = await self._stream.message(last)
        if await self._is_in_log(newest):
            return Place(last, newest.generation, newest.position)
        await asyncio.sleep(self._settle)
        if (await self._stream.bounds())[1] != last:
            return await self.place()
        agreed = await last_agreed(first, last, self._stream.message, self._is_in_log)
        position = agreed.position if agreed else await asyncio.to_thread(self._beginning, False)
        place = Place(last, newest.generation + 1, position)
        log.error(
            "publisher.log_rewound",
            published=last - (agreed.sequence if agreed else first - 1),
            beyond_position=position,
            generation=place.generation,
            meaning="the database was restored from before events that subscribers got; what it holds instead follows",
        )
        return place

    async def _is_in_log(self, message: Published) -> bool:
        return agrees(message, await asyncio.to_thread(self._events.at, message.position))

    def _beginning(self, expired: bool) -> int:
        """Where an empty stream begins. `expired`: it holds nothing because all of it is too old."""
        kept = self._events.kept()
        if expired and kept is not None:
            return kept
        recent = self._events.since(utc_now() - self._keeps)
        return recent if kept is None else min(kept, recent)


async def _both(first: Awaitable[bool], second: Awaitable[Answer]) -> tuple[bool, Answer]:
    """Both answers; an error of either only after the other is over, too."""
    fits, following = await asyncio.gather(first, second, return_exceptions=True)
    for answer in (fits, following):
        if isinstance(answer, BaseException):
            raise answer
    return fits, following  # type: ignore[return-value]  # neither is an exception


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
