"""Many scans, and large ones: what the coordinator keeps in memory stays small."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.end_to_end.ring import Ring, peak_bytes, wait_until
from tests.end_to_end.simulated import simulated_fleet
from tests.end_to_end.truths import assert_history_adds_up

MOST_BYTES: Final = 300 * 10**6
COORDINATOR: Final = ("orchestrator", "recorder", "projector")
FILES: Final = 3
FOLDERS: Final = 10


@pytest.fixture
def fresh(ring: Ring) -> Iterator[Ring]:
    """The ring, its coordinator started anew: what it has had in memory counts from here."""
    for role in COORDINATOR:
        ring.kill(role)
    ring.make_whole()
    yield ring
    peaks = {role: peak_bytes(psutil.Process(ring.pid(role))) for role in COORDINATOR}
    print({role: f"{peak / 1e6:.0f} MB" for role, peak in peaks.items()})
    assert max(peaks.values()) < MOST_BYTES, peaks


@pytest.fixture(scope="module")
def tiny(readable: Path) -> list[Path]:
    """Folders of three files each, with an address in each of them."""
    folders = [readable / f"tiny-{number}" for number in range(FOLDERS)]
    for folder in folders:
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{number}.txt").write_text("write to somebody@example.com\n")
    return folders


@pytest.mark.parametrize("scans", [20, pytest.param(500, marks=[pytest.mark.torture, pytest.mark.timeout(300)])])
def test_scans_queued_all_at_once_are_all_completed(fresh: Ring, tiny: list[Path], scans: int) -> None:
    connectors = [fresh.connect_folder(folder) for folder in tiny]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as clients:
        names = list(clients.map(lambda number: fresh.start_scan(connectors[number % FOLDERS]), range(scans)))
    queued = time.monotonic() - began
    query = "SELECT count(*) FROM scan_views WHERE scan_id = ANY (%s) AND status = 'completed'"
    wait_until("all are completed", lambda: [*fresh.rows(query, names)] == [(scans,)], within=240, every=0.1)
    print(f"{scans} scans: queued in {queued:.1f} s, completed in {time.monotonic() - began:.1f} s")
    (found,) = fresh.rows("SELECT count(*) FROM findings WHERE scan_id = ANY (%s)", names)
    assert found == (scans * FILES,)
    for name in (names[0], names[-1]):
        assert_history_adds_up(fresh, name)


@pytest.mark.parametrize(
    "files", [50_000, pytest.param(1_000_000, marks=[pytest.mark.torture, pytest.mark.timeout(600)])]
)
def test_a_scan_of_very_many_objects_is_completed(fresh: Ring, tiny: list[Path], files: int) -> None:
    fresh.kill("scanner")
    began = time.monotonic()
    with simulated_fleet(fresh, files=files) as fleet:
        scan_id = fresh.start_scan(fresh.connect_folder(tiny[0]))
        fresh.wait_for_end(scan_id, within=500)
    print(f"{files} objects in {fleet.chunks} chunks: {time.monotonic() - began:.1f} s")
    shown = fresh.shown(scan_id)
    assert (shown["status"], shown["coverage"]["total_scanned"]) == ("completed", files)
    assert (fleet.listings, fleet.chunks) == (1, fresh.count(scan_id, "chunk-completed"))
