"""Scans whose listing is complete and recorded, with as many chunks as wanted: work for the ring without a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from application.ports import Append, ManifestPage, Rows, ScanLog
from benchmarks.installation import new_id
from domain.chunk import Chunk
from domain.connector import ConnectorCreated, ConnectorType, Execution
from domain.manifest import ObjectInfo
from domain.policy import ScanOptions
from domain.scan import Scan, evolve
from domain.scan_events import ListingCompleted, ListingStarted, ListingUnit, ObjectsListed, Queued, ScanEvent

FILES_A_CHUNK = 4
CHUNKS_A_PAGE = 250
BYTES_A_FILE = 1_000


@dataclass(frozen=True, slots=True)
class Planted:
    """A scan of `chunks` chunks, in the log up to version `version` and in the manifest.

    `plan` is the token that all of its chunks were cut under.
    """

    scan_id: str
    chunks: int
    version: int
    plan: str


def plant(log: ScanLog, chunks: int, *, max_workers: int, tenant: str = "benchmark") -> Planted:
    """Write a scan of a new connector up to the end of its listing, in one transaction.

    `chunks` is rounded up to whole listing batches of CHUNKS_A_PAGE chunks of FILES_A_CHUNK small objects each.
    """
    connector, scan_id = new_id("conn"), new_id("scan")
    created = ConnectorCreated(
        at=datetime.now(UTC),
        actor="key:benchmark",
        tenant=tenant,
        name=connector,
        type=ConnectorType.FILESYSTEM,
        execution=Execution.MANAGED,
        pool="default",
        config={"root": "/tmp"},
        has_credentials=False,
    )
    pages = -(-chunks // CHUNKS_A_PAGE)
    events = [_queued(connector, tenant, max_workers), *_listing(connector, pages)]
    rows = Rows(pages=[_page(scan_id, connector, number) for number in range(pages)])
    log.append([Append(connector, 0, [created]), Append(scan_id, 0, events)], rows)
    return Planted(scan_id, pages * CHUNKS_A_PAGE, len(events), _plan(events))


def _plan(events: Sequence[ScanEvent]) -> str:
    scan = Scan()
    for event in events[:3]:
        scan = evolve(scan, event)
    return scan.pending[0].plan


def _queued(connector: str, tenant: str, max_workers: int) -> Queued:
    return Queued(
        at=datetime.now(UTC),
        actor="key:benchmark",
        tenant=tenant,
        type="full",
        connectors=(connector,),
        units=(ListingUnit(connector),),
        options=ScanOptions(max_files=10**9, max_workers=max_workers),
        ruleset="benchmark",
    )


def _listing(connector: str, pages: int) -> Iterator[ScanEvent]:
    at, actor, worker = datetime.now(UTC), "worker:benchmark", "benchmark"
    yield ListingStarted(at=at, actor=actor, unit=0, connector=connector, prefix="", attempt=1, worker=worker)
    for number in range(pages):
        files = CHUNKS_A_PAGE * FILES_A_CHUNK
        yield ObjectsListed(
            at=at,
            actor=actor,
            unit=0,
            connector=connector,
            worker=worker,
            batch=number + 1,
            first_index=number * files,
            files=files,
            bytes=files * BYTES_A_FILE,
            last_key=_key((number + 1) * files - 1),
            first_chunk=number * CHUNKS_A_PAGE,
            chunks=_chunks(number),
        )
    yield ListingCompleted(at=at, actor=actor, unit=0, connector=connector, worker=worker, batches=pages)


def _page(scan_id: str, connector: str, number: int) -> ManifestPage:
    files = CHUNKS_A_PAGE * FILES_A_CHUNK
    at = datetime.now(UTC)
    indexes = range(number * files, (number + 1) * files)
    objects = [ObjectInfo(_key(index), BYTES_A_FILE, f"{index:032x}", at) for index in indexes]
    return ManifestPage(
        scan_id, number * files, 0, connector, objects, [None] * files, number * CHUNKS_A_PAGE, _chunks(number)
    )


def _chunks(page: int) -> tuple[Chunk, ...]:
    first = page * CHUNKS_A_PAGE * FILES_A_CHUNK
    starts = range(first, first + CHUNKS_A_PAGE * FILES_A_CHUNK, FILES_A_CHUNK)
    return tuple(
        Chunk(start, start + FILES_A_CHUNK - 1, FILES_A_CHUNK, FILES_A_CHUNK * BYTES_A_FILE) for start in starts
    )


def _key(index: int) -> str:
    return f"data/year={2000 + index // 100_000}/part-{index:09d}.csv"
