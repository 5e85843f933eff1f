"""The read side: plain SQL on the views, findings and events, for one tenant at a time."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from immutables import Map

from application.progress import ScanProgress, ScanView, WorkerCounts, WorkerView, begin, count, project
from application.reading import (
    FindingFilters,
    FindingPlace,
    LedgerPage,
    ScanFilters,
    ScanRow,
    StoredFinding,
)
from domain.connector import Connector, ConnectorEvent
from domain.connector import evolve as evolve_connector
from domain.coverage import Disposition
from domain.detectors.own import OwnRules, of_body
from domain.scan_events import Queued
from domain.scan_state import OPEN
from infrastructure.postgres.event_codec import decode
from infrastructure.postgres.event_log import COURSE
from infrastructure.postgres.ledger import Ledger
from infrastructure.postgres.projector import NAME as PROJECTOR
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.shredding import KEY_COLUMN, unveiled


class _Counts(msgspec.Struct):
    workers: WorkerCounts


_view: Final = msgspec.json.Decoder(ScanView)
_counts: Final = msgspec.json.Decoder(_Counts)
_worker: Final = msgspec.json.Decoder(WorkerView)
_connector: Final = msgspec.json.Decoder(Connector)

# Whether the log has more of the scan's course than the view is told by an index made for that.
_SCAN = f"""
SELECT view::text, EXISTS (
    SELECT FROM stored_events WHERE originator_id = scan_id AND originator_version > v.version AND {COURSE})
FROM scan_views v WHERE scan_id = %s AND tenant = %s
"""
_SCAN_AND_WORKERS = """
SELECT view::text, ARRAY(SELECT w.view::text FROM scan_worker_views w WHERE w.scan_id = v.scan_id)
FROM scan_views v WHERE scan_id = %s
"""
_EVENTS = f"""
SELECT topic, state, {KEY_COLUMN} FROM stored_events
WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s
"""
_FOLDED_AT_ONCE: Final = 500
_FOLDED_AT_MOST: Final = 10_000
"""Events that one read folds itself when the projector is that far behind: about 0.3 s of work."""

_CONNECTOR = """
SELECT view::text, EXISTS (
    SELECT FROM stored_events WHERE originator_id = connector_id AND originator_version > v.version)
FROM connector_views v WHERE connector_id = %s
"""
_FINDINGS = """
SELECT category, detector, left(object, 256), object_index, finding_id, connector, object,
       round(confidence::numeric, 2)::float8, count, "column", first_seen_at, gone_at, occurrences::text
FROM findings WHERE {where}
ORDER BY category, detector, left(object, 256), object_index, finding_id LIMIT %(limit)s
"""


_SEVERITY = "(detector = ANY (%(grave)s) OR (detector <> ALL (%(known)s) AND category {among} (%(categories)s)))"


class PostgresReadModel:
    """`ReadModel` on the tables that the projector and the recorder write."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool
        self._ledger = Ledger(pool)

    async def scan(self, tenant: str, scan_id: str) -> ScanRow | None:
        """The view; where the log has more of the scan's course than that, what the view will be."""
        rows = await self._pool.rows(_SCAN, (scan_id, tenant))
        if rows and not rows[0][1]:
            return _scan_row(rows[0][0])
        return await self._ahead_of_views(tenant, scan_id)

    async def _ahead_of_views(self, tenant: str, scan_id: str) -> ScanRow | None:
        rows = await self._pool.rows(_SCAN_AND_WORKERS, (scan_id,))
        fold = _fold_of(rows[0][0], rows[0][1]) if rows else None
        folded = 0
        while folded < _FOLDED_AT_MOST:
            after = fold.view.version if fold is not None else 0
            batch = await self._pool.rows(_EVENTS, (scan_id, after, _FOLDED_AT_ONCE))
            fold = await asyncio.to_thread(_folded, scan_id, fold, batch)
            folded += len(batch)
            if len(batch) < _FOLDED_AT_ONCE:
                break
        if fold is None or fold.view.tenant != tenant:
            return None
        return ScanRow(fold.view, count(fold.workers))

    async def scans(
        self, tenant: str, filters: ScanFilters, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ScanRow]:
        where = ["tenant = %(tenant)s"]
        values: dict[str, Any] = {"tenant": tenant, "limit": limit}
        if filters.connector is not None:
            where.append("%(connector)s = ANY (connectors)")
            values["connector"] = filters.connector
        if filters.statuses:
            where.append("status = ANY (%(statuses)s)")
            values["statuses"] = list(filters.statuses)
        if filters.type is not None:
            where.append("type = %(type)s")
            values["type"] = filters.type
        if filters.since is not None:
            where.append("created_at > %(since)s")
            values["since"] = filters.since
        if after is not None:
            where.append("(created_at, scan_id) < (%(at)s, %(id)s)")
            values["at"], values["id"] = after
        query = (
            f"SELECT view::text FROM scan_views WHERE {' AND '.join(where)}"
            " ORDER BY created_at DESC, scan_id DESC LIMIT %(limit)s"
        )
        return [_scan_row(row[0]) for row in await self._pool.rows(query, values)]

    async def workers(self, scan_id: str, after: str, limit: int) -> Sequence[WorkerView]:
        rows = await self._pool.rows(
            "SELECT view::text FROM scan_worker_views WHERE scan_id = %s AND worker_id > %s"
            " ORDER BY worker_id LIMIT %s",
            (scan_id, after, limit),
        )
        return [_worker.decode(row[0]) for row in rows]

    async def findings(
        self, scan_id: str, filters: FindingFilters, after: FindingPlace | None, limit: int
    ) -> Sequence[StoredFinding]:
        where, values = _finding_conditions(scan_id, filters)
        values["limit"] = limit
        if after is not None:
            where.append(
                "(category, detector, left(object, 256), object_index, finding_id)"
                " > (%(c)s, %(d)s, %(o)s, %(i)s, %(f)s)"
            )
            values |= dict(zip("cdoif", after, strict=True))
        rows = await self._pool.rows(_FINDINGS.format(where=" AND ".join(where)), values)
        return [_finding(row) for row in rows]

    async def objects(
        self, view: ScanView, disposition: Disposition | None, reason: str | None, after: int, limit: int
    ) -> LedgerPage:
        return await self._ledger.objects(view, disposition, reason, after, limit)

    async def pinned_rules(self, tenant: str, digest: str) -> OwnRules:
        if not digest:
            return OwnRules()
        rows = await self._pool.rows("SELECT body FROM rulesets WHERE tenant_id = %s AND digest = %s", (tenant, digest))
        return _own_rules(bytes(rows[0][0])) if rows else OwnRules()

    async def connector(self, tenant: str, connector_id: str) -> Connector | None:
        rows = await self._pool.rows(_CONNECTOR, (connector_id,))
        current = rows and not rows[0][1]
        found = _connector.decode(rows[0][0]) if current else await self._as_logged(connector_id)
        return found if found.tenant == tenant and not found.deleted else None

    async def _as_logged(self, connector_id: str) -> Connector:
        rows = await self._pool.rows(
            "SELECT topic, state FROM stored_events WHERE originator_id = %s ORDER BY originator_version LIMIT 1000",
            (connector_id,),
        )
        connector = Connector(connector_id=connector_id)
        for event in (decode(kind, state) for kind, state in rows):
            if isinstance(event, ConnectorEvent):
                connector = evolve_connector(connector, event)
        return connector

    async def connectors(self, tenant: str, after: tuple[datetime, str] | None, limit: int) -> Sequence[Connector]:
        further = "" if after is None else "AND (created_at, connector_id) < (%s, %s)"
        rows = await self._pool.rows(
            f"SELECT view::text FROM connector_views WHERE tenant = %s AND NOT deleted {further}"
            " ORDER BY created_at DESC, connector_id DESC LIMIT %s",
            (tenant, *(after or ()), limit),
        )
        return [_connector.decode(row[0]) for row in rows]

    async def open_scan_of(self, tenant: str, connector_id: str) -> str | None:
        rows = await self._pool.rows(
            "SELECT scan_id FROM scan_views WHERE tenant = %s AND status = ANY (%s)"
            " AND %s = ANY (connectors) ORDER BY created_at LIMIT 1",
            (tenant, [status.value for status in OPEN], connector_id),
        )
        return str(rows[0][0]) if rows else None

    async def projected(self) -> int:
        rows = await self._pool.rows("SELECT position FROM followers WHERE name = %s", (PROJECTOR,), within=1.0)
        return int(rows[0][0]) if rows else 0


