"""The log as it grows: read once for all who wait, however many they are."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
import structlog

from application.history import EventFilters, History, LiveEvent, LoggedEvent, event_line
from domain.errors import ServiceUnavailable
from domain.scan_events import ENDINGS, DataErased
from infrastructure.postgres.bounded import BoundedAsyncConnection
from infrastructure.postgres.stream_tenants import TENANT_OF_EVENT

KEPT_EVENTS: Final = 5_000
KEPT_BYTES: Final = 8 * 1024**2
QUIET_SECONDS: Final = 15.0
"""After this long without an event a reader is told that there was none."""

_AT_ONCE: Final = 500
_CAUGHT_UP_AT_ONCE: Final = 100
_POLL_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.5
_READY_SECONDS: Final = 3.0
_LAST: Final = frozenset(kind.kind for kind in (*ENDINGS, DataErased))

_NEXT: Final = f"""
SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state, {TENANT_OF_EVENT}
FROM stored_events e WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s
"""
_HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM stored_events"

Wanted = Callable[[LiveEvent], bool]

log = structlog.get_logger(__name__)


class PostgresLiveLog:
    """`LiveLog`. Keeps the newest events, `KEPT_EVENTS` and `KEPT_BYTES` of them at most; what is older is read from
    the log by whoever needs it. `run` must be going on."""

    def __init__(self, database_url: str, history: History) -> None:
        self._database_url = database_url
        self._history = history
        self._recent: deque[LiveEvent] = deque()
        self._bytes = 0
        # All events after `_oldest` and up to `_newest` are kept.
        self._oldest = self._newest = 0
        self._more = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Future[int]]] = {}
        self._known = asyncio.Event()
        self._ended = False

    # Following the log ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the log until cancelled, through any number of lost connections."""
        while True:
            with suppress(psycopg.Error):
                await self._follow()
            log.info("live.interrupted")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self) -> None:
        connecting = BoundedAsyncConnection.connect(self._database_url, autocommit=True, connect_timeout=3)
        async with await connecting as connection:
            await connection.execute("SET application_name = 'scanledger-live'")
            await connection.execute("LISTEN stored_events")
            [head] = await (await connection.execute(_HEAD)).fetchone() or (0,)
            if head < self._newest or not self._known.is_set():
                self._begin_at(head)
            while True:
                if not await self._read_on(connection):
                    async for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                        pass

    def _begin_at(self, head: int) -> None:
        """At the start, and where the log was restored to an older copy: what was kept may be no more."""
        self._recent.clear()
        self._bytes = 0
        self._oldest = self._newest = head
        self._known.set()

    async def _read_on(self, connection: BoundedAsyncConnection) -> int:
        rows = await (await connection.execute(_NEXT, (self._newest, _AT_ONCE))).fetchall()
        for position, stream, version, kind, state, tenant in rows:
            event = LoggedEvent(stream, version, position, kind, state)
            self._keep(LiveEvent(event, tenant or "", event_line(event)))
        if rows:
            self._newest = rows[-1][0]
            more, self._more = self._more, asyncio.Event()
            more.set()
        return len(rows)

    def _keep(self, event: LiveEvent) -> None:
        self._recent.append(event)
        self._bytes += len(event.line)
        while len(self._recent) > KEPT_EVENTS or self._bytes > KEPT_BYTES:
            dropped = self._recent.popleft()
            self._bytes -= len(dropped.line)
            self._oldest = dropped.event.position
        for waiting in self._waiting.get(event.event.stream, ()):
            if not waiting.done():
                waiting.set_result(event.event.version)

    def end(self) -> None:
        """The service ends: so does every reader, soon."""
        self._ended = True
        self._more.set()
        for waiting in [one for some in self._waiting.values() for one in some]:
            if not waiting.done():
                waiting.set_result(0)

    # Reading it -------------------------------------------------------------------------------------------------------

    async def head(self) -> int:
        try:
            await asyncio.wait_for(self._known.wait(), _READY_SECONDS)
        except TimeoutError as error:
            raise ServiceUnavailable("The database does not answer; try again in a moment.") from error
        return self._newest

    async def tenant_events(self, tenant: str, after: int) -> AsyncIterator[Sequence[LiveEvent]]:
        reached = after
        while not self._ended:
            if reached < self._oldest:
                # What is kept was in the log before that is read: what the page lacks then is none of the tenant's.
                newest = self._newest
                page = await self._history.tenant_events(tenant, EventFilters(), reached, _CAUGHT_UP_AT_ONCE)
                yield [LiveEvent(event, tenant, event_line(event)) for event in page.events]
                last = page.events[-1].position if page.events else reached
                reached = max(newest, last) if page.resume_after is None else page.resume_after
                continue
            found, reached = self._since(reached, lambda event: event.tenant == tenant)
            if found or not await self._wait(reached):
                yield found

    async def scan_events(self, tenant: str, scan_id: str, after_version: int) -> AsyncIterator[Sequence[LiveEvent]]:
        reached, version = -1, after_version
        while not self._ended:
            if reached < self._oldest:
                newest = self._newest
                events = await self._history.scan_events(scan_id, version, _CAUGHT_UP_AT_ONCE)
                found: Sequence[LiveEvent] = [LiveEvent(event, tenant, event_line(event)) for event in events]
                reached = newest if len(events) < _CAUGHT_UP_AT_ONCE else -1
            else:
                found, reached = self._since(reached, lambda event: event.event.stream == scan_id)
                found = [event for event in found if event.event.version > version]
            if found:
                version = found[-1].event.version
                yield found
                if any(event.event.kind in _LAST for event in found):
                    return
            elif reached >= self._oldest and not await self._wait(reached):
                yield []

    def _since(self, reached: int, wanted: Wanted) -> tuple[Sequence[LiveEvent], int]:
        """What is kept of the events behind `reached`, and how far that goes."""
        found = [event for event in self._backwards(reached) if wanted(event)]
        found.reverse()
        return found, self._newest

    def _backwards(self, reached: int) -> Iterator[LiveEvent]:
        for event in reversed(self._recent):
            if event.event.position <= reached:
                return
            yield event

    async def _wait(self, reached: int) -> bool:
        """Wait for events behind `reached`; false when there were none for a while."""
        more = self._more
        if self._newest > reached or self._ended:
            return True
        try:
            await asyncio.wait_for(more.wait(), QUIET_SECONDS)
        except TimeoutError:
            return False
        return True

    async def beyond(self, scan_id: str, version: int, timeout: float) -> bool:
        deadline = asyncio.get_running_loop().time() + timeout
        while not self._ended:
            with self._watching(scan_id) as coming:
                if await self._history.scan_events(scan_id, version, 1):
                    return True
                done, _ = await asyncio.wait([coming], timeout=deadline - asyncio.get_running_loop().time())
                if not done:
                    return False
        return False

    @contextmanager
    def _watching(self, scan_id: str) -> Iterator[asyncio.Future[int]]:
        coming: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        watchers = self._waiting.setdefault(scan_id, set())
        watchers.add(coming)
        try:
            yield coming
        finally:
            watchers.discard(coming)
            if not watchers:
                self._waiting.pop(scan_id, None)
