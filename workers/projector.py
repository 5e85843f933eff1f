"""The projector: keeps the views of the log and the connectors' inventories, and erases what is to be erased, each in a
thread of its own."""

import asyncio
import threading

import structlog

from infrastructure.wiring import Settings, open_eraser, open_inventories, open_projector

log = structlog.get_logger(__name__)


async def run_projector(settings: Settings, stop: asyncio.Event) -> None:
    """Project until `stop` is set. Raises what a follower died of."""
    halt = threading.Event()
    runs = [open_projector(settings).run, open_inventories(settings).run, open_eraser(settings).run]
    following = [asyncio.create_task(asyncio.to_thread(run, halt)) for run in runs]
    log.info("projector.started")
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *following], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    halt.set()
    await asyncio.gather(*following)
    log.info("projector.stopped")
