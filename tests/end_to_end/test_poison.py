"""An object that ruins its reader is given up alone: every neighbour in its chunk is scanned."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from domain.scan_events import ChunkFailed, ObjectsListed
from infrastructure.s3_server import S3Server
from infrastructure.settings import Settings
from tests.end_to_end.corpus import Finding
from tests.end_to_end.readers import killer
from tests.end_to_end.ring import Ring
from tests.end_to_end.slow_bucket import SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, assert_ledger_adds_up, events, findings
from tests.fault_proxy import Fault, Pass, Stall
from tests.fixtures_s3 import Bucket

NEIGHBOURS: Final = 40
HITS: Final = 200_000
MIB: Final = 1024**2
STALL_SECONDS: Final = 2
MEMORY: Final = 512 * MIB


@pytest.fixture(scope="module")
def strict_ring(tmp_path_factory: pytest.TempPathFactory, readable: Path) -> Iterator[Ring]:
    """A ring whose readers may hang for two seconds, and hold as little as a setting can say."""
    limits = {"stall_seconds": STALL_SECONDS, "reader_memory_bytes": MEMORY}
    with Ring(tmp_path_factory.mktemp("strict"), [readable], **limits).running() as ring:
        yield ring


@pytest.fixture
def strict(strict_ring: Ring) -> Ring:
    strict_ring.make_whole()
    return strict_ring


def among_neighbours(root: Path) -> Path:
    """A folder for one bad object, in the middle of its chunk."""
    root.mkdir()
    for number in range(NEIGHBOURS):
        side = "a" if number % 2 else "z"
        (root / f"{side}{number}.txt").write_text("write to somebody@example.com today\n")
    return root


@pytest.fixture(scope="module")
def slow(readable: Path) -> Path:
    """An object that takes its reader seconds, among neighbours."""
    root = among_neighbours(readable / "slow")
    (root / "m.txt").write_text("write to somebody@example.com today\n" * HITS)
    return root


def one_page(path: Path, values: int) -> None:
    """A table whose dictionary is one page of 140 bytes a value, and a tenth of that in the file."""
    texts = pc.binary_repeat(pa.array(range(values)).cast(pa.string()), 20)
    table = pa.table({"value": texts})
    pq.write_table(table, path, dictionary_pagesize_limit=2**30, row_group_size=10**7)


@pytest.fixture(scope="module")
def greedy(readable: Path) -> Path:
    """A Parquet file that wants more memory than a reader may have, and one that does not, among neighbours."""
    root = among_neighbours(readable / "greedy")
    one_page(root / "g.parquet", 3_600_000)
    pq.write_table(pa.table({"mail": ["somebody@example.com"] * 10}), root / "h.parquet")
    return root


def neighbours() -> Counter[Finding]:
    names = (f"{'a' if number % 2 else 'z'}{number}.txt" for number in range(NEIGHBOURS))
    return Counter((name, "pii.email", 1) for name in names)


def assert_given_up(ring: Ring, scan_id: str, reason: str, objects: list[str]) -> None:
    """These objects, and no others, failed for this reason."""
    coverage = ring.shown(scan_id)["coverage"]
    assert coverage["failed_by_reason"] == {reason: len(objects)}
    assert coverage["total_scanned"] == coverage["total_enumerated"] - len(objects)
    entries = ring.client.get(f"/scans/{scan_id}/objects", params={"disposition": "failed"}).json()["data"]
    assert [(entry["object"], entry["reason"]) for entry in entries] == [(name, reason) for name in objects]
    (listed,) = events(ring, scan_id, ObjectsListed)
    assert len(listed.chunks) == 1
    assert_history_adds_up(ring, scan_id)
    assert_ledger_adds_up(ring, scan_id)


def test_an_object_that_kills_its_readers_is_given_up_alone(strict: Ring, slow: Path) -> None:
    with killer(strict, slow / "m.txt") as killed:
        scan_id = strict.start_scan(strict.connect_folder(slow))
        strict.wait_for_end(scan_id)
    assert len(killed) == 3
    assert_given_up(strict, scan_id, "worker_lost", ["m.txt"])
    assert strict.shown(scan_id)["reason"] == "objects_given_up"
    assert findings(strict, scan_id) == neighbours()


@pytest.mark.torture
def test_an_object_that_hangs_its_readers_is_given_up_alone(strict: Ring, slow: Path) -> None:
    with killer(strict, slow / "m.txt", by=signal.SIGSTOP) as stopped:
        scan_id = strict.start_scan(strict.connect_folder(slow))
        strict.wait_for_end(scan_id)
    assert len(stopped) == 3
    assert_given_up(strict, scan_id, "timeout", ["m.txt"])
    assert {event.reason for event in events(strict, scan_id, ChunkFailed)} == {"stalled", "timeout"}
    assert findings(strict, scan_id) == neighbours()


class _StallingBucket(SlowBucket):
    """Never ends its answer for one key."""

    def next_fault(self, request: bytes) -> Fault:
        return Stall(100) if b"/m.txt" in request.partition(b"\r\n")[0] else Pass()


@pytest.mark.torture
def test_an_object_that_a_bucket_never_hands_over_is_given_up_alone(
    strict: Ring, bucket: Bucket, s3_server: S3Server
) -> None:
    for number in range(NEIGHBOURS):
        bucket.put(f"{'a' if number % 2 else 'z'}{number}.txt", b"write to somebody@example.com today\n")
    bucket.put("m.txt", b"write to somebody@example.com today\n")
    with _StallingBucket(s3_server) as proxy:
        scan_id = strict.start_scan(strict.connect_bucket({**proxy.config, "bucket": bucket.name}))
        strict.wait_for_end(scan_id)
    assert_given_up(strict, scan_id, "timeout", ["m.txt"])
    assert findings(strict, scan_id) == neighbours()


def test_an_object_that_needs_too_much_memory_is_given_up_alone(strict: Ring, greedy: Path) -> None:
    scan_id = strict.start_scan(strict.connect_folder(greedy))
    strict.wait_for_end(scan_id)
    assert_given_up(strict, scan_id, "resource_limit", ["g.parquet"])
    (detail,) = strict.rows("SELECT detail FROM object_exceptions WHERE scan_id = %s", scan_id)
    assert "memory" in detail[0]
    assert events(strict, scan_id, ChunkFailed) == []
    assert findings(strict, scan_id) == neighbours() + Counter([("h.parquet", "pii.email", 10)])


@pytest.mark.torture
def test_a_reader_gives_back_what_an_object_took(strict: Ring, readable: Path) -> None:
    root = readable / "large-page"
    root.mkdir()
    one_page(root / "large.parquet", 250_000)
    scan_id = strict.start_scan(strict.connect_folder(root))
    strict.wait_for_end(scan_id)
    assert strict.shown(scan_id)["status"] == "completed"
    held = {child.pid: data_bytes(child) for child in strict.children("scanner")}
    assert 0 < max(held.values()) < MEMORY // 2, held
    assert max(held.values()) < Settings.model_fields["reader_memory_bytes"].default // 8


def data_bytes(process: psutil.Process) -> int:
    """What counts against a reader's limit, now."""
    lines: list[Any] = Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))
