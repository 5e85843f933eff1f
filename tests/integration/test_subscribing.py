"""What a subscriber of a tenant gets with plain nats-py, its login and no more: that tenant's events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NothingCame
from nats.js import JetStreamContext

from application.subscribing import CONSUMERS_A_TENANT
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.rights import subscriber
from infrastructure.messaging.streams import COMMANDS, EVENTS, REPORTS
from tests.integration.publishing import Bench, with_bench
from tests.workers.brokers import pause, until
from workers.subscriptions_desk import SubscriptionsDesk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    with folder.locked():
        server = EmbeddedNats(folder, tenants=("acme", "globex"))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@dataclass
class Subscriber:
    """A tenant's program: nothing but nats-py, its login, and what the README says."""

    tenant: str
    client: Client
    jetstream: JetStreamContext

    async def subscribe(self, **wanted: Any) -> dict[str, Any]:
        answer = await self.client.request(f"scan.subscribe.{self.tenant}", json.dumps(wanted).encode(), timeout=5)
        told: dict[str, Any] = json.loads(answer.data)
        return told

    async def taken(self, count: int, consumer: int = 1) -> list[Msg]:
        """The next messages, acknowledged."""
        pull = await self.jetstream.pull_subscribe_bind(f"{self.tenant}_{consumer}", stream=EVENTS)
        messages: list[Msg] = []
        while len(messages) < count:
            messages += await pull.fetch(count - len(messages), timeout=5)
        for message in messages:
            await message.ack_sync()
        await pull.unsubscribe()
        return messages

    async def ids(self, count: int, consumer: int = 1) -> list[str]:
        return [(message.headers or {})["ce-id"] for message in await self.taken(count, consumer)]


@asynccontextmanager
async def subscribed(server: EmbeddedNats, tenant: str) -> AsyncIterator[Subscriber]:
    user, password = server.login(subscriber(tenant))
    client = await nats.connect(server.url, user=user, password=password)
    try:
        yield Subscriber(tenant, client, client.jetstream())
    finally:
        await client.close()


@asynccontextmanager
async def service(bench: Bench) -> AsyncIterator[None]:
    await SubscriptionsDesk(bench.broker).start()
    async with bench.publishing():
        yield


