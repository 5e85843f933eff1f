"""An incremental scan opens what is new or changed, and nothing else."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from domain.scan_events import Queued
from infrastructure.s3_server import S3Server
from tests.end_to_end.corpus import Finding
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.slow_bucket import SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, assert_ledger_adds_up, events, findings
from tests.fault_proxy import Fault, Pass
from tests.fixtures_s3 import Bucket

KEYS: Final = [f"{folder}/{number:03}.txt" for folder in "abc" for number in range(40)]
BODY: Final = b"write to somebody@example.com today\n"


class WatchedBucket(SlowBucket):
    """`opened` are the keys that were asked for; answers are not held back."""

    def __init__(self, server: S3Server, bucket: Bucket) -> None:
        super().__init__(server)
        self._bucket = bucket
        self._lock_opened = threading.Lock()
        self.opened: list[str] = []

    @property
    def config(self) -> dict[str, object]:
        return {**super().config, "bucket": self._bucket.name}

    def next_fault(self, request: bytes) -> Fault:
        method, target = unquote(request.partition(b"\r\n")[0].decode("latin-1")).split(" ")[:2]
        if method in {"GET", "HEAD"} and "list-type=2" not in target and target.count("/") > 2:
            with self._lock_opened:
                self.opened.append(target.split("/", 2)[2].partition("?")[0])
        return Pass()


@pytest.fixture
def watched(s3_server: S3Server, bucket: Bucket) -> Iterator[WatchedBucket]:
    for key in KEYS:
        bucket.put(key, BODY)
    with WatchedBucket(s3_server, bucket) as proxy:
        yield proxy


def scanned(ring: Ring, connector: str, *, incremental: bool = True) -> str:
    """A scan of it that has ended."""
    scan_id = ring.start_scan(connector, incremental=incremental)
    ring.wait_for_end(scan_id)
    assert_history_adds_up(ring, scan_id)
    assert_ledger_adds_up(ring, scan_id)
    return scan_id


def assert_unchanged(ring: Ring, scan_id: str, objects: int, *, read: int = 0) -> None:
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("completed", None)
    coverage = shown["coverage"]
    assert coverage["total_enumerated"] == objects
    assert coverage["skipped_by_reason"] == ({"unchanged": objects - read} if objects > read else {})
    assert (coverage["total_scanned"], coverage["total_remaining"]) == (read, 0)
    assert coverage["coverage_pct"] == 1.0


def emails(*keys: str) -> Counter[Finding]:
    return Counter((key, "pii.email", 1) for key in keys)


def test_of_a_bucket_only_what_changed_is_opened(ring: Ring, bucket: Bucket, watched: WatchedBucket) -> None:
    connector = ring.connect_bucket(watched.config)
    first = scanned(ring, connector)
    assert Counter(watched.opened) == Counter(KEYS)
    assert findings(ring, first) == emails(*KEYS)
    watched.opened.clear()
    assert_unchanged(ring, scanned(ring, connector), len(KEYS))
    assert watched.opened == []
    bucket.put(KEYS[7], BODY * 2)
    bucket.put("b/new.txt", BODY)
    bucket.delete(KEYS[-1])
    third = scanned(ring, connector)
    assert_unchanged(ring, third, len(KEYS), read=2)
    assert sorted(watched.opened) == sorted([KEYS[7], "b/new.txt"])
    assert findings(ring, third) == Counter([(KEYS[7], "pii.email", 2), ("b/new.txt", "pii.email", 1)])
    gone = ring.rows("SELECT object FROM findings WHERE scan_id = %s AND gone_at IS NOT NULL", first)
    assert gone == [(KEYS[-1],)]


def test_of_a_folder_only_what_changed_is_read(ring: Ring, readable: Path) -> None:
    root = readable / "incremental"
    root.mkdir()
    names = [f"{number:03}.txt" for number in range(60)]
    for name in names:
        (root / name).write_bytes(BODY)
    (root / "empty.txt").touch()
    (root / "program.bin").write_bytes(b"\x7fELF" + bytes(range(256)) * 40)
    connector = ring.connect_folder(root)
    scanned(ring, connector)
    second = ring.shown(scanned(ring, connector))
    assert second["coverage"]["skipped_by_reason"] == {"unchanged": len(names), "empty": 1, "binary": 1}
    assert (second["status"], second["coverage"]["total_scanned"]) == ("completed", 0)
    (root / names[3]).write_bytes(BODY * 3)
    (root / "zz.txt").write_bytes(BODY)
    (root / names[5]).unlink()
    third = scanned(ring, connector)
    assert findings(ring, third) == Counter([(names[3], "pii.email", 3), ("zz.txt", "pii.email", 1)])
    assert ring.shown(third)["coverage"]["skipped_by_reason"]["unchanged"] == len(names) - 2


def test_one_that_follows_at_once_knows_all_that_the_one_before_read(ring: Ring, watched: WatchedBucket) -> None:
    connector = ring.connect_bucket(watched.config)
    first = ring.start_scan(connector, incremental=True)
    wait_until("the log holds the end of the first", lambda: ring.ended(first), every=0.001)
    second = ring.start_scan(connector, incremental=True)
    ring.wait_for_end(second)
    assert_unchanged(ring, second, len(KEYS))
    assert len(watched.opened) == len(KEYS)


@pytest.mark.parametrize("victim", ["projector", "recorder", "orchestrator"])
def test_a_process_killed_between_two_scans_costs_no_knowledge(ring: Ring, watched: WatchedBucket, victim: str) -> None:
    connector = ring.connect_bucket(watched.config)
    first = ring.start_scan(connector, incremental=True)
    wait_until("it is at work", lambda: ring.count(first, "objects-listed"))
    ring.kill(victim)
    ring.start(victim)
    wait_until("the log holds the end of the first", lambda: ring.ended(first))
    ring.kill(victim)
    second = ring.start_scan(connector, incremental=True)
    ring.start(victim)
    ring.wait_for_end(second)
    assert_unchanged(ring, second, len(KEYS))
    assert len(watched.opened) == len(KEYS)


def test_what_a_sample_left_out_is_all_that_the_next_scan_opens(ring: Ring, watched: WatchedBucket) -> None:
    connector = ring.connect_bucket(watched.config)
    sample = ring.start_scan(connector, incremental=True, sample_percent=50)
    ring.wait_for_end(sample)
    opened = set(watched.opened)
    assert 0 < len(opened) < len(KEYS)
    assert ring.shown(sample)["coverage"]["skipped_by_reason"] == {"not_sampled": len(KEYS) - len(opened)}
    watched.opened.clear()
    assert_unchanged(ring, scanned(ring, connector), len(KEYS), read=len(KEYS) - len(opened))
    assert Counter(watched.opened) == Counter(set(KEYS) - opened)


def test_what_was_read_with_other_detectors_is_read_again(ring: Ring, watched: WatchedBucket) -> None:
    connector = ring.connect_bucket(watched.config)
    for detectors, read in ((["payment"], len(KEYS)), ([], len(KEYS)), (["pii.email"], 0), ([], 0)):
        scan_id = ring.start_scan(connector, incremental=True, detectors=detectors)
        ring.wait_for_end(scan_id)
        assert_unchanged(ring, scan_id, len(KEYS), read=read)


def test_what_is_too_much_for_one_scan_is_read_by_several(ring: Ring, watched: WatchedBucket) -> None:
    connector = ring.connect_bucket(watched.config)
    most = len(KEYS) * 2 // 5
    for _ in range(2):
        scan_id = ring.start_scan(connector, incremental=True, max_files=most)
        ring.wait_for_end(scan_id)
        shown = ring.shown(scan_id)
        assert (shown["reason"], shown["coverage"]["total_scanned"]) == ("max_files", most)
    last = ring.start_scan(connector, incremental=True, max_files=most)
    ring.wait_for_end(last)
    assert_unchanged(ring, last, len(KEYS), read=len(KEYS) - 2 * most)
    assert Counter(watched.opened) == Counter(KEYS)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_a_large_inventory_is_listed_in_ranges_and_nothing_of_it_is_read_again(ring: Ring, readable: Path) -> None:
    root = readable / "large"
    for folder in range(110):
        (root / f"{folder:03}").mkdir(parents=True)
        (root / f"{folder:03}" / "first.txt").write_bytes(BODY)
        for number in range(999):
            os.link(root / f"{folder:03}" / "first.txt", root / f"{folder:03}" / f"{number:03}.txt")
    connector = ring.connect_folder(root)
    first = ring.start_scan(connector, incremental=True)
    ring.wait_for_end(first, within=400)
    assert ring.shown(first)["coverage"]["total_scanned"] == 110_000
    query = "SELECT files FROM inventories WHERE connector_id = %s"
    wait_until("its inventory is there", lambda: ring.rows(query, connector) == [(110_000,)])
    (root / "000" / "!.txt").write_bytes(BODY)
    (root / "109" / "~.txt").write_bytes(BODY)
    second = ring.start_scan(connector, incremental=True)
    ring.wait_for_end(second)
    (queued,) = events(ring, second, Queued)
    assert len(queued.units) == 2
    assert findings(ring, second) == emails("000/!.txt", "109/~.txt")
    assert_unchanged(ring, second, 110_002, read=2)
