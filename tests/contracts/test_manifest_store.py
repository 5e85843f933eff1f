"""The contract of the port `ManifestStore`, on PostgreSQL and on the fake that tests of use cases take in its place."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from application.ports import ExceptionRow, ManifestPage, ManifestStore, ObjectPartRow, PartRow, Rows, ScanLog
from domain.chunk import Chunk
from domain.coverage import Disposition, SkipReason
from domain.manifest import ObjectInfo
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.manifest import PostgresManifestStore
from tests.application.memory_log import MemoryManifest, MemoryScanLog

_numbers = itertools.count(1)


class Store:
    """A manifest under test and the log that writes it, with a scan of its own."""

    def __init__(self, log: ScanLog, manifest: ManifestStore) -> None:
        self.log, self.manifest, self.scan = log, manifest, f"scan-{next(_numbers)}"

    def put(self, *, unit: int, first_index: int, keys: str) -> ManifestPage:
        objects = [ObjectInfo(key, 10, "e") for key in keys]
        skips = [SkipReason.UNCHANGED if key == "u" else None for key in keys]
        by = ["scan-0" if key == "u" else "" for key in keys] if "u" in keys else []
        page = ManifestPage(
            self.scan, first_index, unit, "c", objects, skips, first_index, [Chunk(first_index, first_index, 1, 10)], by
        )
        self.log.append([], Rows(pages=[page]))
        return page


@pytest.fixture(scope="module")
def postgres(database_url: str) -> Iterator[tuple[PostgresScanLog, PostgresManifestStore]]:
    log, manifest = PostgresScanLog(database_url), PostgresManifestStore(database_url)
    yield log, manifest
    log.close()
    manifest.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "postgres":
        return Store(*request.getfixturevalue("postgres"))
    log = MemoryScanLog()
    return Store(log, MemoryManifest(log))


def without_chunks(page: ManifestPage) -> ManifestPage:
    return replace(page, chunks=(), scanned_by=list(page.scanned_by))


def test_pages_come_back_with_what_was_planned_and_which_scan_an_unchanged_object_counts_as_scanned_by(
    store: Store,
) -> None:
    store.put(unit=0, first_index=0, keys="ab")
    page = store.put(unit=1, first_index=2, keys="cud")
    (found,) = store.manifest.pages(store.scan, 3, 4)
    assert without_chunks(found) == without_chunks(page)


def test_the_pages_of_a_range_are_those_that_hold_any_of_it_in_order(store: Store) -> None:
    for first_index, keys in ((0, "ab"), (2, "cde"), (5, "f")):
        store.put(unit=0, first_index=first_index, keys=keys)
    found = [
        [page.first_index for page in store.manifest.pages(store.scan, *place)]
        for place in ((0, 0), (1, 2), (4, 4), (0, 9), (6, 9))
    ]
    assert found == [[0], [0, 2], [2], [0, 2, 5], []]
    assert list(store.manifest.pages("none", 0, 9)) == []


def test_a_units_pages_are_in_key_order_from_a_key_on_with_what_became_of_their_objects(store: Store) -> None:
    # Batches of two units, as they were recorded side by side.
    for place, (unit, keys) in enumerate([(0, "ab"), (1, "mn"), (0, "cd"), (1, "op"), *((0, c) for c in "efghijkl")]):
        store.put(unit=unit, first_index=10 * place, keys=keys)
    rows = [
        ExceptionRow(store.scan, 0, Disposition.FAILED, "network"),
        ExceptionRow(store.scan, 20, Disposition.SKIPPED, "binary"),
        ExceptionRow(store.scan, 21, Disposition.FAILED, "network"),
    ]
    store.log.append([], Rows(exceptions=rows))
    found = list(store.manifest.unit_pages(store.scan, 0, "b"))
    assert ["".join(entry.key for entry in page.objects) for page, _ in found] == ["cd", *"efghijkl"]
    assert dict(found[0][1]) == {20: "skipped", 21: "failed"}
    assert dict(found[1][1]) == {}
    assert [page.first_index for page, _ in store.manifest.unit_pages(store.scan, 1, "")] == [10, 30]
    assert [page.first_index for page, _ in store.manifest.unit_pages(store.scan, 0, "a")][:2] == [0, 20]
    assert list(store.manifest.unit_pages(store.scan, 0, "l")) == []


def test_parts_of_a_report_come_back_in_order(store: Store) -> None:
    rows = [PartRow(store.scan, 0, 1, part, bytes([part])) for part in (3, 1, 2)]
    store.log.append([], Rows(parts=rows))
    assert list(store.manifest.parts(store.scan, 0, 1)) == [b"\x01", b"\x02", b"\x03"]
    assert list(store.manifest.parts(store.scan, 0, 2)) == []


def test_parts_of_a_huge_object_come_back_in_order_as_they_were(store: Store) -> None:
    rows = [ObjectPartRow(store.scan, 7, part, 10 + part, 2**40, b"[]") for part in (2, 0, 1)]
    store.log.append([], Rows(object_parts=rows))
    assert list(store.manifest.object_parts(store.scan, 7)) == sorted(rows, key=lambda row: row.part)
    assert list(store.manifest.object_parts(store.scan, 8)) == []
