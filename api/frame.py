"""The outermost layer: a request id for every request, its metrics, and an answer to whatever nothing else answered."""

import os
import re
import time
from typing import Any, Final

from litestar import Request
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api import answers
from api.errors import answer_of
from api.metrics import Metrics
from application.tracing import TRACEPARENT, Tracing

_ACCEPTABLE: Final = re.compile(rb"[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?")
_TRACEPARENT: Final = TRACEPARENT.encode()
_UNTRACED: Final = frozenset(f"{base}/{name}" for base in ("", "/api/v1") for name in ("healthz", "readyz", "metrics"))
"""Asked by machines every few seconds."""

_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


_HEAD: Final = "asks_for_head"


def asks_for_head(scope: Scope) -> bool:
    """Whether the client wants no content. Handlers see each HEAD as a GET: one with much content had better ask."""
    return bool(scope["state"][_HEAD])


class Frame:
    """Wraps the application. Nothing escapes it, and every answer carries `X-Request-ID`."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        identifier = _request_id(scope["headers"])
        bodiless = scope["method"] == "HEAD"
        state = {"request_id": identifier.decode("ascii"), _HEAD: bodiless}
        scope["state"] = {**scope.get("state", {}), **state}
        watched = _Watched(send, identifier, bodiless=bodiless)
        # RFC 9110, 9.3.2: as GET answers, without the content.
        inner: Scope = {**scope, "method": HttpMethod.GET} if watched.bodiless else scope
        with bound_contextvars(request_id=scope["state"]["request_id"]):
            if self._tracing.on and scope["path"] not in _UNTRACED:
                await self._traced(scope, inner, receive, watched)
            else:
                await self._answer(scope, inner, receive, watched)

    async def _traced(self, scope: HTTPScope, inner: Scope, receive: Receive, watched: "_Watched") -> None:
        """Answer within a span that is named by the route: never by the path or its query, which may name objects."""
        attributes = {"http.request.method": scope["method"]}
        with self._tracing.span("HTTP", _parent(scope["headers"]), kind="server", attributes=attributes) as span:
            await self._answer(scope, inner, receive, watched)
            route = str(inner.get("path_template") or "unmatched")
            span.name(f"{scope['method']} {route}")
            span.set({"http.route": route, "http.response.status_code": watched.status})
            if watched.status >= 500:
                span.fail(str(watched.status))

    async def _answer(self, scope: HTTPScope, inner: Scope, receive: Receive, watched: "_Watched") -> None:
        began = time.perf_counter()
        try:
            await self._app(inner, receive, watched)
        except Exception as error:
            if watched.status:
                raise
            answer = answers.failure(scope, answer_of(error)).to_asgi_response(app=None, request=Request(scope))
            await answer(scope, receive, watched)
        finally:
            route = inner.get("path_template") or "unmatched"
            self._metrics.observe(str(route), scope["method"], watched.status, time.perf_counter() - began)


class _Watched:
    """`send`, which adds the headers that every answer has, and remembers the status."""

    def __init__(self, send: Send, identifier: bytes, *, bodiless: bool) -> None:
        self._send = send
        self.bodiless = bodiless
        self._identifier = identifier
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._identifier), *_HEADERS]
        elif message["type"] == "http.response.body" and self.bodiless:
            message["body"] = b""
        await self._send(message)


def _parent(headers: Any) -> str | None:
    """The trace context that the client sent, as it is; a malformed one begins a new trace."""
    return next((bytes(value).decode("latin-1") for name, value in headers if name == _TRACEPARENT), None)


def _request_id(headers: Any) -> bytes:
    """The client's own if it is 1 to 128 printable ASCII characters, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTABLE.fullmatch(value):
            return bytes(value)
    return b"req-" + os.urandom(16).hex().encode()
