"""A pool of connections for short statements on the event loop, each its own transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from domain.errors import ServiceUnavailable
from infrastructure.postgres.bounded import PATIENCE, BoundedAsyncConnection, remaining, until

TIMEOUT: Final = 2.0
"""Seconds to wait for a connection, or for a server to accept one."""

_GONE = (psycopg.OperationalError, psycopg.InterfaceError)
_HOPELESS = (PoolTimeout, PoolClosed, psycopg.errors.UndefinedTable)
_AWAY = (*_GONE, psycopg.errors.UndefinedTable)
"""The pool's own errors, PoolTimeout and PoolClosed, are OperationalErrors as well."""

Row = tuple[Any, ...]


class ReadPool:
    """Every method raises ServiceUnavailable within seconds when the database is away, or there and frozen."""

    def __init__(self, database_url: str, *, size: int = 8) -> None:
        self._size = size
        self._pool: AsyncConnectionPool[BoundedAsyncConnection] = AsyncConnectionPool(
            database_url,
            connection_class=BoundedAsyncConnection,
            min_size=1,
            max_size=size,
            timeout=TIMEOUT,
            # Short, so that the pause between attempts stays short: the next request tries again by itself.
            reconnect_timeout=TIMEOUT,
            open=False,
            kwargs={
                "autocommit": True,
                "connect_timeout": int(TIMEOUT),
                "application_name": "scanledger-api",
                "options": f"-c statement_timeout={int(PATIENCE)}s",
            },
        )

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=1.0)

    async def rows(
        self, query: str, parameters: Sequence[Any] | dict[str, Any] = (), *, within: float = PATIENCE
    ) -> list[Row]:
        """All rows of a SELECT, `within` seconds. Where the server has dropped connections it is sent again."""
        with until(monotonic() + within):
            for others in range(self._size, -1, -1):
                try:
                    return await self._rows(query, parameters)
                except _HOPELESS as error:
                    raise _away() from error
                except _GONE as error:
                    if not others or remaining() <= 0:
                        raise _away() from error
        raise _away()

    async def _rows(self, query: str, parameters: Sequence[Any] | dict[str, Any]) -> list[Row]:
        # Not `pool.connection()`: its commit at the end is wasted on statements that commit themselves.
        connection = await self._pool.getconn(min(TIMEOUT, max(0.01, remaining())))
        try:
            cursor = await connection.execute(query, parameters, prepare=True)
            return await cursor.fetchall()
        finally:
            await self._pool.putconn(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """A connection for several statements, which has just answered."""
        try:
            connection = await self._answering()
            try:
                yield connection
            finally:
                await self._pool.putconn(connection)
        except _AWAY as error:
            raise _away() from error

    async def _answering(self) -> BoundedAsyncConnection:
        """A connection that answers. Dropped ones are thrown away, and the next one is asked."""
        with until(monotonic() + TIMEOUT):
            while True:
                connection = await self._pool.getconn(min(TIMEOUT, max(0.01, remaining())))
                try:
                    await connection.execute("SELECT 1")
                except BaseException as error:
                    await self._pool.putconn(connection)
                    if not isinstance(error, _GONE) or remaining() <= 0:
                        raise
                else:
                    return connection


def _away() -> ServiceUnavailable:
    return ServiceUnavailable("The database does not answer; try again in a moment.")
