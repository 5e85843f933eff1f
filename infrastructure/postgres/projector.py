"""The projector: folds the log into the views that the API reads. It alone writes them, and can from zero."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

import msgspec
import psycopg
from immutables import Map

from application.ports import Recorded
from application.progress import ScanProgress, ScanView, WorkerView, begin, count, project
from domain.connector import Connector, ConnectorEvent
from domain.connector import evolve as evolve_connector
from domain.scan_events import Queued
from infrastructure.postgres.follower import Follower, records

NAME: Final = "projector"
VIEWS: Final = ("scan_views", "scan_worker_views", "connector_views")
_KEPT_SCANS: Final = 200

_encode = msgspec.json.Encoder().encode
_scan_view = msgspec.json.Decoder(ScanView)
_worker_view = msgspec.json.Decoder(WorkerView)
_connector = msgspec.json.Decoder(Connector)


class Projector:
    """Folds batches of events. Keeps the views of recent scans in memory, and forgets them when a write fails."""

    def __init__(self) -> None:
        self._kept: dict[str, ScanProgress] = {}

    def forget(self) -> None:
        self._kept.clear()

    def apply(self, cursor: psycopg.Cursor[Any], batch: Sequence[Recorded]) -> None:
        """Bring the views of every stream in `batch` up to date, inside the caller's transaction."""
        by_stream = sorted(batch, key=lambda r: r.stream)
        for stream, events in groupby(by_stream, key=lambda r: r.stream):
            records = list(events)
            if isinstance(records[0].event, ConnectorEvent):
                self._connector(cursor, stream, records)
            else:
                self._scan(cursor, stream, records)

    def _scan(self, cursor: psycopg.Cursor[Any], scan_id: str, records: Sequence[Recorded]) -> None:
        before = self._kept.pop(scan_id, None) or self._load(cursor, scan_id)
        after = before
        for record in records:
            if isinstance(record.event, ConnectorEvent):
                continue
            if isinstance(record.event, Queued):
                after = begin(scan_id, record.event)
            elif after is not None:
                after = project(after, record.event)
        if after is None:
            return
        _write_scan(cursor, after, records[-1].position)
        _write_workers(cursor, scan_id, before.workers if before else Map(), after.workers)
        if not after.view.status.ended:
            self._keep(scan_id, after)

    def _keep(self, scan_id: str, progress: ScanProgress) -> None:
        self._kept[scan_id] = progress
        if len(self._kept) > _KEPT_SCANS:
            self._kept.pop(next(iter(self._kept)))

    def _load(self, cursor: psycopg.Cursor[Any], scan_id: str) -> ScanProgress | None:
        row = cursor.execute("SELECT view::text FROM scan_views WHERE scan_id = %s", (scan_id,)).fetchone()
        if row is None:
            return None
        rows = cursor.execute("SELECT view::text FROM scan_worker_views WHERE scan_id = %s", (scan_id,)).fetchall()
        workers = [_worker_view.decode(view) for (view,) in rows]
        return ScanProgress(_scan_view.decode(row[0]), Map({worker.worker_id: worker for worker in workers}))

    def _connector(self, cursor: psycopg.Cursor[Any], connector_id: str, records: Sequence[Recorded]) -> None:
        row = cursor.execute(
            "SELECT view::text FROM connector_views WHERE connector_id = %s", (connector_id,)
        ).fetchone()
        connector = _connector.decode(row[0]) if row else Connector(connector_id=connector_id)
        for record in records:
            if isinstance(record.event, ConnectorEvent):
                connector = evolve_connector(connector, record.event)
        cursor.execute(
            "INSERT INTO connector_views VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (connector_id) DO UPDATE SET"
            " deleted = excluded.deleted, version = excluded.version, position = excluded.position,"
            " view = excluded.view",
            (
                connector_id,
                connector.tenant,
                connector.created_at,
                connector.deleted,
                connector.version,
                records[-1].position,
                _encode(connector).decode(),
            ),
        )


def _write_scan(cursor: psycopg.Cursor[Any], progress: ScanProgress, position: int) -> None:
    view = progress.view
    document = msgspec.to_builtins(view) | {"workers": msgspec.to_builtins(count(progress.workers))}
    cursor.execute(
        "INSERT INTO scan_views VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (scan_id) DO UPDATE SET"
        " status = excluded.status, version = excluded.version, position = excluded.position, view = excluded.view",
        (
            view.scan_id,
            view.tenant,
            view.status.value,
            view.type,
            list(view.connectors),
            view.created_at,
            view.version,
            position,
            _encode(document).decode(),
        ),
    )


def _write_workers(
    cursor: psycopg.Cursor[Any], scan_id: str, before: Map[str, WorkerView], after: Map[str, WorkerView]
) -> None:
    changed = [worker for key, worker in after.items() if before.get(key) is not worker]
    if changed:
        cursor.executemany(
            "INSERT INTO scan_worker_views VALUES (%s, %s, %s)"
            " ON CONFLICT (scan_id, worker_id) DO UPDATE SET view = excluded.view",
            [(scan_id, worker.worker_id, _encode(worker).decode()) for worker in changed],
        )


def projector(database_url: str) -> Follower:
    """The follower that keeps the views."""
    views = Projector()
    return Follower(database_url, NAME, views.apply, forget=views.forget)


def rebuild(database_url: str) -> Sequence[str]:
    """Fold the whole log anew, compare with the views as they stand, and put the new rows in their place.

    Gives one line per row that differed. The projector may go on running: it waits for the swap.
    """
    views = Projector()
    with psycopg.connect(database_url, connect_timeout=5) as connection, connection.cursor() as cursor:
        row = cursor.execute("SELECT position FROM followers WHERE name = %s FOR UPDATE", (NAME,)).fetchone()
        until = row[0] if row else 0
        with _old_views(cursor):
            for batch in _batches(cursor, until):
                views.apply(cursor, batch)
            return [line for table in VIEWS for line in _differences(cursor, table)]


@contextmanager
def _old_views(cursor: psycopg.Cursor[Any]) -> Iterator[None]:
    for table in VIEWS:
        cursor.execute(f"CREATE TEMPORARY TABLE old_{table} ON COMMIT DROP AS SELECT * FROM {table}")
        cursor.execute(f"DELETE FROM {table}")
    yield


def _batches(cursor: psycopg.Cursor[Any], until: int) -> Iterator[Sequence[Recorded]]:
    position = 0
    while position < until:
        rows = cursor.execute(
            "SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events"
            " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT 500",
            (position, until),
        ).fetchall()
        if not rows:
            return
        from_rows = records(rows)
        yield from_rows
        position = from_rows[-1].position


def _differences(cursor: psycopg.Cursor[Any], table: str) -> Sequence[str]:
    found: list[str] = []
    for label, left, right in (("only rebuilt", table, f"old_{table}"), ("only before", f"old_{table}", table)):
        rows = cursor.execute(f"SELECT * FROM {left} EXCEPT SELECT * FROM {right}").fetchall()
        found.extend(f"{table}, {label}: {row}" for row in rows)
    return found
