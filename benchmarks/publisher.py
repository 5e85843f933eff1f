"""Events a second from the log into the stream EVENTS, beside bare `js.publish` of the same messages.

The publisher reads the log, makes each event's document and headers, and publishes with the sequence that each is to
follow. The floor has all messages ready, and publishes them with the library's own call, as many on their way at once,
into a stream of the same configuration. Both in one process, in alternating rounds, on the same server.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import uvloop
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

import infrastructure.wiring as w
from benchmarks.events import completion
from benchmarks.installation import Installation, installed
from benchmarks.planted import plant
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.messaging.streams import EVENTS, Limits, stream_configs
from workers.publisher import BATCH, EventPublisher

AIM = 0.6
_FLOOR = "FLOOR"


def run(*, quick: bool) -> None:
    rounds, events = (1, 5_000) if quick else (5, 20_000)
    with installed() as service:
        count = _record(service, events)
        ours, floor = uvloop.run(_measured(service, count, rounds))
    table = Table("Events a second into a stream", ("", "events/s", "js.publish/s", "ratio", "aim"))
    table.add("published", figure(median(ours)), figure(median(floor)), f"{ratio(ours, floor):.2f}", f"≥ {AIM}")
    table.show()


def _record(service: Installation, chunks: int) -> int:
    """Record that so many chunks are completed; gives the number of events in the log."""
    planted = plant(w.open_log(service.settings), chunks, max_workers=64)
    recorder = w.open_recorder(service.settings)
    for begin in range(0, planted.chunks, BATCH):
        recorder.record([completion(planted, chunk) for chunk in range(begin, min(begin + BATCH, planted.chunks))])
    with service.database() as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM stored_events").fetchall()
    assert isinstance(count, int)
    return count


async def _measured(service: Installation, count: int, rounds: int) -> tuple[list[float], list[float]]:
    broker = await w.open_broker(service.settings, "coordinator")
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        await _renew(broker.jetstream)
        ours.append(count / await _publishing(service, broker, count))
        get = broker.jetstream.get_msg
        messages = [await get(EVENTS, seq=sequence) for sequence in range(1, count + 1)]
        floor.append(count / await _bare(broker.jetstream, messages))
    await broker.close()
    return ours, floor


async def _renew(jetstream: JetStreamContext) -> None:
    [config] = [config for config in stream_configs(Limits()) if config.name == EVENTS]
    for made in (config, config.evolve(name=_FLOOR, subjects=["floor.>"])):
        with suppress(NotFoundError):
            await jetstream.delete_stream(str(made.name))
        await jetstream.add_stream(made)


async def _publishing(service: Installation, broker: w.Broker, count: int) -> float:
    """Seconds until the stream holds all events."""
    stop, stream = asyncio.Event(), w.open_event_stream(broker)
    begin = time.perf_counter()
    publisher = EventPublisher(w.open_event_log(service.settings), stream, keeps=timedelta(days=14))
    running = asyncio.create_task(publisher.run(stop))
    while (await stream.bounds())[1] < count:  # noqa: ASYNC110 — the stream says it to nobody
        await asyncio.sleep(0.005)
    taken = time.perf_counter() - begin
    stop.set()
    await running
    return taken


async def _bare(jetstream: JetStreamContext, messages: Sequence[RawStreamMsg]) -> float:
    begin = time.perf_counter()
    for at in range(0, len(messages), BATCH):
        await asyncio.gather(*(_one(jetstream, message) for message in messages[at : at + BATCH]))
    return time.perf_counter() - begin


async def _one(jetstream: JetStreamContext, message: RawStreamMsg) -> None:
    headers = {name: value for name, value in (message.headers or {}).items() if name != "Nats-Expected-Last-Sequence"}
    await jetstream.publish(f"floor.{message.subject}", message.data or b"", headers=headers)
