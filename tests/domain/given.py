"""Starting states, named, and the few words the domain's tests are told in."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.chunk import Chunk
from domain.coverage import FailReason, Outcome
from domain.manifest import ObjectInfo
from domain.policy import ScanOptions
from domain.scan import LostReason, Scan, evolve
from domain.scan_events import ENDINGS, ListingCompleted, ListingStarted, ListingUnit, ObjectsListed, Queued, ScanEvent

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
KEY, WORKER = "key:k1", "worker:w1"
MEGABYTE = 1_000_000
ALONE = 100 * MEGABYTE
"""The size of an object that makes a chunk of its own."""
HUGE = 200 * MEGABYTE
"""The size of an object that is read in three parts, if its name allows it."""


def options(**changes: Any) -> ScanOptions:
    return replace(ScanOptions(max_files=1_000_000, max_workers=4), **changes)


def queued(units: int = 1, **changes: Any) -> Queued:
    names = tuple(f"conn-{number}" for number in range(units))
    return Queued(
        at=NOON,
        actor=KEY,
        tenant="acme",
        type="full",
        connectors=names,
        units=tuple(ListingUnit(name) for name in names),
        options=options(**changes),
        ruleset="r1",
    )


def after(scan: Scan, events: Iterable[ScanEvent]) -> Scan:
    for event in events:
        scan = evolve(scan, event)
    return scan


def queued_scan(units: int = 1, **changes: Any) -> Scan:
    return evolve(Scan(), queued(units, **changes))


def listing_scan(units: int = 1, **changes: Any) -> Scan:
    """Every unit has begun, none has listed anything."""
    scan = queued_scan(units, **changes)
    for unit in range(units):
        scan = after(scan, scan.start_listing(unit, attempt=1, worker="w1", at=NOON))
    return scan


def running_history(chunks: int = 2, files: int = 3, **changes: Any) -> list[ScanEvent]:
    """One unit, listed to its end in one batch: `chunks` chunks of `files` files are left to be scanned."""
    who: dict[str, Any] = {"at": NOON, "actor": WORKER, "unit": 0, "connector": "conn-0", "worker": "w1"}
    planned = tuple(Chunk(at * files, at * files + files - 1, files, files * 10) for at in range(chunks))
    listed = ObjectsListed(
        **who,
        batch=1,
        first_index=0,
        files=chunks * files,
        bytes=chunks * files * 10,
        last_key="z",
        first_chunk=0,
        chunks=planned,
    )
    begun = ListingStarted(**who, prefix="", attempt=1)
    return [queued(1, **changes), begun, listed, ListingCompleted(**who, batches=1)]


def running_scan(chunks: int = 2, files: int = 3, **changes: Any) -> Scan:
    return after(Scan(), running_history(chunks, files, **changes))


def objects(count: int, *, first: int = 0, size: int = ALONE, extension: str = "csv") -> list[ObjectInfo]:
    """`count` objects in key order; by default each makes a chunk of its own."""
    return [ObjectInfo(f"k{first + number:06}.{extension}", size) for number in range(count)]


def all_scanned(files: int) -> Outcome:
    return Outcome(scanned=files, bytes_read=files * 10, findings=files)


def some_failed(files: int, failed: int, reason: str = FailReason.PARSE_ERROR) -> Outcome:
    return Outcome(scanned=files - failed, failed={reason: failed} if failed else {}, bytes_read=files)


def listed(
    scan: Scan, entries: Sequence[ObjectInfo], *, unit: int = 0, batch: int | None = None, attempt: int | None = None
) -> Scan:
    """The scan after the unit's next batch, which must be taken."""
    state = scan.units[unit]
    taken = scan.list_objects(
        unit,
        attempt=attempt or state.attempt,
        batch=batch or state.batches + 1,
        objects=entries,
        worker="w1",
        at=LATER,
    )
    assert taken is not None
    return after(scan, taken.events)


def finished_listing(scan: Scan, unit: int = 0) -> Scan:
    state = scan.units[unit]
    return after(
        scan,
        scan.complete_listing(unit, attempt=state.attempt, batches=state.batches, worker="w1", at=LATER),
    )


def failed_listing(scan: Scan, unit: int = 0, *, permanent: bool = True) -> Scan:
    attempt = scan.units[unit].attempt
    why = {"reason": "source_denied", "detail": "The bucket refused the credentials."}
    return after(scan, scan.fail_listing(unit, attempt=attempt, permanent=permanent, worker="w1", at=LATER, **why))


def completed(scan: Scan, chunk: int, outcome: Outcome | None = None) -> Scan:
    state = scan.pending[chunk]
    result = outcome or all_scanned(state.chunk.files)
    return after(scan, report(scan, chunk, result, attempt=state.attempt))


def report(scan: Scan, chunk: int, outcome: Outcome, *, attempt: int = 1, worker: str = "w1") -> list[ScanEvent]:
    return scan.complete_chunk(chunk, attempt=attempt, outcome=outcome, worker=worker, started_at=NOON, at=LATER)


def lost(scan: Scan, chunk: int, times: int = 1, reason: LostReason = LostReason.WORKER_LOST) -> Scan:
    """The scan after the chunk was begun and lost so often."""
    for _ in range(times):
        attempt = scan.pending[chunk].attempt
        scan = after(scan, scan.start_chunk(chunk, attempt=attempt, worker="w1", at=LATER))
        scan = after(scan, scan.fail_chunk(chunk, attempt=attempt, reason=reason, worker="w1", at=LATER))
    return scan


def endings(events: Iterable[ScanEvent]) -> list[ScanEvent]:
    return [event for event in events if isinstance(event, ENDINGS)]
