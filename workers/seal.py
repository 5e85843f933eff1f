"""The seal: makes each tenant's log a Merkle tree and signs it, in threads of its own."""

import asyncio
import threading

import structlog

from infrastructure.wiring import Settings, open_seal

log = structlog.get_logger(__name__)


async def run_seal(settings: Settings, stop: asyncio.Event) -> None:
    """Seal until `stop` is set. Raises what the follower died of."""
    halt = threading.Event()
    seal = open_seal(settings)
    sealing = [asyncio.create_task(asyncio.to_thread(work, halt)) for work in (seal.run, seal.sign)]
    log.info("seal.started")
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *sealing], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    halt.set()
    await asyncio.gather(*sealing)
    log.info("seal.stopped")
