"""Following the log: read a batch, apply it, and move the position, in one transaction.

Two of the same follower at once are safe: the position row is locked, and whoever comes second sees the new position.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog

from application.ports import Recorded
from infrastructure.postgres.bounded import LONG_PATIENCE, PatientConnection
from infrastructure.postgres.event_codec import decode
from infrastructure.postgres.shredding import KEY_COLUMN, unveiled

BATCH = 500
_PASSED_AT_ONCE = 5_000
POLL_SECONDS = 1.0
"""A notification can be missed; the poll makes that a delay instead of a halt."""

PACE_SECONDS = 0.01
"""Batches come at most this often while events keep coming: one costs as much for an event as for many."""

LOG_COLUMNS = f"notification_id, originator_id, originator_version, topic, state, {KEY_COLUMN}"

Apply = Callable[[psycopg.Cursor[Any], Sequence[Any]], None]
Read = Callable[[Iterable[tuple[int, str, int, str, bytes, bytes | None]]], Sequence[Any]]
"""Makes of rows of LOG_COLUMNS what is applied, each with its `position`."""

log = structlog.get_logger(__name__)


class Follower:
    """Applies every event of the log once, in order, with its position kept under `name`.

    With `kinds`, only events of these: all others are passed over without being read. `read` makes of their rows what
    `apply` is given; by default `Recorded` ones.
    """

    def __init__(
        self,
        database_url: str,
        name: str,
        apply: Apply,
        *,
        forget: Callable[[], None] = lambda: None,
        kinds: Sequence[str] = (),
        read: Read | None = None,
    ) -> None:
        self._database_url = database_url
        self._name = name
        self._apply = apply
        self._forget = forget
        self._kinds = list(kinds)
        self._epoch = 0
        self._read = read or records

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set, through any number of lost connections."""
        while not stop.is_set():
            try:
                self._follow(stop)
            except psycopg.Error as error:
                log.warning("follower.interrupted", follower=self._name, error=type(error).__name__)
                self._forget()
                stop.wait(0.5)

    def _follow(self, stop: threading.Event) -> None:
        with listening(self._database_url) as connection:
            connection.execute("LISTEN stored_events")
            while not stop.is_set():
                applied = self.catch_up(connection)
                if applied == 0:
                    for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                        pass
                elif applied < BATCH:
                    stop.wait(PACE_SECONDS)

    def catch_up(self, connection: psycopg.Connection[Any]) -> int:
        """Apply the next batch; gives the number of events that it goes over."""
        try:
            with connection.transaction(), connection.cursor() as cursor:
                position = take_position(cursor, self._name)
                self._heed_epoch(cursor)
                batch, reached = self._some(cursor, position) if self._kinds else self._next(cursor, position)
                if batch:
                    self._apply(cursor, batch)
                if reached > position:
                    cursor.execute("UPDATE followers SET position = %s WHERE name = %s", (reached, self._name))
        except BaseException:
            self._forget()
            raise
        return reached - position

    def _heed_epoch(self, cursor: psycopg.Cursor[Any]) -> None:
        """Forget what is remembered of rows that another hand has put right."""
        row = cursor.execute("SELECT epoch FROM followers WHERE name = %s", (self._name,)).fetchone()
        epoch = row[0] if row else 0
        if epoch != self._epoch:
            self._epoch = epoch
            self._forget()

    def _some(self, cursor: psycopg.Cursor[Any], position: int) -> tuple[Sequence[Any], int]:
        """The events of the wanted kinds among the next ones, and how far that goes."""
        end = cursor.execute(
            "SELECT max(notification_id) FROM (SELECT notification_id FROM stored_events WHERE notification_id > %s"
            " ORDER BY notification_id LIMIT %s) AS next",
            (position, _PASSED_AT_ONCE),
        ).fetchone()
        if end is None or end[0] is None:
            return [], position
        rows = cursor.execute(
            f"SELECT {LOG_COLUMNS} FROM stored_events"
            " WHERE notification_id > %s AND notification_id <= %s AND topic = ANY (%s) ORDER BY notification_id",
            (position, end[0], self._kinds),
        ).fetchall()
        return self._read(rows), int(end[0])

    def _next(self, cursor: psycopg.Cursor[Any], position: int) -> tuple[Sequence[Any], int]:
        rows = cursor.execute(
            f"SELECT {LOG_COLUMNS} FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
            (position, BATCH),
        ).fetchall()
        batch = self._read(rows)
        return batch, batch[-1].position if batch else position


def take_position(cursor: psycopg.Cursor[Any], name: str) -> int:
    """How far the follower `name` is, 0 at its first time. Its row is locked until the transaction ends."""
    row = cursor.execute("SELECT position FROM followers WHERE name = %s FOR UPDATE", (name,)).fetchone()
    if row is None:
        cursor.execute("INSERT INTO followers VALUES (%s, 0) ON CONFLICT DO NOTHING", (name,))
        return take_position(cursor, name)
    return int(row[0])


def records(rows: Iterable[tuple[int, str, int, str, bytes, bytes | None]]) -> Sequence[Recorded]:
    """Rows of LOG_COLUMNS as events."""
    return [
        Recorded(position, stream, version, decode(kind, unveiled(kind, state, stream, key)))
        for position, stream, version, kind, state, key in rows
    ]


LEADER_LOCK = 0x5CA91ED7


def lead(
    database_url: str,
    begin: Callable[[], int],
    deliver: Callable[[Sequence[Recorded]], None],
    stop: threading.Event,
) -> None:
    """Be the one leader among all that call this, and tail the log until `stop` or a lost connection.

    Waits for the leader's lock, asks `begin()` for the position to tail from, then gives `deliver` every later event in
    order. Raises psycopg.Error when the connection is lost, and with it the lock: what was built on it must go.
    """
    with listening(database_url) as connection:
        while not _locked(connection):
            if stop.wait(0.5):
                return
        connection.execute("LISTEN stored_events")
        position = begin()
        # From here on it says something every second. Should it fall silent, its lock must become free.
        connection.execute(f"SET idle_session_timeout = '{LONG_PATIENCE:.0f}s'")
        while not stop.is_set():
            rows = connection.execute(
                f"SELECT {LOG_COLUMNS} FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
                (position, BATCH),
            ).fetchall()
            if rows:
                batch = records(rows)
                position = batch[-1].position
                deliver(batch)
                continue
            for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass


@contextmanager
def listening(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that does not wait for ever, nor hold locks for ever should it fall silent in a transaction."""
    with PatientConnection.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{LONG_PATIENCE:.0f}s'")
        yield connection


def _locked(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
    return bool(row and row[0])
