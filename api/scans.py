"""Scans: starting and watching them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from litestar import get, post
from litestar.params import FromPath

from api import answers
from api.access import recorded_access
from api.answers import Answer, AnyRequest
from api.auth import Requires
from api.bodies import Body, query, read_json, validated
from api.errors import ConnectorsMissing, Refused, TierLimitsExceeded
from api.history_schemas import ScanQuery
from api.idempotency import made_once
from api.identifiers import possible, scan_id
from api.pagination import cursors
from api.schemas import DETECTORS, NoQuery, PageQuery, ScansQuery, StartScan
from api.service_parts import caller_of, keep_trace, ports_of, until_projected
from application.access import Operation
from application.messages import WorkInHand
from application.ports import ConcurrentAppend
from application.progress import WorkerView
from application.reading import ApiPorts, Caller, ScanFilters, ScanRow
from application.scan_documents import document, moment
from application.scans import ScanRequest, Started, start_scan
from domain.connector import Connector
from domain.coverage import CoverageStrategy
from domain.detectors import names
from domain.errors import Conflict, NotFound, TierLimitExceeded
from domain.scan import Status
from domain.scan_events import Queued
from domain.tier import Tier

READ = Requires("scans:read")
WRITE = Requires("scans:write")

_VIEWS_BEHIND_SECONDS: Final = 0.02


async def owned_scan(request: AnyRequest, scan: str) -> ScanRow:
    """The caller's scan. Raises NotFound: another tenant's is none."""
    found = await ports_of(request).reads.scan(caller_of(request).tenant, possible("scan", scan))
    if found is None:
        raise NotFound("scan", scan)
    return found


# Starting -------------------------------------------------------------------------------------------------------------


@post("/scans/parallel", before_request=WRITE, status_code=201)
async def start(request: AnyRequest) -> Answer:
    """Start a scan of one or more connectors."""
    query(NoQuery, request)
    raw = await read_json(request)
    body = validated(StartScan, raw, await _detectors(request, raw))

    async def make(seed: bytes) -> Answer:
        started = await _started(ports_of(request), caller_of(request), body, scan_id(seed))
        await until_projected(ports_of(request), started.position)
        data = accepted(started)
        return answers.success(request, data, status=201, headers={"Location": location(data)})

    return await made_once(request, "POST /scans/parallel", raw, make, location)


async def _detectors(request: AnyRequest, raw: Body) -> dict[str, Any]:
    """What a scan may name, for the validation of a body that names any."""
    options = raw.value.get("options") if isinstance(raw.value, dict) else None
    if not isinstance(options, dict) or not options.get("detectors"):
        return {}
    ports = ports_of(request)
    own = await ports.in_time(ports.shelf.detectors, caller_of(request).tenant)
    return {DETECTORS: names([stored.detector for stored in own])}


def location(data: Mapping[str, Any]) -> str:
    """The address of a scan that was started."""
    return f"/api/v1/scans/{data['scan_id']}"


async def _started(ports: ApiPorts, caller: Caller, body: StartScan, scan: str) -> Started:
    if body.options.llm_assist:
        message = "No language model is set up here; leave options.llm_assist out, or set it to false."
        raise Conflict("LLM_NOT_CONFIGURED", message)
    await ports.control.check(timeout=1.0)
    await keep_trace(ports, scan)
    return await ports.in_time(_start, ports, caller, body, scan)


def _start(ports: ApiPorts, caller: Caller, body: StartScan, scan: str) -> Started:
    connectors = owned_connectors(ports, caller.tenant, body.connectors)
    _require_tier(caller.tier, body)
    try:
        return start_scan(
            ports.service,
            _request(body),
            scan_id=scan,
            tenant=caller.tenant,
            tier=caller.tier,
            connectors=connectors,
            actor=caller.actor,
        )
    except ConcurrentAppend:
        return started_before(ports, scan)


def started_before(ports: ApiPorts, scan: str) -> Started:
    """What the same request has started: only one with the same idempotency key comes to the same id."""
    [first] = ports.log.history(scan, 0, 1)
    assert isinstance(first.event, Queued)
    return Started(scan, first.event, first.position)


def _require_tier(tier: Tier, body: StartScan) -> None:
    """Raises `TierLimitsExceeded` for two limits at once; a single one `start_scan` refuses."""
    exceeded: list[TierLimitExceeded] = []
    for judge, wanted in ((tier.files, body.options.max_files), (tier.workers, body.options.max_workers)):
        try:
            judge(wanted)
        except TierLimitExceeded as error:
            exceeded.append(error)
    if len(exceeded) > 1:
        raise TierLimitsExceeded(exceeded)


def _request(body: StartScan) -> ScanRequest:
    options = body.options
    return ScanRequest(
        connectors=tuple(body.connectors),
        type=body.type,
        max_files=options.max_files,
        max_workers=options.max_workers,
        file_types=tuple(options.file_types),
        prefixes=tuple(options.prefixes),
        timeout_minutes=options.timeout_minutes,
        coverage_target=options.coverage_target,
        coverage_strategy=CoverageStrategy(options.coverage_strategy),
        sample_percent=options.sample_percent,
        detectors=tuple(options.detectors),
        priority=options.priority,
    )


def owned_connectors(ports: ApiPorts, tenant: str, wanted: Sequence[str]) -> list[Connector]:
    """The tenant's connectors, as the log has them. Raises `ConnectorsMissing` naming all that are not there."""
    found: list[Connector] = []
    missing: list[str] = []
    for identifier in wanted:
        try:
            connector = ports.log.connector(possible("connector", identifier))
        except NotFound:
            missing.append(identifier)
            continue
        if connector.tenant != tenant or connector.deleted:
            missing.append(identifier)
        found.append(connector)
    if missing:
        raise ConnectorsMissing(missing)
    return found


