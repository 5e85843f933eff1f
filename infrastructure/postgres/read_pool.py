"""A pool of connections for short statements on the event loop, each its own transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from domain.errors import ServiceUnavailable

TIMEOUT: Final = 2.0
"""Seconds to wait for a connection, or for a server to accept one."""

_GONE = (psycopg.OperationalError, psycopg.InterfaceError)
_AWAY = (*_GONE, psycopg.errors.UndefinedTable)
"""The pool's own errors, PoolTimeout and PoolClosed, are OperationalErrors as well."""

Row = tuple[Any, ...]


class ReadPool:
    """Every method raises ServiceUnavailable within seconds when the database is away."""

    def __init__(self, database_url: str, *, size: int = 8) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]] = AsyncConnectionPool(
            database_url,
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
                "options": "-c statement_timeout=10s",
            },
        )

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=1.0)

    async def rows(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[Row]:
        """All rows of a SELECT. A connection that the server has dropped is replaced, and the SELECT sent again."""
        try:
            return await self._rows(query, parameters)
        except (PoolTimeout, PoolClosed) as error:
            raise _away() from error
        except _GONE:
            try:
                await self._pool.check()
                return await self._rows(query, parameters)
            except _AWAY as error:
                raise _away() from error
        except _AWAY as error:
            raise _away() from error

    async def _rows(self, query: str, parameters: Sequence[Any] | dict[str, Any]) -> list[Row]:
        # Not `pool.connection()`: its commit at the end is wasted on statements that commit themselves.
        connection = await self._pool.getconn()
        try:
            cursor = await connection.execute(query, parameters, prepare=True)
            return await cursor.fetchall()
        finally:
            await self._pool.putconn(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """A connection for several statements."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except _AWAY as error:
            raise _away() from error


def _away() -> ServiceUnavailable:
    return ServiceUnavailable("The database does not answer; try again in a moment.")
