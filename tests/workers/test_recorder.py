"""The recorder's process: what is too early comes again, and what will never be in time ends its attempt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.messages import ListingStarted, ObjectsListed, Report
from application.object_columns import to_text
from application.ports import Append
from application.process_figures import ProcessFigures
from application.recording import Recorder
from application.tracing import Untraced
from infrastructure.wiring import REPORTS, Broker, report_subject
from tests.application.memory_log import MemoryInventory, MemoryManifest, MemoryScanLog
from tests.domain.given import LATER, objects, queued
from tests.workers.brokers import Brokers, until
from workers.recorder import run_recorder
from workers.recording_spans import BatchObservation

SCAN = "scan-1"


class Bench:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.figures = ProcessFigures()
        self.figures.of_roles("recorder")
        self.observation = BatchObservation(Untraced(), self.figures)
        self.log = MemoryScanLog()
        self.log.append([Append(SCAN, 0, [queued()])])
        self.recorder = Recorder(self.log, MemoryManifest(self.log), MemoryInventory(), lambda: LATER)

    async def report(self, report: Report, message_id: str) -> None:
        body = report.model_dump_json().encode()
        await self.broker.publish_stored(report_subject("default", SCAN), body, message_id=message_id)

    @property
    def kinds(self) -> list[str]:
        return [record.event.kind.removeprefix("scan.") for record in self.log.records]

    async def all_acknowledged(self) -> bool:
        return not (await self.broker.jetstream.stream_info(REPORTS)).state.messages


@asynccontextmanager
async def recording(brokers: Brokers, *, patience: float) -> AsyncIterator[Bench]:
    async with brokers.connected() as broker:
        bench, stop = Bench(broker), asyncio.Event()
        running = asyncio.create_task(run_recorder(bench.recorder, broker, stop, bench.observation, patience=patience))
        yield bench
        stop.set()
        await running


def batch(number: int) -> ObjectsListed:
    entries = objects(1, first=number)
    after = objects(1, first=number - 1)[0].key if number > 1 else ""
    return ObjectsListed(scan=SCAN, worker="w", unit=0, attempt=1, batch=number, after=after, objects=to_text(entries))


def test_a_report_that_is_too_early_counts_when_what_it_builds_on_is_there(brokers: Brokers):
    async def test() -> None:
        async with recording(brokers, patience=60) as bench:
            await bench.report(batch(2), "2")
            await bench.report(ListingStarted(scan=SCAN, worker="w", unit=0, attempt=1), "0")
            await until(lambda: bench.kinds == ["queued", "listing-started"])
            await bench.report(batch(1), "1")
            await until(lambda: bench.kinds[2:] == ["objects-listed"] * 2)
            await until(bench.all_acknowledged)
            told = bench.figures.read()
            assert told["recorder_reports"]["changed"] == 3
            assert told["recorder_reports"]["early"] == told["recorder_deliveries"]["again"] >= 1

    asyncio.run(test())


def test_a_report_that_is_too_early_for_too_long_ends_its_attempt_and_does_not_come_again(brokers: Brokers):
    async def test() -> None:
        async with recording(brokers, patience=0.5) as bench:
            await bench.report(batch(2), "2")
            await until(bench.all_acknowledged)
            assert bench.kinds == ["queued", "listing-failed"]
            assert bench.recorder.scan(SCAN).units[0].attempt == 2
            assert bench.figures.read()["recorder_reports"]["given_up"] == 1

    asyncio.run(test())
