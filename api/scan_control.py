"""Steering a scan: cancelling, pausing, resuming it, and scanning again what it left."""

from collections.abc import Callable
from functools import partial
from typing import Any

from litestar import post
from litestar.params import FromPath

from api import answers
from api.answers import Answer, AnyRequest
from api.bodies import query, read_json, validated
from api.idempotency import made_once
from api.identifiers import possible, scan_id
from api.scans import WRITE, accepted, location, owned_connectors, owned_scan, started_before
from api.schemas import NoQuery, Nothing
from api.service_parts import caller_of, keep_trace, ports_of, until_projected
from application.messages import Control, ControlState
from application.ports import ConcurrentAppend
from application.progress import ScanProgress as Fold
from application.progress import ScanView, project
from application.reading import ApiPorts, Caller
from application.scan_documents import moment
from application.scans import Started, Switched, cancel_scan, pause_scan, redrive_scan, resume_scan
from domain.connector import ConnectorEvent
from domain.errors import NotFound
from domain.scan import Status


@post("/scans/{scan:str}/cancel", before_request=WRITE, status_code=200)
async def cancel(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """Cancel a scan. What was found stays; repeating it gives the same answer."""
    await _nothing_asked(request)
    ports, caller = ports_of(request), caller_of(request)
    possible("scan", scan)
    cancelling = partial(cancel_scan, tenant=caller.tenant, actor=caller.actor, clock=ports.clock)
    cancelled = await ports.in_time(cancelling, ports.log, scan)
    await _told(ports, scan, ControlState.STOP, cancelled.position)
    view = await _as_cancelled(ports, caller.tenant, scan)
    data = {
        "scan_id": scan,
        "status": Status.CANCELLED.value,
        "partial_results": {"files_processed": view.coverage.processed, "findings_count": view.findings},
        "cancelled_at": moment(cancelled.cancelled_at),
    }
    return answers.success(request, data)


async def _nothing_asked(request: AnyRequest) -> None:
    query(NoQuery, request)
    validated(Nothing, await read_json(request, required=False))


async def _told(ports: ApiPorts, scan: str, state: ControlState, position: int | None) -> None:
    """Tell the workers of what has changed, unless nothing has, and wait until the views show it."""
    if position is None:
        return
    # Before the answer, so that the workers heed it within a second of it; a lost one the orchestrator sends again.
    await ports.control.publish(Control(scan=scan, state=state), timeout=1.0)
    await until_projected(ports, position)


async def _as_cancelled(ports: ApiPorts, tenant: str, scan: str) -> ScanView:
    """The view at the moment of cancelling, folded here from the log if the projector is behind."""
    row = await ports.reads.scan(tenant, scan)
    if row is None:
        raise NotFound("scan", scan)
    fold = Fold(row.view)
    while not fold.view.status.ended:
        events = await ports.in_time(ports.log.history, scan, fold.view.version, 500)
        if not events:
            break
        for recorded in events:
            if not isinstance(recorded.event, ConnectorEvent):
                fold = project(fold, recorded.event)
    return fold.view


@post("/scans/{scan:str}/pause", before_request=WRITE, status_code=200)
async def pause(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """Hand out no more of a scan's work; what is in work finishes. Repeating it gives the same answer."""
    return await _switch(request, scan, pause_scan, ControlState.PAUSE, "paused_at")


@post("/scans/{scan:str}/resume", before_request=WRITE, status_code=200)
async def resume(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """Go on with a paused scan. Repeating it gives the same answer."""
    return await _switch(request, scan, resume_scan, ControlState.RUN, "resumed_at")


async def _switch(
    request: AnyRequest, scan: str, switch: Callable[..., Switched], state: ControlState, when: str
) -> Answer:
    await _nothing_asked(request)
    ports, caller = ports_of(request), caller_of(request)
    possible("scan", scan)
    switching = partial(switch, tenant=caller.tenant, actor=caller.actor, clock=ports.clock)
    switched = await ports.in_time(switching, ports.log, scan)
    await _told(ports, scan, state, switched.position)
    data = {"scan_id": scan, "status": switched.status.value, when: moment(switched.at)}
    return answers.success(request, data)


@post("/scans/{scan:str}/redrive", before_request=WRITE, status_code=201)
async def redrive(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """Scan again just the objects that failed or remained in a scan that has ended."""
    query(NoQuery, request)
    raw = await read_json(request, required=False)
    validated(Nothing, raw)
    possible("scan", scan)

    async def make(seed: bytes) -> Answer:
        ports = ports_of(request)
        started = await _redriven(request, scan, scan_id(seed))
        await until_projected(ports, started.position)
        data: dict[str, Any] = {**accepted(started), "redrive_of": started.event.redrive_of}
        return answers.success(request, data, status=201, headers={"Location": location(data)})

    return await made_once(request, f"POST /scans/{scan}/redrive", raw, make, location)


async def _redriven(request: AnyRequest, finished: str, scan: str) -> Started:
    ports = ports_of(request)
    view = (await owned_scan(request, finished)).view
    await ports.control.check(timeout=1.0)
    await keep_trace(ports, scan)
    return await ports.in_time(_redrive, ports, caller_of(request), view, scan)


def _redrive(ports: ApiPorts, caller: Caller, finished: ScanView, scan: str) -> Started:
    unfinished = finished.coverage.total_failed + finished.coverage.remaining
    connectors = owned_connectors(ports, caller.tenant, finished.connectors)
    try:
        return redrive_scan(
            ports.service, finished.scan_id, unfinished, scan_id=scan, connectors=connectors, actor=caller.actor
        )
    except ConcurrentAppend:
        return started_before(ports, scan)
