"""Reading a sealed log: checkpoints, hashes, and the events at their leaves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from application.auditing import Leaf, SealKeys, SealState, StoredCheckpoint, broken
from application.history import LoggedEvent
from domain.checkpoint import origin
from domain.merkle import Span
from infrastructure.postgres.read_pool import ReadPool, Row
from infrastructure.postgres.tree import HASHES, Plan, TreeIncomplete

_SEAL_STATE: Final = """
SELECT coalesce(sum(size - signed_size), 0), coalesce(sum(size - published_size), 0), count(trouble) FROM sealed_logs
"""
_GENERATION: Final = "coalesce((SELECT generation FROM sealed_logs WHERE tenant_id = %(tenant)s), 1)"

_CHECKPOINTS: Final = """
SELECT c.generation, c.note, c.signed_at,
       c.generation < s.generation OR c.size <= s.published_size
FROM checkpoints c JOIN sealed_logs s USING (tenant_id) WHERE c.tenant_id = %(tenant)s AND {where}
"""
_OF_THIS_LOG: Final = _CHECKPOINTS.format(where="c.generation = s.generation AND {where} LIMIT 1")

_NEWEST: Final = _OF_THIS_LOG.format(where="true ORDER BY c.size DESC")
_COVERING: Final = _OF_THIS_LOG.format(where="c.size >= %(size)s ORDER BY c.size")
_WITHIN: Final = _OF_THIS_LOG.format(where="c.size <= %(size)s ORDER BY c.size DESC")
_LISTED: Final = _CHECKPOINTS.format(
    where="(%(generation)s::int IS NULL OR (c.generation, c.size) < (%(generation)s, %(size)s))"
    " ORDER BY c.generation DESC, c.size DESC LIMIT %(limit)s"
)

_EVENT: Final = "e.originator_id, e.originator_version, e.notification_id, e.topic, e.state"

_FIND: Final = f"""
SELECT {_EVENT}, s.leaf FROM stored_events e LEFT JOIN sealed_events s ON s.position = e.notification_id
WHERE e.originator_id = %(stream)s AND e.originator_version = %(version)s
  AND (SELECT convert_from(f.state, 'UTF8')::jsonb ->> 'tenant' FROM stored_events f
       WHERE f.originator_id = e.originator_id AND f.originator_version = 1) = %(tenant)s
"""
_LAST: Final = f"""
SELECT {_EVENT} FROM stored_events e WHERE e.originator_id = %s ORDER BY e.originator_version DESC LIMIT 1
"""
_LAST_OF_SCAN: Final = f"""
SELECT s.leaf, {_EVENT} FROM stored_events e JOIN sealed_events s ON s.position = e.notification_id
WHERE e.originator_id = %(scan)s AND s.tenant_id = %(tenant)s AND s.leaf < %(size)s
ORDER BY e.originator_version DESC LIMIT 1
"""
_LEAVES: Final = f"""
SELECT s.leaf, {_EVENT} FROM sealed_events s JOIN stored_events e ON e.notification_id = s.position
WHERE s.tenant_id = %(tenant)s AND s.leaf >= %(first)s AND s.leaf < %(past)s ORDER BY s.leaf
"""
_SCAN_LEAVES: Final = f"""
SELECT s.leaf, {_EVENT} FROM stored_events e JOIN sealed_events s ON s.position = e.notification_id
WHERE e.originator_id = %(scan)s AND e.originator_version > %(after)s AND s.tenant_id = %(tenant)s
ORDER BY e.originator_version LIMIT %(limit)s
"""
_LEAF_HASHES: Final = """
SELECT w.number, h.hashes
FROM unnest(%(first)s::bigint[], %(past)s::bigint[]) WITH ORDINALITY AS w (first, past, number)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(s.hash ORDER BY s.leaf), '{}') FROM sealed_events s
    WHERE s.tenant_id = %(tenant)s AND s.leaf >= w.first AND s.leaf < w.past
) AS h (hashes) ORDER BY w.number
"""
_WINDOW: Final = """
SELECT coalesce((SELECT min(leaf) FROM sealed_events
                 WHERE tenant_id = %(tenant)s AND leaf < %(size)s AND occurred_at >= %(since)s), %(size)s),
       CASE WHEN %(until)s::timestamptz IS NULL THEN %(size)s ELSE coalesce((
         SELECT max(leaf) + 1 FROM sealed_events
         WHERE tenant_id = %(tenant)s AND leaf < %(size)s AND occurred_at < %(until)s), 0) END