def accepted(started: Started) -> dict[str, Any]:
    """What starting a scan answers."""
    event = started.event
    return {
        "scan_id": started.scan_id,
        "status": Status.QUEUED.value,
        "connectors": list(event.connectors),
        "type": event.type,
        "workers_requested": event.options.max_workers,
        "created_at": moment(event.at),
    }


# Watching -------------------------------------------------------------------------------------------------------------


@get("/scans/{scan:str}", before_request=READ)
async def show(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """A scan: its progress, coverage and workers, as they are or as they were."""
    asked = query(ScanQuery, request)
    if asked.at is not None or (asked.version is not None and asked.wait is None):
        return await _past(request, scan, asked)
    row = await owned_scan(request, scan)
    if asked.wait is not None and asked.version is not None:
        row = await _beyond(request, row, asked.version, asked.wait)
    data = document(row.view, row.workers, datetime.now(UTC))
    return answers.success(request, data, etag=answers.version_tag(row.view.version))


async def _past(request: AnyRequest, scan: str, asked: ScanQuery) -> Answer:
    """The scan exactly as it was shown after an event, or at a moment."""
    history, tenant = ports_of(request).history, caller_of(request).tenant
    if asked.at is not None:
        found = await history.moment_of(tenant, possible("scan", scan), asked.at)
    else:
        found = await history.version_of(tenant, possible("scan", scan), asked.version or 0)
    if found is None:
        # Whoever has no such scan is not told anything else.
        await owned_scan(request, scan)
        what = f"had no version {asked.version}" if asked.at is None else f"was not there yet at {moment(asked.at)}"
        raise Refused(404, "VERSION_NOT_FOUND", f"The scan {scan} {what}; GET /scans/{scan}/events has its history.")
    filters = asked.model_dump(mode="json", exclude_none=True)
    await recorded_access(request, Operation.SCAN_AS_IT_WAS, scan=scan, filters=filters, rows=1)
    tag = answers.version_tag(found.view.version) if asked.at is None else None
    return answers.success(request, document(found.view, found.workers, found.at), etag=tag)


async def _beyond(request: AnyRequest, row: ScanRow, version: int, wait: int) -> ScanRow:
    """The scan as soon as it is beyond `version`, or as it is after `wait` seconds, or when it has ended."""
    loop, live = asyncio.get_running_loop(), ports_of(request).live
    deadline = loop.time() + wait
    while row.view.version <= version and not row.view.status.ended and (left := deadline - loop.time()) > 0:
        if not await live.beyond(row.view.scan_id, version, left):
            break
        # The log has it; the views will in a moment.
        row = await owned_scan(request, row.view.scan_id)
        if row.view.version <= version:
            await asyncio.sleep(_VIEWS_BEHIND_SECONDS)
    return row


@get("/scans", before_request=READ)
async def index(request: AnyRequest) -> Answer:
    """The tenant's scans, newest first."""
    asked = query(ScansQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, "/scans", asked.filters)
    place = places.read(asked.cursor)
    after = None if place is None else (datetime.fromisoformat(place[0]), str(place[1]))
    filters = ScanFilters(asked.connector, tuple(asked.status), asked.type, asked.since)
    rows = await ports.reads.scans(tenant, filters, after, asked.limit + 1)
    shown = rows[: asked.limit]
    cursor = None
    if len(rows) > asked.limit:
        cursor = places.make([shown[-1].view.created_at.isoformat(), shown[-1].view.scan_id])
    now = datetime.now(UTC)
    items = [_listed(row, now) for row in shown]
    versions = [[row.view.scan_id, row.view.version] for row in shown]
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor, etag_of=versions)


