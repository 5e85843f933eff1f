"""What the coordinator reads in single statements: a small pool that is opened with its first use."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from domain.errors import ServiceUnavailable
from infrastructure.postgres.bounded import PatientConnection

_WAIT_FOR_POOL: Final = 1.0


class StorePool:
    """`timeout` bounds in seconds how long a call waits for a connection.

    After a restart of the database a pool may take longer to see that it is back than a request can wait: whoever gets
    no connection in time makes one for himself.
    """

    def __init__(self, database_url: str, *, size: int, timeout: float) -> None:
        self._database_url = database_url
        self._timeout = timeout
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            database_url,
            connection_class=PatientConnection,
            min_size=0,
            max_size=size,
            timeout=timeout,
            # Short, so that the pause between attempts, which doubles each time, stays short.
            reconnect_timeout=timeout,
            open=False,
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True},
        )

    def close(self) -> None:
        self._pool.close()

    def rows(self, query: str, values: Sequence[object] | Mapping[str, object]) -> Sequence[Any]:
        """All rows of a statement. Raises ServiceUnavailable."""
        with self._connection() as connection:
            return connection.execute(query.encode(), values, prepare=True).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """Several statements, all of which hold or none. Raises ServiceUnavailable."""
        with self._connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with ExitStack() as held:
                yield self._taken(held)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise ServiceUnavailable("The database does not answer.") from error

    def _taken(self, held: ExitStack) -> psycopg.Connection[Any]:
        """A connection of the pool, or one of its own; `held` gives it back."""
        self._pool.open()
        try:
            return held.enter_context(self._pool.connection(min(self._timeout, _WAIT_FOR_POOL)))
        except PoolTimeout:
            seconds = max(round(self._timeout), 2)
            own = PatientConnection.connect(self._database_url, autocommit=True, connect_timeout=seconds)
            return held.enter_context(own)
