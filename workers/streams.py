"""The streams: there before anything is done with them, and made anew when the server has lost them."""

import asyncio
import contextlib
from typing import Final

import structlog

from infrastructure.wiring import Broker, Settings, prepare_streams, restore_streams

_LOOK_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


async def prepare(settings: Settings, broker: Broker) -> None:
    """Make the streams as they should be, as soon as the broker can; it ends without when the broker gives up."""
    while not broker.giving_up:
        try:
            await prepare_streams(settings, broker)
        except Exception as error:  # noqa: BLE001 — whatever the broker's trouble is, nothing goes on without streams
            log.warning("streams.waiting_for_broker", error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def keep(settings: Settings, broker: Broker) -> None:
    """Look after each reconnection, and every few seconds, whether the server has lost a stream. Runs until cancelled.

    Apart from everything else, because whoever publishes into a lost stream waits until it is there again.
    """
    reconnected = asyncio.Event()

    async def look() -> None:
        reconnected.set()

    broker.on_reconnect(look)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reconnected.wait(), _LOOK_SECONDS)
        reconnected.clear()
        try:
            if broker.connected and await restore_streams(settings, broker):
                log.warning("streams.restored")
        except Exception as error:  # noqa: BLE001 — whatever it is, look again
            log.info("streams.unknown", error=str(error) or type(error).__name__)
            reconnected.set()
            await asyncio.sleep(_RETRY_SECONDS)
