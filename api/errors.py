"""Every error a client can meet: its status, its code, and the sentence that says what to do.

Domain errors are translated here and nowhere else. Whatever is not expected becomes a 500 that names only the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from litestar.exceptions import HTTPException

from application.auditing import NotSealedYet
from application.ports import ConcurrentAppend
from application.reading import KeyInProgress, KeyReused
from domain.errors import (
    Conflict,
    Fault,
    Invalid,
    NotFound,
    Permanent,
    ServiceUnavailable,
    TierLimitExceeded,
)

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 2

TITLES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Refused(Permanent):
    """A request that HTTP itself rules out: no credentials, too large, wrong media type…"""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details or {}
        self.headers = headers or {}


class ConnectorsMissing(Permanent):
    """Some of the connectors of a request do not exist for this tenant."""

    def __init__(self, identifiers: Sequence[str]) -> None:
        names = ", ".join(repr(identifier) for identifier in identifiers)
        super().__init__(f"There is no connector {names}; GET /connectors lists yours.")
        self.identifiers = tuple(identifiers)


class TierLimitsExceeded(Permanent):
    """A request above several of the tier's limits."""

    def __init__(self, exceeded: Sequence[TierLimitExceeded]) -> None:
        super().__init__(" ".join(map(str, exceeded)))
        self.exceeded = tuple(exceeded)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it goes out, before it is rendered."""

    status: int
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def answer_of(error: Exception) -> ErrorAnswer:
    """What a client is told about `error`."""
    match error:
        case Refused():
            return ErrorAnswer(error.status, error.code, str(error), error.details, error.headers)
        case Invalid():
            return _invalid(error.faults)
        case ConnectorsMissing():
            named = {"connectors": list(error.identifiers)}
            return ErrorAnswer(404, "CONNECTOR_NOT_FOUND", str(error), named)
        case NotFound():
            code = f"{error.what.upper()}_NOT_FOUND"
            return ErrorAnswer(404, code, str(error), {f"{error.what}_id": error.identifier})
        case NotSealedYet():
            return ErrorAnswer(409, error.code, str(error), headers={"Retry-After": "1"})
        case Conflict():
            return ErrorAnswer(409, error.code, str(error), error.details)
        case TierLimitExceeded():
            return _above_tier(str(error), [error])
        case TierLimitsExceeded():
            return _above_tier(str(error), error.exceeded)
        case KeyReused():
            message = "This Idempotency-Key came before with another request; send a new key with a new request."
            return ErrorAnswer(422, "IDEMPOTENCY_KEY_REUSED", message)
        case KeyInProgress():
            message = "The first request with this Idempotency-Key is still being answered; send it again in a moment."
            return ErrorAnswer(409, "IDEMPOTENCY_IN_PROGRESS", message, headers={"Retry-After": "1"})
        case ServiceUnavailable():
            return unavailable(str(error))
        case ConcurrentAppend():
            return unavailable("Another request changed the same thing at the same moment; try again.")
        case HTTPException():
            return _of_framework(error)
        case _:
            return _unexpected(error)


def unavailable(message: str) -> ErrorAnswer:
    return ErrorAnswer(503, "SERVICE_UNAVAILABLE", message, headers={"Retry-After": str(RETRY_SECONDS)})


def _above_tier(message: str, exceeded: Sequence[TierLimitExceeded]) -> ErrorAnswer:
    """The first limit in `details` itself, and all of them in `details.exceeded`."""
    tier = exceeded[0].tier
    limits = [{"field": e.field, "requested": e.requested, "limit": e.limit} for e in exceeded]
    return ErrorAnswer(403, "TIER_LIMIT_EXCEEDED", message, {**limits[0], "tier": tier, "exceeded": limits})


def _invalid(faults: Sequence[Fault]) -> ErrorAnswer:
    fields = [{"field": fault.field, "message": fault.message} for fault in faults]
    first = f"{fields[0]['field']}: {fields[0]['message']}".rstrip(".")
    more = f" ({len(fields) - 1} more in details.fields)" if len(fields) > 1 else ""
    return ErrorAnswer(400, "VALIDATION_ERROR", f"{first}{more}.", {"fields": fields})


def _of_framework(error: HTTPException) -> ErrorAnswer:
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    match error.status_code:
        case 404:
            return ErrorAnswer(404, "NOT_FOUND", "There is no such address; GET /schema lists all there are.")
        case 405:
            allowed = _with_head(headers.get("Allow", ""))
            headers = {**headers, "Allow": allowed} if allowed else headers
            message = f"This address does not take that method; it takes {allowed or 'others'}."
            return ErrorAnswer(405, "METHOD_NOT_ALLOWED", message, headers=headers)
        case 413:
            return ErrorAnswer(413, "PAYLOAD_TOO_LARGE", "The body is larger than the 1 MiB that a request may have.")
        case status if status >= 500:
            return _unexpected(error)
        case _:
            return ErrorAnswer(400, "VALIDATION_ERROR", "The request cannot be understood.", {"fields": []})


def _with_head(allowed: str) -> str:
    """What answers GET answers HEAD."""
    methods = [method.strip() for method in allowed.split(",") if method.strip()]
    return ", ".join([*methods, "HEAD"] if "GET" in methods and "HEAD" not in methods else methods)


def _unexpected(error: Exception) -> ErrorAnswer:
    log.error("api.unexpected", error=type(error).__name__, exc_info=error)
    message = "Something went wrong on our side; the request id finds it in the service's log."
    return ErrorAnswer(500, "INTERNAL_ERROR", message)
