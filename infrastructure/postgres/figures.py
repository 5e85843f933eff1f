"""Figures for operators, from sums that are kept as they change."""

from collections.abc import Mapping
from typing import Any, Final

from application.operating import DatabaseFigures, FindingTotal, Lag, OpenWork
from infrastructure.postgres.read_pool import ReadPool

_WITHIN: Final = 2.0

_WORK: Final = """
SELECT coalesce(sum(chunks), 0), coalesce(sum(objects), 0),
       coalesce(sum(least(max_workers, greatest(chunks, sign(listings)))) FILTER (WHERE NOT paused), 0),
       coalesce(extract(epoch FROM clock_timestamp() - min(changed_at) FILTER (WHERE NOT paused)), 0)::float8
FROM scan_loads
"""

# The oldest event that is not applied tells since when a follower is behind.
_LAGS: Final = """
SELECT f.name, head.position, head.position - f.position, (
    SELECT extract(epoch FROM clock_timestamp() - (convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz)::float8
    FROM stored_events e WHERE e.notification_id > f.position ORDER BY e.notification_id LIMIT 1)
FROM followers f, (SELECT coalesce(max(notification_id), 0) AS position FROM stored_events) AS head
"""

# By the indexes of those that are not done with; the delivered ones are many.
_WEBHOOKS: Final = """
SELECT (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'),
       (SELECT count(*) FROM webhook_deliveries WHERE status = 'dead')
"""


class PostgresFigures:
    """The database's part of `Figures`."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    async def read(self) -> DatabaseFigures:
        totals = await self._rows("SELECT name, label, value FROM scan_totals")
        findings = await self._rows("SELECT detector, category, findings, hits FROM finding_totals")
        work = await self._rows(_WORK)
        lags = await self._rows(_LAGS)
        return DatabaseFigures(
            totals={(name, label): value for name, label, value in totals},
            findings=[FindingTotal(*row) for row in findings],
            work=_work(*work[0]),
            events=max((row[1] for row in lags), default=0),
            lags={name: Lag(max(0, behind), max(0.0, since or 0.0)) for name, _, behind, since in lags},
            webhooks=await self._webhooks(),
        )

    async def _webhooks(self) -> Mapping[str, int]:
        known = await self._rows("SELECT to_regclass('webhook_deliveries') IS NOT NULL")
        if not known[0][0]:
            return {}
        pending, dead = (await self._rows(_WEBHOOKS))[0]
        return {"pending": pending, "dead": dead}

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return await self._pool.rows(query, within=_WITHIN)


def _work(chunks: int, objects: int, wanted: int, quiet: float) -> OpenWork:
    # Sums of bigint are numeric to PostgreSQL; clocks may disagree.
    return OpenWork(int(chunks), int(objects), int(wanted), max(0.0, quiet))
