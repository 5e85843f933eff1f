"""The event store: the eventsourcing library's application and repository over one locked, batched insert.

The library's own recorder spends several round trips under its table lock; this one is a single prepared call of the
function `append_events`, in one transaction with the rows the events account for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakSet

import psycopg
import psycopg_pool
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    Mapper,
    Notification,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from application.ports import Append, ConcurrentAppend, LogRewound, Recorded, Refused, Rows
from domain import connector as connectors
from domain import scan as scans
from domain.connector import Connector, ConnectorEvent
from domain.errors import NotFound, ServiceUnavailable
from domain.scan import Scan
from domain.scan_events import ENDINGS, Queued, ScanEvent
from infrastructure.postgres import rows as extra_rows
from infrastructure.postgres.bounded import BoundedConnection, PatientConnection
from infrastructure.postgres.event_codec import Event, decode, encode
from infrastructure.postgres.prompt_pool import PromptPool
from infrastructure.postgres.scan_keys import ScanKeys
from infrastructure.postgres.shredding import KEY_COLUMN, unveiled

MAX_EVENTS_A_SAVE = 500
COURSE = extra_rows.COURSE
_GAP = "23R01"
"""The code that `append_events` refuses a gap in versions with."""

_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A domain event in its stream, as the library passes it around."""

    originator_id: str
    originator_version: int
    event: Event


class PlainJsonMapper(Mapper[str]):
    """Stores an event as its kind and plain JSON, so that no Python path is ever stored."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.event.kind,
            state=encode(domain_event.event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        event = decode(stored_event.topic, stored_event.state)
        return Envelope(str(stored_event.originator_id), stored_event.originator_version, event)


class BatchRecorder(PostgresApplicationRecorder):
    """Inserts any number of events, with their rows, in one transaction and one round trip under the lock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watchful = False
        self._keys = ScanKeys()
        self._known: WeakSet[Any] = WeakSet()
        self._server_started: datetime | None = None

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection. Of a watchful recorder it raises LogRewound, once, when the server is not the same any more.

        The pool replaces what a server took with it and says nothing; and only a server that was started anew can come
        back with an older copy of its data.
        """
        with self.datastore.get_connection() as conn:
            if self.watchful and conn not in self._known:
                row = conn.execute("SELECT pg_postmaster_start_time() AS started").fetchone()
                self._known.add(conn)
                before, self._server_started = self._server_started, row["started"] if row else None
                if before not in {None, self._server_started}:
                    self._keys.forget()
                    raise LogRewound("the database was started anew")
            yield conn

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        with self.connection() as conn, conn.transaction(), conn.cursor() as cursor:
            rows: Rows | None = kwargs.get("rows")
            if rows:
                extra_rows.write(cursor, rows)
            if not stored_events:
                return []
            hidden = self._keys.veiled(cursor, stored_events)
            cursor.execute(
                "SELECT append_events(%b::text[], %b::bigint[], %b::text[], %b::bytea[]) AS position",
                (
                    [event.originator_id for event in stored_events],
                    [event.originator_version for event in stored_events],
                    [event.topic for event in stored_events],
                    hidden,
                ),
                prepare=True,
            )
            return [row["position"] for row in cursor.fetchall()]

    def append_next(
        self, stream: str, events: Sequence[Event], unless: Sequence[str], alternating: Sequence[str]
    ) -> Sequence[int]:
        with self.datastore.get_connection() as conn, conn.transaction(), conn.cursor() as cursor:
            cursor.execute(
                "SELECT append_next(%s, %s::text[], %s::bytea[], %s::text[], %s::text[]) AS position",
                (
                    stream,
                    [event.kind for event in events],
                    [encode(event) for event in events],
                    list(unless),
                    list(alternating),
                ),
                prepare=True,
            )
            return [row["position"] for row in cursor.fetchall()]

    def select_course(self, stream: str) -> Sequence[StoredEvent]:
        """A scan's events without its bulk, through the index made for them."""
        with self.datastore.get_connection() as conn, conn.cursor() as cursor:
            cursor.execute(
                f"SELECT originator_version, topic, state, {KEY_COLUMN} FROM stored_events"
                f" WHERE originator_id = %s AND {COURSE} ORDER BY originator_version",
                (stream,),
                prepare=True,
            )
            return [
                StoredEvent(
                    stream, r["originator_version"], r["topic"], unveiled(r["topic"], r["state"], stream, r["key"])
                )
                for r in cursor.fetchall()
            ]

    def select_events(self, *args: Any, **kwargs: Any) -> Sequence[StoredEvent]:
        stored = super().select_events(*args, **kwargs)
        with self.datastore.get_connection() as conn, conn.cursor() as cursor:
            return self._keys.unveiled(cursor, stored)

    def select_notifications(self, *args: Any, **kwargs: Any) -> Sequence[Notification]:
        notified = super().select_notifications(*args, **kwargs)
        with self.datastore.get_connection() as conn, conn.cursor() as cursor:
            return self._keys.unveiled(cursor, notified)

    def select_open_scans(self) -> Sequence[str]:
        """Streams that have a scan.queued and no ending, oldest first."""
        with self.datastore.get_connection() as conn, conn.cursor() as cursor:
            cursor.execute(
                f"SELECT originator_id FROM stored_events q WHERE topic = %s AND {COURSE} AND NOT EXISTS ("
                " SELECT FROM stored_events e WHERE e.originator_id = q.originator_id"
                f" AND e.topic = ANY (%s) AND e.{COURSE}) ORDER BY notification_id",
                (Queued.kind, [ending.kind for ending in ENDINGS]),
            )
            return [row["originator_id"] for row in cursor.fetchall()]


