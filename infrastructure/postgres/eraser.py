"""The eraser: carries out what erasures promised, in small transactions, and after whatever end goes on where it was.

It waits for the followers. The inventories must have passed the promise: until then they look up in a scan's manifest
what its end means for them. The views must have, to tell which scans of a connector there are.
"""

import threading
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import structlog

from domain.connector import ConnectorDataErased
from domain.errors import Conflict
from domain.scan_events import DataErased
from infrastructure.postgres.erasure import BATCHES, promise_scan, rows_of
from infrastructure.postgres.event_codec import decode
from infrastructure.postgres.follower import POLL_SECONDS, listening
from infrastructure.postgres.inventory import FOLLOWER as INVENTORIES
from infrastructure.postgres.projector import NAME as PROJECTOR

LOCK: Final = 0x5CA91ED8
_WAIT_SECONDS: Final = 0.05

_OPEN: Final = """
SELECT r.stream, r.position, e.topic, e.state FROM erasures r JOIN stored_events e ON e.notification_id = r.position
WHERE r.done_at IS NULL ORDER BY r.position
"""
_SCANS: Final = """
SELECT scan_id, view ->> 'finished_at' IS NOT NULL FROM scan_views v
WHERE %s = ANY (connectors) AND created_at <= %s AND NOT EXISTS (SELECT FROM erasures r WHERE r.stream = v.scan_id)
"""
_UNDONE: Final = """
SELECT EXISTS (SELECT FROM scan_views v JOIN erasures r ON r.stream = v.scan_id
               WHERE %s = ANY (v.connectors) AND r.done_at IS NULL)
"""

_Connection = psycopg.Connection[Any]

log = structlog.get_logger(__name__)


class Eraser:
    """Several at once are safe: one of them works."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def run(self, stop: threading.Event) -> None:
        """Erase until `stop` is set, through any number of lost connections."""
        while not stop.is_set():
            try:
                self._follow(stop)
            except psycopg.Error as error:
                log.warning("eraser.interrupted", error=type(error).__name__)
                stop.wait(0.5)

    def _follow(self, stop: threading.Event) -> None:
        with listening(self._database_url) as connection:
            connection.execute("LISTEN stored_events")
            while not stop.is_set():
                done = self.catch_up(connection, stop)
                for _ in connection.notifies(timeout=POLL_SECONDS if done else _WAIT_SECONDS, stop_after=1):
                    pass

    def catch_up(self, connection: _Connection, stop: threading.Event) -> bool:
        """Erase all that can be erased by now. False: something waits, for the followers or for a scan to end."""
        if not _one(connection, "SELECT pg_try_advisory_lock(%s)", LOCK):
            return True
        try:
            promises = connection.execute(_OPEN).fetchall()
            kept = [_kept(connection, promise, stop) for promise in promises]
            return all(kept)
        finally:
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def _kept(connection: _Connection, promise: tuple[str, int, str, bytes], stop: threading.Event) -> bool:
    """Keep a promise as far as can be; whether it is kept whole."""
    stream, position, kind, state = promise
    event = decode(kind, state)
    if isinstance(event, DataErased):
        done = _passed(connection, INVENTORIES, position) and _erase_rows(connection, stream, stop)
    else:
        assert isinstance(event, ConnectorDataErased)
        done = _passed(connection, INVENTORIES, position) and _erase_scans(connection, stream, position, event)
    if done:
        connection.execute(
            "UPDATE erasures SET done_at = clock_timestamp() WHERE stream = %s AND position = %s", (stream, position)
        )
        log.info("eraser.erased", stream=stream)
    return done


def _passed(connection: _Connection, follower: str, position: int) -> bool:
    reached = connection.execute("SELECT position FROM followers WHERE name = %s", (follower,)).fetchone()
    return reached is not None and reached[0] >= position


def _erase_rows(connection: _Connection, scan: str, stop: threading.Event) -> bool:
    # With it the object keys in the scan's events, wherever there is a copy of them.
    connection.execute("DELETE FROM scan_keys WHERE scan_id = %s", (scan,))
    for table, size in BATCHES.items():
        deletion = (
            f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE scan_id = %s LIMIT {size}))"
        )
        while connection.execute(deletion.encode(), (scan,)).rowcount:
            if stop.is_set():
                return False
    return True


def _erase_scans(connection: _Connection, connector: str, position: int, event: ConnectorDataErased) -> bool:
    """Promise it of each scan of the connector. Whether all of them are erased."""
    if not _passed(connection, PROJECTOR, position):
        return False
    scans = connection.execute(_SCANS, (connector, event.at)).fetchall()
    promised = [ended and _promised(connection, scan, connector, event.actor) for scan, ended in scans]
    return all(promised) and not scans and not _one(connection, _UNDONE, connector)


def _promised(connection: _Connection, scan: str, connector: str, actor: str) -> bool:
    """Promise it of a scan. False while an open redrive needs what it listed."""
    rows = rows_of(connection, [scan])
    event = DataErased(at=datetime.now(UTC), actor=actor, rows=rows, connector=connector)
    try:
        with connection.transaction():
            promise_scan(connection, scan, event)
    except Conflict:
        return False
    return True


def _one(connection: _Connection, query: str, value: object) -> Any:
    return connection.execute(query.encode(), (value,)).fetchall()[0][0]
