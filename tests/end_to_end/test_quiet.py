"""How long a scan goes on after a client was told that it was cancelled or paused, at any moment of its life."""

import random
import statistics
import time
from collections.abc import Sequence
from threading import Event
from typing import Final

import pytest

from tests.end_to_end.ring import Ring
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up

TIMES: Final = 100
READ_SECONDS: Final = 0.05
MOST_SECONDS: Final = 1.0
"""From the answer to the last object that is opened, or chunk that is begun: at the 99th percentile."""


@pytest.fixture
def quick_bucket(ring: Ring, slow_bucket: SlowBucket) -> SlowBucket:
    """Chunks of a tenth of a second, so that moments are many."""
    ring.make_whole()
    slow_bucket.read_seconds = READ_SECONDS
    return slow_bucket


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def told(what: str, seconds: Sequence[float]) -> None:
    """Prints the figures, and holds the 99th percentile to its bound."""
    p50, p99 = statistics.median(seconds), percentile(seconds, 0.99)
    print(f"{what}: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {max(seconds) * 1000:.0f} ms")
    assert p99 < MOST_SECONDS


@pytest.mark.torture
@pytest.mark.timeout(400)
def test_after_a_cancel_at_any_moment_no_object_is_opened_for_long(ring: Ring, quick_bucket: SlowBucket) -> None:
    told("cancel to quiet", quiet_after("cancel", ring, quick_bucket, TIMES))


@pytest.mark.torture
@pytest.mark.timeout(400)
def test_after_a_pause_at_any_moment_no_chunk_is_begun_for_long(ring: Ring, quick_bucket: SlowBucket) -> None:
    told("pause to quiet", quiet_after("pause", ring, quick_bucket, TIMES))


def test_a_cancel_and_a_pause_are_heeded_at_a_few_random_moments(ring: Ring, quick_bucket: SlowBucket) -> None:
    for what in ("cancel", "pause"):
        assert max(quiet_after(what, ring, quick_bucket, 3)) < MOST_SECONDS


def quiet_after(what: str, ring: Ring, bucket: SlowBucket, times: int) -> list[float]:
    """Seconds from the answer until the last that was opened (or begun: a pause lets finish what is in work)."""
    connector = ring.connect_bucket(bucket.config)
    moments, pause = random.Random(what), Event()  # the same ones each time
    found: list[float] = []
    for _ in range(times):
        bucket.forget()
        scan_id = ring.start_scan(connector, prefixes=PREFIXES, max_workers=2)
        pause.wait(moments.uniform(0.0, 0.8))
        answer = ring.client.post(f"/scans/{scan_id}/{what}")
        answered = time.time()
        if answer.status_code == 409:
            continue
        assert answer.status_code == 200, answer.text
        ring.wait_until_quiet()
        late = bucket.reads if what == "cancel" else bucket.begun.values()
        found.append(max(0.0, max(late, default=0.0) - answered))
        ring.cancel(scan_id)
        assert_history_adds_up(ring, scan_id)
    return found