def test_a_durable_gets_its_tenants_events_in_order_and_goes_on_where_it_was(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        one = bench.record(3, tenant="acme")
        bench.record(5, tenant="globex")
        other = bench.record(2, tenant="acme")
        expected = [f"{one}:{version}" for version in (1, 2, 3)] + [f"{other}:{version}" for version in (1, 2)]
        async with service(bench):
            async with subscribed(server, "acme") as acme:
                assert (await acme.subscribe())["consumer"] == "acme_1"
                assert await acme.ids(2) == expected[:2]
            async with subscribed(server, "acme") as acme:
                assert (await acme.subscribe())["stream"] == EVENTS
                assert await acme.ids(3) == expected[2:]
                late = bench.record(1, tenant="acme")
                assert await acme.ids(1) == [f"{late}:1"]

    with_bench(server, url, test)


def test_events_come_again_from_a_sequence_and_from_a_time(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        async with service(bench), subscribed(server, "acme") as acme:
            scan = bench.record(3)
            await acme.subscribe()
            [_, second, _] = await acme.taken(3)
            await pause(0.01)
            noon = datetime.now(UTC)
            later = bench.record(1)
            assert await acme.ids(1) == [f"{later}:1"]
            await acme.subscribe(sequence=second.metadata.sequence.stream)
            assert await acme.ids(3) == [f"{scan}:2", f"{scan}:3", f"{later}:1"]
            await acme.subscribe(time=noon.isoformat())
            assert await acme.ids(1) == [f"{later}:1"]
            await acme.subscribe(new=True)
            newest = bench.record(1)
            assert await acme.ids(1) == [f"{newest}:1"]

    with_bench(server, url, test)


def test_a_consumer_may_want_some_kinds_only(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        async with service(bench), subscribed(server, "acme") as acme:
            scans = [bench.record(3) for _ in range(2)]
            await acme.subscribe(consumer=2, kinds=["scan.queued"])
            assert await acme.ids(2, consumer=2) == [f"{scan}:1" for scan in scans]
            await acme.subscribe(consumer=2, kinds=["scan.queued", "scan.chunk-started"], sequence=1)
            assert len(await acme.ids(6, consumer=2)) == 6
            await acme.subscribe(consumer=2, kinds=["scan.chunk-started"])
            last = bench.record(3)
            assert await acme.ids(2, consumer=2) == [f"{last}:2", f"{last}:3"]

    with_bench(server, url, test)


def test_what_cannot_be_subscribed_to_is_told(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        async with service(bench), subscribed(server, "acme") as acme:
            for wanted, words in (
                ({"consumer": CONSUMERS_A_TENANT + 1}, "consumer"),
                ({"sequence": 1, "new": True}, "give one of"),
                ({"time": "yesterday"}, "time"),
                ({"kinds": ["*.*"]}, "kinds"),
                ({"kinds": ["scan.>"]}, "kinds"),
                ({"filter_subject": "scan.events.globex.>"}, "filter_subject"),
                ({"deliver_subject": "scan.cmd.default.x"}, "deliver_subject"),
            ):
                assert words in (await acme.subscribe(**wanted))["error"]

    with_bench(server, url, test)


def test_no_request_of_a_subscriber_has_anything_sent_elsewhere(server: EmbeddedNats, url: str) -> None:
    """Of one account with the streams, JetStream would send the events wherever a reply subject says."""

    async def test(bench: Bench) -> None:
        bench.record(3, tenant="acme")
        streams = (EVENTS, COMMANDS, REPORTS)

        async def counts() -> list[int]:
            return [(await bench.broker.jetstream.stream_info(name)).state.messages for name in streams]

        async with service(bench), subscribed(server, "acme") as acme:
            await acme.subscribe()
            await until(lambda: _as_many(bench, 3))
            before = await counts()
            targets = ("scan.cmd.default.s", "scan.report.default.s", "scan.events.globex.s.scan.queued")
            for target in (*targets, f"$JS.API.STREAM.DELETE.{COMMANDS}"):
                for request in ("$JS.API.CONSUMER.MSG.NEXT.EVENTS.acme_1", "scan.subscribe.acme"):
                    await acme.client.publish(request, b'{"batch":1}', reply=target)
            await acme.subscribe(sequence=1)
            assert len(await acme.ids(3)) == 3
            assert await counts() == before

    with_bench(server, url, test)


async def _as_many(bench: Bench, count: int) -> bool:
    return len(await bench.published()) == count


def test_a_tenant_pulls_nothing_of_anothers_consumer(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(3, tenant="globex")
        async with service(bench), subscribed(server, "acme") as acme, subscribed(server, "globex") as globex:
            await globex.subscribe()
            await acme.subscribe()
            pull = await acme.jetstream.pull_subscribe_bind("globex_1", stream=EVENTS)
            with pytest.raises((NothingCame, NoRespondersError)):
                await pull.fetch(1, timeout=0.3)
            with pytest.raises((NothingCame, NoRespondersError)):
                await acme.client.request("scan.subscribe.globex", b"{}", timeout=0.3)
            assert len(await globex.ids(3)) == 3

    with_bench(server, url, test)


def test_a_lost_stream_is_subscribed_to_again_as_at_first(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        scan = bench.record(2)
        async with service(bench), subscribed(server, "acme") as acme:
            await acme.subscribe()
            assert await acme.ids(2) == [f"{scan}:1", f"{scan}:2"]
            await bench.renew()
            await acme.subscribe()
            assert await acme.ids(2) == [f"{scan}:1", f"{scan}:2"]

    with_bench(server, url, test)


def test_requests_are_answered_once_however_many_desks_there_are(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(1)
        async with service(bench), subscribed(server, "acme") as acme:
            await SubscriptionsDesk(bench.broker).start()
            answers: asyncio.Queue[bytes] = asyncio.Queue()

            async def on_answer(message: Msg) -> None:
                answers.put_nowait(message.data)

            inbox = acme.client.new_inbox()
            await acme.client.subscribe(inbox, cb=on_answer)
            for _ in range(20):
                await acme.client.publish("scan.subscribe.acme", b"{}", reply=inbox)
            await until(lambda: answers.qsize() == 20)
            await acme.subscribe()
            assert answers.qsize() == 20

    with_bench(server, url, test)
