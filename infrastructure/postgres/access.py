"""The record of accesses: one INSERT each, which is committed before the answer leaves."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from application.access import Access, AccessFilters, Operation, RecordedAccess
from infrastructure.postgres.read_pool import ReadPool

_RECORD: Final = """
INSERT INTO access_records (tenant_id, key_id, operation, scan_id, connector_id, filters, row_count, request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
RETURNING EXISTS (SELECT FROM erasures WHERE stream = access_records.scan_id)
"""
_COLUMNS: Final = "record_id, at, key_id, operation, scan_id, connector_id, filters, row_count, request_id"


class PostgresAccessRecords:
    """`AccessRecords`. Where the server drops the connection the record is written again: rather twice than never."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    async def record(self, access: Access) -> bool:
        filters = msgspec.json.encode(access.filters or {}).decode()
        subject = (access.scan, access.connector)
        who = (access.tenant, access.key_id, access.operation.value)
        values = (*who, *subject, filters, access.rows, access.request_id)
        return bool((await self._pool.rows(_RECORD, values))[0][0])

    async def records(
        self, tenant: str, filters: AccessFilters, before: int | None, limit: int
    ) -> Sequence[RecordedAccess]:
        conditions = {
            "record_id < %s": before,
            "at >= %s": filters.since,
            "at < %s": filters.until,
            "key_id = %s": filters.key_id,
            "scan_id = %s": filters.scan,
            "operation = %s": filters.operation,
        }
        given = {condition: value for condition, value in conditions.items() if value is not None}
        where = " AND ".join(["tenant_id = %s", *given])
        query = f"SELECT {_COLUMNS} FROM access_records WHERE {where} ORDER BY record_id DESC LIMIT %s"
        rows = await self._pool.rows(query, (tenant, *given.values(), limit))
        return [_recorded(tenant, row) for row in rows]


def _recorded(tenant: str, row: Sequence[Any]) -> RecordedAccess:
    number, at, key_id, operation, scan, connector, filters, count, request_id = row
    access = Access(tenant, key_id, Operation(operation), request_id, scan, connector, filters, count)
    return RecordedAccess(number, at, access)
