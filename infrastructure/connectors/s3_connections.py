"""Pooled connections to one endpoint, each looked at after connecting and before anything is sent."""

import socket
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from domain.errors import SourceMisconfigured
from infrastructure.connectors.endpoints import Reach

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for the next bytes of an answer."""

    connect: float = 3.0
    read: float = 20.0


class CheckedSession(URLLib3Session):
    """botocore's HTTP session. Follows no redirect. Safe to use from several threads.

    `send` also raises `SourceMisconfigured`, where a name leads to an address that `reach` refuses. Judging what
    was connected to, and not what a look-up said before, leaves a name server no moment to change its answer in.
    """

    def __init__(self, endpoint: str, reach: Reach, timeouts: Timeouts) -> None:
        self.proxies: dict[str, str] = get_environ_proxies(endpoint)
        super().__init__(
            proxies=self.proxies,
            timeout=(timeouts.connect, timeouts.read),  # type: ignore[arg-type]  # the stubs know only one figure
            max_pool_connections=CONNECTIONS,
        )
        self._manager.pool_classes_by_scheme = _pools(reach)  # type: ignore[attr-defined]  # the stubs leave it out

    def send(self, request: Any) -> Any:
        try:
            return super().send(request)
        except HTTPClientError as error:
            # The session wraps every error that it does not know.
            refused = error.kwargs.get("error")
            if isinstance(refused, SourceMisconfigured):
                raise refused from None
            raise


def _pools(reach: Reach) -> dict[str, type]:
    """Pools of direct connections. Through a proxy, it is the proxy's operator who says where they may lead."""

    class Plain(AWSHTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host, reach)

    class Encrypted(AWSHTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host, reach)

    class PlainPool(AWSHTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(AWSHTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


def _checked(connected: socket.socket, host: str, reach: Reach) -> socket.socket:
    """`connected` itself. Raises `SourceMisconfigured`, with it closed, where its peer is refused."""
    try:
        refusal = reach.refusal(str(connected.getpeername()[0]))
    except OSError:
        connected.close()
        raise
    if refusal is not None:
        connected.close()
        raise SourceMisconfigured(f"The endpoint {host} may not be scanned: {refusal}. Check endpoint_url.")
    return connected
