"""Full streams and a slow database make scans slower, and nothing else."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest
from nats.js.errors import APIError
from pydantic import SecretStr

from application.messages import Control, ControlState
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.streams import COMMANDS, CONTROL, REPORTS, chunk_subject, control_subject
from tests.end_to_end.corpus import Corpus
from tests.end_to_end.overdue import queued_almost_a_minute_ago
from tests.end_to_end.ring import ROLES, Ring, wait_until
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_undisturbed
from tests.fault_proxy import Delay, Fault, FaultProxy

STREAM_BYTES: Final = 1024**2
FILES: Final = 8_000
_BODY: Final = "write to somebody@example.com\n"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, readable: Path) -> Iterator[Ring]:
    """A ring whose streams hold a megabyte each."""
    with Ring(tmp_path_factory.mktemp("narrow"), [readable], workers=4, stream_bytes=STREAM_BYTES).running() as ring:
        yield ring


@pytest.fixture(scope="module")
def wide(readable: Path) -> Corpus:
    """A folder whose listing alone is more than a megabyte of reports."""
    corpus = Corpus(readable / "wide")
    corpus.root.mkdir()
    for number in range(FILES):
        # Of digits that compress badly.
        name = f"{number:05}-{pow(7, number, 10**180):0180}.txt"
        (corpus.root / name).write_text(_BODY)
        corpus.add(name, 1, 0)
    return corpus


async def bytes_held(ring: Ring, stream: str) -> int:
    async with ring.broker() as broker:
        return int((await broker.jetstream.stream_info(stream)).state.bytes)


@pytest.mark.torture
def test_a_scan_of_more_than_the_streams_hold_comes_to_the_same(narrow: Ring, wide: Corpus) -> None:
    narrow.make_whole()
    narrow.kill("recorder")
    scan_id = narrow.start_scan(narrow.connect_folder(wide.root))
    wait_until("the reports fill their stream", lambda: asyncio.run(bytes_held(narrow, REPORTS)) > 0.8 * STREAM_BYTES)
    narrow.start("recorder")
    narrow.wait_for_end(scan_id)
    assert_undisturbed(narrow, scan_id, wide)


@contextmanager
def full_commands(ring: Ring) -> Iterator[None]:
    """The command stream is full, of what nobody takes, as long as the context lasts: what leaves it is replaced."""
    full, over, junk = threading.Event(), threading.Event(), list[int]()
    filling = threading.Thread(target=lambda: asyncio.run(_keep_full(ring, junk, full, over)))
    filling.start()
    try:
        assert full.wait(20)
        yield
    finally:
        over.set()
        filling.join()
        asyncio.run(_drain(ring, junk))


async def _keep_full(ring: Ring, junk: list[int], full: threading.Event, over: threading.Event) -> None:
    async with ring.broker() as broker:
        while not over.is_set():
            for size in (100_000, 10_000, 500, 10):
                while (sequence := await _put(broker, size)) is not None:
                    junk.append(sequence)
            full.set()


async def _put(broker: Broker, size: int) -> int | None:
    """Where in the stream it went, or None if it is full."""
    try:
        return int((await broker.jetstream.publish(chunk_subject("elsewhere", "scan-junk"), bytes(size))).seq)
    except APIError:
        return None


async def _drain(ring: Ring, junk: list[int]) -> None:
    async with ring.broker() as broker:
        for sequence in junk:
            await broker.jetstream.delete_msg(COMMANDS, sequence)


async def told(ring: Ring, scan_id: str) -> ControlState | None:
    async with ring.broker() as broker:
        body = await broker.latest(CONTROL, control_subject(scan_id))
    return None if body is None else Control.model_validate_json(body).state


@pytest.mark.torture
def test_while_the_command_stream_is_full_time_is_kept_and_workers_are_told(
    narrow: Ring, slow_bucket: SlowBucket, small_corpus: Corpus
) -> None:
    narrow.make_whole()
    bucket, folder = narrow.connect_bucket(slow_bucket.config), narrow.connect_folder(small_corpus.root)
    running = narrow.start_scan(bucket, prefixes=PREFIXES)
    wait_until("a chunk is done", lambda: narrow.count(running, "chunk-completed"))
    with full_commands(narrow):
        overdue = queued_almost_a_minute_ago(narrow, folder, left=2)
        waiting = narrow.start_scan(folder)
        wait_until("the time is up", lambda: narrow.count(overdue, "timed-out"), within=20)
        # Of this end only the orchestrator tells.
        wait_until("it is told", lambda: asyncio.run(told(narrow, overdue)) is ControlState.STOP, within=1)
        assert narrow.cancel(running).status_code == 200
        wait_until("it is told", lambda: asyncio.run(told(narrow, running)) is ControlState.STOP, within=1)
        assert not narrow.ended(waiting)
    narrow.wait_for_end(waiting)
    assert_undisturbed(narrow, waiting, small_corpus)
    assert narrow.shown(running)["status"] == "cancelled"
    narrow.wait_until_quiet()


class SlowDatabase(FaultProxy):
    """Every exchange with the database takes a tenth of a second more."""

    def next_fault(self, request: bytes) -> Fault:
        self.exchanges += 1
        return Delay(0.1)


@pytest.mark.torture
def test_a_slow_database_makes_a_scan_slow_and_nothing_else(ring: Ring, corpus: Corpus) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(ring.database_url)
    usual = ring.settings
    with SlowDatabase(str(parts["host"]), int(parts["port"] or 0)) as slow:
        url = ring.database_url.replace(f":{parts['port']}/", f":{slow.port}/")
        ring.settings = usual.model_copy(update={"database_url": SecretStr(url)})
        try:
            restart_roles(ring)
            scan_id = ring.start_scan(ring.connect_folder(corpus.root))
            ring.wait_for_end(scan_id)
        finally:
            ring.settings = usual
            restart_roles(ring)
    assert slow.exchanges > 50
    assert_undisturbed(ring, scan_id, corpus)


def restart_roles(ring: Ring) -> None:
    for role in ROLES:
        ring.kill(role)
    ring.make_whole()