"""
_KEYS: Final = f"""
SELECT (SELECT id::text FROM installation), {_GENERATION}, public_key, used_since FROM seal_keys
ORDER BY used_since DESC
"""


class PostgresSealedLog:
    """`SealedLog`."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    async def state(self) -> SealState:
        ((unsigned, unpublished, troubled),) = await self._pool.rows(_SEAL_STATE, within=2.0)
        return SealState(int(unsigned), int(unpublished), troubled)

    async def keys(self, tenant: str) -> SealKeys | None:
        rows = await self._pool.rows(_KEYS, {"tenant": tenant})
        if not rows:
            return None
        installation, generation = rows[0][:2]
        name = origin(installation, tenant, generation)
        return SealKeys(name, [(bytes(key), since) for _, _, key, since in rows])

    async def checkpoints(self, tenant: str, before: tuple[int, int] | None, limit: int) -> Sequence[StoredCheckpoint]:
        generation, size = before or (None, None)
        values = {"tenant": tenant, "generation": generation, "size": size, "limit": limit}
        return [StoredCheckpoint(*row) for row in await self._pool.rows(_LISTED, values)]

    async def newest(self, tenant: str) -> StoredCheckpoint | None:
        return await self._one(_NEWEST, tenant, 0)

    async def covering(self, tenant: str, size: int) -> StoredCheckpoint | None:
        return await self._one(_COVERING, tenant, size)

    async def within(self, tenant: str, size: int) -> StoredCheckpoint | None:
        return await self._one(_WITHIN, tenant, size)

    async def _one(self, query: str, tenant: str, size: int) -> StoredCheckpoint | None:
        rows = await self._pool.rows(query, {"tenant": tenant, "size": size})
        return StoredCheckpoint(*rows[0]) if rows else None

    async def hashes(self, tenant: str, spans: Sequence[Span]) -> Sequence[bytes]:
        plan = Plan(spans)
        try:
            return plan.hashes(await self._pool.rows(HASHES, dict(plan.parameters(tenant))))
        except TreeIncomplete as error:
            raise broken(f"{error}.") from error

    async def leaf_hashes(self, tenant: str, spans: Sequence[Span]) -> Sequence[Sequence[bytes]]:
        first, past = ([span[end] for span in spans] for end in (0, 1))
        rows = await self._pool.rows(_LEAF_HASHES, {"tenant": tenant, "first": first, "past": past})
        hashes = [[bytes(hash_) for hash_ in some] for _, some in rows]
        if any(len(some) != past - first for some, (first, past) in zip(hashes, spans, strict=True)):
            raise broken("Hashes of leaves are gone.")
        return hashes

    async def find(self, tenant: str, stream: str, version: int) -> tuple[LoggedEvent, int | None] | None:
        rows = await self._pool.rows(_FIND, {"tenant": tenant, "stream": stream, "version": version})
        return (LoggedEvent(*rows[0][:5]), rows[0][5]) if rows else None

    async def last_event(self, stream: str) -> LoggedEvent:
        return LoggedEvent(*(await self._pool.rows(_LAST, (stream,)))[0])

    async def last_of_scan(self, tenant: str, scan_id: str, size: int) -> Leaf | None:
        rows = await self._pool.rows(_LAST_OF_SCAN, {"tenant": tenant, "scan": scan_id, "size": size})
        return _leaf(rows[0]) if rows else None

    async def scan_leaves(self, tenant: str, scan_id: str, after_version: int, limit: int) -> Sequence[Leaf]:
        values = {"tenant": tenant, "scan": scan_id, "after": after_version, "limit": limit}
        return [_leaf(row) for row in await self._pool.rows(_SCAN_LEAVES, values)]

    async def leaves(self, tenant: str, span: Span) -> Sequence[Leaf]:
        rows = await self._pool.rows(_LEAVES, {"tenant": tenant, "first": span[0], "past": span[1]})
        return [_leaf(row) for row in rows]

    async def window(self, tenant: str, since: datetime, until: datetime | None, size: int) -> Span:
        values = {"tenant": tenant, "since": since, "until": until, "size": size}
        ((first, past),) = await self._pool.rows(_WINDOW, values)
        return first, past


def _leaf(row: Row) -> Leaf:
    return Leaf(row[0], LoggedEvent(*row[1:]))
