"""Scanners heed at once that a scan was called off, and ask after whatever they may have missed."""

import asyncio

from application.messages import Control, ControlState
from infrastructure.wiring import Broker, control_subject
from tests.workers.brokers import Brokers, until
from workers.control import StoppedScans


async def call_off(broker: Broker, scan: str, state: ControlState = ControlState.STOP) -> None:
    body = Control(scan=scan, state=state).model_dump_json().encode()
    await broker.publish_stored(control_subject(scan), body, message_id=f"{scan}/{state}")


def test_who_listens_hears_of_it_at_once(brokers: Brokers):
    async def test() -> None:
        heard: list[tuple[str, bool]] = []
        async with brokers.connected() as broker:
            scans = StoppedScans(broker, lambda scan, listing_only: heard.append((scan, listing_only)))
            await scans.start()
            await call_off(broker, "s1")
            await call_off(broker, "s2", ControlState.STOP_LISTING)
            await until(lambda: heard == [("s1", False), ("s2", True)])
            assert scans.known("s1", listing=False)
            assert scans.known("s1", listing=True)
            assert scans.known("s2", listing=True)
            assert not scans.known("s2", listing=False)

    asyncio.run(test())


def test_of_a_paused_scan_listings_end_and_nothing_begins_and_what_is_in_work_finishes(brokers: Brokers):
    async def test() -> None:
        heard: list[tuple[str, bool]] = []
        async with brokers.connected() as broker:
            scans = StoppedScans(broker, lambda scan, listing_only: heard.append((scan, listing_only)))
            await scans.start()
            await call_off(broker, "s1", ControlState.PAUSE)
            await until(lambda: heard == [("s1", True)])
            assert scans.known("s1", listing=False)
            assert scans.known("s1", listing=True)
            assert scans.paused("s1")
            assert not scans.ended("s1")

    asyncio.run(test())


def test_of_a_paused_scan_it_is_asked_again_before_each_piece_of_work(brokers: Brokers):
    async def test() -> None:
        async with brokers.connected() as broker:
            # Who does not listen hears of nothing: only asking tells it.
            scans = StoppedScans(broker, lambda *_: None)
            await call_off(broker, "s1", ControlState.PAUSE)
            assert await scans.stopped("s1", listing=False)
            await call_off(broker, "s1", ControlState.RUN)
            assert not await scans.stopped("s1", listing=False)
            assert not scans.paused("s1")
            await call_off(broker, "s2")
            assert await scans.stopped("s2", listing=False)
            assert scans.ended("s2")

    asyncio.run(test())


def test_a_scan_that_goes_on_after_all_is_worked_for_again(brokers: Brokers):
    async def test() -> None:
        heard: list[str] = []
        async with brokers.connected() as broker:
            scans = StoppedScans(broker, lambda scan, _: heard.append(scan))
            await scans.start()
            await call_off(broker, "s1")
            await until(lambda: scans.known("s1", listing=False))
            await call_off(broker, "s1", ControlState.RUN)
            await until(lambda: not scans.known("s1", listing=True))
            assert heard == ["s1"]
            late = StoppedScans(broker, lambda *_: None)
            assert not await late.stopped("s1", listing=True)

    asyncio.run(test())


def test_who_comes_later_asks_before_it_begins(brokers: Brokers):
    async def test() -> None:
        async with brokers.connected() as broker:
            await call_off(broker, "s1")
            scans = StoppedScans(broker, lambda *_: None)
            assert await scans.stopped("s1", listing=False)
            assert not await scans.stopped("s2", listing=True)

    asyncio.run(test())


def test_what_was_missed_while_the_server_was_away_is_asked_for(brokers: Brokers):
    async def test() -> None:
        heard: list[str] = []
        async with brokers.connected() as broker, brokers.connected(fresh=False) as other:
            scans = StoppedScans(broker, lambda scan, _: heard.append(scan))
            assert not await scans.stopped("s1", listing=False)
            broker.on_reconnect(scans._ask_again)
            # A message of which only the stream knows: nobody listens.
            await call_off(other, "s1")
            brokers.server.stop(within=0)
            await until(lambda: not broker.connected)
            brokers.server.start()
            await until(lambda: heard == ["s1"])

    asyncio.run(test())
