"""Objects are streamed: what a worker holds in memory does not depend on how large they are."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.ring import Ring, peak_bytes
from tests.end_to_end.truths import findings

SIZE = 1024**3
BLOCK = 16 * 1024**2
MOST_BYTES = 150 * 10**6


@pytest.fixture
def huge(readable: Path) -> Iterator[Path]:
    """A folder with one text object of 1 GB, with an address in each 16 MB of it."""
    root = readable / "huge"
    root.mkdir()
    line = b"nothing to see on this line of plain words, and nothing on the next one either\n"
    hit = b"write to somebody@example.com today\n"
    lines = (BLOCK - len(hit)) // len(line)
    block = line * lines + b" " * (BLOCK - len(hit) - lines * len(line) - 1) + b"\n" + hit
    with (root / "huge.txt").open("w+b", buffering=0) as file:
        file.write(block)
        for at in range(BLOCK, SIZE, BLOCK):
            file.seek(at)
            assert os.copy_file_range(file.fileno(), file.fileno(), BLOCK, 0, at) == BLOCK
    yield root
    (root / "huge.txt").unlink()


def test_an_object_of_a_gigabyte_takes_little_memory(ring: Ring, huge: Path) -> None:
    ring.kill("scanner")
    ring.start("scanner")
    scan_id = ring.start_scan(ring.connect_folder(huge))
    ring.wait_for_end(scan_id)
    assert list(findings(ring, scan_id)) == [("huge.txt", "pii.email", SIZE // BLOCK)]
    scanner = psutil.Process(ring.pid("scanner"))
    peaks = {process.pid: peak_bytes(process) for process in (scanner, *ring.children("scanner"))}
    assert max(peaks.values()) < MOST_BYTES, peaks
