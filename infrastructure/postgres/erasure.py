"""Erasures, promised in one transaction with their event. `infrastructure.postgres.eraser` keeps the promises."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from application.erasure import Erasure
from domain.connector import ConnectorDataErased
from domain.errors import Conflict
from domain.scan_events import ENDINGS, DataErased, Queued
from infrastructure.postgres.event_codec import decode, encode
from infrastructure.postgres.rows import COURSE, data_lock
from infrastructure.postgres.store_pool import StorePool

BATCHES: Final = {
    "findings": 2_000,
    "manifest_pages": 200,
    "object_exceptions": 5_000,
    "report_parts": 200,
    "object_parts": 2_000,
}
"""The tables that hold what a scan found and looked at, with the rows that one statement deletes at most."""

_REDRIVES: Final = f"""
SELECT q.originator_id FROM stored_events q WHERE q.topic = %s AND q.{COURSE}
AND convert_from(q.state, 'UTF8') LIKE %s AND NOT EXISTS (
    SELECT FROM stored_events e WHERE e.originator_id = q.originator_id AND e.topic = ANY (%s) AND e.{COURSE})
LIMIT 1
"""


class PostgresErasures:
    """`Erasures` on PostgreSQL."""

    def __init__(self, database_url: str, *, pool_size: int = 2, timeout: float = 5.0) -> None:
        self._pool = StorePool(database_url, size=pool_size, timeout=timeout)

    def close(self) -> None:
        self._pool.close()

    def rows_of(self, scans: Sequence[str], connector: str | None = None) -> Mapping[str, int]:
        with self._pool.transaction() as connection:
            counts = rows_of(connection, scans)
            if connector is not None:
                pages = "SELECT count(*) FROM inventory_pages WHERE connector_id = %s"
                counts["inventory_pages"] = connection.execute(pages, (connector,)).fetchall()[0][0]
        return counts

    def promise_scan(self, scan: str, event: DataErased) -> None:
        with self._pool.transaction() as connection:
            promise_scan(connection, scan, event)

    def promise_connector(self, connector: str, event: ConnectorDataErased) -> None:
        with self._pool.transaction() as connection:
            _promise(connection, connector, event, unless=())

    def last(self, stream: str) -> Erasure | None:
        rows = self._pool.rows(
            "SELECT r.position, r.done_at IS NOT NULL, e.topic, e.state FROM erasures r JOIN stored_events e"
            " ON e.notification_id = r.position WHERE r.stream = %s ORDER BY r.position DESC LIMIT 1",
            (stream,),
        )
        return _erasure(stream, *rows[0]) if rows else None

    def scans_of(self, tenant: str, connector: str) -> Mapping[str, bool]:
        rows = self._pool.rows(
            "SELECT scan_id, view ->> 'finished_at' IS NOT NULL FROM scan_views v WHERE tenant = %s"
            " AND %s = ANY (connectors) AND NOT EXISTS (SELECT FROM erasures r WHERE r.stream = v.scan_id)",
            (tenant, connector),
        )
        return dict(rows)


def _erasure(stream: str, position: int, done: bool, kind: str, state: bytes) -> Erasure:
    event = decode(kind, state)
    assert isinstance(event, DataErased | ConnectorDataErased)
    scans = event.scans if isinstance(event, ConnectorDataErased) else 1
    return Erasure(stream, position, event.at, event.actor, event.rows, scans, done)


def rows_of(connection: psycopg.Connection[Any], scans: Sequence[str]) -> dict[str, int]:
    """What there is of the scans, by table."""
    return {
        table: connection.execute(
            f"SELECT count(*) FROM {table} WHERE scan_id = ANY (%s)".encode(), (list(scans),)
        ).fetchall()[0][0]
        for table in BATCHES
    }


def promise_scan(connection: psycopg.Connection[Any], scan: str, event: DataErased) -> None:
    """As `Erasures.promise_scan`, in the caller's transaction."""
    # From here to the commit no redrive can begin that would look for its objects in what is erased.
    connection.execute(*data_lock(scan, exclusive=True))
    endings = [ending.kind for ending in ENDINGS]
    row = connection.execute(_REDRIVES.encode(), (Queued.kind, f'%"redrive_of":"{scan}"%', endings)).fetchone()
    if row is not None:
        message = f"Scan {row[0]} is looking at the objects of scan {scan} again; cancel it or wait for its end."
        raise Conflict("SCAN_IN_USE", message, scan_id=row[0])
    _promise(connection, scan, event, unless=[DataErased.kind])


def _promise(
    connection: psycopg.Connection[Any],
    stream: str,
    event: DataErased | ConnectorDataErased,
    *,
    unless: Sequence[str],
) -> None:
    connection.execute(
        "INSERT INTO erasures (stream, position) SELECT %s, position FROM"
        " append_next(%s, %s::text[], %s::bytea[], %s::text[], '{}'::text[]) AS position",
        (stream, stream, [event.kind], [encode(event)], list(unless)),
    )
