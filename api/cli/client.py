"""The REST API as the commands use it: documents in, documents out, errors as sentences."""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from api.cli.failures import ApiFailure
from api.scan_headers import STATUS_HEADER, VERSION_HEADER

BASE: Final = "/api/v1"
PAGE: Final = 100
_AGAIN: Final = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE: Final = 5.0
_LIVE_SECONDS: Final = 40.0
"""A live stream says something more often than that, be it that there is nothing."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way. `status` and `version` are those of the scan when it began."""

    status: str
    version: str
    blocks: Iterator[bytes]


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

    def live(self, path: str, after: int | None) -> Iterator[Document]:
        """The events of a live stream behind the id `after` (None: from now on), for as long as there are any.

        A stream that breaks is taken up again where it was, for `patience` seconds at a time.
        """
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._http.stream("GET", path, headers=_from(after), timeout=_LIVE_SECONDS) as response:
                    if response.status_code == 204:
                        return
                    if response.status_code >= 400:
                        response.read()
                        failure = failure_of(response)
                        if response.status_code not in _AGAIN:
                            raise failure
                    for identifier, event in _frames(response.iter_lines()):
                        deadline = time.monotonic() + self._patience
                        if event is not None:
                            yield event
                        # The id comes before its event, which is to come again where it was not told in full.
                        after = identifier if event is not None or after is None else after
                    failure = self._unreachable(httpx.ReadError("the stream ended"))
            except httpx.TransportError as error:
                failure = self._unreachable(error)
            if time.monotonic() > deadline:
                raise failure
            threading.Event().wait(0.5)

    def post(self, path: str, body: Document | None = None, *, creates: bool = False) -> Any:
        """The `data` of a POST. `creates`: it makes something, and must not make it twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if creates else {}
        return self._answered("POST", path, json=body or {}, headers=headers)["data"]

    def patch(self, path: str, body: Document) -> Any:
        """The `data` of a PATCH."""
        return self._answered("PATCH", path, json=body)["data"]

    def delete(self, path: str) -> Any:
        """The `data` of a DELETE, which may be repeated."""
        return self._answered("DELETE", path)["data"]

    @contextmanager
    def download(self, path: str, params: Mapping[str, Any]) -> Iterator[Download]:
        """A file, read while it comes. Its blocks raise `ApiFailure` when it breaks off."""
        response = self._sent("GET", path, stream=True, params=_given(params))
        try:
            yield Download(
                status=response.headers.get(STATUS_HEADER, ""),
                version=response.headers.get(VERSION_HEADER, ""),
                blocks=_blocks(response),
            )
        finally:
            response.close()

    def _answered(self, method: str, path: str, **request: Any) -> Document:
        return _body(self._sent(method, path, **request))

    def _sent(self, method: str, path: str, *, stream: bool = False, **request: Any) -> httpx.Response:
        deadline, pause = time.monotonic() + self._patience, 0.1
        while True:
            try:
                response = self._http.send(self._http.build_request(method, path, **request), stream=stream)
                if response.status_code >= 400:
                    response.read()
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


def _from(after: int | None) -> dict[str, str]:
    return {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})


def _frames(lines: Iterator[str]) -> Iterator[tuple[int, Document | None]]:
    """Ids as an event stream tells them, with the event where there is one."""
    identifier = 0
    for line in lines:
        if line.startswith("id: "):
            identifier = int(line[4:])
            yield identifier, None
        elif line.startswith("data: "):
            yield identifier, json.loads(line[6:])


def _blocks(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except httpx.TransportError as error:
        message = "The file broke off before its end: the service or the way to it failed. Ask for it again."
        raise ApiFailure(0, "INCOMPLETE", message) from error


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