class _Factory(PostgresFactory):
    application_recorder_class = BatchRecorder


class Ledger(Application[str]):
    """The eventsourcing application: one table of events, no library-made tables, aggregates folded by our evolve."""

    name = "stored"

    def __init__(self, database_url: str, *, pool_size: int, timeout: float, bounded: bool = False) -> None:
        self._connection_class = BoundedConnection if bounded else PatientConnection
        self._pool_size = pool_size
        self._conninfo = {key: value for key, value in conninfo_to_dict(database_url).items() if value is not None}
        self._timeout = timeout
        super().__init__(
            {
                "CREATE_TABLE": "n",
                "POSTGRES_DBNAME": str(self._conninfo.get("dbname", "")),
                "POSTGRES_HOST": str(self._conninfo.get("host", "")),
                "POSTGRES_PORT": str(self._conninfo.get("port", "5432")),
                "POSTGRES_USER": str(self._conninfo.get("user", "")),
                "POSTGRES_PASSWORD": str(self._conninfo.get("password", "")),
                "POSTGRES_SCHEMA": "public",
                "POSTGRES_ORIGINATOR_ID_TYPE": "text",
            }
        )

    def construct_factory(self, env: Environment) -> Any:
        factory = _Factory(env)
        # The library's pool knows five of libpq's settings, but the URL may hold any; and see PromptPool. What it adds
        # to the pool of psycopg_pool, a function that gets passwords, is not used.
        factory.datastore.pool = PromptPool[psycopg.Connection[DictRow]](  # type: ignore[assignment]
            connection_class=self._connection_class,
            min_size=0,
            max_size=self._pool_size,
            timeout=self._timeout,
            # Short, so that the pause between attempts, which doubles each time, stays short.
            reconnect_timeout=self._timeout,
            configure=factory.datastore.after_connect_func(),
            kwargs={**self._conninfo, "connect_timeout": max(2, round(self._timeout)), "row_factory": dict_row},
        )
        return factory

    def construct_mapper(self) -> Mapper[str]:
        return PlainJsonMapper(self.construct_transcoder())

    def reconstruct(self, stream: str) -> Any:
        """The aggregate of a stream, by the repository. Raises AggregateNotFoundError."""
        return self.repository.get(stream, projector_func=_fold)


def _fold(aggregate: Any, envelopes: Any) -> Any:
    for envelope in envelopes:
        match envelope.event:
            case event if event.kind.startswith("connector."):
                before = aggregate or Connector(connector_id=envelope.originator_id)
                aggregate = connectors.evolve(before, event)
            case event:
                aggregate = scans.evolve(aggregate or Scan(), event)
    return aggregate


def _recorder(ledger: Ledger) -> BatchRecorder:
    assert isinstance(ledger.recorder, BatchRecorder)
    return ledger.recorder


