"""Taking a scan that ended into the inventories of its connectors: a follower of the log, like the views.

One transaction a scan; memory is a few pages, however large the inventory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Final

import psycopg

from application import object_columns
from application.ports import Recorded
from domain.chunk import Unfinished
from domain.connector import ConnectorDataErased, ConnectorDeleted
from domain.coverage import Disposition, SkipReason
from domain.inventory import KNOWN_SKIPS, Deleted, KeyRange, Known, Seen, accepted
from domain.manifest import ObjectInfo
from domain.scan import Scan, UnitState, UnitStatus, evolve
from domain.scan_events import ENDINGS, DataErased, Queued
from infrastructure.postgres.event_codec import decode
from infrastructure.postgres.follower import Follower
from infrastructure.postgres.inventory import FOLLOWER
from infrastructure.postgres.inventory_pages import ENTRIES_A_PAGE, key_bytes
from infrastructure.postgres.inventory_pages import decode as decode_page
from infrastructure.postgres.inventory_pages import encode as encode_page
from infrastructure.postgres.shredding import KEY_COLUMN, unveiled

KINDS: Final = (
    *(ending.kind for ending in ENDINGS),
    *(DataErased.kind, ConnectorDeleted.kind, ConnectorDataErased.kind),
)

_PAGES_AT_ONCE: Final = 32
_EVENTS_AT_ONCE: Final = 2_000

_Cursor = psycopg.Cursor[Any]


def inventories(database_url: str) -> Follower:
    """The follower that keeps the inventories."""
    return Follower(database_url, FOLLOWER, _apply, kinds=KINDS)


def _apply(cursor: _Cursor, batch: Sequence[Recorded]) -> None:
    for record in batch:
        if isinstance(record.event, ConnectorDeleted | ConnectorDataErased):
            _drop(cursor, record.stream)
        elif isinstance(record.event, DataErased):
            _forget(cursor, record.stream)
        elif isinstance(record.event, ENDINGS):
            scan = _folded(cursor, record.stream)
            # What it listed may be gone by now, which says nothing of the objects.
            for connector in scan.locations if scan.erased_at is None else ():
                _accept(cursor, record.stream, scan, connector)


def _drop(cursor: _Cursor, connector: str) -> None:
    cursor.execute("DELETE FROM inventories WHERE connector_id = %s", (connector,))
    cursor.execute("DELETE FROM inventory_pages WHERE connector_id = %s", (connector,))


def _forget(cursor: _Cursor, scan_id: str) -> None:
    """What the scan looked at counts as looked at no more: an incremental scan reads it again."""
    state = cursor.execute(
        "SELECT state FROM stored_events WHERE originator_id = %s AND originator_version = 1", (scan_id,)
    ).fetchall()[0][0]
    queued = decode(Queued.kind, state)
    assert isinstance(queued, Queued)
    for connector in queued.connectors:
        row = cursor.execute(
            "SELECT generation FROM inventories WHERE connector_id = %s FOR UPDATE", (connector,)
        ).fetchone()
        if row is not None:
            _rewrite_without(cursor, connector, row[0], scan_id)


def _rewrite_without(cursor: _Cursor, connector: str, generation: int, scan_id: str) -> None:
    new = _Writer(cursor, connector, generation + 1)
    new.write(_without(cursor, connector, generation, scan_id))
    cursor.execute(
        "UPDATE inventories SET generation = %s, files = %s WHERE connector_id = %s",
        (generation + 1, new.files, connector),
    )
    cursor.execute("DELETE FROM inventory_pages WHERE connector_id = %s AND generation <= %s", (connector, generation))


def _without(cursor: _Cursor, connector: str, generation: int, scan_id: str) -> Iterator[Known]:
    """The inventory without the scan's word. Of an object that no other vouches for the key alone stays, and that only
    while another scan's findings name it: they must hear of its end."""
    old = _old(cursor, connector, generation)
    while known := list(islice(old, ENTRIES_A_PAGE)):
        vouched = [one.scan != scan_id and bool(one.etag) for one in known]
        doubtful = [one.key for one, keeps in zip(known, vouched, strict=True) if not keeps]
        named = _named(cursor, connector, doubtful) if doubtful else frozenset()
        for one, keeps in zip(known, vouched, strict=True):
            if keeps:
                yield one
            elif _text(one.key) in named:
                yield one.forgotten


