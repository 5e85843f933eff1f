"""What was sent and not answered is sent again, unless it waits, is in work, or its answer is on its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from application.messages import WorkInHand
from application.orchestration import ListingDue, Orchestrator
from application.ports import Recorded
from domain.scan_events import ScanEvent
from infrastructure.wiring import Broker, chunk_subject, listing_subject, report_subject
from tests.domain.given import queued, running_history
from tests.workers.brokers import Brokers, pause, tell, until
from workers.fleet import Fleet
from workers.reconciler import Reconciler, chunk_key, listing_key

SCAN = "scan-1"
ACK_WAIT = 0.02


class Bench:
    """An orchestrator with chunk 0 of a scan outstanding, and all it knows of the world."""

    def __init__(self, broker: Broker, history: list[ScanEvent]) -> None:
        self.broker = broker
        self.fleet = Fleet(broker)
        self.under_way: set[str] = set()
        self.reconciler = Reconciler(broker, self.fleet, ACK_WAIT, term="t1", under_way=self.under_way.__contains__)
        self.orchestrator = Orchestrator()
        self.orchestrator.restore(
            SCAN, [Recorded(at, SCAN, at, event) for at, event in enumerate(history, 1)], in_stream=[]
        )
        self.kept = self.orchestrator.open[SCAN]

    def send(self, chunk: int = 0) -> str:
        """As if the command of a chunk had been sent; its message id."""
        self.kept.ready.remove(chunk)
        self.kept.sent(chunk, 1)
        return self.reconciler.sending(chunk_key(SCAN, chunk, 1))

    async def found_lost(self) -> bool:
        """Whether a look finds chunk 0 lost."""
        await self.reconciler.lost(self.orchestrator)
        return 0 in self.kept.ready

    async def never_found_lost(self) -> bool:
        for _ in range(8):
            if await self.found_lost():
                return False
            await pause(ACK_WAIT)
        return True


@asynccontextmanager
async def a_bench(brokers: Brokers, history: list[ScanEvent] | None = None) -> AsyncIterator[Bench]:
    async with brokers.connected() as broker:
        bench = Bench(broker, history or running_history(chunks=2))
        await bench.fleet.start(lambda: None)
        yield bench


def test_a_command_that_nobody_has_is_sent_again_under_another_id(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            first = bench.send()
            await until(bench.found_lost)
            assert bench.kept.outstanding == {}
            assert list(bench.kept.ready) == [0, 1]
            assert bench.send() != first

    asyncio.run(test())


def test_of_a_scan_that_lost_something_the_workers_are_to_be_told_anew_once(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            bench.send()
            assert bench.reconciler.held_up() == set()
            await until(bench.found_lost)
            assert bench.reconciler.held_up() == {SCAN}
            assert bench.reconciler.held_up() == set()

    asyncio.run(test())


def test_a_listing_that_nobody_has_is_sent_again(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers, [queued()]) as bench:
            first = bench.reconciler.sending(listing_key(SCAN, 0, 1))
            due: list[ListingDue] = []

            async def found() -> bool:
                due.extend(await bench.reconciler.lost(bench.orchestrator))
                return bool(due)

            await until(found)
            assert due == [ListingDue(SCAN, 0)]
            assert bench.reconciler.sending(listing_key(SCAN, 0, 1)) != first

    asyncio.run(test())


def test_a_command_that_waits_in_the_stream_is_not_lost(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            await bench.broker.publish_stored(chunk_subject("default", SCAN), b"{}", message_id=bench.send())
            await bench.broker.publish_stored(
                listing_subject("default", SCAN), b"{}", message_id=listing_key(SCAN, 7, 2)
            )
            assert await bench.never_found_lost()
            waiting = await bench.reconciler.commands_in_stream()
            assert (waiting.chunks, waiting.listings) == ({(SCAN, 0, 1)}, {(SCAN, 7, 2)})

    asyncio.run(test())


def test_a_chunk_that_a_worker_says_to_have_is_not_lost(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            bench.send()
            await tell(bench.broker, "a", WorkInHand(worker="a-1", scan=SCAN, chunk=0, attempt=1))
            await until(lambda: any(bench.fleet.in_hand()))
            assert await bench.never_found_lost()

    asyncio.run(test())


def test_while_its_answer_may_wait_to_be_recorded_a_chunk_is_not_lost_however_many_reports_come_later(
    brokers: Brokers,
):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            bench.send()
            subject = report_subject("default", SCAN)
            await bench.broker.publish_stored(subject, b"maybe the answer", message_id="1")
            assert await bench.never_found_lost()
            await bench.broker.publish_stored(subject, b"one that came later", message_id="2")
            await bench.broker.jetstream.delete_msg("REPORTS", 1)
            assert await bench.found_lost()

    asyncio.run(test())


def test_a_command_that_waits_for_room_in_the_stream_is_not_lost(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            bench.under_way.add(chunk_key(SCAN, 0, 1))
            bench.send()
            assert await bench.never_found_lost()
            bench.under_way.clear()
            await until(bench.found_lost)

    asyncio.run(test())


def test_the_same_command_has_another_id_in_another_term(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            key = chunk_key(SCAN, 0, 1)
            later = Reconciler(bench.broker, bench.fleet, ACK_WAIT, term="t2", under_way=lambda _: False)
            ids = [bench.reconciler.sending(key), later.sending(key)]
            assert ids == [f"{key}/t1/0", f"{key}/t2/0"]
            for message_id in ids:
                assert await bench.broker.publish_stored(chunk_subject("default", SCAN), b"{}", message_id=message_id)
            assert (await bench.reconciler.commands_in_stream()).chunks == {(SCAN, 0, 1)}

    asyncio.run(test())


def test_scans_with_work_that_are_not_open_are_strangers_until_they_are_called_off(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            for scan in (SCAN, "ended", "listed"):
                subject = listing_subject("default", scan) if scan == "listed" else chunk_subject("default", scan)
                await bench.broker.publish_stored(subject, b"{}", message_id=f"{scan}/0/1")
            await tell(bench.broker, "a", WorkInHand(worker="a-1", scan="in-hand", unit=0, attempt=1))
            await until(lambda: any(bench.fleet.in_hand()))
            strangers = partial(bench.reconciler.strangers, {SCAN})
            assert await strangers() == {"ended", "listed", "in-hand"}
            for scan in ("ended", "in-hand"):
                bench.reconciler.forget(scan)
            assert await strangers() == {"listed"}
            bench.reconciler.tell_again()
            assert await strangers() == {"ended", "listed", "in-hand"}

    asyncio.run(test())


def test_reports_do_not_shield_what_was_lost_after_the_streams_began_anew(brokers: Brokers):
    async def test() -> None:
        async with a_bench(brokers) as bench:
            bench.send()
            subject = report_subject("default", SCAN)
            for number in range(3):
                await bench.broker.publish_stored(subject, b"x", message_id=str(number))
            assert await bench.never_found_lost()
            await bench.broker.jetstream.purge_stream("REPORTS")
            assert await bench.found_lost()

    asyncio.run(test())