def _fold_of(view: str, workers: Sequence[str]) -> ScanProgress:
    by_id = {worker.worker_id: worker for worker in map(_worker.decode, workers)}
    return ScanProgress(_view.decode(view), Map(by_id))


def _folded(scan_id: str, fold: ScanProgress | None, rows: Sequence[Sequence[Any]]) -> ScanProgress | None:
    """The fold after those events; None for a stream that is no scan's."""
    for topic, state, key in rows:
        event = decode(topic, unveiled(topic, state, scan_id, key))
        if isinstance(event, Queued):
            fold = begin(scan_id, event)
        elif fold is None or isinstance(event, ConnectorEvent):
            return None
        else:
            fold = project(fold, event)
    return fold


@lru_cache(maxsize=256)
def _scan_row(text: str) -> ScanRow:
    """A row as its JSON has it. Clients ask for the same version again and again."""
    return ScanRow(_view.decode(text), _counts.decode(text).workers)


_own_rules: Final = lru_cache(maxsize=64)(of_body)


def _finding_conditions(scan_id: str, filters: FindingFilters) -> tuple[list[str], dict[str, Any]]:
    where = ["scan_id = %(scan)s"]
    values: dict[str, Any] = {"scan": scan_id}
    for name in ("category", "detector", "connector", "object"):
        value = getattr(filters, name)
        if value is not None:
            where.append(f"{name} = %({name})s")
            values[name] = value
    if filters.object is not None:
        where.append("left(object, 256) = left(%(object)s, 256)")
    if filters.severity is not None:
        where.append(_SEVERITY.format(among="<> ALL" if filters.severity.all_but else "= ANY"))
        values |= {
            "grave": list(filters.severity.detectors),
            "known": list(filters.severity.known),
            "categories": list(filters.severity.categories),
        }
    if filters.min_confidence is not None:
        # Compared as it is shown: to two decimals.
        where.append("round(confidence::numeric, 2) >= %(least)s::numeric")
        values["least"] = repr(filters.min_confidence)
    return where, values


def _finding(row: Sequence[Any]) -> StoredFinding:
    category, detector, place, index, finding_id, connector, key, confidence, count, column, *times, occurrences = row
    document = {
        "finding_id": finding_id,
        "connector": connector,
        "object": key,
        "detector": detector,
        "category": category,
        "confidence": confidence,
        "count": count,
        "column": column,
        "first_seen_at": times[0],
        "gone_at": times[1],
        "occurrences": msgspec.json.decode(occurrences),
    }
    return StoredFinding((category, detector, place, index, finding_id), document)
