"""The seal: every event becomes a leaf of its tenant's Merkle tree, in the order of the log.

It works on the stored bytes: an event that this installation cannot read is sealed like any other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg

from application.history import LoggedEvent, cloud_event
from domain.merkle import Frontier, leaf_hash
from domain.scan_events import ENDINGS
from infrastructure.postgres.follower import take_position
from infrastructure.postgres.stream_tenants import StreamTenants
from infrastructure.postgres.tree import KEPT_LEVELS

NAME: Final = "seal"
BATCH: Final = 2_000

HASH_BYTES: Final = 32

_NEXT: Final = (
    "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events"
    " WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
)
_ENDINGS: Final = frozenset(ending.kind for ending in ENDINGS)


class _Stored(msgspec.Struct):
    at: datetime


_stored: Final = msgspec.json.Decoder(_Stored)


class Sealed(msgspec.Struct, frozen=True):
    """What a batch came to: the events of each tenant, and the tenants of whom a scan ended."""

    events: Mapping[str, int] = {}
    ended: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        return sum(self.events.values())


class Sealer:
    """Assigns leaves. Not for use from several threads at once; two processes at once are safe."""

    def __init__(self) -> None:
        self._tenants = StreamTenants()

    def forget(self) -> None:
        """What was read may be no more: the database was restored."""
        self._tenants.forget()

    def catch_up(self, connection: psycopg.Connection[Any]) -> Sealed:
        """Seal the next batch, in one transaction with the follower's position. Raises psycopg.Error."""
        with connection.transaction(), connection.cursor() as cursor:
            position = take_position(cursor, NAME)
            events = [LoggedEvent(*row) for row in cursor.execute(_NEXT, (position, BATCH), prepare=True)]
            if not events:
                return Sealed()
            tenants = self._tenants.of(cursor, (event.stream for event in events))
            grown = _Growth(cursor, frozenset(tenants[event.stream] for event in events))
            for event in events:
                grown.add(event, tenants[event.stream])
            grown.write(cursor)
            cursor.execute("UPDATE followers SET position = %s WHERE name = %s", (events[-1].position, NAME))
        ended = frozenset(tenants[event.stream] for event in events if event.kind in _ENDINGS)
        return Sealed(Counter(tenants[event.stream] for event in events), ended)


class _Growth:
    """The logs of some tenants, and what a batch adds to them."""

    def __init__(self, cursor: psycopg.Cursor[Any], tenants: frozenset[str]) -> None:
        self.logs = {tenant: Frontier() for tenant in sorted(tenants)}
        rows = cursor.execute(
            "SELECT tenant_id, size, frontier FROM sealed_logs WHERE tenant_id = ANY (%s) ORDER BY 1 FOR UPDATE",
            (list(self.logs),),
        )
        self.logs.update({tenant: Frontier(size, cut(frontier)) for tenant, size, frontier in rows})
        self._leaves: list[tuple[object, ...]] = []
        self._nodes: list[tuple[object, ...]] = []

    def add(self, event: LoggedEvent, tenant: str) -> None:
        frontier = self.logs[tenant]
        leaf, hash_ = frontier.size, leaf_hash(cloud_event(event, tenant))
        self._leaves.append((tenant, leaf, event.position, _stored.decode(event.state).at, hash_))
        for level, node in enumerate(frontier.append(hash_), 1):
            if level % KEPT_LEVELS == 0:
                self._nodes.append((tenant, level, leaf >> level, node))

    def write(self, cursor: psycopg.Cursor[Any]) -> None:
        _copy(cursor, "sealed_events", "text int8 int8 timestamptz bytea", self._leaves)
        if self._nodes:
            _copy(cursor, "sealed_nodes", "text int2 int8 bytea", self._nodes)
        cursor.executemany(
            "INSERT INTO sealed_logs (tenant_id, size, frontier) VALUES (%s, %s, %s)"
            " ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier",
            [(tenant, log.size, b"".join(log.hashes)) for tenant, log in self.logs.items()],
        )


def _copy(cursor: psycopg.Cursor[Any], table: str, types: str, rows: Iterable[tuple[object, ...]]) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(types.split())
        for row in rows:
            copy.write_row(row)


def cut(hashes: bytes) -> Sequence[bytes]:
    """Hashes that were kept one after the other."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
