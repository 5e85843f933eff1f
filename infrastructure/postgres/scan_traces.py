"""The trace contexts of scans, where calls are traced."""

from collections.abc import Sequence
from typing import Any

import psycopg

from domain.errors import ServiceUnavailable


class PostgresScanTraces:
    """`ScanTraces`, each call over a connection of its own: one a scan."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def begin(self, scan_id: str, traceparent: str) -> None:
        self._run("INSERT INTO scan_traces VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1", scan_id, traceparent)

    def of(self, scan_id: str) -> str | None:
        rows = self._run("SELECT traceparent FROM scan_traces WHERE scan_id = %s", scan_id)
        return str(rows[0][0]) if rows else None

    def end(self, scan_id: str) -> None:
        self._run("DELETE FROM scan_traces WHERE scan_id = %s RETURNING 1", scan_id)

    def _run(self, query: str, *values: str) -> Sequence[tuple[Any, ...]]:
        try:
            with psycopg.connect(self._database_url, connect_timeout=2) as connection:
                return connection.execute(query.encode(), values).fetchall()
        except psycopg.OperationalError as error:
            raise ServiceUnavailable("The database does not answer.") from error
