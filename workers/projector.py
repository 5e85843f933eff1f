"""The projector: keeps the views of the log, in a thread of its own."""

import asyncio
import threading

import structlog

from infrastructure.wiring import Settings, open_projector

log = structlog.get_logger(__name__)


async def run_projector(settings: Settings, stop: asyncio.Event) -> None:
    """Project until `stop` is set. Raises what the follower died of."""
    halt = threading.Event()
    follower = open_projector(settings)
    following = asyncio.create_task(asyncio.to_thread(follower.run, halt))
    log.info("projector.started")
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, following], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    halt.set()
    await following
    log.info("projector.stopped")
