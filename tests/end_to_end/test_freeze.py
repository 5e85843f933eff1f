"""Processes that stand still for longer than anybody waits for them, and go on as if nothing had been."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.end_to_end.corpus import Corpus
from tests.end_to_end.ring import ACK_WAIT, Ring, wait_until
from tests.end_to_end.truths import assert_undisturbed

LONGER_THAN_PATIENCE = 2.5 * ACK_WAIT


@contextmanager
def frozen(ring: Ring, part: str) -> Iterator[None]:
    """The process and its children stand still meanwhile."""
    process = psutil.Process(ring.pid(part))
    family = [process, *process.children(recursive=True)]
    for one in family:
        one.suspend()
    try:
        yield
    finally:
        for one in family:
            one.resume()


@pytest.mark.torture
def test_a_scanner_that_stood_still_is_replaced_and_its_late_word_changes_nothing(ring: Ring, corpus: Corpus) -> None:
    ring.make_whole(scanners=2)
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("it is at work", lambda: ring.count(scan_id, "chunk-started"))
    with frozen(ring, "scanner"):
        ring.wait_for_end(scan_id)
    ring.wait_until_quiet()
    assert_undisturbed(ring, scan_id, corpus)


@pytest.mark.torture
@pytest.mark.parametrize("part", ["scanner", "recorder", "orchestrator", "projector", "nats", "api"])
def test_a_part_that_stood_still_changes_nothing(ring: Ring, corpus: Corpus, part: str) -> None:
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("some is done", lambda: ring.count(scan_id, "chunk-completed"))
    with frozen(ring, part):
        threading.Event().wait(LONGER_THAN_PATIENCE)
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)


@pytest.mark.torture
def test_two_of_each_part_of_the_coordinator_come_to_the_same(ring: Ring, corpus: Corpus) -> None:
    for part in ("recorder-2", "orchestrator-2", "projector-2"):
        ring.start(part)
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("some is done", lambda: ring.count(scan_id, "chunk-completed"))
    for part in ("recorder", "orchestrator", "projector"):
        ring.kill(part)
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)
    for part in ("recorder-2", "orchestrator-2", "projector-2"):
        ring.kill(part)
