"""Reading the log itself: a scan's history, a tenant's, and a scan as it stood once."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from application.history import EventFilters, EventPage, LoggedEvent, PastScan
from application.progress import ScanProgress, begin, count, project
from domain.connector import ConnectorEvent
from domain.scan_events import Queued, ScanEvent
from infrastructure.postgres.event_codec import decode
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.sealing import NAME as SEAL
from infrastructure.postgres.shredding import KEY_COLUMN, unveiled
from infrastructure.postgres.stream_tenants import TENANT_OF_EVENT

_AT_ONCE: Final = 500
_LOOKED_AT: Final = 2_000
_WINDOWS: Final = 10
"""How many times that many events a call looks at when its filters let none through."""

_SCAN_EVENTS = """
SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events
WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s
"""

_READABLE_EVENTS = f"""
SELECT originator_version, notification_id, topic, state, {KEY_COLUMN} FROM stored_events
WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s
"""

# What the follower has numbered is found by its index; of what came since, each stream's first event tells whose it is.
_TENANT_EVENTS = f"""
WITH numbered AS (SELECT coalesce((SELECT position FROM followers WHERE name = %(seal)s), 0) AS position),
looked_at AS (
    (SELECT position FROM sealed_events WHERE tenant_id = %(tenant)s AND position > %(after)s
     ORDER BY position LIMIT %(window)s)
    UNION ALL
    (SELECT e.notification_id FROM stored_events e, numbered
     WHERE e.notification_id > greatest(%(after)s, numbered.position)
       AND {TENANT_OF_EVENT} = %(tenant)s
     ORDER BY e.notification_id LIMIT %(window)s)
    ORDER BY position LIMIT %(window)s)
SELECT l.position, e.originator_id, e.originator_version, e.topic, e.state
FROM looked_at l LEFT JOIN stored_events e ON e.notification_id = l.position AND {{where}} ORDER BY l.position
"""

# Of the moment of an event, stored near the beginning of its JSON.
_AT = """substring(convert_from(e.state, 'UTF8') FROM '"at":"([^"]*)"')::timestamptz"""

_OF_CONNECTOR = """(e.originator_id = %(connector)s OR e.originator_id IN (
    SELECT scan_id FROM scan_views WHERE tenant = %(tenant)s AND %(connector)s = ANY (connectors)))"""


class PostgresHistory:
    """`History` on the event log."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    async def scan_events(self, scan_id: str, after_version: int, limit: int) -> Sequence[LoggedEvent]:
        rows = await self._pool.rows(_SCAN_EVENTS, (scan_id, after_version, limit))
        return [LoggedEvent(*row) for row in rows]

    async def tenant_events(self, tenant: str, filters: EventFilters, after: int, limit: int) -> EventPage:
        page = EventPage([], after)
        for _ in range(_WINDOWS):
            if page.events or page.resume_after is None:
                break
            page = await self._window(tenant, filters, page.resume_after, limit)
        return page

    async def _window(self, tenant: str, filters: EventFilters, after: int, limit: int) -> EventPage:
        where, values = _conditions(filters)
        values |= {"seal": SEAL, "tenant": tenant, "after": after, "window": max(_LOOKED_AT, limit)}
        rows = await self._pool.rows(_TENANT_EVENTS.format(where=where), values)
        found = [LoggedEvent(row[1], row[2], row[0], row[3], row[4]) for row in rows if row[1] is not None]
        if len(found) > limit:
            return EventPage(found[:limit], found[limit - 1].position)
        return EventPage(found, rows[-1][0] if len(rows) == values["window"] else None)

    async def version_of(self, tenant: str, scan_id: str, version: int) -> PastScan | None:
        return await self._past(tenant, scan_id, version=version)

    async def moment_of(self, tenant: str, scan_id: str, at: datetime) -> PastScan | None:
        return await self._past(tenant, scan_id, at=at)

    async def _readable(self, scan_id: str, after_version: int, limit: int) -> Sequence[LoggedEvent]:
        """Events to be folded, not to be shown: with object keys in them as they were, until they are erased."""
        rows = await self._pool.rows(_READABLE_EVENTS, (scan_id, after_version, limit))
        return [
            LoggedEvent(scan_id, version, position, kind, unveiled(kind, state, scan_id, key))
            for version, position, kind, state, key in rows
        ]

    async def _past(
        self, tenant: str, scan_id: str, *, version: int | None = None, at: datetime | None = None
    ) -> PastScan | None:
        fold, reached, last = None, 0, None
        while version is None or reached < version:
            most = _AT_ONCE if version is None else min(_AT_ONCE, version - reached)
            batch = await self._readable(scan_id, reached, most)
            # On another thread: hundreds of events take longer than other requests should wait.
            fold, folded = await asyncio.to_thread(_folded, scan_id, fold, batch, at)
            reached, last = reached + len(folded), folded[-1] if folded else last
            if len(folded) < most:
                break
        if fold is None or last is None or fold.view.tenant != tenant or (version is not None and reached < version):
            return None
        return PastScan(fold.view, count(fold.workers), at or last.at)


def _folded(
    scan_id: str, fold: ScanProgress | None, batch: Sequence[LoggedEvent], at: datetime | None
) -> tuple[ScanProgress | None, Sequence[ScanEvent]]:
    """The fold after those of the events that did not come later than `at`, and these; none for what is no scan."""
    folded: list[ScanEvent] = []
    for logged in batch:
        event = decode(logged.kind, logged.state)
        if isinstance(event, ConnectorEvent) or (at is not None and event.at > at):
            break
        if isinstance(event, Queued):
            fold = begin(scan_id, event)
        elif fold is not None:
            fold = project(fold, event)
        folded.append(event)
    return fold, folded


def _conditions(filters: EventFilters) -> tuple[str, dict[str, Any]]:
    where, values = ["true"], dict[str, Any]()
    if filters.kinds:
        where.append("e.topic = ANY (%(kinds)s)")
        values["kinds"] = list(filters.kinds)
    if filters.connector is not None:
        where.append(_OF_CONNECTOR)
        values["connector"] = filters.connector
    if filters.since is not None:
        where.append(f"{_AT} >= %(since)s")
        values["since"] = filters.since
    if filters.until is not None:
        where.append(f"{_AT} < %(until)s")
        values["until"] = filters.until
    return " AND ".join(where), values
