"""The log as the publisher reads it: as it is stored, one batch after the other, over one connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg

from application.history import LoggedEvent
from application.publishing import Owned
from domain.errors import ServiceUnavailable
from infrastructure.postgres.bounded import PatientConnection
from infrastructure.postgres.stream_tenants import StreamTenants

NAME: Final = "publisher"

_COLUMNS: Final = "originator_id, originator_version, notification_id, topic, state"


class _Dated(msgspec.Struct):
    at: datetime


class EventTail:
    """`EventLog` on PostgreSQL. Not for use from several threads at once."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection[Any] | None = None
        self._tenants = StreamTenants()

    def after(self, position: int, limit: int) -> list[Owned]:
        return self._read("notification_id > %s ORDER BY notification_id LIMIT %s", (position, limit))

    def at(self, position: int) -> Owned | None:
        return next(iter(self._read("notification_id = %s", (position,))), None)

    def _read(self, which: str, parameters: tuple[int, ...]) -> list[Owned]:
        with self._cursor() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM stored_events WHERE {which}", parameters)
            events = [LoggedEvent(*row) for row in cursor.fetchall()]
            tenants = self._tenants.of(cursor, [event.stream for event in events])
        return [Owned(event, tenants[event.stream]) for event in events]

    def since(self, moment: datetime) -> int:
        # By halves, for an event's time is in its JSON only. Clocks may differ by seconds, days do not.
        with self._cursor() as cursor:
            cursor.execute("SELECT min(notification_id), max(notification_id) FROM stored_events")
            low, last = (found or 0 for found in cursor.fetchall()[0])
            if not last:
                return 0
            high = last + 1
            while low < high:
                middle = (low + high) // 2
                position, at = _at_or_after(cursor, middle)
                if at >= moment:
                    high = middle
                else:
                    low = position + 1
        return int(low) - 1

    def kept(self) -> int | None:
        with self._cursor() as cursor:
            row = cursor.execute("SELECT position FROM followers WHERE name = %s", (NAME,)).fetchone()
        return int(row[0]) if row else None

    def keep(self, position: int) -> None:
        with self._cursor() as cursor:
            cursor.execute(
                "INSERT INTO followers VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                (NAME, position),
            )

    def wait(self, seconds: float) -> None:
        with self._opened() as connection:
            for _ in connection.notifies(timeout=seconds, stop_after=1):
                pass

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        with self._opened() as connection, connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def _opened(self) -> Iterator[psycopg.Connection[Any]]:
        """The connection. What is lost with it is forgotten: the next one may lead to an older copy of the log."""
        try:
            if self._connection is None:
                self._connection = PatientConnection.connect(self._database_url, autocommit=True, connect_timeout=5)
                self._connection.execute("LISTEN stored_events")
            yield self._connection
        except psycopg.Error as error:
            self.close()
            self._tenants.forget()
            raise ServiceUnavailable(f"The database does not answer ({type(error).__name__}).") from error


def _at_or_after(cursor: psycopg.Cursor[Any], position: int) -> tuple[int, datetime]:
    row = cursor.execute(
        "SELECT notification_id, state FROM stored_events WHERE notification_id >= %s ORDER BY notification_id LIMIT 1",
        (position,),
    ).fetchone()
    assert row is not None
    return int(row[0]), msgspec.json.decode(row[1], type=_Dated).at
