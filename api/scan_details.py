"""What a scan found, and what became of every object: findings and the ledger."""

from typing import Any

from litestar import get
from litestar.params import FromPath

from api import answers
from api.access import recorded_access
from api.answers import Answer, AnyRequest
from api.bodies import query
from api.erasure import scan_with_data
from api.pagination import cursors
from api.scans import READ
from api.schemas import FindingsFilter, FindingsQuery, ObjectsQuery
from api.service_parts import caller_of, ports_of
from application.access import Operation
from application.exporting import shown
from application.reading import FindingFilters, LedgerEntry, StoredFinding
from application.scan_documents import moment
from application.severity import Severities
from domain.coverage import Disposition


@get("/scans/{scan:str}/findings", before_request=READ)
async def findings(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """What was found, by category, detector and object. Values are masked."""
    asked = query(FindingsQuery, request)
    view = (await scan_with_data(request, scan)).view
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/findings", asked.filters)
    place = places.read(asked.cursor)
    after = None if place is None else (place[0], place[1], place[2], place[3], place[4])
    severities = Severities((await ports.reads.pinned_rules(tenant, view.rules)).detectors)
    filters = finding_filters(asked, severities)
    rows = await ports.reads.findings(scan, filters, after, asked.limit + 1)
    page = rows[: asked.limit]
    items = [shown(graded(row, severities)) for row in page]
    await recorded_access(request, Operation.FINDINGS, scan=scan, filters=asked.filters, rows=len(items))
    cursor = places.make(page[-1].place) if len(rows) > asked.limit else None
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor)


def finding_filters(asked: FindingsFilter, severities: Severities) -> FindingFilters:
    return FindingFilters(
        category=asked.category,
        detector=asked.detector,
        connector=asked.connector,
        object=asked.object,
        min_confidence=asked.min_confidence,
        severity=None if asked.severity is None else severities.only(asked.severity),
    )


def graded(finding: StoredFinding, severities: Severities) -> dict[str, Any]:
    """A finding with the severity of its detector."""
    document = finding.document
    return {**document, "severity": severities.of(document["detector"], document["category"])}


@get("/scans/{scan:str}/objects", before_request=READ)
async def objects(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """The ledger: every discovered object and what became of it. A page may be short and yet have more to follow."""
    asked = query(ObjectsQuery, request)
    row = await scan_with_data(request, scan)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/objects", asked.filters)
    place = places.read(asked.cursor)
    after = -1 if place is None else int(place[0])
    disposition = None if asked.disposition is None else Disposition(asked.disposition)
    page = await ports.reads.objects(row.view, disposition, asked.reason, after, asked.limit)
    items = [_ledger_item(entry) for entry in page.entries]
    await recorded_access(request, Operation.OBJECTS, scan=scan, filters=asked.filters, rows=len(items))
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
