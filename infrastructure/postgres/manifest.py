"""The manifest on PostgreSQL: one row a listing batch, its objects as compressed columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from application import object_columns
from application.ports import ManifestPage, ObjectPartRow
from infrastructure.postgres.store_pool import StorePool

_COLUMNS = "first_index, unit, connector, first_chunk, objects"


class PostgresManifestStore:
    """`ManifestStore` on PostgreSQL."""

    def __init__(self, database_url: str, *, pool_size: int = 2, timeout: float = 5.0) -> None:
        self._pool = StorePool(database_url, size=pool_size, timeout=timeout)

    def close(self) -> None:
        self._pool.close()

    def pages(self, scan: str, start: int, end: int) -> Sequence[ManifestPage]:
        rows = self._pool.rows(
            f"SELECT {_COLUMNS} FROM manifest_pages WHERE scan_id = %(scan)s"
            " AND first_index <= %(end)s AND first_index >= coalesce((SELECT max(first_index) FROM manifest_pages"
            " WHERE scan_id = %(scan)s AND first_index <= %(start)s), 0) AND first_index + files > %(start)s"
            " ORDER BY first_index",
            {"scan": scan, "start": start, "end": end},
        )
        return [_page(scan, row) for row in rows]

    def parts(self, scan: str, chunk: int, attempt: int) -> Sequence[bytes]:
        rows = self._pool.rows(
            "SELECT body FROM report_parts WHERE scan_id = %(scan)s AND chunk = %(chunk)s AND attempt = %(attempt)s"
            " ORDER BY part",
            {"scan": scan, "chunk": chunk, "attempt": attempt},
        )
        return [bytes(body) for (body,) in rows]

    def object_parts(self, scan: str, index: int) -> Sequence[ObjectPartRow]:
        rows = self._pool.rows(
            "SELECT part, lines, records, findings, remark FROM object_parts WHERE scan_id = %(scan)s"
            " AND object_index = %(index)s ORDER BY part",
            {"scan": scan, "index": index},
        )
        return [ObjectPartRow(scan, index, part, *found) for part, *found in rows]

    def unit_pages(self, scan: str, unit: int, after: str) -> Iterator[tuple[ManifestPage, Mapping[int, str]]]:
        reached = -1
        while True:
            rows = self._pool.rows(
                f"SELECT {_COLUMNS} FROM manifest_pages WHERE scan_id = %(scan)s AND unit = %(unit)s"
                " AND first_index > %(reached)s ORDER BY first_index LIMIT 8",
                {"scan": scan, "unit": unit, "reached": reached},
            )
            for page in (_page(scan, row) for row in rows):
                reached = page.first_index
                if page.objects[-1].key > after:
                    yield page, self._exceptions(page)
            if len(rows) < 8:
                return

    def _exceptions(self, page: ManifestPage) -> Mapping[int, str]:
        rows = self._pool.rows(
            "SELECT object_index, disposition FROM object_exceptions WHERE scan_id = %(scan)s"
            " AND object_index BETWEEN %(first)s AND %(last)s",
            {"scan": page.scan, "first": page.first_index, "last": page.first_index + len(page.objects) - 1},
        )
        return dict(rows)


def _page(scan: str, row: Sequence[Any]) -> ManifestPage:
    first_index, unit, connector, first_chunk, objects = row
    block = object_columns.decode(bytes(objects))
    return ManifestPage(
        scan, first_index, unit, connector, block.objects, block.skips, first_chunk, (), block.scanned_by
    )
