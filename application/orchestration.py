"""The process manager: from events to commands, and who is handed the next chunk.

Pure bookkeeping over the log: everything here can be rebuilt from the events of the open scans and what the command
stream holds. No I/O, no clock.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Final

from application.messages import ControlState
from application.ports import Recorded
from domain.scan import Scan, UnitStatus, evolve
from domain.scan_events import (
    ENDINGS,
    ChunkCompleted,
    ChunkFailed,
    ListingFailed,
    ObjectsListed,
    Queued,
    ScanEvent,
)

READY_AHEAD: Final = 1.25
"""Commands outstanding per live slot, so that a slot that falls free finds its next chunk waiting."""

QUEUE_SECONDS: Final = 0.25
"""Quick chunks queue for at most this long beyond that, by Little's law: outstanding = rate × time."""


@dataclass(frozen=True, slots=True)
class ListingDue:
    """A unit is to be listed, from where its last attempt was recorded."""

    scan: str
    unit: int


@dataclass(frozen=True, slots=True)
class Tell:
    """The workers of a scan must heed this at once."""

    scan: str
    state: ControlState


Directive = ListingDue | Tell


def control_state(scan: Scan) -> ControlState:
    """What the workers of an open scan are to heed."""
    return ControlState.STOP_LISTING if scan.limit_reached else ControlState.RUN


@dataclass(frozen=True, slots=True)
class Grant:
    """A chunk whose turn it is."""

    scan: str
    chunk: int
    attempt: int


def react(scan_id: str, event: ScanEvent, after: Scan) -> list[Directive]:
    """What an event calls for at once. Chunks are another matter: they wait for their turn."""
    match event:
        case Queued():
            return [ListingDue(scan_id, unit) for unit in after.units]
        case ListingFailed(final=False):
            return [ListingDue(scan_id, event.unit)] if after.open else []
        case ObjectsListed(limit_reached=True) if after.open:
            return [Tell(scan_id, ControlState.STOP_LISTING)]
        case _ if isinstance(event, ENDINGS):
            return [Tell(scan_id, ControlState.STOP)]
        case _:
            return []


@dataclass(slots=True)
class OpenScan:
    """One open scan: its state by the log, chunks waiting for a command, and commands not answered yet."""

    scan_id: str
    scan: Scan = field(default_factory=Scan)
    ready: deque[int] = field(default_factory=deque)
    outstanding: dict[int, int] = field(default_factory=dict)
    turn: int = 0

    @property
    def may_send(self) -> bool:
        """Whether a chunk is ready, and max_workers leaves room for one more command."""
        options = self.scan.options
        return bool(self.ready) and options is not None and len(self.outstanding) < options.max_workers

    @property
    def deadline(self) -> datetime | None:
        if self.scan.queued_at is None or self.scan.options is None:
            return None
        return self.scan.queued_at + self.scan.options.timeout

    def note(self, event: ScanEvent) -> None:
        self.scan = evolve(self.scan, event)
        match event:
            case ObjectsListed():
                self.ready.extend(range(event.first_chunk, event.first_chunk + len(event.chunks)))
            case ChunkCompleted():
                self.outstanding.pop(event.chunk, None)
            case ChunkFailed():
                self.outstanding.pop(event.chunk, None)
                if not event.final:
                    self.ready.append(event.chunk)
            case _:
                pass

    def attempt(self, chunk: int) -> int | None:
        state = self.scan.pending.get(chunk)
        return state.attempt if state else None

    def sent(self, chunk: int, attempt: int) -> None:
        """A command for this chunk is on its way, whoever sent it."""
        if self.attempt(chunk) == attempt:
            self.outstanding[chunk] = attempt


class Orchestrator:
    """All open scans. Feed it the log in order; ask it for directives and grants."""

    def __init__(self) -> None:
        self.open: dict[str, OpenScan] = {}
        self._turn = 0

    def restore(self, scan_id: str, history: Iterable[Recorded], in_stream: Iterable[tuple[int, int]]) -> None:
        """Take up an open scan from its events; `in_stream` are the (chunk, attempt) whose commands still wait."""
        kept = OpenScan(scan_id)
        for record in history:
            kept.note(record.event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        for chunk, attempt in in_stream:
            kept.sent(chunk, attempt)
        kept.ready = deque(chunk for chunk in sorted(kept.scan.pending) if chunk not in kept.outstanding)
        if kept.scan.open:
            self.open[scan_id] = kept

    def listings_due(self, scan_id: str) -> list[ListingDue]:
        """The units of a scan that are still to be listed to their end."""
        units = self.open[scan_id].scan.units.items()
        return [ListingDue(scan_id, number) for number, unit in units if unit.status is UnitStatus.OPEN]

    def note(self, record: Recorded) -> list[Directive]:
        """Take in the next event of the log. Events known already change nothing."""
        event = record.event
        if isinstance(event, Queued) and record.stream not in self.open and record.version == 1:
            self.open[record.stream] = OpenScan(record.stream)
        kept = self.open.get(record.stream)
        if kept is None or record.version <= kept.scan.version:
            return []
        kept.note(event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        if not kept.scan.open:
            del self.open[record.stream]
        return react(record.stream, event, kept.scan)  # type: ignore[arg-type]  # likewise

    def grants(self, slots: int, chunks_a_second: float) -> list[Grant]:
        """The chunks to send now: max-min fair by progressive filling, never above a scan's max_workers.

        Whoever has least outstanding is next, and among equals who has waited longest. Beyond the window only a scan
        below its equal share may send, so that a newcomer does not wait for another scan's work to end.
        """
        window = ceil(READY_AHEAD * slots + QUEUE_SECONDS * chunks_a_second) if slots else 0
        waiting = [(len(scan.outstanding), scan.turn, key) for key, scan in self.open.items() if scan.may_send]
        heapify(waiting)
        total = self.outstanding()
        share = max(1, window // max(1, len(self.open)))
        granted: list[Grant] = []
        while waiting:
            outstanding, _, key = heappop(waiting)
            if total >= window and (outstanding >= share or total >= 2 * window):
                break
            kept = self.open[key]
            if (grant := self._grant(kept)) is not None:
                granted.append(grant)
                total += 1
            if kept.may_send:
                heappush(waiting, (len(kept.outstanding), kept.turn, key))
        return granted

    def _grant(self, kept: OpenScan) -> Grant | None:
        chunk = kept.ready.popleft()
        attempt = kept.attempt(chunk)
        if attempt is None or chunk in kept.outstanding:
            return None
        self._turn += 1
        kept.turn = self._turn
        kept.outstanding[chunk] = attempt
        return Grant(kept.scan_id, chunk, attempt)

    def outstanding(self) -> int:
        return sum(len(scan.outstanding) for scan in self.open.values())

    def overdue(self, now: datetime) -> list[str]:
        """Scans whose time is up."""
        return [key for key, scan in self.open.items() if scan.deadline is not None and scan.deadline <= now]
