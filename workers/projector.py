"""The projector: keeps the views of the log, in a thread of its own."""

import asyncio
import threading

import structlog

from infrastructure.wiring import Settings, open_projector

log = structlog.get_logger(__name__)


async def run_projector(settings: Settings, stop: asyncio.Event) -> None:
    """Project until `stop` is set."""
    halt = threading.Event()
    follower = open_projector(settings)
    following = asyncio.create_task(asyncio.to_thread(follower.run, halt))
    log.info("projector.started")
    await stop.wait()
    halt.set()
    await following
    log.info("projector.stopped")
