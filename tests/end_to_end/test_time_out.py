"""A scan whose time is up ends as timed out, whatever was restarted in between."""

import time
from datetime import timedelta

import pytest

from domain.scan_events import TimedOut
from tests.end_to_end.overdue import queued_almost_a_minute_ago
from tests.end_to_end.ring import SERVERS, Ring, wait_until
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, events

LEFT_SECONDS = 7


@pytest.mark.torture
def test_a_scan_times_out_through_a_restart_of_everything(ring: Ring, slow_bucket: SlowBucket) -> None:
    bucket = ring.connect_bucket(slow_bucket.config)
    scan_id = queued_almost_a_minute_ago(ring, bucket, left=LEFT_SECONDS, prefixes=PREFIXES)
    wait_until("a chunk is done", lambda: ring.count(scan_id, "chunk-completed"))
    for part in (*ring.parts, *SERVERS):
        ring.kill(part)
    ring.make_whole()
    ring.wait_for_end(scan_id, within=LEFT_SECONDS + 20)
    seen = time.time()
    ring.wait_until_quiet()
    assert max(slow_bucket.reads) < seen + 1
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("partial", "timed_out")
    assert 0 < shown["coverage"]["total_scanned"] < shown["coverage"]["total_enumerated"]
    (over,) = events(ring, scan_id, TimedOut)
    queued = ring.history(scan_id)[0].event
    assert timedelta(minutes=1) <= over.at - queued.at
    assert_history_adds_up(ring, scan_id)
