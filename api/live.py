"""Events as they come: Server-Sent Events (the HTML standard, 9.2) of a scan, and of all that a tenant has."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Final

from litestar import get
from litestar.params import FromPath
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import ASGIApp

from api.access import recorded_access
from api.answers import Answer, AnyRequest, header
from api.auth import bearer_token
from api.bodies import query
from api.errors import Refused
from api.history import AUDIT
from api.history_schemas import LiveQuery
from api.scans import owned_scan
from api.service_parts import caller_of, parts_of, ports_of
from application.access import Operation
from application.history import LiveEvent
from application.reading import KeyRing
from domain.errors import Fault, Invalid, ServiceUnavailable

EVENT_STREAM: Final = "text/event-stream"
MOST_STREAMS: Final = 5_000
"""Streams that one process of the API holds open."""

_AGAIN_MS: Final = 1_000
_CHECK_SECONDS: Final = 15.0
_PIECE_BYTES: Final = 32 * 1024

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Events = AsyncIterator[Sequence[LiveEvent]]


@get("/scans/{scan:str}/events/live", before_request=AUDIT)
async def scan_events(request: AnyRequest, scan: FromPath[str]) -> ASGIApp:
    """A scan's events from its first, or from Last-Event-ID on, until it ends; 204 if it has and no more come."""
    after = _after(request) or 0
    row = await owned_scan(request, scan)
    ports, tenant = ports_of(request), caller_of(request).tenant
    await ports.live.head()
    await recorded_access(request, Operation.EVENTS_LIVE, scan=scan)
    if row.view.status.ended and not await ports.history.scan_events(scan, after, 1):
        return Answer(status=204, headers={"Cache-Control": "no-store"})
    return _stream(request, ports.live.scan_events(tenant, scan, after), lambda event: event.event.version)


@get("/events/live", before_request=AUDIT)
async def tenant_events(request: AnyRequest) -> ASGIApp:
    """The tenant's events from now on, or from the one after Last-Event-ID, as they come."""
    after = _after(request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    head = await ports.live.head()
    await recorded_access(request, Operation.EVENTS_LIVE)
    events = ports.live.tenant_events(tenant, head if after is None else after)
    # Told at once, so that a client that is cut off before the first event comes back to here.
    begins = b"id: %d\n" % head if after is None else b""
    return _stream(request, events, lambda event: event.event.position, begins)


def _after(request: AnyRequest) -> int | None:
    """Where the client stopped. Raises `Invalid`."""
    asked = query(LiveQuery, request)
    last = header(request.scope, b"last-event-id")
    if last is None or last == "":
        return asked.after
    if not (last.isascii() and last.isdecimal() and len(last) <= 18):
        raise Invalid([Fault("Last-Event-ID", "must be the id of an event of this stream, a whole number")])
    return int(last)


def _stream(request: AnyRequest, events: Events, identify: Callable[[LiveEvent], int], begins: bytes = b"") -> ASGIApp:
    parts = parts_of(request)
    if parts.streams >= MOST_STREAMS:
        message = "As many live streams are open here as one process holds; try again in a moment."
        raise Refused(503, "SERVICE_UNAVAILABLE", message, headers={"Retry-After": "5"})
    frames = _frames(request, events, identify, b"retry: %d\n%b\n" % (_AGAIN_MS, begins))
    return ASGIStreamingResponse(iterator=frames, media_type=EVENT_STREAM, headers=_HEADERS)


async def _frames(
    request: AnyRequest, events: Events, identify: Callable[[LiveEvent], int], begins: bytes
) -> AsyncIterator[bytes]:
    """A frame an event, a comment when there was none for a while. Ends when the key is no good any more, and when the
    log cannot be read: a client comes back with the last id it has."""
    parts, token = parts_of(request), bearer_token(request)
    checked = asyncio.get_running_loop().time()
    parts.streams += 1
    try:
        yield begins
        with suppress(ServiceUnavailable):
            async with aclosing(events) as following:  # type: ignore[type-var]
                async for batch in following:
                    for piece in _pieces(batch, identify):
                        yield piece
                    now = asyncio.get_running_loop().time()
                    if now - checked >= _CHECK_SECONDS:
                        checked = now
                        if not await _still_valid(parts.ports.keys, token):
                            return
    finally:
        parts.streams -= 1


def _pieces(batch: Sequence[LiveEvent], identify: Callable[[LiveEvent], int]) -> Iterator[bytes]:
    """The frames of a batch, some at a time: what a slow client has not taken yet is all that is held for it."""
    if not batch:
        yield b": nothing new\n\n"
    piece = bytearray()
    for event in batch:
        piece += b"id: %d\ndata: %b\n\n" % (identify(event), event.line)
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def _still_valid(keys: KeyRing, token: str) -> bool:
    return await keys.verify(token) is not None
