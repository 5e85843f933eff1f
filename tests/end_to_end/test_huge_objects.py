"""Huge objects are read in parts by several workers, and come to what a reading of the whole comes to."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.chunk import HUGE_BYTES, PART_BYTES
from domain.scan_events import ChunkCompleted, ChunkFailed
from infrastructure.wiring import open_detection
from tests.end_to_end.readers import killer
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.truths import assert_history_adds_up, assert_ledger_adds_up, events
from tests.fixtures_s3 import Bucket

SIZE: Final = HUGE_BYTES + 12 * 1024**2
_WORDS: Final = "nothing to see in this field of plain words, and nothing in the next one either"

Placed = dict[tuple[str, str | None], tuple[int, float, list[dict[str, Any]]]]
"""By detector and column: count, confidence, and the occurrences kept."""


def _repeated(path: Path, head: bytes, block: bytes, tail: bytes) -> None:
    with path.open("wb") as file:
        file.write(head)
        while file.tell() < SIZE:
            file.write(block)
        file.write(tail)


def _csv(path: Path) -> None:
    rows = [f'{n},{_WORDS},"a field\nof two lines",\n' for n in range(8_000)]
    rows[1_234] = f'1234,{_WORDS},"somebody@\n",somebody@example.com\n'
    rows[7_000] = f"7000,{_WORDS},4111 1111 1111 1111,\n"
    _repeated(path, b"id,words,note,mail\n", "".join(rows).encode(), b"last,,,last@example.com\n")


def _ndjson(path: Path) -> None:
    rows = [json.dumps({"id": n, "words": _WORDS}) + "\n" for n in range(8_000)]
    rows[4_321] = json.dumps({"id": 4321, "who": {"mail": "somebody@example.com"}}) + "\n"
    rows[6_000] = '{"id": 6000, "mail": "escaped\\u0040example.com"}\n'
    _repeated(path, b"", "".join(rows).encode(), b'{"mail": "last@example.com"}\n')


def _parquet(path: Path) -> None:
    rows = 100_000
    schema = pa.schema({"id": pa.int64(), "words": pa.string(), "mail": pa.string()})
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        group = 0
        while path.stat().st_size < SIZE:
            mails = ["" if n % 9_999 else f"somebody.{group}.{n}@example.com" for n in range(rows)]
            columns = [range(rows), [f"{_WORDS} {group} {n}" for n in range(rows)], mails]
            writer.write_table(pa.table([pa.array(c, t.type) for c, t in zip(columns, schema, strict=True)], schema))
            group += 1


MAKERS: Final[dict[str, Callable[[Path], None]]] = {"huge.csv": _csv, "huge.ndjson": _ndjson, "huge.parquet": _parquet}


@pytest.fixture(scope="module")
def huge(readable: Path) -> Iterator[Callable[[str], Path]]:
    """A folder with one huge object, made when it is first asked for, by the object's name."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            root = readable / f"parts-{name}"
            root.mkdir()
            MAKERS[name](root / name)
            made[name] = root
        return made[name]

    yield make
    for name, root in made.items():
        (root / name).unlink()


def read_whole(path: Path) -> Placed:
    with path.open("rb") as stream:
        inspected = open_detection(()).inspect(stream, name=path.name, size=path.stat().st_size)
    found: Placed = {}
    for finding in inspected.findings:
        places = [_told({name: getattr(place, name) for name in place.__slots__}) for place in finding.occurrences]
        found[finding.detector, finding.column] = (finding.count, pytest.approx(finding.confidence), places)
    return found


def _told(place: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in place.items() if value is not None and name != "v"}


def recorded(ring: Ring, scan_id: str) -> Placed:
    query = 'SELECT detector, "column", count, confidence, occurrences FROM findings WHERE scan_id = %s'
    return {
        (detector, column): (count, confidence, [_told(place) for place in places])
        for detector, column, count, confidence, places in ring.rows(query, scan_id)
    }


def assert_one_scanned(ring: Ring, scan_id: str) -> None:
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("completed", None)
    assert (shown["coverage"]["total_enumerated"], shown["coverage"]["total_scanned"]) == (1, 1)
    assert_history_adds_up(ring, scan_id)
    assert ring.rows("SELECT 1 FROM object_parts WHERE scan_id = %s", scan_id) == []


