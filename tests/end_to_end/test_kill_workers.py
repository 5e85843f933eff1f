"""Children that die, objects that kill their reader, scanners that are told to end."""

import time
from collections import Counter
from pathlib import Path

import pytest

from domain.scan_events import ChunkFailed
from tests.end_to_end.corpus import Finding
from tests.end_to_end.readers import killer, reader_of
from tests.end_to_end.ring import GRACE, Ring, wait_until, wait_until_gone
from tests.end_to_end.truths import assert_history_adds_up, events, findings

HITS = 300_000
GOOD = 20
THE_HARD_ONE: Finding = ("bad/hard.txt", "pii.email", HITS)


@pytest.fixture(scope="session")
def hard_work(readable: Path) -> Path:
    """A folder with one object that takes seconds to read, and easy ones under another prefix."""
    root = readable / "hard"
    for name in ("bad", "good"):
        (root / name).mkdir(parents=True)
    (root / "bad" / "hard.txt").write_text("write to somebody@example.com today\n" * HITS)
    for number in range(GOOD):
        (root / "good" / f"{number}.txt").write_text("write to somebody@example.com today\n")
    return root


def all_findings() -> Counter[Finding]:
    return Counter([THE_HARD_ONE, *((f"good/{number}.txt", "pii.email", 1) for number in range(GOOD))])


def start(ring: Ring, root: Path) -> str:
    return ring.start_scan(ring.connect_folder(root), prefixes=["bad/", "good/"])


def test_a_child_that_dies_costs_one_attempt(ring: Ring, hard_work: Path) -> None:
    scan_id = start(ring, hard_work)
    reader = wait_until("the object is being read", lambda: reader_of(ring, hard_work / "bad" / "hard.txt"))
    reader.kill()
    ring.wait_for_end(scan_id)
    lost = events(ring, scan_id, ChunkFailed)
    assert [(event.reason, event.attempt, event.final) for event in lost] == [("worker_lost", 1, False)]
    assert ring.shown(scan_id)["status"] == "completed"
    assert findings(ring, scan_id) == all_findings()
    assert_history_adds_up(ring, scan_id)


def test_an_object_that_kills_every_reader_is_given_up_and_others_are_unaffected(ring: Ring, hard_work: Path) -> None:
    with killer(ring, hard_work / "bad" / "hard.txt") as killed:
        scan_id = start(ring, hard_work)
        ring.wait_for_end(scan_id)
    lost = events(ring, scan_id, ChunkFailed)
    assert [(event.attempt, event.final) for event in lost] == [(1, False), (2, False), (3, True)]
    assert len(killed) == 3
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("partial", "objects_given_up")
    assert shown["coverage"]["failed_by_reason"] == {"worker_lost": 1}
    assert findings(ring, scan_id) == all_findings() - Counter([THE_HARD_ONE])
    assert_history_adds_up(ring, scan_id)


def test_a_scanner_told_to_end_gives_its_work_back_and_nobody_is_to_blame(ring: Ring, hard_work: Path) -> None:
    scan_id = start(ring, hard_work)
    wait_until("the work has begun", lambda: ring.count(scan_id, "chunk-started"))
    children = ring.children("scanner")
    began = time.monotonic()
    assert ring.ask_to_end("scanner") == 0
    assert time.monotonic() - began < GRACE + 4
    wait_until_gone("the scanner", children)
    given_back = events(ring, scan_id, ChunkFailed)
    assert {(event.reason, event.final) for event in given_back} == {("worker_stopped", False)}
    assert len({event.chunk for event in given_back}) == len(given_back)
    ring.start("scanner")
    ring.wait_for_end(scan_id)
    assert ring.shown(scan_id)["status"] == "completed"
    assert findings(ring, scan_id) == all_findings()
    assert_history_adds_up(ring, scan_id)
