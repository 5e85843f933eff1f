"""What a scan found, what became of every object, and what happened to it: findings, ledger, history."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from litestar import get
from litestar.params import FromPath
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import ASGIApp

from api import answers
from api.answers import Answer, AnyRequest
from api.auth import Requires
from api.bodies import query
from api.pagination import cursors
from api.scans import READ, owned_scan
from api.schemas import FindingsQuery, ObjectsQuery, PageQuery
from api.service_parts import caller_of, ports_of
from application.reading import ApiPorts, FindingFilters, LedgerEntry, StoredEvent
from application.scan_documents import moment
from application.severity import Severities
from domain.coverage import Disposition

NDJSON: Final = "application/x-ndjson"
AUDIT: Final = Requires("audit:read", "scans:read")

_STREAMED_AT_ONCE: Final = 500
_ENVELOPE: Final = frozenset({"schema", "at", "actor"})


@get("/scans/{scan:str}/findings", before_request=READ)
async def findings(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """What was found, by category, detector and object. Values are masked."""
    asked = query(FindingsQuery, request)
    view = (await owned_scan(request, scan)).view
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/findings", asked.filters)
    place = places.read(asked.cursor)
    after = None if place is None else (place[0], place[1], place[2], place[3], place[4])
    severities = Severities((await ports.reads.pinned_rules(tenant, view.rules)).detectors)
    filters = FindingFilters(
        category=asked.category,
        detector=asked.detector,
        connector=asked.connector,
        object=asked.object,
        min_confidence=asked.min_confidence,
        severity=None if asked.severity is None else severities.only(asked.severity),
    )
    rows = await ports.reads.findings(scan, filters, after, asked.limit + 1)
    shown = rows[: asked.limit]
    items = [_finding(row.document, severities) for row in shown]
    cursor = places.make(shown[-1].place) if len(rows) > asked.limit else None
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor)


def _finding(document: Mapping[str, Any], severities: Severities) -> dict[str, Any]:
    times = {name: moment(document[name]) for name in ("first_seen_at", "gone_at")}
    return {**document, **times, "severity": severities.of(document["detector"], document["category"])}


@get("/scans/{scan:str}/objects", before_request=READ)
async def objects(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """The ledger: every discovered object and what became of it. A page may be short and yet have more to follow."""
    asked = query(ObjectsQuery, request)
    row = await owned_scan(request, scan)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/objects", asked.filters)
    place = places.read(asked.cursor)
    after = -1 if place is None else int(place[0])
    disposition = None if asked.disposition is None else Disposition(asked.disposition)
    page = await ports.reads.objects(row.view, disposition, asked.reason, after, asked.limit)
    items = [_ledger_item(entry) for entry in page.entries]
    cursor = None if page.resume_after is None else places.make([page.resume_after])
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor)


def _ledger_item(line: LedgerEntry) -> dict[str, Any]:
    entry = line.entry
    return {
        "index": line.index,
        "connector": line.connector,
        "object": entry.key,
        "size": entry.size,
        "etag": entry.etag or None,
        "last_modified": moment(entry.last_modified),
        "storage_class": entry.storage_class or None,
        "disposition": line.disposition.value,
        "reason": line.reason,
        "scanned_by": line.scanned_by,
        "detail": line.detail or None,
        "chunk_id": line.chunk,
    }


@get("/scans/{scan:str}/events", before_request=AUDIT)
async def events(request: AnyRequest, scan: FromPath[str]) -> ASGIApp:
    """The scan's history in order; as NDJSON, all of it at once, with `Accept: application/x-ndjson`."""
    asked = query(PageQuery, request)
    await owned_scan(request, scan)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/events", {})
    place = places.read(asked.cursor)
    after = 0 if place is None else int(place[0])
    if answers.wants(request.headers.get("accept", ""), NDJSON):
        lines = _lines(ports, scan, after)
        return ASGIStreamingResponse(iterator=lines, media_type=NDJSON, headers={"Cache-Control": "no-store"})
    found = await ports.reads.events(scan, after, asked.limit + 1)
    shown = found[: asked.limit]
    items = [_event(scan, event) for event in shown]
    cursor = places.make([shown[-1].version]) if len(found) > asked.limit else None
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor)


async def _lines(ports: ApiPorts, scan: str, after: int) -> AsyncIterator[bytes]:
    while batch := await ports.reads.events(scan, after, _STREAMED_AT_ONCE):
        yield b"".join(answers.dumps(_event(scan, event)) + b"\n" for event in batch)
        after = batch[-1].version


def _event(scan: str, event: StoredEvent) -> dict[str, Any]:
    data: Mapping[str, Any] = event.data
    return {
        "event_id": f"{scan}:{event.version}",
        "scan_id": scan,
        "version": event.version,
        "position": event.position,
        "kind": event.kind,
        "schema": data["schema"],
        "occurred_at": data["at"],
        "actor": data["actor"],
        "data": {name: value for name, value in data.items() if name not in _ENVELOPE},
    }
