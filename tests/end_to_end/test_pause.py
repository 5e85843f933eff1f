"""Pausing and resuming: no more work is handed out, what is in work finishes, and nothing is lost or done twice."""

import asyncio
import time
from typing import Final

import pytest

from application.messages import Control, ControlState
from domain.scan_events import ChunkStarted, Paused, Resumed
from infrastructure.messaging.streams import control_id, control_subject
from tests.end_to_end.corpus import Corpus
from tests.end_to_end.overdue import queued_almost_a_minute_ago
from tests.end_to_end.ring import SERVERS, Ring, wait_until
from tests.end_to_end.slow_bucket import OBJECTS_A_PREFIX, PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, assert_ledger_adds_up, assert_undisturbed, events, findings

SOON: Final = PREFIXES[:8]


@pytest.fixture
def in_work(ring: Ring, slow_bucket: SlowBucket) -> str:
    """A scan with at least one chunk done, objects being read, and most of it still to come."""
    scan_id = ring.start_scan(ring.connect_bucket(slow_bucket.config), prefixes=SOON)
    wait_until("a chunk is done", lambda: ring.count(scan_id, "chunk-completed"))
    return scan_id


def assert_whole(ring: Ring, scan_id: str) -> None:
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("completed", None)
    assert shown["coverage"]["total_scanned"] == shown["coverage"]["total_enumerated"] == len(SOON) * OBJECTS_A_PREFIX
    assert set(findings(ring, scan_id).values()) == {1}
    assert findings(ring, scan_id).total() == len(SOON) * OBJECTS_A_PREFIX
    assert_history_adds_up(ring, scan_id)


def test_a_paused_scan_begins_nothing_and_goes_on_to_the_whole(
    ring: Ring, slow_bucket: SlowBucket, in_work: str
) -> None:
    ring.pause(in_work)
    paused_at = ring.history(in_work)[-1]
    ring.wait_until_quiet()
    opened = len(slow_bucket.reads)
    wait_until("it shows as paused", lambda: ring.shown(in_work)["status"] == "paused")
    begun = [event.at for event in events(ring, in_work, ChunkStarted)]
    (pause,) = events(ring, in_work, Paused)
    assert opened < len(SOON) * OBJECTS_A_PREFIX
    assert (max(begun) - pause.at).total_seconds() < 1, paused_at
    assert ring.shown(in_work)["coverage"]["total_remaining"] > 0
    assert_ledger_adds_up(ring, in_work)
    ring.resume(in_work)
    ring.wait_for_end(in_work)
    assert_whole(ring, in_work)
    # Nothing that was read before the pause is read again.
    assert len(slow_bucket.reads) == len(SOON) * OBJECTS_A_PREFIX


@pytest.mark.torture
def test_a_pause_outlasts_a_restart_of_every_process(ring: Ring, slow_bucket: SlowBucket, in_work: str) -> None:
    ring.pause(in_work)
    for part in (*ring.parts, *SERVERS):
        ring.kill(part)
    ring.make_whole()
    ring.wait_until_quiet()
    opened = len(slow_bucket.reads)
    other = ring.start_scan(ring.connect_bucket(slow_bucket.config), prefixes=[SOON[0]])
    ring.wait_for_end(other)
    assert ring.shown(in_work)["status"] == "paused"
    assert len(slow_bucket.reads) == opened + OBJECTS_A_PREFIX
    ring.resume(in_work)
    ring.wait_for_end(in_work)
    assert_whole(ring, in_work)


def test_a_paused_scan_can_be_cancelled(ring: Ring, in_work: str) -> None:
    ring.pause(in_work)
    ring.cancel(in_work)
    ring.wait_for_end(in_work)
    ring.wait_until_quiet()
    shown = ring.shown(in_work)
    assert shown["status"] == "cancelled"
    assert shown["coverage"]["total_remaining"] > 0
    assert_history_adds_up(ring, in_work)


@pytest.mark.torture
def test_a_paused_scan_leaves_its_slots_to_others(
    ring: Ring, slow_bucket: SlowBucket, in_work: str, small_corpus: Corpus
) -> None:
    ring.pause(in_work)
    ring.wait_until_quiet()
    scan_id = ring.start_scan(ring.connect_folder(small_corpus.root))
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, small_corpus)
    ring.resume(in_work)
    ring.wait_for_end(in_work)
    assert_whole(ring, in_work)


@pytest.mark.torture
def test_a_paused_scan_does_not_time_out(ring: Ring, slow_bucket: SlowBucket) -> None:
    left = 4
    scan_id = queued_almost_a_minute_ago(ring, ring.connect_bucket(slow_bucket.config), left=left, prefixes=SOON)
    wait_until("a chunk is begun", lambda: ring.count(scan_id, "chunk-started"))
    ring.pause(scan_id)
    over = time.monotonic() + left + 1
    wait_until("its time would have been over", lambda: time.monotonic() > over)
    ring.wait_until_quiet()
    assert ring.shown(scan_id)["status"] == "paused"
    ring.resume(scan_id)
    ring.wait_for_end(scan_id)
    assert ring.shown(scan_id)["reason"] == "timed_out"
    assert_history_adds_up(ring, scan_id)


def test_pausing_and_resuming_in_quick_succession_changes_nothing_of_the_result(ring: Ring, corpus: Corpus) -> None:
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("it is being listed", lambda: ring.count(scan_id, "listing-started"))
    for _ in range(10):
        ring.pause(scan_id)
        ring.resume(scan_id)
    ring.wait_for_end(scan_id)
    assert len(events(ring, scan_id, Paused)) == len(events(ring, scan_id, Resumed)) == 10
    assert_undisturbed(ring, scan_id, corpus)


def test_pausing_and_resuming_among_the_chunks_changes_nothing_of_the_result(ring: Ring, corpus: Corpus) -> None:
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    for times in range(1, 6):
        wait_until("more is done", lambda least=times: ring.count(scan_id, "chunk-completed") >= least)
        if ring.ended(scan_id):
            break
        ring.pause(scan_id)
        ring.resume(scan_id)
    ring.wait_for_end(scan_id)
    assert len(events(ring, scan_id, Paused)) >= 2
    assert_undisturbed(ring, scan_id, corpus)


@pytest.mark.torture
def test_a_word_to_pause_that_comes_late_holds_nothing_up(ring: Ring, slow_bucket: SlowBucket, in_work: str) -> None:
    """The API sends its word after it has written: one that is slow may be overtaken by a resume."""
    ring.pause(in_work)
    ring.wait_until_quiet()
    ring.resume(in_work)
    wait_until("it goes on", lambda: ring.shown(in_work)["status"] == "running")
    asyncio.run(tell(ring, Control(scan=in_work, state=ControlState.PAUSE)))
    ring.wait_for_end(in_work)
    assert_whole(ring, in_work)


async def tell(ring: Ring, control: Control) -> None:
    async with ring.broker() as broker:
        body = control.model_dump_json().encode()
        await broker.publish_stored(control_subject(control.scan), body, message_id=control_id(control))
