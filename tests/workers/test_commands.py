"""Commands carry all that a worker needs, and no secret."""

import asyncio
from collections.abc import Sequence

import pytest

from application import object_columns
from application.ports import Append, ManifestPage, Recorded
from domain.connector import ConnectorChanged, ConnectorCreated, ConnectorType, Execution
from domain.coverage import SkipReason
from domain.errors import NotFound
from domain.manifest import ObjectInfo
from domain.scan import Scan
from tests.application.memory_log import MemoryScanLog
from tests.domain.given import KEY, NOON, finished_listing, listed, listing_scan, objects, queued_scan
from workers.commands import CommandBuilder

SCAN = "scan-1"


class Manifest:
    """`ManifestStore` of one page, which counts how often it is read."""

    def __init__(self, entries: Sequence[ObjectInfo], skips: Sequence[SkipReason | None]) -> None:
        self._page = ManifestPage(SCAN, 0, "conn-0", entries, skips, 0, ())
        self.reads = 0

    def pages(self, scan: str, start: int, end: int) -> Sequence[ManifestPage]:
        self.reads += 1
        return [self._page]

    def parts(self, scan: str, chunk: int, attempt: int) -> Sequence[bytes]:
        return []


@pytest.fixture
def log() -> MemoryScanLog:
    log = MemoryScanLog()
    created = ConnectorCreated(
        at=NOON,
        actor=KEY,
        tenant="acme",
        name="Exports",
        type=ConnectorType.S3,
        execution=Execution.MANAGED,
        pool="eu",
        config={"bucket": "exports"},
        has_credentials=True,
    )
    log.append([Append("conn-0", 0, [created])])
    return log


def builder(log: MemoryScanLog, manifest: Manifest | None = None) -> CommandBuilder:
    return CommandBuilder(log, manifest or Manifest([], []))


def chunk_scan(entries: Sequence[ObjectInfo]) -> Scan:
    return finished_listing(listed(listing_scan(), entries))


def test_a_listing_goes_on_where_its_last_attempt_was_recorded(log: MemoryScanLog):
    entries = objects(3)
    subject, command = builder(log).listing(SCAN, 0, listed(listing_scan(), entries))
    assert subject == f"scan.list.eu.{SCAN}"
    assert (command.resume_after, command.next_batch, command.attempt) == (entries[-1].key, 2, 1)
    assert (command.source.config, command.source.needs_credentials) == ({"bucket": "exports"}, True)


def test_a_connector_that_changed_is_read_anew(log: MemoryScanLog):
    commands = builder(log)
    commands.listing(SCAN, 0, queued_scan())
    changed = ConnectorChanged(at=NOON, actor=KEY, config={"bucket": "other"})
    position = log.append([Append("conn-0", 1, [changed])])
    commands.note(Recorded(position, "conn-0", 2, changed))
    _, command = commands.listing(SCAN, 0, queued_scan())
    assert command.source.config == {"bucket": "other"}


def test_a_connector_that_is_not_in_the_log_is_said_so():
    with pytest.raises(NotFound):
        builder(MemoryScanLog()).listing(SCAN, 0, queued_scan())


def test_a_chunk_carries_its_objects_but_not_those_that_were_skipped(log: MemoryScanLog):
    entries = objects(4, size=10)
    manifest = Manifest(entries, [None, SkipReason.FILE_TYPE, None, None])
    scan = chunk_scan(entries)
    (number,) = scan.pending
    commands = builder(log, manifest)
    subject, command = asyncio.run(commands.chunk(SCAN, number, scan.pending[number]))
    assert subject == f"scan.cmd.eu.{SCAN}"
    assert command.indexes == [0, 2, 3]
    assert object_columns.from_text(command.objects) == [entries[0], entries[2], entries[3]]
    assert (command.start_index, command.end_index, command.attempt) == (0, 3, 1)


def test_the_chunks_of_one_batch_read_its_page_once(log: MemoryScanLog):
    entries = objects(3)
    manifest = Manifest(entries, [None] * 3)
    scan = chunk_scan(entries)
    commands = builder(log, manifest)

    async def all_of_them() -> None:
        await asyncio.gather(*(commands.chunk(SCAN, number, state) for number, state in scan.pending.items()))

    asyncio.run(all_of_them())
    assert len(scan.pending) == 3
    assert manifest.reads == 1
