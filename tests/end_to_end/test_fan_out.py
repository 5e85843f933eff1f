"""A large listing is shared out among workers: every object is found, once."""

import os
from pathlib import Path
from typing import Final

import pytest

from benchmarks.many_objects import BUCKET, bucket_of, key_of
from domain.scan_events import ListingCompleted, ListingSplit, ObjectsListed
from infrastructure.postgres.manifest import PostgresManifestStore
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.truths import assert_history_adds_up, events

FOLDERS: Final = 24
FILES_A_FOLDER: Final = 250
FILES: Final = FOLDERS * FILES_A_FOLDER
OBJECTS: Final = 8_000


@pytest.fixture(scope="module")
def tree(readable: Path) -> Path:
    """Six thousand files in folders of two levels."""
    root = readable / "tree"
    root.mkdir()
    body = readable / "tree-body"
    body.write_text("write to somebody@example.com today\n")
    for folder in range(FOLDERS):
        inner = root / f"{folder % 6}" / f"{folder:02}"
        inner.mkdir(parents=True)
        for number in range(FILES_A_FOLDER):
            os.link(body, inner / f"{number:04}.txt")
    return root


def assert_each_once(ring: Ring, scan_id: str, files: int) -> None:
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("completed", None)
    coverage = shown["coverage"]
    assert coverage["enumeration_status"] == "complete"
    assert coverage["total_enumerated"] == coverage["total_scanned"] == files
    (once,) = ring.rows("SELECT count(*)::int, count(DISTINCT object)::int FROM findings WHERE scan_id = %s", scan_id)
    assert once == (files, files)
    assert_history_adds_up(ring, scan_id)


def test_a_tree_is_listed_in_several_units_and_each_file_once(ring: Ring, tree: Path) -> None:
    ring.make_whole(scanners=2)
    scan_id = ring.start_scan(ring.connect_folder(tree))
    ring.wait_for_end(scan_id)
    assert_each_once(ring, scan_id, FILES)
    assert events(ring, scan_id, ListingSplit)
    listed = events(ring, scan_id, ObjectsListed)
    assert len({event.unit for event in listed}) > 2
    assert len({event.worker for event in listed}) > 1


@pytest.mark.torture
def test_a_scanner_killed_while_it_shares_out_its_listing_changes_nothing(ring: Ring, tree: Path) -> None:
    scan_id = ring.start_scan(ring.connect_folder(tree))
    for kind in ("listing-split", "objects-listed"):
        wait_until("it is being listed", lambda kind=kind: ring.count(scan_id, kind), every=0.005)
        ring.kill("scanner")
        ring.start("scanner")
    ring.wait_for_end(scan_id)
    assert_each_once(ring, scan_id, FILES)


def test_pausing_and_resuming_among_the_units_changes_nothing(ring: Ring, tree: Path) -> None:
    scan_id = ring.start_scan(ring.connect_folder(tree))
    for listed in range(5):
        wait_until("it is listed on", lambda least=listed: ring.count(scan_id, "objects-listed") > least, every=0.005)
        ring.pause(scan_id)
        ring.resume(scan_id)
    ring.wait_for_end(scan_id)
    assert_each_once(ring, scan_id, FILES)


def test_a_recorder_and_an_orchestrator_killed_among_the_units_change_nothing(ring: Ring, tree: Path) -> None:
    scan_id = ring.start_scan(ring.connect_folder(tree))
    wait_until("units are done", lambda: ring.count(scan_id, "listing-split"), every=0.005)
    ring.kill("recorder")
    ring.kill("orchestrator")
    ring.make_whole()
    ring.wait_for_end(scan_id)
    assert_each_once(ring, scan_id, FILES)
    completed = events(ring, scan_id, ListingCompleted)
    assert len({event.unit for event in completed}) == len(completed)


def test_a_bucket_is_listed_in_several_units_and_each_object_once(ring: Ring) -> None:
    with bucket_of(OBJECTS) as server:
        keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
        connector = ring.connect_bucket({"bucket": BUCKET, "endpoint_url": server.endpoint_url, **keys})
        # None is of this type: this is about listing.
        scan_id = ring.start_scan(connector, file_types=["none"])
        ring.wait_for_end(scan_id)
    assert events(ring, scan_id, ListingSplit)
    assert ring.shown(scan_id)["coverage"]["enumeration_status"] == "complete"
    assert_history_adds_up(ring, scan_id)
    manifest = PostgresManifestStore(ring.database_url)
    pages = manifest.pages(scan_id, 0, OBJECTS)
    manifest.close()
    assert sorted(entry.key for page in pages for entry in page.objects) == [key_of(n) for n in range(OBJECTS)]
