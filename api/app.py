"""The ASGI application: routes, errors, and the frame around them."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from litestar import Litestar, Response, Router
from litestar.datastructures import State
from litestar.types import ASGIApp

from api import allow_list, answers, connectors, detectors, scan_control, scan_details, scans, service
from api.answers import AnyRequest
from api.bodies import MAX_BODY_BYTES
from api.errors import answer_of
from api.frame import Frame
from api.metrics import Metrics
from api.openapi import describe
from api.service_parts import Parts
from application.reading import ApiPorts

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
    scan_details.objects,
    scan_details.events,
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
]


def create_app(open_ports: OpenPorts) -> ASGIApp:
    """The application. `open_ports` is entered when it starts and left when it stops."""

    async def scans_by_status() -> Any:
        return await app.state.parts.ports.reads.scans_by_status()

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with open_ports() as ports:
            app.state.parts = Parts(ports)
            app.state.openapi = answers.dumps(describe(ports.sources.schemas()))
            _settle_heap()
            yield

    metrics = Metrics(scans_by_status)
    app = Litestar(
        route_handlers=[Router(BASE, route_handlers=API_ROUTES), *service.ROUTES],
        exception_handlers={Exception: _answered},
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY_BYTES,
        state=State({"metrics": metrics}),
    )
    return Frame(app, metrics)


def _settle_heap() -> None:
    """What was loaded stays: take it out of every later collection, which each request would otherwise pay for."""
    gc.collect()
    gc.freeze()


def _answered(request: AnyRequest, error: Exception) -> Response[bytes]:
    return answers.failure(request.scope, answer_of(error))
