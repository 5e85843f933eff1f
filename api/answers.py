"""What goes out: the envelope, problem documents, pages with their links, ETags and 304."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from litestar import Request, Response
from litestar.types import Receive, Scope, Send

from api.errors import TITLES, ErrorAnswer
from application.scan_documents import moment

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

Document = dict[str, Any]
AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, ready to be sent. A status without a body (304) is sent without one."""

    body: bytes = b""
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        if self.status != HTTPStatus.NOT_MODIFIED:
            headers.append((b"content-type", self.media_type.encode("latin-1")))
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def request_id(scope: Mapping[str, Any]) -> str:
    """The request's id, as the frame has echoed or made it."""
    return str(scope["state"]["request_id"])


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """A header's value; of several, joined by commas. `name` in lower case."""
    values = [value for key, value in scope["headers"] if key == name]
    return b", ".join(values).decode("latin-1") if values else None


def dumps(document: Any) -> bytes:
    return orjson.dumps(document, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | frozenset | set):
        return list(value)
    raise TypeError(type(value).__name__)


def metadata(scope: Mapping[str, Any]) -> Document:
    return {"request_id": request_id(scope), "timestamp": moment(datetime.now(UTC))}


def success(
    request: AnyRequest,
    data: Any,
    *,
    status: int = 200,
    etag: str | None = None,
    headers: Mapping[str, str] | None = None,
    extra: Document | None = None,
) -> Answer:
    """The success envelope around `data`; 304 without a body if the client already has `etag`."""
    out = {"Cache-Control": "private, no-cache"} if request.method == "GET" else {"Cache-Control": "no-store"}
    if etag is not None:
        out["ETag"] = etag
        if request.method == "GET" and _has(header(request.scope, b"if-none-match"), etag):
            return Answer(status=304, headers={**out, **(headers or {})})
    body = {"status": "success", "data": data, **(extra or {}), "metadata": metadata(request.scope)}
    return Answer(dumps(body), status, JSON, {**out, **(headers or {})})


def page(
    request: AnyRequest,
    items: Sequence[Any],
    *,
    limit: int,
    next_cursor: str | None,
    etag_of: Any = None,
) -> Answer:
    """A list's envelope with `pagination`, `Link` and an ETag over `etag_of` (default: the items)."""
    pagination = {"limit": limit, "next_cursor": next_cursor, "has_more": next_cursor is not None}
    etag = digest([items if etag_of is None else etag_of, pagination])
    headers = {} if next_cursor is None else {"Link": _next_link(request, next_cursor)}
    return success(request, items, etag=etag, headers=headers, extra={"pagination": pagination})


def _next_link(request: AnyRequest, cursor: str) -> str:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{request.scope["path"]}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


def version_tag(version: int) -> str:
    return f'"{version}"'


def digest(value: Any) -> str:
    return f'"{hashlib.blake2b(dumps(value), digest_size=16).hexdigest()}"'


def _has(tags: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: `*`, or any of the listed tags, compared weakly."""
    if tags is None:
        return False
    return tags.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in tags.split(",")}


def failure(scope: Mapping[str, Any], error: ErrorAnswer) -> Response[bytes]:
    """The error envelope, or an RFC 9457 problem if the client accepts that."""
    problem = wants(header(scope, b"accept") or "", PROBLEM)
    body = _problem(scope, error) if problem else _error(scope, error)
    headers = {"Cache-Control": "no-store", **error.headers}
    media_type = PROBLEM if problem else JSON
    return Response(dumps(body), status_code=error.status, headers=headers, media_type=media_type)


def wants(accept: str, media_type: str) -> bool:
    """Whether an Accept header names `media_type` itself, and does not rule it out by `q=0`."""
    for part in accept.lower().split(","):
        name, *parameters = (token.strip() for token in part.split(";"))
        if name == media_type:
            return not any(p.replace(" ", "") in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for p in parameters)
    return False


def _error(scope: Mapping[str, Any], error: ErrorAnswer) -> Document:
    told = {"code": error.code, "message": error.message, "details": error.details}
    return {"status": "error", "error": told, "metadata": metadata(scope)}


def _problem(scope: Mapping[str, Any], error: ErrorAnswer) -> Document:
    return {
        "type": "about:blank",
        "title": TITLES.get(error.status, "Error"),
        "status": error.status,
        "detail": error.message,
        "instance": scope["path"],
        "code": error.code,
        "details": error.details,
        **metadata(scope),
    }
