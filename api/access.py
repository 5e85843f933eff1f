"""Who read what: recorded before the answer leaves, and read by auditors."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from litestar import get

from api import answers
from api.answers import Answer, AnyRequest
from api.auth import Requires
from api.bodies import query
from api.erased import refuse_erased
from api.pagination import cursors
from api.retention_schemas import AccessQuery
from api.service_parts import caller_of, ports_of
from application.access import OF_DATA, Access, AccessFilters, Operation, RecordedAccess
from application.scan_documents import moment

AUDIT: Final = Requires("audit:read")


async def recorded_access(
    request: AnyRequest,
    operation: Operation,
    *,
    scan: str | None = None,
    connector: str | None = None,
    filters: Mapping[str, Any] | None = None,
    rows: int | None = None,
) -> None:
    """Put on record that the caller is about to be given this; call it when all is read, before answering. `rows` is
    how many the answer holds; None for a stream.

    Raises ServiceUnavailable when it cannot be recorded, and `Refused` 410 for data that was erased while it was read:
    then nothing is answered.
    """
    ports, caller = ports_of(request), caller_of(request)
    told = dict(filters or {})
    if "object" in told:
        # An object's key may name a person, and no record is ever changed: this tells keys apart without telling them.
        named = b"access\0" + str(told["object"]).encode("utf-8", "replace")
        told["object"] = f"hmac:{hmac.digest(ports.cursor_key, named, hashlib.sha256).hex()[:32]}"
    erasing = await ports.access.record(
        Access(
            tenant=caller.tenant,
            key_id=caller.key_id,
            operation=operation,
            request_id=answers.request_id(request.scope),
            scan=scan,
            connector=connector,
            filters=told,
            rows=rows,
        )
    )
    if erasing and scan is not None and operation in OF_DATA:
        row = await ports.reads.scan(caller.tenant, scan)
        if row is not None:
            refuse_erased(row.view)


@get("/audit/access", before_request=AUDIT)
async def index(request: AnyRequest) -> Answer:
    """Who read findings and history, newest first. This is recorded, too."""
    asked = query(AccessQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, "/audit/access", asked.filters)
    place = places.read(asked.cursor)
    filters = AccessFilters(asked.since, asked.until, asked.key, asked.scan, asked.operation)
    found = await ports.access.records(tenant, filters, None if place is None else int(place[0]), asked.limit + 1)
    shown = found[: asked.limit]
    await recorded_access(request, Operation.ACCESS, filters=asked.filters, rows=len(shown))
    cursor = places.make([shown[-1].number]) if len(found) > asked.limit else None
    return answers.page(request, [_document(record) for record in shown], limit=asked.limit, next_cursor=cursor)


def _document(record: RecordedAccess) -> dict[str, Any]:
    access = record.access
    return {
        "number": record.number,
        "at": moment(record.at),
        "actor": f"key:{access.key_id}",
        "operation": access.operation.value,
        "scan_id": access.scan,
        "connector_id": access.connector,
        "filters": access.filters,
        "rows": access.rows,
        "request_id": access.request_id,
    }
