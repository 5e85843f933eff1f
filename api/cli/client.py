"""The REST API as the commands use it: documents in, documents out, errors as sentences."""

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx

from api.cli.failures import ApiFailure

BASE: Final = "/api/v1"
PAGE: Final = 100
_AGAIN: Final = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE: Final = 5.0

Document = dict[str, Any]


class Client:
    """Talks to one service with one key. Requests that found it away or busy are repeated for `patience` seconds:
    reads as they are, creations under an idempotency key, so that they happen once.

    Every method raises `ApiFailure`.
    """

    def __init__(self, url: str, api_key: str, *, patience: float = 15.0) -> None:
        self.url = url.rstrip("/").removesuffix(BASE)
        self._patience = patience
        self._http = httpx.Client(
            base_url=self.url + BASE,
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=httpx.Timeout(30.0, connect=5.0),
            trust_env=not self.is_loopback,  # what stays on this machine passes no proxy
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def is_loopback(self) -> bool:
        """Whether the service runs on this machine."""
        return httpx.URL(self.url).host in {"127.0.0.1", "localhost", "::1"}

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The `data` of a GET."""
        return self._answered("GET", path, params=_given(params))["data"]

    def get_if_changed(self, path: str, etag: str | None) -> tuple[Any, str | None] | None:
        """The `data` and its ETag, or None while it is still the one of `etag`."""
        response = self._sent("GET", path, headers={"If-None-Match": etag} if etag else {})
        return None if response.status_code == 304 else (_body(response)["data"], response.headers.get("ETag"))

    def items(self, path: str, params: Mapping[str, Any] | None = None, limit: int | None = None) -> Iterator[Document]:
        """The items of a list over all its pages, or the first `limit` of them."""
        wanted = dict(_given(params))
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            answer = self._answered("GET", path, params={**wanted, "limit": size})
            yield from answer["data"]
            left = None if left is None else left - len(answer["data"])
            pagination = answer.get("pagination", {})
            if not pagination.get("has_more"):
                return
            wanted["cursor"] = pagination["next_cursor"]

    def post(self, path: str, body: Document | None = None, *, creates: bool = False) -> Any:
        """The `data` of a POST. `creates`: it makes something, and must not make it twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if creates else {}
        return self._answered("POST", path, json=body or {}, headers=headers)["data"]

    def patch(self, path: str, body: Document) -> Any:
        """The `data` of a PATCH."""
        return self._answered("PATCH", path, json=body)["data"]

    def delete(self, path: str) -> None:
        """DELETE; no answer's body is expected."""
        self._sent("DELETE", path)

    def _answered(self, method: str, path: str, **request: Any) -> Document:
        return _body(self._sent(method, path, **request))

    def _sent(self, method: str, path: str, **request: Any) -> httpx.Response:
        deadline, pause = time.monotonic() + self._patience, 0.1
        while True:
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                failure, wait = self._unreachable(error), pause
            else:
                if response.status_code < 400:
                    return response
                failure, wait = failure_of(response), _retry_after(response, pause)
                if response.status_code not in _AGAIN and "Retry-After" not in response.headers:
                    raise failure
            if time.monotonic() + wait > deadline:
                raise failure
            threading.Event().wait(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _unreachable(self, error: httpx.TransportError) -> ApiFailure:
        why = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "does not answer"
        return ApiFailure(0, "UNREACHABLE", f"The service at {self.url} {why}: is `scanledger up` running?")


def failure_of(response: httpx.Response) -> ApiFailure:
    """What an error response says, with each wrong field's fault."""
    try:
        error = response.json()["error"]
        message, code, details = str(error["message"]), str(error["code"]), error.get("details") or {}
        fields = [f"{fault['field']}: {fault['message']}" for fault in details.get("fields", [])]
    except (ValueError, LookupError, TypeError, AttributeError):
        message = f"The service answered {response.status_code}, which is no answer of the API."
        return ApiFailure(response.status_code, "UNKNOWN", message)
    # The message of a validation error repeats the first field's fault.
    return ApiFailure(response.status_code, code, "The service refused this." if fields else message, fields)


def _body(response: httpx.Response) -> Document:
    try:
        body = response.json()
        body["data"]
    except (ValueError, LookupError, TypeError):
        message = (
            f"What answers at {response.request.url.host}:{response.request.url.port} is not a Scanledger service."
        )
        raise ApiFailure(response.status_code, "UNKNOWN", message) from None
    return dict(body)


def _given(params: Mapping[str, Any] | None) -> Document:
    return {name: value for name, value in (params or {}).items() if value not in (None, ())}


def _retry_after(response: httpx.Response, otherwise: float) -> float:
    told = response.headers.get("Retry-After", "")
    return min(float(told), _LONGEST_PAUSE) if told.isdecimal() else otherwise
