"""Building the views anew from the log, beside those that are in use.

All in one transaction: what ends before its commit leaves nothing behind. Neither the projector nor the API waits while
it builds. It never passes the projector's position, so that both stand at the same event when they are compared: for
that, and for putting the differing rows in place, the position is locked, and the projector waits its turn. Readers see
the rows before or the rows after, and wait for neither.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from application.ports import Recorded
from application.progress import ScanProgress
from application.replay import Replayed
from domain.errors import Conflict
from domain.scan_events import Queued
from infrastructure.postgres.follower import LOG_COLUMNS, records
from infrastructure.postgres.projector import NAME, VIEWS, Projector, folded, write_scans, write_workers
from infrastructure.postgres.totals import Totals
from infrastructure.postgres.view_differences import KEYS, differences

SHADOW: Final = "views_rebuilding"

_LOCK: Final = 0x5CA91ED9
_BATCH: Final = 5_000
_KEPT_SCANS: Final = 2_000
_EVENTS: Final = f"""
SELECT {LOG_COLUMNS} FROM stored_events
WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s
"""

_Cursor = psycopg.Cursor[Any]


def rebuild(database_url: str, *, dry_run: bool = False) -> Replayed:
    """Fold the log anew as far as the projector has, compare, and unless `dry_run` put right what differs.

    Raises psycopg.Error and Conflict REBUILD_RUNNING; then nothing has changed.
    """
    with _transaction(database_url) as cursor:
        _make_schema(cursor, SHADOW)
        replay = Replay()
        _build(cursor, replay)
        tables = [differences(cursor, SHADOW, table) for table in VIEWS]
        if not dry_run:
            _put_right(cursor)
        cursor.execute(f"DROP SCHEMA {SHADOW} CASCADE".encode())
        return Replayed(replay.events, replay.position, tables, switched=not dry_run)


def rebuild_until(database_url: str, until: datetime) -> Replayed:
    """Fold what the log held at `until`, and leave it in a schema of its own. Views in use are not touched.

    Of each stream that is what comes before its first event later than that. Raises as `rebuild` does.
    """
    schema = f"views_{until.astimezone(UTC):%Y%m%dt%H%M%S%f}z"
    with _transaction(database_url) as cursor:
        _make_schema(cursor, schema)
        replay = Replay(until)
        last = cursor.execute("SELECT coalesce(max(notification_id), 0) FROM stored_events").fetchall()[0][0]
        replay.follow(cursor, last)
        replay.flush(cursor)
        return Replayed(replay.events, replay.position, schema=schema)


@contextmanager
def _transaction(database_url: str) -> Iterator[_Cursor]:
    with psycopg.connect(database_url, connect_timeout=5) as connection, connection.cursor() as cursor:
        if not cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchall()[0][0]:
            raise Conflict("REBUILD_RUNNING", "The views are being rebuilt already; wait for that to end.")
        yield cursor


def _make_schema(cursor: _Cursor, schema: str) -> None:
    """Empty views. For the rest of the transaction they go by the names of those in use, for whatever writes views."""
    cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
    cursor.execute(f"CREATE SCHEMA {schema}".encode())
    for table in VIEWS:
        cursor.execute(f"CREATE TABLE {schema}.{table} (LIKE public.{table} INCLUDING ALL)".encode())
    cursor.execute(f"SET LOCAL search_path = {schema}, public".encode())


def _build(cursor: _Cursor, replay: "Replay") -> None:
    reached = 0
    # Of a log that was restored the projector may have known more than there is.
    while (further := _position(cursor)) > reached:
        replay.follow(cursor, further)
        reached = further
    replay.flush(cursor)
    replay.follow(cursor, _position(cursor, lock=True))
    replay.flush(cursor)


def _position(cursor: _Cursor, *, lock: bool = False) -> int:
    locking = "FOR UPDATE" if lock else ""
    row = cursor.execute(f"SELECT position FROM followers WHERE name = %s {locking}".encode(), (NAME,)).fetchone()
    return int(row[0]) if row else 0


class Replay(Projector):
    """A projector that writes scans at the end, or when too many are in hand, instead of with every batch."""

    def __init__(self, until: datetime | None = None) -> None:
        super().__init__()
        self.events = 0
        self.position = 0
        self._until = until
        self._over: set[str] = set()
        self._in_hand: dict[str, tuple[ScanProgress, int]] = {}

    def follow(self, cursor: _Cursor, end: int) -> None:
        """Fold the log up to the position `end`."""
        while rows := cursor.execute(_EVENTS.encode(), (self.position, end, _BATCH)).fetchall():
            batch = records(rows)
            self.position = batch[-1].position
            self.apply(cursor, self._in_time(batch))

    def _in_time(self, batch: Sequence[Recorded]) -> Sequence[Recorded]:
        if self._until is not None:
            batch = [record for record in batch if not self._is_over(record, self._until)]
        self.events += len(batch)
        return batch

    def _is_over(self, record: Recorded, until: datetime) -> bool:
        if record.event.at > until:
            self._over.add(record.stream)
        return record.stream in self._over

    def _scan(self, cursor: _Cursor, scan_id: str, records: Sequence[Recorded], totals: Totals) -> None:
        held = self._in_hand.pop(scan_id, None)
        begins = isinstance(records[0].event, Queued)
        before = held[0] if held else None if begins else self.load(cursor, scan_id)
        after = folded(scan_id, before, records)
        if after is not None:
            totals.add(before.view if before else None, after.view, records)
            self._in_hand[scan_id] = after, records[-1].position
        if len(self._in_hand) > _KEPT_SCANS:
            self.flush(cursor)

    def flush(self, cursor: _Cursor) -> None:
        """Write all that is in hand."""
        scans = list(self._in_hand.values())
        write_scans(cursor, scans)
        write_workers(cursor, [(p.view.scan_id, worker) for p, _ in scans for worker in p.workers.values()])
        self._in_hand.clear()


def _put_right(cursor: _Cursor) -> None:
    """Have the views in use be the rebuilt ones, and the projector forget what it remembers of them."""
    for table in VIEWS:
        same = " AND ".join(f"r.{column} = l.{column}" for column in KEYS[table])
        shadow, live = f"{SHADOW}.{table}", f"public.{table}"
        cursor.execute(
            f"DELETE FROM {live} l USING (SELECT * FROM {live} EXCEPT SELECT * FROM {shadow}) r WHERE {same}".encode()
        )
        cursor.execute(f"INSERT INTO {live} SELECT * FROM {shadow} EXCEPT SELECT * FROM {live}".encode())
    cursor.execute("UPDATE followers SET epoch = epoch + 1 WHERE name = %s", (NAME,))
