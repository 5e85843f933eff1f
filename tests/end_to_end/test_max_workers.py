"""max_workers holds exactly, the fleet is shared fairly, and listing and scanning overlap."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from application.messages import Telemetry
from domain.scan_events import ChunkCompleted, ChunkStarted, ListingCompleted
from infrastructure.messaging.streams import telemetry_subject
from infrastructure.wiring import Message
from tests.end_to_end.corpus import Corpus
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket
from tests.end_to_end.truths import events


def test_max_workers_is_never_exceeded(ring: Ring, slow_bucket: SlowBucket) -> None:
    ring.make_whole(scanners=2)
    connector = ring.connect_bucket(slow_bucket.config)
    with telemetry(ring) as heard:
        wait_until("both scanners are there", lambda: len({one.scanner for one in heard}) == 2)
        limits = {
            ring.start_scan(connector, prefixes=prefixes, max_workers=limit): limit
            for prefixes, limit in ((PREFIXES[:7], 2), (PREFIXES[7:10], 1))
        }
        for scan_id in limits:
            ring.wait_for_end(scan_id)
    told = Counter[tuple[str, str]]()
    for one in heard:
        in_hand = Counter(work.scan for work in one.work if work.chunk is not None)
        for scan_id, count in in_hand.items():
            told[one.scanner, scan_id] = max(told[one.scanner, scan_id], count)
    assert told
    for scan_id, limit in limits.items():
        assert all(count <= limit for (_, scan), count in told.items() if scan == scan_id)
        assert min(2, limit) <= most_at_once(ring, scan_id) <= limit


def test_a_small_scan_does_not_wait_for_the_end_of_a_big_one(ring: Ring, corpus: Corpus, small_corpus: Corpus) -> None:
    big = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("the big one is in work", lambda: ring.count(big, "chunk-completed"))
    small = ring.start_scan(ring.connect_folder(small_corpus.root))
    ring.wait_for_end(small)
    ring.wait_for_end(big)
    end = ring.history(small)[-1].position
    done = [record.position for record in ring.history(big) if isinstance(record.event, ChunkCompleted)]
    assert sum(position > end for position in done) >= len(done) // 4


def test_chunks_are_read_while_listing_goes_on(ring: Ring, slow_bucket: SlowBucket) -> None:
    slow_bucket.slow_listing = (PREFIXES[1], 1.5)
    scan_id = ring.start_scan(ring.connect_bucket(slow_bucket.config), prefixes=PREFIXES[:2])
    ring.wait_for_end(scan_id)
    first, *_, last = events(ring, scan_id, ChunkStarted, ListingCompleted)
    kinds = [type(event) for event in events(ring, scan_id, ChunkStarted, ListingCompleted)]
    assert kinds.index(ChunkStarted) < len(kinds) - 1 - kinds[::-1].index(ListingCompleted)
    assert first.at < last.at


def most_at_once(ring: Ring, scan_id: str) -> int:
    """The most chunks that were in work at one time: from when a worker began to when its report was recorded."""
    changes: list[tuple[datetime, int]] = []
    for event in events(ring, scan_id, ChunkCompleted):
        assert isinstance(event, ChunkCompleted)
        changes += [(event.started_at, 1), (event.at, -1)]
    level = most = 0
    for _, change in sorted(changes):
        level += change
        most = max(most, level)
    return most


@contextmanager
def telemetry(ring: Ring) -> Iterator[list[Telemetry]]:
    """Everything the scanners tell of themselves while the context lasts."""
    heard: list[Telemetry] = []
    stop = threading.Event()

    async def on_message(message: Message) -> None:
        heard.append(Telemetry.model_validate_json(message.data))

    async def listen() -> None:
        async with ring.broker() as broker:
            await broker.client.subscribe(telemetry_subject("*"), cb=on_message)
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join()
