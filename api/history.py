"""What happened, in order: of a scan, and of all that a tenant has. Every event is shown as it was recorded."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson
from litestar import get
from litestar.params import FromPath
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import ASGIApp

from api import answers
from api.access import recorded_access
from api.answers import AnyRequest
from api.auth import Requires
from api.bodies import query
from api.history_schemas import EventsQuery
from api.identifiers import possible
from api.pagination import cursors
from api.scans import owned_scan
from api.schemas import PageQuery
from api.service_parts import caller_of, ports_of
from application.access import Operation
from application.history import EventFilters, History, LoggedEvent, event_line

NDJSON: Final = "application/x-ndjson"
AUDIT: Final = Requires("audit:read", "scans:read")

_STREAMED_AT_ONCE: Final = 500


@get("/scans/{scan:str}/events", before_request=AUDIT)
async def scan_events(request: AnyRequest, scan: FromPath[str]) -> ASGIApp:
    """The scan's history in order; as NDJSON, all of it at once, with `Accept: application/x-ndjson`."""
    asked = query(PageQuery, request)
    await owned_scan(request, scan)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/events", {})
    place = places.read(asked.cursor)
    after = 0 if place is None else int(place[0])
    if _wants_lines(request):
        await recorded_access(request, Operation.EVENTS, scan=scan)
        return _streamed(_scan_lines(ports.history, scan, after))
    found = await ports.history.scan_events(scan, after, asked.limit + 1)
    shown = found[: asked.limit]
    await recorded_access(request, Operation.EVENTS, scan=scan, rows=len(shown))
    cursor = places.make([shown[-1].version]) if len(found) > asked.limit else None
    return answers.page(request, _items(shown), limit=asked.limit, next_cursor=cursor)


@get("/events", before_request=AUDIT)
async def events(request: AnyRequest) -> ASGIApp:
    """All events of the tenant in the order of the log; as NDJSON, all at once, as for a scan."""
    asked = query(EventsQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    connector = None if asked.connector is None else possible("connector", asked.connector)
    filters = EventFilters(tuple(asked.kind), connector, asked.since, asked.until)
    places = cursors(ports.cursor_key, tenant, "/events", asked.filters)
    place = places.read(asked.cursor)
    after = 0 if place is None else int(place[0])
    if _wants_lines(request):
        await recorded_access(request, Operation.EVENTS, connector=connector, filters=asked.filters)
        return _streamed(_tenant_lines(ports.history, tenant, filters, after))
    page = await ports.history.tenant_events(tenant, filters, after, asked.limit)
    count = len(page.events)
    await recorded_access(request, Operation.EVENTS, connector=connector, filters=asked.filters, rows=count)
    cursor = None if page.resume_after is None else places.make([page.resume_after])
    return answers.page(request, _items(page.events), limit=asked.limit, next_cursor=cursor)


def _wants_lines(request: AnyRequest) -> bool:
    return answers.wants(request.headers.get("accept", ""), NDJSON)


def _items(events: Sequence[LoggedEvent]) -> list[orjson.Fragment]:
    return [orjson.Fragment(event_line(event)) for event in events]


def _streamed(lines: AsyncIterator[bytes]) -> ASGIApp:
    return ASGIStreamingResponse(iterator=lines, media_type=NDJSON, headers={"Cache-Control": "no-store"})


async def _scan_lines(history: History, scan: str, after: int) -> AsyncIterator[bytes]:
    while batch := await history.scan_events(scan, after, _STREAMED_AT_ONCE):
        yield _lines(batch)
        after = batch[-1].version


async def _tenant_lines(history: History, tenant: str, filters: EventFilters, after: int) -> AsyncIterator[bytes]:
    resume_after: int | None = after
    while resume_after is not None:
        page = await history.tenant_events(tenant, filters, resume_after, _STREAMED_AT_ONCE)
        yield _lines(page.events)
        resume_after = page.resume_after


def _lines(events: Sequence[LoggedEvent]) -> bytes:
    return b"".join(event_line(event) + b"\n" for event in events)
