"""A pool of connections that finds at once that the database is back."""

from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from infrastructure.postgres.bounded import remaining

_Connection = TypeVar("_Connection", bound=psycopg.Connection[Any])


class PromptPool(ConnectionPool[_Connection]):
    """Hands out only connections that have just answered. What it holds is thrown away when one of them does not.

    The library's pool, given the same check, tries the others of a server that was started anew one by one, with a
    pause after each that doubles from a second: more than the time a request has. `options` are the library's.
    """

    def __init__(self, conninfo: str = "", **options: Any) -> None:
        super().__init__(conninfo, check=self._check_or_drain, open=False, **options)

    def _check_or_drain(self, connection: _Connection) -> None:
        try:
            self.check_connection(connection)
        except psycopg.Error:
            # Of a request that is out of time it says nothing about the others.
            if remaining() > 0:
                self.drain()
            raise
