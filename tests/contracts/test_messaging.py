"""What the ring expects of NATS, on a real server that is killed and started again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from nats.js.api import ConsumerInfo, DiscardPolicy, StreamConfig
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from domain.errors import ServiceUnavailable
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.broker import Broker, MessageTooLarge, StreamFull
from infrastructure.messaging.pulling import Pull
from infrastructure.messaging.rights import COORDINATOR, INBOX_PREFIX
from infrastructure.messaging.streams import (
    COMMANDS,
    CONTROL,
    REPORTS,
    Limits,
    anything_missing,
    chunk_subject,
    control_subject,
    ensure_pool,
    ensure_streams,
    report_subject,
    workers_consumer,
)
from infrastructure.settings import Broker as Address
from tests.workers.brokers import until

POOL = "default"
CONSUMER = workers_consumer(POOL)
SUBJECT = chunk_subject(POOL, "scan-1")
ACK_WAIT = 1.0

T = TypeVar("T")


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


@dataclass
class Bench:
    """A server with fresh streams, and a connection to it."""

    server: EmbeddedNats
    broker: Broker

    async def kill_server(self) -> None:
        self.server.stop(within=0)
        await until(lambda: not self.broker.connected)

    def start_server(self) -> None:
        # In this thread: the server ends with the one that started it.
        self.server.start()

    async def send(self, *names: str) -> None:
        for name in names:
            await self.broker.publish_stored(SUBJECT, name.encode(), message_id=f"scan-1/{name}/1")

    async def consumer(self) -> ConsumerInfo:
        return await self.broker.jetstream.consumer_info(COMMANDS, CONSUMER)

    async def messages(self, stream: str = COMMANDS) -> int:
        return int((await self.broker.jetstream.stream_info(stream)).state.messages)

    @asynccontextmanager
    async def pull(self, *, expires: float = 20.0) -> AsyncIterator[Pull]:
        pull = Pull(self.broker, COMMANDS, CONSUMER, expires=expires)
        await pull.start()
        try:
            yield pull
        finally:
            await pull.stop()


async def taken(pull: Pull, count: int) -> list[str]:
    async with asyncio.timeout(15):
        return [(await pull.next()).data.decode() for _ in range(count)]


def with_bench(server: EmbeddedNats, test: Callable[[Bench], Coroutine[Any, Any, T]]) -> T:
    """Run `test` on fresh streams."""

    async def body() -> T:
        name, password = server.login(COORDINATOR)
        address = Address(server.url, name, SecretStr(password), None, INBOX_PREFIX)
        broker = await Broker(address, name="bench").connect(patience=5)
        try:
            for stream in (COMMANDS, REPORTS, CONTROL):
                try:
                    await broker.jetstream.delete_stream(stream)
                except NotFoundError:
                    continue
            await ensure_streams(broker.jetstream, ack_wait=ACK_WAIT)
            await ensure_pool(broker.jetstream, POOL, ack_wait=ACK_WAIT)
            return await test(Bench(server, broker))
        finally:
            await broker.close()

    return asyncio.run(body())


# Publishing -----------------------------------------------------------------------------------------------------------


def test_what_is_published_twice_under_one_id_is_stored_once(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        publish = bench.broker.publish_stored
        assert await publish(SUBJECT, b"x", message_id="scan-1/1/1")
        assert not await publish(SUBJECT, b"x", message_id="scan-1/1/1")
        assert await bench.messages() == 1

    with_bench(server, test)


def test_publishing_waits_through_the_death_of_the_server(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.kill_server()
        publishing = asyncio.create_task(bench.send("1"))
        await asyncio.wait([publishing], timeout=0.3)
        assert not publishing.done()
        bench.start_server()
        async with asyncio.timeout(15):
            await publishing
        assert await bench.messages() == 1

    with_bench(server, test)


def test_publishing_waits_while_a_stream_is_full(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        stream = bench.broker.jetstream
        small = StreamConfig(name="SMALL", subjects=["small.*"], max_msgs=1, discard=DiscardPolicy.NEW)
        await stream.add_stream(small)
        await bench.broker.publish_stored("small.a", b"1", message_id="1")
        publishing = asyncio.create_task(bench.broker.publish_stored("small.a", b"2", message_id="2"))
        await asyncio.wait([publishing], timeout=0.3)
        assert not publishing.done()
        await stream.delete_msg("SMALL", 1)
        async with asyncio.timeout(10):
            assert await publishing
        await stream.delete_stream("SMALL")

    with_bench(server, test)


def test_what_nobody_wants_any_more_does_not_wait_for_room(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        stream = bench.broker.jetstream
        await stream.add_stream(StreamConfig(name="SMALL", subjects=["small.*"], max_msgs=1, discard=DiscardPolicy.NEW))
        await bench.broker.publish_stored("small.a", b"1", message_id="1")
        wanted = asyncio.Event()
        wanted.set()
        publishing = asyncio.create_task(
            bench.broker.publish_stored("small.a", b"2", message_id="2", wanted=wanted.is_set)
        )
        await asyncio.wait([publishing], timeout=0.3)
        assert not publishing.done()
        wanted.clear()
        with pytest.raises(StreamFull):
            async with asyncio.timeout(5):
                await publishing
        await stream.delete_stream("SMALL")

    with_bench(server, test)


def test_the_streams_of_commands_and_reports_take_no_more_than_they_should(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await ensure_streams(bench.broker.jetstream, ack_wait=ACK_WAIT, limits=Limits(queue_bytes=1024**2))
        for stream, subject in ((COMMANDS, SUBJECT), (REPORTS, report_subject(POOL, "scan-1"))):
            for number in range(3):
                await bench.broker.publish_once(subject, bytes(300_000), message_id=str(number))
            with pytest.raises(StreamFull):
                await bench.broker.publish_once(subject, bytes(300_000), message_id="3")
            assert await bench.messages(stream) == 3

    with_bench(server, test)


def test_the_subjects_of_what_a_stream_holds_are_told(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        assert list(await bench.broker.subjects(COMMANDS)) == []
        await bench.send("1", "2")
        assert list(await bench.broker.subjects(COMMANDS)) == [SUBJECT]
        await bench.kill_server()
        with pytest.raises(ServiceUnavailable):
            await bench.broker.subjects(COMMANDS)
        bench.start_server()

    with_bench(server, test)


def test_who_gave_up_waits_no_longer(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.kill_server()
        publishing = asyncio.create_task(bench.send("1"))
        bench.broker.give_up()
        with pytest.raises(ServiceUnavailable):
            async with asyncio.timeout(5):
                await publishing
        bench.start_server()

    with_bench(server, test)


def test_a_message_too_large_for_the_server_is_refused_at_once(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(MessageTooLarge):
            await bench.broker.publish_stored(SUBJECT, bytes(1024 * 1024), message_id="scan-1/1/1")
        assert bench.broker.connected

    with_bench(server, test)


def test_the_ids_of_what_nobody_acknowledged_are_listed_in_order(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.send("1", "2", "3")
        async with bench.pull() as pull:
            await pull.release(2)
            first, _ = await pull.next(), await pull.next()
            await first.ack_sync()
        listed = [message_id async for message_id in bench.broker.message_ids(COMMANDS)]
        assert listed == ["scan-1/2/1", "scan-1/3/1"]

    with_bench(server, test)


def test_the_latest_message_of_a_subject_is_read_directly(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        subject = control_subject("scan-1")
        assert await bench.broker.latest(CONTROL, subject) is None
        for body in (b"one", b"two"):
            await bench.broker.publish_once(subject, body)
        assert await bench.broker.latest(CONTROL, subject) == b"two"
        await bench.kill_server()
        with pytest.raises(ServiceUnavailable):
            await bench.broker.latest(CONTROL, subject)
        bench.start_server()

    with_bench(server, test)


def test_each_reconnection_is_told_and_one_that_fails_does_not_hinder_the_next(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        told: list[int] = []

        async def fails() -> None:
            raise ValueError

        async def counts() -> None:
            told.append(1)

        bench.broker.on_reconnect(fails)
        bench.broker.on_reconnect(counts)
        for number in (1, 2):
            await bench.kill_server()
            bench.start_server()
            await until(lambda number=number: len(told) == number)  # type: ignore[misc]  # bound to this round

    with_bench(server, test)


# Pulling --------------------------------------------------------------------------------------------------------------


def test_no_more_is_delivered_than_was_released(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.send(*map(str, range(30)))
        async with bench.pull() as pull:
            for requests, count in enumerate((1, 4, 2), 1):
                await pull.release(count)
                await until(lambda requests=requests: pull._number == requests)  # type: ignore[misc]  # of this round
            await until(lambda: pull.waiting() == 7)
            info = await bench.consumer()
            assert (info.num_ack_pending, info.num_pending, pull.waiting()) == (7, 23, 7)
            await taken(pull, 7)
            await pull.release()
            assert await taken(pull, 1) == ["7"]
            assert (await bench.consumer()).num_ack_pending == 8

    with_bench(server, test)


def test_what_comes_beyond_what_was_released_goes_back(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        async with bench.pull() as pull:
            await pull.release(2)
            # As after a reconnection that the server took for the same client: both requests stand.
            await pull._ask_anew()
            await bench.broker.client.flush()
            await bench.send(*map(str, range(6)))
            await until(lambda: pull.waiting() == 2)

            async def settled() -> bool:
                return (await bench.consumer()).num_ack_pending == 2

            await until(settled)
            assert pull.waiting() == 2

    with_bench(server, test)


def test_requests_that_expire_are_made_again_in_full(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        async with bench.pull(expires=1.0) as pull:
            for requests, count in enumerate((3, 1, 2), 1):
                await pull.release(count)
                await until(lambda requests=requests: pull._number == requests)  # type: ignore[misc]  # of this round
            await bench.send("a", "b", "c")
            for _ in range(3):
                await (await pull.next()).ack_sync()
            await until(lambda: pull._number > 3)
            await bench.send(*map(str, range(9)))
            await until(lambda: pull.waiting() == 3, within=1.0)
            assert (await bench.consumer()).num_ack_pending == 3

    with_bench(server, test)


@pytest.mark.parametrize("lost", ["server", "consumer", "stream"])
def test_pulling_goes_on_after_the_loss_of(lost: str, server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        async with bench.pull() as pull:
            await pull.release(2)
            await bench.send("1")
            assert await taken(pull, 1) == ["1"]
            if lost == "server":
                await bench.kill_server()
                bench.start_server()
            else:
                if lost == "consumer":
                    await bench.broker.jetstream.delete_consumer(COMMANDS, CONSUMER)
                else:
                    await bench.broker.jetstream.delete_stream(COMMANDS)
                assert await anything_missing(bench.broker.jetstream, POOL)
                await ensure_streams(bench.broker.jetstream, ack_wait=ACK_WAIT)
                await ensure_pool(bench.broker.jetstream, POOL, ack_wait=ACK_WAIT)
            await bench.send("2")
            seen: set[str] = set()
            async with asyncio.timeout(10):
                while "2" not in seen:
                    message = await pull.next()
                    seen.add(message.data.decode())
                    await message.ack()
                    await pull.release()

    with_bench(server, test)


def test_what_is_not_acknowledged_in_time_comes_again_and_says_so(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.send("1")
        async with bench.pull() as pull:
            await pull.release(2)
            async with asyncio.timeout(10):
                first, second = await pull.next(), await pull.next()
            assert (first.data, first.metadata.num_delivered) == (second.data, 1)
            assert second.metadata.num_delivered == 2
            await first.ack_sync()
            # Acks are unfenced: the first holder's counts.
            assert await bench.messages() == 0

    with_bench(server, test)


def test_signs_of_life_keep_a_message_from_coming_again(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.send("1")
        async with bench.pull() as pull:
            await pull.release(2)
            message = await pull.next()
            again = asyncio.create_task(pull.next())
            for _ in range(8):
                await message.in_progress()
                await asyncio.wait([again], timeout=ACK_WAIT / 4)
            assert not again.done()
            again.cancel()

    with_bench(server, test)


def test_who_stops_pulling_gets_back_what_was_not_taken(server: EmbeddedNats) -> None:
    async def test(bench: Bench) -> None:
        await bench.send("1", "2")
        async with bench.pull() as pull:
            await pull.release(2)
            await until(lambda: pull.waiting() == 2)
            left = await pull.stop()
            assert [message.data for message in left] == [b"1", b"2"]

    with_bench(server, test)
