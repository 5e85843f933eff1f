"""What the handlers work with: the ports, and what one process of the API keeps for itself."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from litestar.connection import ASGIConnection

from api.limits import RateLimiter
from application.reading import ApiPorts, Caller
from application.tracing import current
from domain.errors import ServiceUnavailable

_OWN_WRITES_SECONDS: Final = 1.0
_FIRST_POLL: Final = 0.004


@dataclass(slots=True)
class Parts:
    """`streams` counts the live streams that are open, `exports` the exports in the making, by tenant."""

    ports: ApiPorts
    limiter: RateLimiter = field(default_factory=RateLimiter)
    streams: int = 0
    exports: Counter[str] = field(default_factory=Counter)


def parts_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Parts:
    parts = connection.app.state.parts
    assert isinstance(parts, Parts)
    return parts


def ports_of(connection: ASGIConnection[Any, Any, Any, Any]) -> ApiPorts:
    return parts_of(connection).ports


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Who was let in by `Requires`."""
    caller = connection.scope["auth"]
    assert isinstance(caller, Caller)
    return caller


async def keep_trace(ports: ApiPorts, scan: str) -> None:
    """Have the trace of this request go on with what is done for the scan, if the request is traced."""
    context = current()
    if context is not None:
        await ports.in_time(ports.traces.begin, scan, context)


async def until_projected(ports: ApiPorts, position: int) -> bool:
    """Wait until the views have passed `position` in the log, for a second at most; whether they have.

    It only follows what is committed, so a database that goes away meanwhile changes nothing about the answer.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + _OWN_WRITES_SECONDS, _FIRST_POLL
    with suppress(ServiceUnavailable):
        while await ports.reads.projected() < position:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
        return True
    return False
