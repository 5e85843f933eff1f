import asyncio

import pytest

from application.messages import WorkInHand
from tests.workers.brokers import Brokers, tell, until
from workers import fleet
from workers.fleet import Fleet


def test_the_fleet_is_who_told_of_itself_lately_and_takes_work(brokers: Brokers, monkeypatch: pytest.MonkeyPatch):
    async def test() -> None:
        changes: list[int] = []
        work = WorkInHand(worker="b-1", scan="s", chunk=3, attempt=1)
        async with brokers.connected() as broker:
            seen = Fleet(broker)
            await seen.start(lambda: changes.append(seen.slots()))
            await tell(broker, "a", slots=2)
            await tell(broker, "b", work, slots=4)
            await until(lambda: seen.slots() == 6)
            assert list(seen.in_hand()) == [work]
            await tell(broker, "a", slots=2, stopping=True)
            await until(lambda: seen.slots() == 4)
            assert changes == [2, 6, 4]
            monkeypatch.setattr(fleet, "PRESENT_SECONDS", 0.05)
            await until(lambda: seen.slots() == 0)
            assert list(seen.in_hand()) == []

    asyncio.run(test())


def test_words_it_does_not_understand_are_ignored(brokers: Brokers):
    async def test() -> None:
        async with brokers.connected() as broker:
            seen = Fleet(broker)
            await seen.start(lambda: None)
            await broker.client.publish("scan.progress.x", b"{")
            await tell(broker, "a")
            await until(lambda: seen.slots() == 2)

    asyncio.run(test())