@pytest.mark.parametrize(
    "name", ["huge.csv", *(pytest.param(n, marks=pytest.mark.torture) for n in MAKERS if n != "huge.csv")]
)
def test_the_parts_of_an_object_come_to_what_the_whole_does(ring: Ring, huge: Callable[[str], Path], name: str) -> None:
    root = huge(name)
    scan_id = ring.start_scan(ring.connect_folder(root))
    ring.wait_for_end(scan_id)
    assert_one_scanned(ring, scan_id)
    completed = events(ring, scan_id, ChunkCompleted)
    assert len(completed) == -(-(root / name).stat().st_size // PART_BYTES) >= 3
    assert len({event.worker for event in completed}) == 2
    found = read_whole(root / name)
    assert found
    assert recorded(ring, scan_id) == found


@pytest.mark.torture
def test_a_huge_object_in_a_bucket_comes_to_the_same(ring: Ring, bucket: Bucket, huge: Callable[[str], Path]) -> None:
    path = huge("huge.csv") / "huge.csv"
    bucket.client.upload_file(str(path), bucket.name, "huge.csv")
    scan_id = ring.start_scan(ring.connect_bucket({**bucket.settings, **bucket.credentials}))
    ring.wait_for_end(scan_id)
    assert_one_scanned(ring, scan_id)
    assert recorded(ring, scan_id) == read_whole(path)


@pytest.mark.torture
def test_a_scanner_killed_among_the_parts_changes_nothing(ring: Ring, huge: Callable[[str], Path]) -> None:
    root = huge("huge.csv")
    scan_id = ring.start_scan(ring.connect_folder(root))
    wait_until("a part is in", lambda: ring.count(scan_id, "chunk-completed"))
    ring.kill("scanner")
    ring.start("scanner")
    ring.wait_for_end(scan_id)
    assert events(ring, scan_id, ChunkFailed)
    assert_one_scanned(ring, scan_id)
    assert recorded(ring, scan_id) == read_whole(root / "huge.csv")


@pytest.mark.torture
def test_an_object_cancelled_among_its_parts_is_remaining(ring: Ring, huge: Callable[[str], Path]) -> None:
    scan_id = ring.start_scan(ring.connect_folder(huge("huge.csv")))
    wait_until("a part is in", lambda: ring.count(scan_id, "chunk-completed"))
    ring.cancel(scan_id)
    ring.wait_for_end(scan_id)
    ring.wait_until_quiet()
    coverage = ring.shown(scan_id)["coverage"]
    assert (coverage["total_enumerated"], coverage["total_scanned"], coverage["total_remaining"]) == (1, 0, 1)
    assert recorded(ring, scan_id) == {}
    assert_history_adds_up(ring, scan_id)
    assert_ledger_adds_up(ring, scan_id)
    again = ring.redrive(scan_id)
    ring.wait_for_end(again)
    assert_one_scanned(ring, again)
    assert recorded(ring, again) == read_whole(huge("huge.csv") / "huge.csv")


@pytest.mark.torture
def test_an_object_that_changes_among_its_parts_fails_once_and_is_read_anew(ring: Ring, readable: Path) -> None:
    root = readable / "changing"
    root.mkdir()
    path = root / "huge.csv"
    _csv(path)
    scan_id = ring.start_scan(ring.connect_folder(root))
    wait_until("a part is in", lambda: ring.count(scan_id, "chunk-completed"))
    with path.open("ab") as file:
        file.write(b"more,,,more@example.com\n")
    ring.wait_for_end(scan_id)
    assert ring.shown(scan_id)["coverage"]["failed_by_reason"] == {"changed_during_read": 1}
    assert_history_adds_up(ring, scan_id)
    assert_ledger_adds_up(ring, scan_id)
    again = ring.redrive(scan_id)
    ring.wait_for_end(again)
    assert_one_scanned(ring, again)
    assert recorded(ring, again) == read_whole(path)
    path.unlink()


@pytest.mark.torture
def test_an_object_all_of_whose_parts_kill_their_readers_is_given_up_once(
    ring: Ring, huge: Callable[[str], Path]
) -> None:
    root = huge("huge.csv")
    with killer(ring, root / "huge.csv"):
        scan_id = ring.start_scan(ring.connect_folder(root))
        ring.wait_for_end(scan_id)
    assert ring.shown(scan_id)["coverage"]["failed_by_reason"] == {"worker_lost": 1}
    (final,) = [event for event in events(ring, scan_id, ChunkFailed) if event.files and event.final]
    assert ring.rows("SELECT reason FROM object_exceptions WHERE scan_id = %s", scan_id) == [(final.reason,)]
    assert_history_adds_up(ring, scan_id)
    assert_ledger_adds_up(ring, scan_id)


def test_a_table_that_is_really_compressed_is_read_whole_by_its_first_part(ring: Ring, readable: Path) -> None:
    root = readable / "disguised"
    root.mkdir()
    path = root / "disguised.csv"
    rows = f"1,{_WORDS}\n" * 20_000 + "2,somebody@example.com\n"
    member = gzip.compress(rows.encode(), compresslevel=0)
    with path.open("wb") as file:
        while file.tell() < HUGE_BYTES:
            file.write(member)
    scan_id = ring.start_scan(ring.connect_folder(root))
    ring.wait_for_end(scan_id)
    assert_one_scanned(ring, scan_id)
    assert len(events(ring, scan_id, ChunkCompleted)) == HUGE_BYTES // PART_BYTES + 1
    assert recorded(ring, scan_id) == read_whole(path)
    path.unlink()
