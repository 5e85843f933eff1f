"""The two workers of the ring benchmark: `noop`, the real scanner with chunks that cost nothing; `bare`, only acks."""

import asyncio
import sys
from datetime import UTC, datetime
from functools import partial

from application.messages import ChunkCompleted, ScanChunk
from application.process_figures import ProcessFigures
from application.tracing import Untraced
from infrastructure.wiring import (
    Settings,
    configure_logging,
    load_settings,
    open_broker,
    run_until_signalled,
    workers_pull,
)
from workers.executor import Work
from workers.observation import Observation
from workers.scanner import Scanner

FLOOR_POOL = "floor"


class NoOpExecutor:
    """Reports a chunk as scanned without opening an object; of a listing it says nothing."""

    async def run(self, work: Work) -> bool:
        command = work.command
        if isinstance(command, ScanChunk):
            report = ChunkCompleted(
                scan=command.scan,
                worker=work.worker,
                chunk=command.chunk,
                attempt=command.attempt,
                plan=command.plan,
                started_at=datetime.now(UTC),
                scanned=len(command.indexes),
                bytes_read=0,
                exceptions=[],
                findings=[],
            )
            await work.report(report.model_dump_json().encode())
        return True

    def stop(self) -> None:
        """Nothing lasts long enough to be stopped."""

    async def close(self) -> None:
        """Nothing was opened."""


async def noop(settings: Settings, stop: asyncio.Event) -> None:
    broker = await open_broker(settings, "scanner")
    await Scanner(settings, broker, NoOpExecutor, Observation(Untraced(), ProcessFigures())).run(stop)
    await broker.close()


async def bare(settings: Settings, stop: asyncio.Event) -> None:
    """Pull, acknowledge, ask for the next one: as many in hand as the scanner has slots."""
    broker = await open_broker(settings, "scanner")
    pull = workers_pull(broker, FLOOR_POOL)
    await pull.start()
    await pull.release(settings.workers)

    async def work() -> None:
        while True:
            message = await pull.next()
            await message.ack()
            await pull.release()

    working = asyncio.create_task(work())
    await stop.wait()
    working.cancel()
    await pull.stop()
    await broker.close()


if __name__ == "__main__":
    loaded = load_settings()
    configure_logging(loaded)
    run_until_signalled(partial({"noop": noop, "bare": bare}[sys.argv[1]], loaded))
