"""The manifest on PostgreSQL: one row a listing batch, its objects as compressed columns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from application import object_columns
from application.ports import ManifestPage
from domain.errors import ServiceUnavailable


class PostgresManifestStore:
    """`ManifestStore` on PostgreSQL."""

    def __init__(self, database_url: str, *, pool_size: int = 2, timeout: float = 5.0) -> None:
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            database_url,
            min_size=0,
            max_size=pool_size,
            timeout=timeout,
            # Short, so that the pause between attempts, which doubles each time, stays short.
            reconnect_timeout=timeout,
            open=False,
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True},
        )

    def close(self) -> None:
        self._pool.close()

    def pages(self, scan: str, start: int, end: int) -> Sequence[ManifestPage]:
        rows = self._rows(
            "SELECT first_index, connector, first_chunk, objects FROM manifest_pages WHERE scan_id = %(scan)s"
            " AND first_index <= %(end)s AND first_index >= coalesce((SELECT max(first_index) FROM manifest_pages"
            " WHERE scan_id = %(scan)s AND first_index <= %(start)s), 0) ORDER BY first_index",
            {"scan": scan, "start": start, "end": end},
        )
        return [_page(scan, *row) for row in rows]

    def parts(self, scan: str, chunk: int, attempt: int) -> Sequence[bytes]:
        rows = self._rows(
            "SELECT body FROM report_parts WHERE scan_id = %(scan)s AND chunk = %(chunk)s AND attempt = %(attempt)s"
            " ORDER BY part",
            {"scan": scan, "chunk": chunk, "attempt": attempt},
        )
        return [bytes(body) for (body,) in rows]

    def _rows(self, query: str, values: dict[str, object]) -> Sequence[Any]:
        with _database():
            self._pool.open()
            with self._pool.connection() as connection:
                return connection.execute(query.encode(), values, prepare=True).fetchall()


def _page(scan: str, first_index: int, connector: str, first_chunk: int, objects: bytes) -> ManifestPage:
    entries, skips = object_columns.decode(bytes(objects))
    return ManifestPage(scan, first_index, connector, entries, skips, first_chunk, ())


@contextmanager
def _database() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise ServiceUnavailable("The database does not answer.") from error
