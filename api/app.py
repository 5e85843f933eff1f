"""The ASGI application: routes, errors, and the frame around them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from litestar import Litestar, Response, Router
from litestar.datastructures import State
from litestar.types import ASGIApp

from api import (
    access,
    allow_list,
    answers,
    audit,
    connectors,
    detectors,
    erasure,
    findings_export,
    history,
    live,
    scan_control,
    scan_details,
    scans,
    service,
    webhooks,
)
from api.answers import AnyRequest
from api.asyncapi import describe_events
from api.bodies import MAX_BODY_BYTES
from api.errors import answer_of
from api.frame import Frame
from api.metrics import Metrics
from api.openapi import describe
from api.service_parts import Parts
from application.reading import ApiPorts
from application.tracing import Tracing, Untraced

BASE: Final = "/api/v1"

OpenPorts = Callable[[], AbstractAsyncContextManager[ApiPorts]]

API_ROUTES: Final[list[Any]] = [
    scans.start,
    scans.index,
    scans.show,
    scans.workers,
    scan_control.cancel,
    scan_control.pause,
    scan_control.resume,
    scan_control.redrive,
    scan_details.findings,
    findings_export.export,
    scan_details.objects,
    history.scan_events,
    history.events,
    live.scan_events,
    live.tenant_events,
    audit.checkpoints,
    audit.proof,
    audit.key,
    audit.export,
    access.index,
    erasure.erase_of_scan,
    erasure.erase_of_connector,
    connectors.create,
    connectors.index,
    connectors.show,
    connectors.change,
    connectors.remove,
    connectors.test,
    detectors.index,
    detectors.create,
    detectors.show,
    detectors.change,
    detectors.remove,
    allow_list.index,
    allow_list.create,
    allow_list.show,
    allow_list.remove,
    *webhooks.ROUTES,
]


def create_app(open_ports: OpenPorts, stopping: asyncio.Event | None = None, tracing: Tracing | None = None) -> ASGIApp:
    """The application. `open_ports` is entered when it starts and left when it stops.

    Once `stopping` is set, what would go on for as long as a client likes comes to its end.
    """

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with open_ports() as ports:
            app.state.parts = Parts(ports)
            app.state.openapi = answers.dumps(describe(ports.sources.schemas()))
            app.state.asyncapi = answers.dumps(describe_events())
            _settle_heap()
            ending = None if stopping is None else asyncio.create_task(_end_live(stopping, ports))
            yield
            if ending is not None:
                ending.cancel()

    metrics = Metrics(lambda: app.state.parts.ports)
    app = Litestar(
        route_handlers=[Router(BASE, route_handlers=API_ROUTES), *service.ROUTES],
        exception_handlers={Exception: _answered},
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY_BYTES,
        state=State({"metrics": metrics}),
    )
    return Frame(app, metrics, tracing or Untraced())


async def _end_live(stopping: asyncio.Event, ports: ApiPorts) -> None:
    await stopping.wait()
    ports.live.end()


def _settle_heap() -> None:
    """What was loaded stays: take it out of every later collection, which each request would otherwise pay for."""
    gc.collect()
    gc.freeze()


def _answered(request: AnyRequest, error: Exception) -> Response[bytes]:
    return answers.failure(request.scope, answer_of(error))
