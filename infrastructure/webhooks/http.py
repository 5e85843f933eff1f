"""One POST to a webhook, within bounds: no redirect, no proxy, so many seconds, so many bytes of an answer.

A name is looked up once for each connection, the addresses that come of it are judged, and so is the peer once it is
connected to, before anything is sent or encrypted: a name server has no moment to change its answer in.
"""

import asyncio
import email.utils
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import httpcore
import httpx

from application.ports import Clock
from domain.webhook import Answered
from infrastructure.webhooks.addresses import Peers, Target, peers_of, target_of
from infrastructure.webhooks.secrets import signed_headers

CONTENT_TYPE: Final = "application/cloudevents+json"

MOST_ANSWER_BYTES: Final = 16 * 1024
"""Read of an answer, and kept nowhere: its status is what counts. What is longer costs the connection."""

_KEPT_CONNECTIONS: Final = 64
_KEPT_SECONDS: Final = 15.0
_LOOK_UPS: Final = 96
_MOST_ADDRESSES: Final = 4


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a connection, for the next bytes, and for all of it."""

    connect: float = 5.0
    read: float = 15.0
    total: float = 20.0


class PeerRefused(Exception):
    """A name leads to an address that it may not."""


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to no address that is refused, and hangs up where the peer turns out to have one.

    Names are looked up in threads of its own: where nobody answers for a name, no time-out ends that, and an event
    loop has few threads for it.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = allowed
        self._backend = httpcore.AnyIOBackend()
        self._names = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="names")

    def close(self) -> None:
        self._names.shutdown(wait=False, cancel_futures=True)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises PeerRefused, and httpcore's own errors."""
        peers = peers_of(host, port, self._allowed)
        addresses, refusal = _parted(peers, await self._addresses(host, port))
        failure: Exception = PeerRefused(refusal)
        for address in addresses:
            share = None if timeout is None else timeout / len(addresses)
            try:
                stream = await self._backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return await _looked_at(stream, peers)
        raise failure

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._names, look_up)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("no such host") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))[:_MOST_ADDRESSES]


class WebhookHttp:
    """Posts to webhooks. Belongs to one event loop. `allowed` is as `target_of` takes it.

    A connection that was looked at is kept for a few seconds, for the next message to the same host.
    """

    def __init__(self, allowed: Sequence[str], clock: Clock, patience: Patience = Patience()) -> None:
        self._allowed = allowed
        self._clock = clock
        self._patience = patience
        self._backend = _CheckedBackend(allowed)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=None,
            max_keepalive_connections=_KEPT_CONNECTIONS,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=self._backend,
        )

    async def close(self) -> None:
        await self._pool.aclose()
        self._backend.close()

    async def post(self, url: str, body: bytes, message_id: str, secrets: Sequence[str]) -> Answered:
        """What came back. Never raises for what a receiver does or is."""
        target = target_of(url, self._allowed)
        if isinstance(target, str):
            return Answered(None, f"The URL may not be used any more: it {target}.")
        if not secrets:
            return Answered(None, "Its secret does not open with this installation's encryption key; rotate it.")
        headers = {
            "host": target.authority,
            "content-type": CONTENT_TYPE,
            "user-agent": f"scanledger/{version('scanledger')}",
            "accept-encoding": "identity",
            **signed_headers(message_id, body, secrets, self._clock()),
        }
        began = time.monotonic()
        answered = await self._answered(target, body, headers)
        return replace(answered, took=time.monotonic() - began)

    async def _answered(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answered:
        try:
            async with asyncio.timeout(self._patience.total):
                return await self._asked(target, body, headers)
        except (TimeoutError, httpcore.TimeoutException) as error:
            phase = "could not be connected to" if isinstance(error, httpcore.ConnectTimeout) else "did not answer"
            return Answered(None, f"The receiver {phase} in time.")
        except PeerRefused as refused:
            return Answered(None, f"The receiver may not be asked: {refused}.")
        except httpcore.ConnectError as error:
            return Answered(None, f"The receiver cannot be connected to: {_reason(error)}.")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Answered(None, f"The receiver hung up or does not speak HTTP ({type(error).__name__}).")

    async def _asked(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answered:
        patience = self._patience
        times = {"connect": patience.connect, "read": patience.read, "write": patience.read, "pool": patience.total}
        url = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        asking = self._pool.stream("POST", url, headers=given, content=body, extensions={"timeout": times})
        async with asking as response:
            await _read(response)
            return _told(response, self._clock().timestamp())


def _tls() -> ssl.SSLContext:
    """Trusts what certifi does, and what the system does (SSL_CERT_FILE, SSL_CERT_DIR)."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _parted(peers: Peers, addresses: Sequence[str]) -> tuple[Sequence[str], str]:
    """Those that may be connected to, and why another one may not."""
    refusals = {address: peers.refusal(address) for address in addresses}
    return [address for address, told in refusals.items() if told is None], next(filter(None, refusals.values()), "")


async def _looked_at(stream: httpcore.AsyncNetworkStream, peers: Peers) -> httpcore.AsyncNetworkStream:
    refusal = peers.refusal(str(stream.get_extra_info("server_addr")[0]))
    if refusal is not None:
        await stream.aclose()
        raise PeerRefused(refusal)
    return stream


async def _read(response: httpcore.Response) -> None:
    """Read an answer's body as far as it is read at all."""
    left = MOST_ANSWER_BYTES
    async for block in response.aiter_stream():
        left -= len(block)
        if left < 0:
            return


def _told(response: httpcore.Response, now: float) -> Answered:
    """What an answer says, in words of ours: nothing a receiver writes is kept."""
    status = response.status
    headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    if 300 <= status < 400:
        return Answered(status, f"The receiver answered {status}; redirects are not followed: give the final URL.")
    detail = f"The receiver answered {status}."
    return Answered(status, detail, _seconds(headers.get(b"retry-after"), now))


def _seconds(told: str | None, now: float) -> float | None:
    """RFC 9110, 10.2.3: a number of seconds, or a date."""
    if told is None:
        return None
    if told.isascii() and told.isdecimal():
        return float(told[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    """Why a connection failed, without addresses: the system's own words on it, or the certificate's fault."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not good ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as it should"
        cause = cause.__cause__ or cause.__context__
    return "no such host, or nothing listens there"
