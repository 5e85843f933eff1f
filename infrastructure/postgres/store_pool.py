"""What the coordinator reads in single statements: a small pool that is opened with its first use."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from domain.errors import ServiceUnavailable
from infrastructure.postgres.bounded import PatientConnection
from infrastructure.postgres.prompt_pool import PromptPool


class StorePool:
    """`timeout` bounds in seconds how long a call waits for a connection."""

    def __init__(self, database_url: str, *, size: int, timeout: float) -> None:
        self._pool = PromptPool[PatientConnection](
            database_url,
            connection_class=PatientConnection,
            min_size=0,
            max_size=size,
            timeout=timeout,
            # Short, so that the pause between attempts, which doubles each time, stays short.
            reconnect_timeout=timeout,
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
            self._pool.open()
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise ServiceUnavailable("The database does not answer.") from error
