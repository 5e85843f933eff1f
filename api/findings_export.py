"""GET /scans/{scan}/findings/export: all findings of a scan as one file."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp

from api.access import recorded_access
from api.answers import AnyRequest
from api.bodies import query
from api.download import Download
from api.erased import refuse_erased
from api.erasure import scan_with_data
from api.errors import Refused
from api.history import NDJSON
from api.scan_details import finding_filters, graded
from api.scan_headers import STATUS_HEADER, VERSION_HEADER
from api.scans import READ
from api.schemas import ExportQuery
from api.service_parts import Parts, caller_of, parts_of, ports_of
from application.access import Operation
from application.exporting import Export, ExportedScan, Format, MakeExport, NdjsonExport, Source, detectors_run
from application.findings_csv import CsvExport
from application.ocsf import OcsfExport
from application.ports import ScanLog
from application.progress import ScanView
from application.reading import ApiPorts, FindingFilters, ReadModel, StoredFinding
from application.sarif import SarifExport
from application.severity import Severities
from domain.detectors.rule import Detector
from domain.scan_events import Queued

PAGE: Final = 500
"""Findings of a page. An export holds two of them, and Parquet a row group."""

MOST_EXPORTS: Final = 32
MOST_OF_TENANT: Final = 4
"""Exports that one process of the API makes at once, in all and for one tenant."""


@dataclass(frozen=True, slots=True)
class FileKind:
    media_type: str
    extension: str


KINDS: Final[dict[Format, FileKind]] = {
    "csv": FileKind("text/csv; charset=utf-8; header=present", "csv"),
    "ndjson": FileKind(NDJSON, "ndjson"),
    "parquet": FileKind("application/vnd.apache.parquet", "parquet"),
    "ocsf": FileKind(NDJSON, "ocsf.ndjson"),
    "sarif": FileKind("application/sarif+json", "sarif"),
}


@get("/scans/{scan:str}/findings/export", before_request=READ)
async def export(request: AnyRequest, scan: FromPath[str]) -> ASGIApp:
    """All findings that pass the filters, as a file. What can be refused is refused before the file begins."""
    asked = query(ExportQuery, request)
    _require_room(parts_of(request), caller_of(request).tenant)
    view = (await scan_with_data(request, scan)).view
    ports, kind = ports_of(request), KINDS[asked.format]
    own = (await ports.reads.pinned_rules(caller_of(request).tenant, view.rules)).detectors
    severities = Severities(own)
    told = await _scan(ports, view, own)
    filters = finding_filters(asked, severities)
    first = await ports.reads.findings(scan, filters, None, PAGE)
    file = await asyncio.to_thread(_maker(ports, asked.format), told)
    pages = _pages(ports.reads, view, filters, first)
    headers = {
        "Content-Disposition": f'attachment; filename="{scan}-findings.{kind.extension}"',
        VERSION_HEADER: str(told.version),
        STATUS_HEADER: told.status,
    }
    wanted = asked.model_dump(mode="json", exclude_none=True)
    await recorded_access(request, Operation.FINDINGS_EXPORT, scan=scan, filters=wanted)
    blocks = _counted(parts_of(request), view.tenant, _blocks(file, pages, severities))
    return Download(blocks, kind.media_type, headers)


def _require_room(parts: Parts, tenant: str) -> None:
    """Raises `Refused` while as many exports are made here as may be."""
    if parts.exports[tenant] >= MOST_OF_TENANT:
        told = {"limit": MOST_OF_TENANT}
        message = f"{MOST_OF_TENANT} of your exports are being made; wait for one of them to end."
        raise Refused(429, "RATE_LIMITED", message, told, headers={"Retry-After": "5"})
    if parts.exports.total() >= MOST_EXPORTS:
        message = "As many exports are being made here as may be at once; try again in a moment."
        raise Refused(503, "SERVICE_UNAVAILABLE", message, headers={"Retry-After": "5"})


async def _counted(parts: Parts, tenant: str, blocks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    parts.exports[tenant] += 1
    try:
        async with aclosing(blocks):
            async for block in blocks:
                yield block
    finally:
        parts.exports[tenant] -= 1
        parts.exports += Counter()  # which drops those at zero


def _maker(ports: ApiPorts, wanted: Format) -> MakeExport:
    makers: dict[Format, MakeExport] = {
        "csv": CsvExport,
        "ndjson": NdjsonExport,
        "parquet": ports.parquet,
        "ocsf": OcsfExport,
        "sarif": SarifExport,
    }
    return makers[wanted]


async def _scan(ports: ApiPorts, view: ScanView, own: Sequence[Detector]) -> ExportedScan:
    sources = await ports.in_time(_sources, ports.log, view)
    return ExportedScan(
        scan_id=view.scan_id,
        tenant=view.tenant,
        version=view.version,
        status=view.status.value,
        started_at=view.started_at,
        finished_at=view.finished_at,
        product_version=version("scanledger"),
        sources={source.connector: source for source in sources},
        detectors=detectors_run(view.options.detectors, own),
    )


def _sources(log: ScanLog, view: ScanView) -> Sequence[Source]:
    """Where the scan's connectors pointed to for it, be they elsewhere or deleted by now."""
    [first] = log.history(view.scan_id, 0, 1)
    assert isinstance(first.event, Queued)
    places = first.event.locations
    return [Source.at(log.connector(name), places.get(name, "")) for name in view.connectors]


async def _pages(
    reads: ReadModel, view: ScanView, filters: FindingFilters, first: Sequence[StoredFinding]
) -> AsyncGenerator[Sequence[StoredFinding], None]:
    """Each page is fetched while the one before it is written. Raises `Refused` at the end for a scan that was erased
    meanwhile: a file that lacks findings must not look whole."""
    scan, page = view.scan_id, first
    while len(page) == PAGE:
        following = asyncio.ensure_future(reads.findings(scan, filters, page[-1].place, PAGE))
        try:
            yield page
            page = await following
        finally:
            following.cancel()
    if page:
        yield page
    if (row := await reads.scan(view.tenant, scan)) is not None:
        refuse_erased(row.view)


async def _blocks(
    file: Export, pages: AsyncGenerator[Sequence[StoredFinding], None], severities: Severities
) -> AsyncGenerator[bytes, None]:
    # In a thread: other requests are answered meanwhile.
    yield await asyncio.to_thread(file.begin)
    async with aclosing(pages):
        async for page in pages:
            yield await asyncio.to_thread(_page, file, page, severities)
    yield await asyncio.to_thread(file.end)


def _page(file: Export, page: Sequence[StoredFinding], severities: Severities) -> bytes:
    return file.page([graded(finding, severities) for finding in page])
