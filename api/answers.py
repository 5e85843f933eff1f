"""What goes out: the envelope, problem documents, pages with their links, ETags and 304."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from litestar import Request, Response
from litestar.response.base import ASGIResponse

from api.errors import TITLES, ErrorAnswer
from application.progress import moment

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

Document = dict[str, Any]
AnyRequest = Request[Any, Any, Any]


def request_id(scope: Mapping[str, Any]) -> str:
    """The request's id, as the frame has echoed or made it."""
    return str(scope["state"]["request_id"])


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
) -> ASGIResponse:
    """The success envelope around `data`; 304 without a body if the client already has `etag`."""
    out = {"Cache-Control": "private, no-cache"} if request.method == "GET" else {"Cache-Control": "no-store"}
    if etag is not None:
        out["ETag"] = etag
        if request.method == "GET" and _has(request.headers.get("if-none-match"), etag):
            return ASGIResponse(status_code=304, headers={**out, **(headers or {})})
    body = {"status": "success", "data": data, **(extra or {}), "metadata": metadata(request.scope)}
    return ASGIResponse(body=dumps(body), status_code=status, headers={**out, **(headers or {})}, media_type=JSON)


def page(
    request: AnyRequest,
    items: Sequence[Any],
    *,
    limit: int,
    next_cursor: str | None,
    etag_of: Any = None,
) -> ASGIResponse:
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


def _has(header: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: `*`, or any of the listed tags, compared weakly."""
    if header is None:
        return False
    return header.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in header.split(",")}


def failure(scope: Mapping[str, Any], error: ErrorAnswer) -> Response[bytes]:
    """The error envelope, or an RFC 9457 problem if the client accepts that."""
    problem = wants(_header(scope, b"accept"), PROBLEM)
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


def _header(scope: Mapping[str, Any], name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


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
