"""Connectors' inventories, as planning reads them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from domain.inventory import Known, boundaries
from infrastructure.postgres.inventory_pages import decode, key_bytes
from infrastructure.postgres.store_pool import StorePool

FOLLOWER: Final = "inventories"

_KEPT_PAGES: Final = 64
FILES_A_UNIT: Final = 50_000
_MOST_UNITS: Final = 16
"""A connector whose inventory is larger than FILES_A_UNIT is listed in several ranges, _MOST_UNITS at most."""

_PAGES: Final = """
SELECT p.generation, p.first_key, p.entries FROM inventories i JOIN inventory_pages p USING (connector_id, generation)
WHERE i.connector_id = %(connector)s AND i.location = %(location)s AND p.first_key <= %(last)s
  AND p.first_key >= coalesce((SELECT max(q.first_key) FROM inventory_pages q WHERE q.connector_id = i.connector_id
                               AND q.generation = i.generation AND q.first_key <= %(first)s), ''::bytea)
ORDER BY p.first_key
"""
_FIRST_KEYS: Final = """
SELECT p.first_key, p.files FROM inventories i JOIN inventory_pages p USING (connector_id, generation)
WHERE i.connector_id = %s AND i.location = %s ORDER BY p.first_key
"""

_Page = Mapping[str, Known]


class PostgresInventory:
    """`Inventory` on PostgreSQL. Keeps the pages used last, decoded: batches follow each other in key order."""

    def __init__(self, database_url: str, *, pool_size: int = 2, timeout: float = 5.0) -> None:
        self._pool = StorePool(database_url, size=pool_size, timeout=timeout)
        self._kept: OrderedDict[tuple[str, int, bytes], _Page] = OrderedDict()

    def close(self) -> None:
        self._pool.close()

    def known(self, connector: str, location: str, first: str, last: str) -> Mapping[str, Known]:
        values = {"connector": connector, "location": location, "first": key_bytes(first), "last": key_bytes(last)}
        found: dict[str, Known] = {}
        for generation, first_key, entries in self._pool.rows(_PAGES, values):
            found.update(self._page((connector, generation, bytes(first_key)), entries))
        return found

    def _page(self, place: tuple[str, int, bytes], entries: bytes) -> _Page:
        page = self._kept.get(place)
        if page is None:
            page = self._kept[place] = {known.key: known for known in decode(bytes(entries))}
            while len(self._kept) > _KEPT_PAGES:
                self._kept.popitem(last=False)
        return page

    def boundaries(self, connector: str, location: str, prefix: str) -> Sequence[str]:
        below = key_bytes(prefix)
        rows = [
            (bytes(key), files)
            for key, files in self._pool.rows(_FIRST_KEYS, (connector, location))
            if bytes(key).startswith(below) and bytes(key) > below
        ]
        keys = [key.decode("utf-8", "surrogatepass") for key, _ in rows]
        return boundaries(keys, min(_MOST_UNITS, sum(files for _, files in rows) // FILES_A_UNIT))

    def accepted_up_to(self) -> int:
        rows = self._pool.rows("SELECT position FROM followers WHERE name = %s", (FOLLOWER,))
        return int(rows[0][0]) if rows else 0
