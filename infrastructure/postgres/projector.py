"""The projector: folds the log into the views that the API reads. It alone writes them, and can from zero."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
import psycopg
from immutables import Map

from application.ports import Recorded
from application.progress import ScanProgress, ScanView, WorkerView, begin, count, project_all
from domain.connector import Connector, ConnectorEvent
from domain.connector import evolve as evolve_connector
from domain.scan_events import Queued
from infrastructure.postgres.follower import Follower
from infrastructure.postgres.totals import TABLES, Totals

NAME: Final = "projector"
VIEWS: Final = ("scan_views", "scan_worker_views", "connector_views", *TABLES)
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
        totals = Totals()
        for stream, events in groupby(by_stream, key=lambda r: r.stream):
            records = list(events)
            if isinstance(records[0].event, ConnectorEvent):
                self._connector(cursor, stream, records)
            else:
                self._scan(cursor, stream, records, totals)
        totals.write(cursor)

    def _scan(self, cursor: psycopg.Cursor[Any], scan_id: str, records: Sequence[Recorded], totals: Totals) -> None:
        before = self._kept.pop(scan_id, None) or self.load(cursor, scan_id)
        after = folded(scan_id, before, records)
        if after is None:
            return
        totals.add(before.view if before else None, after.view, records)
        write_scans(cursor, [(after, records[-1].position)])
        known = before.workers if before else Map[str, WorkerView]()
        changed = [worker for key, worker in after.workers.items() if known.get(key) is not worker]
        write_workers(cursor, [(scan_id, worker) for worker in changed])
        if not after.view.status.ended:
            self._keep(scan_id, after)

    def _keep(self, scan_id: str, progress: ScanProgress) -> None:
        self._kept[scan_id] = progress
        if len(self._kept) > _KEPT_SCANS:
            self._kept.pop(next(iter(self._kept)))

    @staticmethod
    def load(cursor: psycopg.Cursor[Any], scan_id: str) -> ScanProgress | None:
        """What is written of a scan."""
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


def folded(scan_id: str, progress: ScanProgress | None, records: Sequence[Recorded]) -> ScanProgress | None:
    """The scan after further events of its stream; None while it has not begun."""
    events = [record.event for record in records if not isinstance(record.event, ConnectorEvent)]
    if events and isinstance(first := events[0], Queued):
        return project_all(begin(scan_id, first), events[1:])
    return None if progress is None else project_all(progress, events)


def write_scans(cursor: psycopg.Cursor[Any], scans: Sequence[tuple[ScanProgress, int]]) -> None:
    """Put scans in, each with the position of its last event."""
    cursor.executemany(
        "INSERT INTO scan_views VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (scan_id) DO UPDATE SET"
        " status = excluded.status, version = excluded.version, position = excluded.position, view = excluded.view",
        [_scan_row(progress, position) for progress, position in scans],
    )


def _scan_row(progress: ScanProgress, position: int) -> Sequence[Any]:
    view = progress.view
    document = msgspec.to_builtins(view) | {"workers": msgspec.to_builtins(count(progress.workers))}
    return (
        view.scan_id,
        view.tenant,
        view.status.value,
        view.type,
        list(view.connectors),
        view.created_at,
        view.version,
        position,
        _encode(document).decode(),
    )


def write_workers(cursor: psycopg.Cursor[Any], workers: Sequence[tuple[str, WorkerView]]) -> None:
    """Put in workers, each with the scan that it takes part in."""
    cursor.executemany(
        "INSERT INTO scan_worker_views VALUES (%s, %s, %s)"
        " ON CONFLICT (scan_id, worker_id) DO UPDATE SET view = excluded.view",
        [(scan_id, worker.worker_id, _encode(worker).decode()) for scan_id, worker in workers],
    )


def projector(database_url: str) -> Follower:
    """The follower that keeps the views."""
    views = Projector()
    return Follower(database_url, NAME, views.apply, forget=views.forget)
