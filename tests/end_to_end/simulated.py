"""A fleet without a source: it lists as many objects as it is told, and reads none of them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from application import object_columns
from application.messages import (
    ChunkCompleted,
    Command,
    ListingCompleted,
    ListingStarted,
    ObjectsListed,
    Report,
    ScanChunk,
    Telemetry,
    commands,
)
from domain.manifest import ObjectInfo
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.pulling import Pull
from infrastructure.messaging.streams import report_subject, telemetry_subject
from infrastructure.wiring import Message, listers_pull, utc_now, workers_pull
from tests.end_to_end.ring import Ring

PAGE: Final = 1_000
_SLOTS: Final = 8
_POOL: Final = "default"
_NAME: Final = "simulated"


class SimulatedFleet:
    """`listings` counts the commands to list that it took, `chunks` those to read. The first listing takes its time."""

    def __init__(self, files: int, list_seconds: float) -> None:
        self._files = files
        self._pause = list_seconds * PAGE / files
        self.listings = 0
        self.chunks = 0

    async def work(self, ring: Ring, stop: asyncio.Event) -> None:
        async with ring.broker() as broker:
            self._broker = broker
            lanes = (listers_pull(broker, _POOL), 1), (workers_pull(broker, _POOL), _SLOTS)
            tasks = [asyncio.create_task(self._serve(pull, slots)) for pull, slots in lanes]
            tasks.append(asyncio.create_task(self._tell(broker)))
            await asyncio.wait([asyncio.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
                task.cancel()
            for pull, _ in lanes:
                await pull.stop()

    async def _tell(self, broker: Broker) -> None:
        while True:
            telemetry = Telemetry(scanner=_NAME, pool=_POOL, slots=_SLOTS)
            await broker.client.publish(telemetry_subject(_NAME), telemetry.model_dump_json().encode())
            await asyncio.sleep(0.5)

    async def _serve(self, pull: Pull, slots: int) -> None:
        await pull.start()
        await pull.release(slots)
        while True:
            message = await pull.next()
            await self._obey(message)
            await message.ack()
            await pull.release()

    async def _obey(self, message: Message) -> None:
        command = commands.validate_json(message.data)
        sequence = message.metadata.sequence.stream
        if isinstance(command, ScanChunk):
            self.chunks += 1
            await self._report(command, _read(command), f"{sequence}")
            return
        self.listings += 1
        batch, after = command.next_batch, command.resume_after
        who = {"scan": command.scan, "worker": _NAME, "unit": command.unit, "attempt": command.attempt}
        await self._report(command, ListingStarted.model_validate(who), f"{sequence}/0")
        for first in range(int(after or -1) + 1, self._files, PAGE):
            page = _page(first, min(first + PAGE, self._files))
            listed = {**who, "batch": batch, "after": after, "objects": object_columns.to_text(page)}
            await self._report(command, ObjectsListed.model_validate(listed), f"{sequence}/{batch}")
            await message.in_progress()
            batch, after = batch + 1, page[-1].key
            await asyncio.sleep(self._pause if self.listings == 1 else 0)
        ended = {**who, "batches": batch - 1, "after": after}
        await self._report(command, ListingCompleted.model_validate(ended), f"{sequence}/end")

    async def _report(self, command: Command, report: Report, message_id: str) -> None:
        subject = report_subject(_POOL, command.scan)
        await self._broker.publish_stored(
            subject, report.model_dump_json().encode(), message_id=f"{command.scan}/{_NAME}/{message_id}"
        )


def _page(first: int, stop: int) -> list[ObjectInfo]:
    return [ObjectInfo(f"{number:012}", 1_000, f"{number:032x}") for number in range(first, stop)]


def _read(command: ScanChunk) -> ChunkCompleted:
    return ChunkCompleted(
        scan=command.scan,
        worker=_NAME,
        chunk=command.chunk,
        attempt=command.attempt,
        plan=command.plan,
        started_at=utc_now(),
        scanned=len(command.indexes),
        bytes_read=0,
        exceptions=[],
        findings=[],
    )


@contextmanager
def simulated_fleet(ring: Ring, *, files: int, list_seconds: float = 0.0) -> Iterator[SimulatedFleet]:
    """The only fleet of a ring whose scanner was killed; every unit it lists has `files` objects."""
    fleet = SimulatedFleet(files, list_seconds)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(fleet.work(ring, stop))
        except BaseException as failure:  # noqa: BLE001 — it is raised where the context ends
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield fleet
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
    if failures:
        raise failures[0]
