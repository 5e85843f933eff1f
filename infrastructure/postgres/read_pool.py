"""A pool of connections for short statements on the event loop, each its own transaction."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from domain.errors import ServiceUnavailable

TIMEOUT: Final = 2.0
"""Seconds to wait for a connection, or for a server to accept one."""

ANSWER_SECONDS: Final = 4.0
"""Seconds that a statement may take. The server's own limit does not help when it is the server that hangs."""

CLAIM_SECONDS: Final = 12.0
"""Likewise for all that is done on a connection of `connection`."""

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
            with _cut_after(ANSWER_SECONDS, connection):
                cursor = await connection.execute(query, parameters, prepare=True)
                return await cursor.fetchall()
        finally:
            await self._pool.putconn(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """A connection for several statements, which answered just now."""
        try:
            connection = await self._answering()
            try:
                with _cut_after(CLAIM_SECONDS, connection):
                    yield connection
            finally:
                await self._pool.putconn(connection)
        except _AWAY as error:
            raise _away() from error

    async def _answering(self) -> psycopg.AsyncConnection[Row]:
        """One that the server has not dropped meanwhile; those that it has are thrown away."""
        while True:
            connection = await self._pool.getconn()
            try:
                with _cut_after(ANSWER_SECONDS, connection):
                    await connection.execute("SELECT 1")
            except _GONE:
                await self._pool.putconn(connection)
            except BaseException:
                await self._pool.putconn(connection)
                raise
            else:
                return connection


@contextlib.contextmanager
def _cut_after(seconds: float, connection: psycopg.AsyncConnection[Row]) -> Iterator[None]:
    """Cut the connection if the server has not answered by then. Raises ServiceUnavailable.

    Cut, not cancelled: a cancellation would itself wait for the server. What was not committed is rolled back there.
    """
    late = False

    def cut() -> None:
        nonlocal late
        late = True
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(seconds, cut)
    try:
        yield
    except _GONE as error:
        if late:
            raise _away() from error
        raise
    finally:
        timer.cancel()


def _away() -> ServiceUnavailable:
    return ServiceUnavailable("The database does not answer; try again in a moment.")
