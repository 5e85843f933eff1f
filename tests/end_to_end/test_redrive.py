"""A redrive looks at what a finished scan failed or left, and at nothing else."""

import gzip
import os
from pathlib import Path
from typing import Final

from tests.end_to_end.readers import reader_of
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.slow_bucket import OBJECTS_A_PREFIX, PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, assert_ledger_adds_up, findings
from tests.fixtures_s3 import Bucket

KEYS: Final = [f"{folder}/{number:02}.txt" for folder in ("denied", "open") for number in range(30)]
DENIED: Final = [key for key in KEYS if key.startswith("denied/")]
BODY: Final = b"write to somebody@example.com today\n"


def ended(ring: Ring, scan_id: str) -> str:
    ring.wait_for_end(scan_id)
    assert_history_adds_up(ring, scan_id)
    assert_ledger_adds_up(ring, scan_id)
    return scan_id


def objects(ring: Ring, scan_id: str) -> set[str]:
    return {name for name, _, _ in findings(ring, scan_id)}


def test_what_was_denied_is_read_once_it_is_allowed(ring: Ring, bucket: Bucket) -> None:
    for key in KEYS:
        bucket.put(key, BODY)
    bucket.deny("s3:GetObject", "denied/")
    connector = ring.connect_bucket({**bucket.settings, **bucket.credentials})
    failed = ended(ring, ring.start_scan(connector))
    assert ring.shown(failed)["coverage"]["failed_by_reason"] == {"access_denied": len(DENIED)}
    again = ended(ring, ring.redrive(failed))
    assert ring.shown(again)["coverage"]["failed_by_reason"] == {"access_denied": len(DENIED)}
    bucket.client.delete_bucket_policy(Bucket=bucket.name)
    for scan_id in (ring.redrive(failed), ring.redrive(again)):
        shown = ring.shown(ended(ring, scan_id))
        assert (shown["status"], shown["reason"]) == ("completed", None)
        assert shown["coverage"]["total_enumerated"] == shown["coverage"]["total_scanned"] == len(DENIED)
        assert objects(ring, scan_id) == set(DENIED)
    after = ring.shown(ended(ring, ring.start_scan(connector, incremental=True)))
    assert after["coverage"]["skipped_by_reason"] == {"unchanged": len(KEYS)}


def test_what_changed_is_read_as_it_is_now_and_what_is_gone_says_so(ring: Ring, readable: Path) -> None:
    root = readable / "restless"
    root.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (root / name).write_bytes(BODY)
    (root / "0.txt").write_bytes(BODY * 150_000)
    scan_id = ring.start_scan(ring.connect_folder(root))
    reader = wait_until("it is being read", lambda: reader_of(ring, root / "0.txt"), every=0.005)
    reader.suspend()
    (root / "b.txt").write_bytes(BODY * 2)
    (root / "c.txt").unlink()
    reader.kill()
    ended(ring, scan_id)
    assert ring.shown(scan_id)["coverage"]["failed_by_reason"] == {"changed_during_read": 1, "not_found": 1}
    again = ended(ring, ring.redrive(scan_id))
    assert findings(ring, again) == {("b.txt", "pii.email", 2): 1}
    assert ring.shown(again)["coverage"]["failed_by_reason"] == {"not_found": 1}


def test_of_a_cancelled_scan_it_is_what_remained(ring: Ring, slow_bucket: SlowBucket) -> None:
    some = PREFIXES[:6]
    cancelled = ring.start_scan(ring.connect_bucket(slow_bucket.config), prefixes=some)
    wait_until("all is listed and some is read", lambda: ring.count(cancelled, "listing-completed") == len(some))
    wait_until("some is read", lambda: ring.count(cancelled, "chunk-completed"))
    ring.cancel(cancelled)
    ring.wait_until_quiet()
    ended(ring, cancelled)
    remaining = ring.shown(cancelled)["coverage"]["total_remaining"]
    assert 0 < remaining < len(some) * OBJECTS_A_PREFIX
    again = ended(ring, ring.redrive(cancelled))
    assert ring.shown(again)["coverage"]["total_scanned"] == remaining
    assert ring.shown(again)["redrive_of"] == cancelled
    assert objects(ring, cancelled).isdisjoint(objects(ring, again))
    assert len(objects(ring, cancelled) | objects(ring, again)) == len(some) * OBJECTS_A_PREFIX


def test_of_a_scan_cancelled_in_mid_listing_the_rest_is_not_invented(ring: Ring, readable: Path) -> None:
    """What was never listed is not remaining, and a redrive of what is does not list it."""
    root = readable / "wide-redrive"
    root.mkdir()
    body = readable / "wide-body"
    body.write_bytes(BODY)
    for number in range(6_000):
        os.link(body, root / f"{number:05}.txt")
    ring.ask_to_end("scanner")
    scan_id = ring.start_scan(ring.connect_folder(root))
    ring.start("scanner")
    wait_until("some is listed", lambda: ring.count(scan_id, "objects-listed") > 1, every=0.005)
    ring.cancel(scan_id)
    ring.wait_until_quiet()
    ended(ring, scan_id)
    coverage = ring.shown(scan_id)["coverage"]
    assert coverage["total_remaining"] > 0
    again = ended(ring, ring.redrive(scan_id))
    assert ring.shown(again)["status"] == "completed"
    assert ring.shown(again)["coverage"]["total_scanned"] == coverage["total_remaining"]
    assert objects(ring, again).isdisjoint(objects(ring, scan_id))


def test_a_redrive_that_fails_again_can_be_redriven_until_nothing_is_left(ring: Ring, readable: Path) -> None:
    folder = readable / "torn"
    folder.mkdir()
    whole = {
        f"{number}.txt.gz": gzip.compress(f"write to somebody.{number}@example.com".encode()) for number in range(3)
    }
    for name, body in whole.items():
        (folder / name).write_bytes(body[:-9])
    scan_id = ring.start_scan(ring.connect_folder(folder))
    for mended, (name, body) in enumerate(whole.items()):
        ring.wait_for_end(scan_id)
        assert ring.shown(scan_id)["coverage"]["failed_by_reason"] == {"parse_error": 3 - mended}
        (folder / name).write_bytes(body)
        scan_id = str(ring.client.post(f"/scans/{scan_id}/redrive").json()["data"]["scan_id"])
    ring.wait_for_end(scan_id)
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["coverage"]["total_scanned"]) == ("completed", 1)
    assert set(findings(ring, scan_id)) == {("2.txt.gz", "pii.email", 1)}
    again = ring.client.post(f"/scans/{scan_id}/redrive")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "NOTHING_TO_REDRIVE")
