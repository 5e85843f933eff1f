"""The outermost layer: a request id for every request, its metrics, and an answer to whatever nothing else answered."""

import os
import re
import time
from typing import Any, Final

from litestar import Request
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api import answers
from api.errors import answer_of
from api.metrics import Metrics

_ACCEPTABLE: Final = re.compile(rb"[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?")
_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Frame:
    """Wraps the application. Nothing escapes it, and every answer carries `X-Request-ID`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        identifier = _request_id(scope["headers"])
        scope["state"] = {**scope.get("state", {}), "request_id": identifier.decode("ascii")}
        watched = _Watched(send, identifier, bodiless=scope["method"] == "HEAD")
        # RFC 9110, 9.3.2: as GET answers, without the content.
        inner: Scope = {**scope, "method": HttpMethod.GET} if watched.bodiless else scope
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


def _request_id(headers: Any) -> bytes:
    """The client's own if it is 1 to 128 printable ASCII characters, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTABLE.fullmatch(value):
            return bytes(value)
    return b"req-" + os.urandom(16).hex().encode()