class PostgresScanLog:
    """`ScanLog` on PostgreSQL. `timeout` bounds in seconds how long a call waits for a connection.

    Statements are bounded, as `infrastructure.postgres.bounded` says: `bounded` as those of a request, otherwise as the
    coordinator's. `watchful`: for who remembers what it read. `append` and `history` raise LogRewound, once, when the
    database was started anew since: it may be older.
    """

    def __init__(
        self,
        database_url: str,
        *,
        pool_size: int = 4,
        timeout: float = 5.0,
        bounded: bool = False,
        watchful: bool = False,
    ) -> None:
        self._watchful = watchful
        self._open = partial(Ledger, database_url, pool_size=pool_size, timeout=timeout, bounded=bounded)
        self._ledger: Ledger | None = None
        self._opening = Lock()

    @property
    def ledger(self) -> Ledger:
        with self._opening:
            if self._ledger is None:
                self._ledger = self._open()
                _recorder(self._ledger).watchful = self._watchful
            return self._ledger

    @property
    def _recorder(self) -> BatchRecorder:
        return _recorder(self.ledger)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def scan(self, scan_id: str) -> Scan:
        found = self._aggregate(scan_id, "scan")
        if not isinstance(found, Scan):
            raise NotFound("scan", scan_id)
        return found

    def connector(self, connector_id: str) -> Connector:
        found = self._aggregate(connector_id, "connector")
        if not isinstance(found, Connector):
            raise NotFound("connector", connector_id)
        return found

    def _aggregate(self, stream: str, what: str) -> Any:
        with _database():
            try:
                return self.ledger.reconstruct(stream)
            except AggregateNotFoundError:
                raise NotFound(what, stream) from None

    def course(self, scan_id: str) -> Scan:
        with _database():
            stored = self._recorder.select_course(scan_id)
        events = [decode(event.topic, event.state) for event in stored]
        if not events or not isinstance(events[0], Queued):
            raise NotFound("scan", scan_id)
        return _fold(None, (Envelope(scan_id, at, event) for at, event in enumerate(events, 1)))  # type: ignore[no-any-return]

    def append(self, appends: Sequence[Append], rows: Rows | None = None) -> int:
        envelopes = [
            Envelope(append.stream, version, event)
            for append in appends
            for version, event in enumerate(append.events, append.after_version + 1)
        ]
        with _database():
            recordings = self.ledger.events.put(envelopes, rows=rows)
        return recordings[-1].notification.id if recordings else self.position()

    def append_next(
        self, stream: str, events: Sequence[ScanEvent], *, unless: Sequence[str], alternating: Sequence[str] = ()
    ) -> int | None:
        with _database():
            positions = self._recorder.append_next(stream, events, unless, alternating)
        return positions[-1] if positions else None

    def read(self, after: int, limit: int) -> Sequence[Recorded]:
        with _database():
            notifications = self._recorder.select_notifications(after, limit, inclusive_of_start=False)
        return [recorded(n) for n in notifications]

    def history(self, stream: str, after_version: int, limit: int) -> Sequence[Recorded]:
        with _database(), self._recorder.connection() as conn, conn.cursor() as cursor:
            cursor.execute(
                f"SELECT notification_id, originator_version, topic, state, {KEY_COLUMN} FROM stored_events"
                " WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s",
                (stream, after_version, limit),
            )
            return [
                Recorded(
                    r["notification_id"],
                    stream,
                    r["originator_version"],
                    decode(r["topic"], unveiled(r["topic"], r["state"], stream, r["key"])),
                )
                for r in cursor.fetchall()
            ]

    def open_scans(self) -> Sequence[str]:
        with _database():
            return self._recorder.select_open_scans()

    def position(self) -> int:
        with _database():
            return self._recorder.max_notification_id() or 0


def recorded(notification: Notification) -> Recorded:
    """A notification of the library as our own type."""
    event: ScanEvent | ConnectorEvent = decode(notification.topic, notification.state)
    return Recorded(notification.id, str(notification.originator_id), notification.originator_version, event)


@contextmanager
def _database() -> Iterator[None]:
    """The library's and the driver's errors, in our own words."""
    try:
        yield
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", None) == _GAP:
            raise LogRewound(str(error)) from error
        if "stored_events" in str(error):
            raise ConcurrentAppend("another writer was first") from error
        raise Refused(type(error.__cause__).__name__) from error
    except DataError as error:
        raise Refused(type(error.__cause__).__name__) from error
    except _AWAY as error:
        raise ServiceUnavailable("The database does not answer.") from error
