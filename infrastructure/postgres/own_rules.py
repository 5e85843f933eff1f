"""Tenants' own detectors, allow lists, and the rules that scans were pinned to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from application.own_rules import StoredAllowance, StoredDetector, already_there
from domain.detectors.own import Allowance, OwnRules, kept_detector, require_room, require_room_on_list
from domain.detectors.rulebook import fields_of
from domain.errors import NotFound
from infrastructure.postgres.store_pool import StorePool

_DETECTORS: Final = (
    "SELECT fields, created_at, changed_at, changed_by FROM own_detectors WHERE tenant_id = %s ORDER BY detector_id"
)
_ALLOWANCES: Final = (
    "SELECT allowance_id, allowance, reason, created_at, created_by FROM allowances WHERE tenant_id = %s"
    " ORDER BY created_at DESC, allowance_id DESC"
)
_PUT_DETECTOR: Final = (
    "INSERT INTO own_detectors (tenant_id, detector_id, fields, created_at, changed_at, changed_by)"
    " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (tenant_id, detector_id) DO UPDATE SET"
    " fields = excluded.fields, changed_at = excluded.changed_at, changed_by = excluded.changed_by"
)
_PUT_ALLOWANCE: Final = (
    "INSERT INTO allowances (tenant_id, allowance_id, allowance, reason, created_at, created_by)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)

_Connection = psycopg.Connection[Any]


class PostgresRuleShelf:
    """`RuleShelf` on PostgreSQL. A tenant's changes come one after the other, so that its limits hold."""

    def __init__(self, database_url: str, *, pool_size: int = 2, timeout: float = 5.0) -> None:
        self._pool = StorePool(database_url, size=pool_size, timeout=timeout)

    def close(self) -> None:
        self._pool.close()

    def rules(self, tenant: str) -> OwnRules:
        detectors = tuple(stored.detector for stored in self.detectors(tenant))
        return OwnRules(detectors, tuple(stored.allowance for stored in self.allowances(tenant)))

    def pinned(self, tenant: str, digest: str) -> bytes | None:
        rows = self._pool.rows("SELECT body FROM rulesets WHERE tenant_id = %s AND digest = %s", (tenant, digest))
        return bytes(rows[0][0]) if rows else None

    def detectors(self, tenant: str) -> list[StoredDetector]:
        return [_detector(row) for row in self._pool.rows(_DETECTORS, (tenant,))]

    def allowances(self, tenant: str) -> list[StoredAllowance]:
        return [_allowance(row) for row in self._pool.rows(_ALLOWANCES, (tenant,))]

    def put_detector(self, tenant: str, stored: StoredDetector, *, new: bool) -> StoredDetector:
        name = stored.detector.id
        with self._changing(tenant) as connection:
            kept = {one.detector.id: one for one in map(_detector, connection.execute(_DETECTORS, (tenant,)))}
            before = kept.get(name)
            if new and before is not None:
                raise already_there(name)
            if not new and before is None:
                raise NotFound("detector", name)
            stored = stored if before is None else replace(stored, created_at=before.created_at)
            require_room(one.detector for one in (kept | {name: stored}).values())
            fields = Jsonb(fields_of(stored.detector))
            values = (tenant, name, fields, stored.created_at, stored.changed_at, stored.changed_by)
            connection.execute(_PUT_DETECTOR, values)
        return stored

    def drop_detector(self, tenant: str, detector_id: str) -> bool:
        with self._changing(tenant) as connection:
            query = "DELETE FROM own_detectors WHERE tenant_id = %s AND detector_id = %s"
            return connection.execute(query, (tenant, detector_id)).rowcount > 0

    def put_allowance(self, tenant: str, stored: StoredAllowance) -> StoredAllowance:
        with self._changing(tenant) as connection:
            kept = {one.allowance_id: one for one in map(_allowance, connection.execute(_ALLOWANCES, (tenant,)))}
            if stored.allowance_id in kept:
                return kept[stored.allowance_id]
            require_room_on_list([*(one.allowance for one in kept.values()), stored.allowance])
            given = Jsonb({name: value for name, value in asdict(stored.allowance).items() if value is not None})
            values = (tenant, stored.allowance_id, given, stored.reason, stored.created_at, stored.created_by)
            connection.execute(_PUT_ALLOWANCE, values)
        return stored

    def drop_allowance(self, tenant: str, allowance_id: str) -> bool:
        with self._changing(tenant) as connection:
            query = "DELETE FROM allowances WHERE tenant_id = %s AND allowance_id = %s"
            return connection.execute(query, (tenant, allowance_id)).rowcount > 0

    @contextmanager
    def _changing(self, tenant: str) -> Iterator[_Connection]:
        with self._pool.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"own rules of {tenant}",))
            yield connection


def _detector(row: Any) -> StoredDetector:
    fields, created_at, changed_at, changed_by = row
    return StoredDetector(kept_detector(fields), created_at, changed_at, changed_by)


def _allowance(row: Any) -> StoredAllowance:
    allowance_id, given, reason, created_at, created_by = row
    return StoredAllowance(allowance_id, Allowance(**given), reason, created_at, created_by)
