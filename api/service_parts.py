"""What the handlers work with: the ports, and what one process of the API keeps for itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from litestar.connection import ASGIConnection

from api.limits import RateLimiter
from application.reading import ApiPorts, Caller
from domain.errors import ServiceUnavailable

_OWN_WRITES_SECONDS: Final = 1.0
_STORE_SECONDS: Final = 5.0

T = TypeVar("T")
_FIRST_POLL: Final = 0.004


@dataclass(frozen=True, slots=True)
class Parts:
    ports: ApiPorts
    limiter: RateLimiter = field(default_factory=RateLimiter)


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


async def in_store(work: Callable[..., T], *arguments: Any) -> T:
    """What `work`, which waits for the event store, gives. Raises ServiceUnavailable if that takes too long.

    The work itself cannot be called off: a store that froze in the middle of it may yet carry it out.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    done, _ = await asyncio.wait([working], timeout=_STORE_SECONDS)
    if not done:
        working.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise ServiceUnavailable("The database does not answer; try again in a moment.")
    return working.result()


async def until_projected(ports: ApiPorts, position: int) -> bool:
    """Wait until the views have passed `position` in the log, for a second at most; whether they have."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + _OWN_WRITES_SECONDS, _FIRST_POLL
    while await ports.reads.projected() < position:
        if loop.time() > deadline:
            return False
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)
    return True
