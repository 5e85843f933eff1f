"""What subscribers can rely on: each event once, in the order of the log, whatever dies."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest
from nats.js.errors import APIError

from domain.errors import ServiceUnavailable
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.event_stream import EventStream
from infrastructure.messaging.streams import EVENTS, Limits, ensure_streams, event_subject
from tests.integration.publishing import Bench, connected, expected, with_bench
from tests.workers.brokers import until

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    with folder.locked():
        server = EmbeddedNats(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


async def all_there(bench: Bench, *, generation: int = 1) -> None:
    """Wait until the stream holds as many events as the log, and see that it holds just these."""
    wanted = expected(bench.positions(), generation)

    async def complete() -> bool:
        with suppress(ServiceUnavailable):
            first, last = await bench.sequences()
            return last - first + 1 >= len(wanted)
        return False

    await until(complete, within=30)
    assert await bench.published() == wanted


def test_every_event_is_published_as_a_cloud_event_under_its_tenant_and_scan(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        scan = bench.record(2, tenant="globex")
        async with bench.publishing():
            await all_there(bench)
        first, second = await bench.messages()
        assert [first.subject, second.subject] == [
            f"scan.events.globex.{scan}.scan.queued",
            f"scan.events.globex.{scan}.scan.chunk-started",
        ]
        assert first.headers is not None
        body = json.loads(first.data or b"")
        assert {name: value for name, value in first.headers.items() if not name.startswith("Nats-Expected")} == {
            "ce-specversion": "1.0",
            "ce-id": f"{scan}:1",
            "ce-source": "/tenants/globex",
            "ce-type": "scanledger.scan.queued",
            "ce-subject": scan,
            "ce-time": body["occurred_at"],
            "ce-generation": "1",
            "content-type": "application/json",
            "Nats-Msg-Id": f"1/{bench.positions()[0]}",
        }
        assert body["event_id"] == f"{scan}:1"
        assert body["data"]["tenant"] == "globex"

    with_bench(server, url, test)


def test_what_is_recorded_while_it_runs_follows_at_once(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        async with bench.publishing():
            for _ in range(3):
                bench.record(3)
                await all_there(bench)

    with_bench(server, url, test)


@pytest.mark.parametrize("count", [2, 4])
def test_publishers_that_race_store_each_event_once_and_in_order(server: EmbeddedNats, url: str, count: int) -> None:
    async def test(bench: Bench) -> None:
        for _ in range(2):
            bench.record(400)
        async with connected(server) as one, connected(server) as other:
            racing = [bench.publisher(broker=(one, other)[number % 2]) for number in range(count)]
            async with bench.publishing(*racing):
                for _ in range(4):
                    bench.record(100)
                await all_there(bench)

    with_bench(server, url, test)


def test_what_comes_again_or_too_early_is_stored_in_its_own_place_or_not_at_all(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(3)
        async with bench.publishing():
            await all_there(bench)
        stream = EventStream(bench.broker)
        bench.record(3)
        events = bench.publisher()._events.after(0, 100)
        assert not await stream.publish(events[4:], generation=1, after=4)
        assert not await stream.publish(events[:2], generation=1, after=0)
        assert await bench.sequences() == (1, 3)
        assert not await stream.publish(events[1:], generation=1, after=1)
        await all_there(bench)

    with_bench(server, url, test)


def test_it_goes_on_where_the_stream_ends_over_deaths_of_the_server(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        async with bench.publishing():
            for _ in range(2):
                bench.record(400)
                server.stop(within=0)
                await until(lambda: not bench.broker.connected)
                bench.record(400)
                server.start()
            await all_there(bench)

    with_bench(server, url, test)


def test_a_full_stream_makes_it_wait_and_skips_nothing(server: EmbeddedNats, url: str) -> None:
    narrow = Limits(events_bytes=200_000)

    async def test(bench: Bench) -> None:
        for _ in range(2):
            bench.record(400)
        async with bench.publishing():

            async def full() -> bool:
                return (await bench.broker.jetstream.stream_info(EVENTS)).state.bytes > 190_000

            await until(full)
            published = await bench.published()
            assert published == expected(bench.positions()[: len(published)])
            assert len(published) < 800
            await ensure_streams(bench.broker.jetstream, ack_wait=30)
            await all_there(bench)

    with_bench(server, url, test, limits=narrow)


def test_a_stream_that_was_lost_is_filled_again_with_what_is_not_too_old(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(3, ago=20 * DAY)
        bench.record(5, ago=10 * DAY)
        bench.record(2)
        recent = expected(bench.positions()[3:])
        for _ in range(2):
            async with bench.publishing():
                await until(lambda: _holds(bench, recent))
            await bench.renew()

    with_bench(server, url, test)


def test_what_had_not_been_published_is_published_however_old_it_is(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(2, ago=30 * DAY)
        bench.record(2, ago=20 * DAY)
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO followers VALUES ('publisher', %s)", (bench.positions()[1],))
        async with bench.publishing():
            await until(lambda: _holds(bench, expected(bench.positions()[2:])))

    with_bench(server, url, test)


async def _holds(bench: Bench, ids: list[str]) -> bool:
    return await bench.published() == ids


def test_nobody_takes_anything_out_of_the_stream(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(2)
        async with bench.publishing():
            await all_there(bench)
        with pytest.raises(APIError):
            await bench.broker.jetstream.delete_msg(EVENTS, 1)
        with pytest.raises(APIError):
            await bench.broker.jetstream.purge_stream(EVENTS)
        await all_there(bench)

    with_bench(server, url, test)


def test_an_event_too_large_for_a_message_refers_to_where_it_is(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        scan = bench.record(2, prefix="x" * 1_100_000)
        async with bench.publishing():
            await all_there(bench)
        large, small = await bench.messages()
        assert large.headers is not None
        assert large.headers["ce-dataref"] == f"/api/v1/scans/{scan}/events"
        assert not large.data
        assert small.data
        async with bench.publishing():
            bench.record(1)
            await all_there(bench)

    with_bench(server, url, test)


def test_a_name_never_reaches_beyond_its_token() -> None:
    assert event_subject("a.b", "c*", "scan.queued") == "scan.events.a=2Eb.c=2A.scan.queued"
    assert event_subject("acme>", "é ", "scan.queued") == "scan.events.acme=3E.=C3=A9=20.scan.queued"


def test_how_far_it_is_can_be_read_in_the_database(server: EmbeddedNats, url: str) -> None:
    async def test(bench: Bench) -> None:
        bench.record(3)
        async with bench.publishing():
            await until(lambda: bench.publisher()._events.kept() == bench.positions()[-1])

    with_bench(server, url, test)