def _named(cursor: _Cursor, connector: str, keys: Sequence[str]) -> frozenset[str]:
    """Those of the keys at which findings stand that are not gone, nor to be erased."""
    rows = cursor.execute(
        "SELECT DISTINCT f.object FROM unnest(%s::text[]) AS known (key) JOIN findings f"
        " ON left(f.object, 256) = left(known.key, 256) AND f.object = known.key"
        " WHERE f.connector = %s AND f.gone_at IS NULL"
        " AND NOT EXISTS (SELECT FROM erasures r WHERE r.stream = f.scan_id)",
        ([_text(key) for key in keys], connector),
    ).fetchall()
    return frozenset(row[0] for row in rows)


def _text(key: str) -> str:
    """Keys are written without NUL where findings stand."""
    return key.replace("\0", "\ufffd")


def _folded(cursor: _Cursor, scan_id: str) -> Scan:
    scan = Scan()
    while True:
        rows = cursor.execute(
            f"SELECT topic, state, {KEY_COLUMN} FROM stored_events WHERE originator_id = %s AND originator_version > %s"
            " ORDER BY originator_version LIMIT %s".encode(),
            (scan_id, scan.version, _EVENTS_AT_ONCE),
        ).fetchall()
        for kind, state, key in rows:
            event = decode(kind, unveiled(kind, state, scan_id, key))
            scan = evolve(scan, event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        if len(rows) < _EVENTS_AT_ONCE:
            return scan


def _accept(cursor: _Cursor, scan_id: str, scan: Scan, connector: str) -> None:
    location = scan.locations[connector]
    row = cursor.execute(
        "SELECT location, generation FROM inventories WHERE connector_id = %s FOR UPDATE", (connector,)
    ).fetchone()
    generation = row[1] if row else 0
    # What was known of another place says nothing of this one.
    old = _old(cursor, connector, generation) if row and row[0] == location else iter(())
    units = sorted(
        ((number, unit) for number, unit in scan.units.items() if unit.unit.connector == connector),
        key=lambda item: (item[1].unit.prefix, item[1].unit.after),
    )
    ended = _Ended(scan_id, scan, Unfinished(state.chunk for state in scan.pending.values()))
    seen = chain.from_iterable(ended.seen(cursor, number) for number, _ in units)
    listed = [] if scan.redrive_of else [keys for _, unit in units if (keys := _listed(unit)) is not None]
    new = _Writer(cursor, connector, generation + 1)
    new.write(accepted(old, seen, listed))
    cursor.execute(
        "INSERT INTO inventories VALUES (%s, %s, %s, %s, %s) ON CONFLICT (connector_id) DO UPDATE SET"
        " location = excluded.location, generation = excluded.generation, files = excluded.files,"
        " scan_id = excluded.scan_id",
        (connector, location, generation + 1, new.files, scan_id),
    )
    cursor.execute("DELETE FROM inventory_pages WHERE connector_id = %s AND generation <= %s", (connector, generation))


def _listed(unit: UnitState) -> KeyRange | None:
    """The keys that a unit listed whole."""
    if unit.status is UnitStatus.COMPLETE:
        return KeyRange(unit.unit.prefix, unit.unit.after, unit.unit.until)
    return KeyRange(unit.unit.prefix, unit.unit.after, unit.last_key) if unit.batches else None


def _old(cursor: _Cursor, connector: str, generation: int) -> Iterator[Known]:
    after = b""
    while True:
        rows = cursor.execute(
            "SELECT first_key, entries FROM inventory_pages WHERE connector_id = %s AND generation = %s"
            " AND first_key > %s ORDER BY first_key LIMIT %s",
            (connector, generation, after, _PAGES_AT_ONCE),
        ).fetchall()
        for first_key, entries in rows:
            yield from decode_page(bytes(entries))
            after = bytes(first_key)
        if len(rows) < _PAGES_AT_ONCE:
            return


@dataclass(frozen=True, slots=True)
class _Ended:
    """A scan that ended, with what it left unfinished."""

    scan_id: str
    scan: Scan
    unfinished: Unfinished

    def seen(self, cursor: _Cursor, unit: int) -> Iterator[Seen]:
        """What a unit listed, in key order, with what became of it."""
        after = -1
        while True:
            rows = cursor.execute(
                "SELECT first_index, files, objects FROM manifest_pages WHERE scan_id = %s AND unit = %s"
                " AND first_index > %s ORDER BY first_index LIMIT %s",
                (self.scan_id, unit, after, _PAGES_AT_ONCE),
            ).fetchall()
            for first_index, files, objects in rows:
                exceptions = self._exceptions(cursor, first_index, first_index + files - 1)
                yield from self._seen_on(first_index, bytes(objects), exceptions)
                after = first_index
            if len(rows) < _PAGES_AT_ONCE:
                return

    def _exceptions(self, cursor: _Cursor, first: int, last: int) -> Mapping[int, tuple[str, str]]:
        rows = cursor.execute(
            "SELECT object_index, disposition, reason FROM object_exceptions"
            " WHERE scan_id = %s AND object_index BETWEEN %s AND %s",
            (self.scan_id, first, last),
        ).fetchall()
        return {index: (disposition, reason) for index, disposition, reason in rows}

    def _seen_on(self, first_index: int, objects: bytes, exceptions: Mapping[int, tuple[str, str]]) -> Iterator[Seen]:
        block = object_columns.decode(objects)
        left = self.unfinished.between(first_index, first_index + len(block.objects) - 1)
        for index, (entry, skip) in enumerate(zip(block.objects, block.skips, strict=True), first_index):
            if skip is not None:
                yield Seen(entry, keeps=True)
            elif index in left:
                yield Seen(entry)
            else:
                yield Seen(entry, self._known(entry, *exceptions.get(index, ("", ""))))

    def _known(self, entry: ObjectInfo, disposition: str, reason: str) -> Known | None:
        """What reading the object taught. Of one that failed no more than that it was there: should it go, what was
        found in it before it failed is gone."""
        known = Known(entry.key, entry.size, entry.etag, self.scan_id, self.scan.ruleset)
        if disposition in {"", Disposition.SCANNED}:
            return known
        if disposition == Disposition.FAILED:
            return known.forgotten
        skipped = SkipReason(reason) if disposition == Disposition.SKIPPED else None
        return replace(known, skipped=skipped) if skipped in KNOWN_SKIPS else None


class _Writer:
    """Writes the pages of a generation, and marks the findings of deleted objects as gone."""

    def __init__(self, cursor: _Cursor, connector: str, generation: int) -> None:
        self._cursor = cursor
        self._connector = connector
        self._generation = generation
        self._entries: list[Known] = []
        self._deleted: list[str] = []
        self.files = 0

    def write(self, new: Iterable[Known | Deleted]) -> None:
        for one in new:
            if isinstance(one, Deleted):
                self._deleted.append(one.key)
            else:
                self._entries.append(one)
            if len(self._entries) >= ENTRIES_A_PAGE:
                self._put_page()
            if len(self._deleted) >= ENTRIES_A_PAGE:
                self._put_gone()
        self._put_page()
        self._put_gone()

    def _put_page(self) -> None:
        if not self._entries:
            return
        self._cursor.execute(
            "INSERT INTO inventory_pages (connector_id, generation, first_key, files, entries)"
            " VALUES (%s, %s, %s, %s, %s)",
            (
                self._connector,
                self._generation,
                key_bytes(self._entries[0].key),
                len(self._entries),
                encode_page(self._entries),
            ),
        )
        self.files += len(self._entries)
        self._entries = []

    def _put_gone(self) -> None:
        if self._deleted:
            keys = [_text(key) for key in self._deleted]
            self._cursor.execute(
                "UPDATE findings f SET gone_at = now() FROM unnest(%s::text[]) AS gone (key)"
                " WHERE f.connector = %s AND f.gone_at IS NULL AND left(f.object, 256) = left(gone.key, 256)"
                " AND f.object = gone.key",
                (keys, self._connector),
            )
            self._deleted = []
