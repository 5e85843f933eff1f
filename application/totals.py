"""Sums over all scans, for operators: what one more batch of a scan's events adds to them, and what is still to do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from application.progress import ScanView
from domain.coverage import Disposition
from domain.scan import Status, UnitStatus
from domain.scan_events import ChunkFailed, ScanEvent

Name = tuple[str, str]
"""Of a sum, and what it is of: `("objects", "skipped/binary")`."""

SCANS: Final = "scans"
CHUNKS: Final = "chunks"
OBJECTS: Final = "objects"
BYTES: Final = "bytes"
ATTEMPTS_LOST: Final = "attempts_lost"
DISCOVERED: Final = "discovered"
PLANNED: Final = "planned"
READ: Final = "read"
DONE: Final = "done"
FAILED: Final = "failed"
REPLACED: Final = "replaced"


def added(before: ScanView | None, after: ScanView, events: Iterable[ScanEvent]) -> Counter[Name]:
    """What the sums over all scans gain by `events`, which brought a scan from `before` to `after`.

    Only the scans by status ever lose. A chunk ends as done, failed or replaced; those of a scan that ended early may
    never end.
    """
    gained = _sums(after)
    if before is not None:
        gained.subtract(_sums(before))
    for event in events:
        if isinstance(event, ChunkFailed):
            gained[ATTEMPTS_LOST, event.reason] += 1
            if event.final:
                gained[CHUNKS, FAILED] += 1
                gained[CHUNKS, DONE] -= 1
    return Counter({name: value for name, value in gained.items() if value})


def _sums(view: ScanView) -> Counter[Name]:
    coverage = view.coverage
    sums: Counter[Name] = Counter(
        {
            (SCANS, view.status.value): 1,
            (CHUNKS, PLANNED): view.chunks,
            (CHUNKS, DONE): len(view.done) - len(view.replaced),
            (CHUNKS, REPLACED): len(view.replaced),
            (OBJECTS, DISCOVERED): coverage.enumerated,
            (OBJECTS, f"{Disposition.SCANNED}/"): coverage.scanned,
            (BYTES, PLANNED): view.bytes_total,
            (BYTES, READ): view.bytes_processed,
        }
    )
    for disposition, reasons in ((Disposition.SKIPPED, coverage.skipped), (Disposition.FAILED, coverage.failed)):
        for reason, count in reasons.items():
            sums[OBJECTS, f"{disposition}/{reason}"] += count
    return sums


@dataclass(frozen=True, slots=True)
class Load:
    """What an open scan still wants: of chunks, listings and objects those not accounted for, by at most `max_workers`
    workers, none while it is paused. `changed_at`: its last event."""

    chunks: int
    listings: int
    objects: int
    max_workers: int
    paused: bool
    changed_at: datetime


def load_of(view: ScanView, changed_at: datetime) -> Load | None:
    """None for a scan that has ended."""
    if view.status.ended:
        return None
    return Load(
        chunks=view.chunks - len(view.done),
        listings=sum(unit.status is UnitStatus.OPEN for unit in view.units),
        objects=view.coverage.remaining,
        max_workers=view.options.max_workers,
        paused=view.status is Status.PAUSED,
        changed_at=changed_at,
    )
