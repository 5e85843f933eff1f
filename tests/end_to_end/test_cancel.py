"""Cancelling: quiet within a second, what was found stays, nothing that comes later counts."""

import asyncio
import time

import pytest

from application.messages import ChunkCompleted, Report
from domain.scan_events import Cancelled, ObjectsListed
from infrastructure.messaging.streams import report_subject
from infrastructure.wiring import utc_now
from tests.end_to_end.corpus import Corpus
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.slow_bucket import OBJECTS_A_PREFIX, PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, events, findings


@pytest.fixture
def scan_in_work(ring: Ring, slow_bucket: SlowBucket) -> str:
    """A scan with at least one chunk done, objects being read, and most of it still to come."""
    scan_id = ring.start_scan(ring.connect_bucket(slow_bucket.config), prefixes=PREFIXES)
    wait_until("a chunk is done", lambda: ring.count(scan_id, "chunk-completed"))
    return scan_id


def test_no_object_is_opened_later_than_a_second_after_the_answer(
    ring: Ring, slow_bucket: SlowBucket, scan_in_work: str
) -> None:
    assert ring.cancel(scan_in_work).status_code == 200
    answered = time.time()
    ring.wait_until_quiet()
    assert max(slow_bucket.reads) < answered + 1
    assert len(slow_bucket.reads) < len(PREFIXES) * OBJECTS_A_PREFIX


def test_what_was_found_stays_and_late_reports_change_nothing(ring: Ring, scan_in_work: str) -> None:
    answer = ring.cancel(scan_in_work).json()["data"]
    ring.wait_until_quiet()
    late = ChunkCompleted(
        scan=scan_in_work,
        worker="late",
        chunk=len(PREFIXES) - 1,
        attempt=1,
        plan=plan_of(ring, scan_in_work, len(PREFIXES) - 1),
        started_at=utc_now(),
        scanned=OBJECTS_A_PREFIX,
        bytes_read=1,
        exceptions=[],
        findings=[],
    )
    asyncio.run(_report(ring, late))
    ring.wait_until_quiet()
    shown = ring.shown(scan_in_work)
    assert answer["partial_results"] == {
        "files_processed": shown["progress"]["files_processed"],
        "findings_count": shown["progress"]["findings_count"],
    }
    assert 0 < findings(ring, scan_in_work).total() == shown["progress"]["findings_count"]
    assert [record.event.kind for record in ring.history(scan_in_work)][-1] == Cancelled.kind
    assert_history_adds_up(ring, scan_in_work)


def plan_of(ring: Ring, scan_id: str, chunk: int) -> str:
    """The token of the batch that cut this chunk, as the log has it."""
    batches = [event for event in events(ring, scan_id, ObjectsListed) if isinstance(event, ObjectsListed)]
    (at,) = (event.at for event in batches if 0 <= chunk - event.first_chunk < len(event.chunks))
    return at.isoformat(timespec="microseconds")


def test_cancelling_again_gives_the_same_answer(ring: Ring, scan_in_work: str) -> None:
    first, second = (ring.cancel(scan_in_work) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json()["data"] == second.json()["data"]
    assert len(events(ring, scan_in_work, Cancelled)) == 1


def test_a_scan_that_ended_cannot_be_cancelled(ring: Ring, small_corpus: Corpus) -> None:
    scan_id = ring.start_scan(ring.connect_folder(small_corpus.root))
    ring.wait_for_end(scan_id)
    answer = ring.cancel(scan_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SCAN_ALREADY_FINISHED")
    assert ring.shown(scan_id)["status"] == "completed"


async def _report(ring: Ring, report: Report) -> None:
    async with ring.broker() as broker:
        subject = report_subject("default", report.scan)
        await broker.publish_stored(subject, report.model_dump_json().encode(), message_id=f"{report.scan}/late")
