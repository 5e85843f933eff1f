"""The sums over all scans, kept beside the views in the same transaction, so that no scrape adds them up."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from application.ports import Recorded
from application.progress import ScanView
from application.totals import Load, Name, added, load_of
from domain.connector import ConnectorEvent

TABLES: Final = ("scan_totals", "scan_loads")

_ADD: Final = (
    "INSERT INTO scan_totals AS t (name, label, value) VALUES (%s, %s, %s)"
    " ON CONFLICT (name, label) DO UPDATE SET value = t.value + excluded.value"
)
_PUT: Final = (
    "INSERT INTO scan_loads VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (scan_id) DO UPDATE SET"
    " chunks = excluded.chunks, listings = excluded.listings, objects = excluded.objects,"
    " max_workers = excluded.max_workers, paused = excluded.paused, changed_at = excluded.changed_at"
)


class Totals:
    """What one batch of events adds, and what the scans it is about still want."""

    def __init__(self) -> None:
        self._gained: Counter[Name] = Counter()
        self._loads: dict[str, Load | None] = {}

    def add(self, before: ScanView | None, after: ScanView, records: Sequence[Recorded]) -> None:
        """A scan went from `before` to `after` by these events."""
        events = [record.event for record in records if not isinstance(record.event, ConnectorEvent)]
        self._gained.update(added(before, after, events))
        self._loads[after.scan_id] = load_of(after, records[-1].event.at)

    def write(self, cursor: psycopg.Cursor[Any]) -> None:
        gained = [(*name, value) for name, value in sorted(self._gained.items()) if value]
        if gained:
            cursor.executemany(_ADD, gained)
        if any(value < 0 for *_, value in gained):
            # What is nothing has no row, however it came to that.
            cursor.execute("DELETE FROM scan_totals WHERE value = 0")
        loads = [(scan, *_columns(load)) for scan, load in self._loads.items() if load is not None]
        if loads:
            cursor.executemany(_PUT, loads)
        ended = [scan for scan, load in self._loads.items() if load is None]
        if ended:
            cursor.execute("DELETE FROM scan_loads WHERE scan_id = ANY (%s)", (ended,))


def _columns(load: Load) -> Sequence[object]:
    return load.chunks, load.listings, load.objects, load.max_workers, load.paused, load.changed_at