def _listed(row: ScanRow, now: datetime) -> dict[str, Any]:
    item = document(row.view, row.workers, now)
    del item["workers"]
    return item


@get("/scans/{scan:str}/workers", before_request=READ)
async def workers(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """The workers that took part in a scan, with what they do now."""
    asked = query(PageQuery, request)
    row = await owned_scan(request, scan)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/scans/{scan}/workers", {})
    place = places.read(asked.cursor)
    found = await ports.reads.workers(scan, "" if place is None else str(place[0]), asked.limit + 1)
    shown = found[: asked.limit]
    live = {} if row.view.status.ended else ports.presence.of(scan)
    items = [_worker(worker, live, datetime.now(UTC)) for worker in shown]
    cursor = places.make([shown[-1].worker_id]) if len(found) > asked.limit else None
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor)


def _worker(worker: WorkerView, live: Mapping[str, tuple[float, WorkInHand]], now: datetime) -> dict[str, Any]:
    """The worker as the log has it, with the progress and presence that it told of itself since."""
    ago, work = live.get(worker.worker_id, (None, None))
    chunk, last_seen = worker.chunk, worker.last_seen_at
    if ago is not None:
        heard = datetime.fromtimestamp(now.timestamp() - ago, UTC)
        last_seen = max(heard, last_seen) if last_seen else heard
    progress = None
    if chunk is not None:
        same = work is not None and (work.chunk, work.attempt) == (chunk.chunk_id, chunk.attempt)
        files, found = (work.files_processed, work.findings_count) if work is not None and same else (0, 0)
        files = min(files, chunk.file_count)
        progress = {
            "files_processed": files,
            "findings_count": found,
            "percent_complete": files * 100 // chunk.file_count if chunk.file_count else 0,
        }
    return {
        "worker_id": worker.worker_id,
        "status": worker.status,
        "chunk": _chunk(worker),
        "progress": progress,
        "chunks_completed": worker.chunks_completed,
        "files_processed_total": worker.files_processed_total,
        "findings_total": worker.findings_total,
        "started_at": moment(worker.started_at),
        "completed_at": moment(worker.completed_at),
        "last_seen_at": moment(last_seen),
    }


def _chunk(worker: WorkerView) -> dict[str, Any] | None:
    chunk = worker.chunk
    if chunk is None:
        return None
    return {
        "chunk_id": chunk.chunk_id,
        "connector": chunk.connector,
        "start_index": chunk.start_index,
        "end_index": chunk.end_index,
        "file_count": chunk.file_count,
        "attempt": chunk.attempt,
    }
