"""Commands carry all that a worker needs, and no secret."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from application import object_columns
from application.pinned_rules import from_text
from application.ports import Append, LogRewound, ManifestPage, Recorded, RulesetRow
from domain.chunk import HUGE_BYTES
from domain.connector import ConnectorChanged, ConnectorCreated, ConnectorType, Execution
from domain.coverage import SkipReason
from domain.detectors.own import Allowance, OwnRules, own_detector
from domain.errors import NotFound
from domain.inventory import Ruleset
from domain.manifest import ObjectInfo
from domain.policy import MAX_FANNED_OUT
from domain.scan import Scan, evolve
from domain.scan_events import ListingUnit, ScanEvent
from tests.application.memory_log import MemoryManifest, MemoryRulesets, MemoryScanLog
from tests.domain.given import (
    KEY,
    LATER,
    NOON,
    after,
    all_scanned,
    finished_listing,
    listed,
    listing_scan,
    objects,
    queued,
    queued_scan,
    report,
)
from workers.commands import CommandBuilder

SCAN = "scan-1"


class Manifest:
    """`ManifestStore` of one page, which counts how often it is read."""

    def __init__(self, entries: Sequence[ObjectInfo], skips: Sequence[SkipReason | None]) -> None:
        self._pages = [ManifestPage(SCAN, 0, 0, "conn-0", entries, skips, 0, ())]
        self.reads = 0

    def lose(self) -> None:
        self._pages = []

    def pages(self, scan: str, start: int, end: int) -> Sequence[ManifestPage]:
        self.reads += 1
        return self._pages

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
    return CommandBuilder(log, manifest or Manifest([], []), MemoryRulesets(log))


def chunk_scan(entries: Sequence[ObjectInfo]) -> Scan:
    return finished_listing(listed(listing_scan(), entries))


def test_a_listing_goes_on_where_its_last_attempt_was_recorded(log: MemoryScanLog):
    entries = objects(3)
    subject, command = builder(log).listing(SCAN, 0, listed(listing_scan(), entries))
    assert subject == f"scan.list.eu.{SCAN}"
    assert (command.resume_after, command.next_batch, command.attempt) == (entries[-1].key, 2, 1)
    assert (command.source.config, command.source.needs_credentials) == ({"bucket": "exports"}, True)


def test_a_listing_ends_where_its_key_range_does_and_may_be_parted_as_its_unit_says(log: MemoryScanLog):
    scan = evolve(Scan(), replace(queued(), units=(ListingUnit("conn-0", "a/", "a/b", "a/m", fan_out=False),)))
    _, command = builder(log).listing(SCAN, 0, scan)
    assert (command.prefix, command.resume_after, command.until, command.fan_out) == ("a/", "a/b", "a/m", False)
    assert (command.only, command.more) == (None, False)
    assert builder(log).listing(SCAN, 0, queued_scan())[1].fan_out


def test_what_a_split_left_of_a_listing_is_all_that_its_next_attempt_lists(log: MemoryScanLog):
    scan = listed(listing_scan(), objects(3))
    scan = after(scan, scan.split_listing(0, attempt=1, bounds=["p", "t"], worker="w", at=LATER))
    ranges = [builder(log).listing(SCAN, unit, scan)[1] for unit in (0, 1, 2)]
    assert [(c.resume_after, c.until) for c in ranges] == [(objects(3)[-1].key, "p"), ("p", "t"), ("t", "")]


def test_once_a_scan_has_many_units_none_is_parted_any_further(log: MemoryScanLog):
    def of(count: int) -> Scan:
        return evolve(Scan(), replace(queued(), units=tuple(ListingUnit("conn-0", f"{n:03}/") for n in range(count))))

    parted = [builder(log).listing(SCAN, 0, of(count))[1].fan_out for count in (MAX_FANNED_OUT - 1, MAX_FANNED_OUT)]
    assert parted == [True, False]


def test_a_redrive_looks_up_just_what_the_finished_scan_left(log: MemoryScanLog):
    entries = objects(3)
    old = finished_listing(listed(listing_scan(), entries))
    events = [queued(), *old_events(entries)]
    log.append([Append("old", 0, events)])
    manifest = MemoryManifest(log)
    log.rows.pages.append(ManifestPage("old", 0, 0, "conn-0", entries, [None] * 3, 0, ()))
    scan = evolve(Scan(), replace(queued(), redrive_of="old"))
    _, command = builder(log, manifest).listing(SCAN, 0, scan)
    assert len(old.pending) == 3
    assert command.only is not None
    # The first of its chunks was done.
    assert object_columns.from_text(command.only) == entries[1:]
    assert (command.more, command.fan_out, command.next_batch) == (False, False, 1)


def old_events(entries: Sequence[ObjectInfo]) -> list[ScanEvent]:
    """A scan of `entries`, each a chunk of its own, that was cancelled when the first was done."""
    taken = queued_scan().list_objects(0, attempt=1, batch=1, objects=entries, worker="w", at=LATER)
    assert taken is not None
    scan = after(queued_scan(), taken.events)
    return [*taken.events, *report(scan, 0, all_scanned(1)), *scan.cancel(actor=KEY, at=LATER)]


def test_a_part_of_a_huge_object_is_named_with_the_detectors_to_run(log: MemoryScanLog):
    entries = [ObjectInfo("big.csv", HUGE_BYTES)]
    scan = chunk_scan(entries)
    commands = builder(log, Manifest(entries, [None]))
    scan = replace(scan, ruleset=Ruleset("r1", ("pii.email",)))
    parts = [asyncio.run(commands.chunk(SCAN, n, state, scan))[1] for n, state in sorted(scan.pending.items())]
    assert [(c.part, c.parts, c.indexes, c.detectors) for c in parts] == [
        (0, 2, [0], ["pii.email"]),
        (1, 2, [0], ["pii.email"]),
    ]


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
    subject, command = asyncio.run(commands.chunk(SCAN, number, scan.pending[number], scan))
    assert subject == f"scan.cmd.eu.{SCAN}"
    assert command.indexes == [0, 2, 3]
    assert object_columns.from_text(command.objects) == [entries[0], entries[2], entries[3]]
    assert (command.start_index, command.end_index, command.attempt) == (0, 3, 1)


def test_a_chunk_names_the_batch_that_cut_it(log: MemoryScanLog):
    scan = chunk_scan(objects(1))
    _, command = asyncio.run(builder(log, Manifest(objects(1), [None])).chunk(SCAN, 0, scan.pending[0], scan))
    assert command.plan == scan.pending[0].plan == LATER.isoformat(timespec="microseconds")


def test_what_was_kept_of_a_log_that_was_replaced_is_read_anew(log: MemoryScanLog):
    entries = objects(1)
    manifest = Manifest(entries, [None])
    scan = chunk_scan(entries)
    commands = builder(log, manifest)
    for _ in range(2):
        asyncio.run(commands.chunk(SCAN, 0, scan.pending[0], scan))
    assert manifest.reads == 1
    commands.forget()
    asyncio.run(commands.chunk(SCAN, 0, scan.pending[0], scan))
    assert manifest.reads == 2


@pytest.mark.parametrize("lost", ["page", "connector"])
def test_a_log_that_lacks_what_a_chunk_needs_has_been_rewound(log: MemoryScanLog, lost: str):
    entries = objects(1)
    manifest = Manifest(entries, [None])
    if lost == "page":
        manifest.lose()
    scan = chunk_scan(entries)
    with pytest.raises(LogRewound):
        asyncio.run(
            builder(MemoryScanLog() if lost == "connector" else log, manifest).chunk(SCAN, 0, scan.pending[0], scan)
        )


def test_the_chunks_of_one_batch_read_its_page_once(log: MemoryScanLog):
    entries = objects(3)
    manifest = Manifest(entries, [None] * 3)
    scan = chunk_scan(entries)
    commands = builder(log, manifest)

    async def all_of_them() -> None:
        await asyncio.gather(*(commands.chunk(SCAN, number, state, scan) for number, state in scan.pending.items()))

    asyncio.run(all_of_them())
    assert len(scan.pending) == 3
    assert manifest.reads == 1


def test_the_tenants_own_rules_travel_with_each_chunk_as_the_scan_is_pinned_to_them(log: MemoryScanLog):
    fields = {"id": "acme.badge", "name": "Badge", "confidence": 0.8, "patterns": ["EMP-[0-9]{6}"]}
    own = OwnRules((own_detector(fields),), (Allowance(pattern="EMP-0+"),))
    log.rows.rulesets.append(RulesetRow("acme", own.digest, own.body))
    scan = replace(chunk_scan(objects(2)), tenant="acme", rules=own.digest)
    commands = builder(log, Manifest(objects(2), [None] * 2))
    _, command = asyncio.run(commands.chunk(SCAN, 0, scan.pending[0], scan))
    assert from_text(command.rules).body == own.body
    assert from_text("") == OwnRules()
    with pytest.raises(LogRewound):
        asyncio.run(commands.chunk(SCAN, 0, scan.pending[0], replace(scan, rules="gone")))


@pytest.mark.parametrize("text", ["x", "eHh4", "A" * 40])
def test_what_is_no_rules_is_refused(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 — each fault has its own words
        from_text(text)
