"""The process manager: from events to commands, and who is handed the next chunk.

Pure bookkeeping over the log: everything here can be rebuilt from the events of the open scans and what the command
stream holds. No I/O, no clock.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

from application.fairness import Claimant, Turns, window
from application.messages import ControlState
from application.ports import Recorded
from domain.chunk import TARGET_SECONDS, cost
from domain.scan import Scan, Status, UnitStatus, evolve
from domain.scan_events import (
    ENDINGS,
    ChunkCompleted,
    ChunkFailed,
    ListingFailed,
    ListingSplit,
    ObjectsListed,
    Paused,
    Queued,
    Resumed,
    ScanEvent,
)

LARGE_SECONDS: Final = 1.5 * TARGET_SECONDS
"""A chunk that is expected to take this long goes before shorter ones."""


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


@dataclass(frozen=True, slots=True)
class Grant:
    """A chunk whose turn it is."""

    scan: str
    chunk: int
    attempt: int


def react(scan_id: str, event: ScanEvent, after: Scan) -> list[Directive]:
    """What an event calls for at once. Chunks are another matter: they wait for their turn."""
    if isinstance(event, ENDINGS):
        return [Tell(scan_id, ControlState.STOP)]
    match event:
        case Queued():
            return [ListingDue(scan_id, unit) for unit in after.units]
        case Paused() | Resumed() if after.open:
            return [Tell(scan_id, control_state(after)), *listings_due(scan_id, after)]
        case ListingSplit():
            added = range(event.first_unit, event.first_unit + len(event.units))
            return [due for due in listings_due(scan_id, after) if due.unit in added]
        case ListingFailed(final=False) | ObjectsListed(continues=True):
            return [due for due in listings_due(scan_id, after) if due.unit == event.unit]
        case ObjectsListed(limit_reached=True) if after.open:
            return [Tell(scan_id, control_state(after))]
        case _:
            return []


def control_state(scan: Scan) -> ControlState:
    """What the workers of a scan must heed as things stand."""
    if not scan.open:
        return ControlState.STOP
    if scan.status is Status.PAUSED:
        return ControlState.PAUSE
    return ControlState.STOP_LISTING if scan.limit_reached else ControlState.RUN


def listings_due(scan_id: str, scan: Scan) -> list[ListingDue]:
    """The units that are still to be listed to their end, unless the scan is paused."""
    if not scan.open or scan.status is Status.PAUSED:
        return []
    return [ListingDue(scan_id, number) for number, unit in scan.units.items() if unit.status is UnitStatus.OPEN]


@dataclass(slots=True)
class OpenScan:
    """One open scan: its state by the log, chunks waiting for a command, and commands not answered yet.

    Parts of huge objects, and what takes about as long or longer, are `large`: they go before all others, the longest
    first, for what takes longest must not begin last.
    """

    scan_id: str
    scan: Scan = field(default_factory=Scan)
    ready: deque[int] = field(default_factory=deque)
    large: list[tuple[float, int]] = field(default_factory=list)
    outstanding: dict[int, int] = field(default_factory=dict)
    turn: int = 0
    position: int = 0
    """Where in the log the scan was queued."""
    inventories_ready: bool = False
    """Whether the inventories are known to have reached that far."""

    def claimant(self) -> Claimant:
        """What the scan could send: as many chunks as are ready, and max_workers leaves room for."""
        options = self.scan.options
        assert options is not None
        room = options.max_workers - len(self.outstanding)
        most = 0 if self.scan.status is Status.PAUSED else min(len(self.ready) + len(self.large), room)
        return Claimant(self.scan_id, self.scan.tenant, options.weight, len(self.outstanding), most, self.turn)

    @property
    def deadline(self) -> datetime | None:
        return self.scan.deadline

    def note(self, event: ScanEvent) -> None:
        self.scan = evolve(self.scan, event)
        match event:
            case ObjectsListed():
                self._put(range(event.first_chunk, event.first_chunk + len(event.chunks)))
            case ChunkCompleted():
                self.outstanding.pop(event.chunk, None)
            case ChunkFailed():
                self.outstanding.pop(event.chunk, None)
                if event.replaced_by:
                    self._put(range(event.first_chunk, event.first_chunk + len(event.replaced_by)))
                elif not event.final:
                    self._put([event.chunk])
            case _:
                pass

    def make_ready(self) -> None:
        """All that is pending and not outstanding waits for a command, in order."""
        self.ready.clear()
        self.large.clear()
        self._put(chunk for chunk in sorted(self.scan.pending) if chunk not in self.outstanding)

    def _put(self, chunks: Iterable[int]) -> None:
        for number in chunks:
            if (seconds := self._seconds_if_large(number)) is not None:
                heappush(self.large, (-seconds, number))
            else:
                self.ready.append(number)

    def _seconds_if_large(self, number: int) -> float | None:
        """How long a chunk is expected to take, if that is long."""
        chunk = self.scan.pending[number].chunk
        seconds = cost(chunk.files, chunk.bytes)
        return seconds if chunk.parts > 1 or seconds >= LARGE_SECONDS else None

    def put_back(self, chunk: int) -> bool:
        """The chunk's command was lost: it is the next to be sent. False if it was not outstanding."""
        lost = self.outstanding.pop(chunk, None) is not None
        if lost and self._seconds_if_large(chunk) is None:
            self.ready.appendleft(chunk)
        elif lost:
            self._put([chunk])
        return lost

    def take(self) -> int | None:
        """The next chunk to send."""
        if self.large:
            return heappop(self.large)[1]
        return self.ready.popleft() if self.ready else None

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
        self._turns = Turns()

    def restore(self, scan_id: str, history: Iterable[Recorded], in_stream: Iterable[tuple[int, int]]) -> None:
        """Take up an open scan from its events; `in_stream` are the (chunk, attempt) whose commands still wait."""
        scan, position = Scan(), 0
        for record in history:
            position = position or record.position
            scan = evolve(scan, record.event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        kept = OpenScan(scan_id, scan, position=position)
        for chunk, attempt in in_stream:
            kept.sent(chunk, attempt)
        kept.make_ready()
        if scan.open:
            self.open[scan_id] = kept

    def note(self, record: Recorded) -> list[Directive]:
        """Take in the next event of the log. Events known already change nothing."""
        event = record.event
        if isinstance(event, Queued) and record.stream not in self.open and record.version == 1:
            self.open[record.stream] = OpenScan(record.stream, position=record.position)
        kept = self.open.get(record.stream)
        if kept is None or record.version <= kept.scan.version:
            return []
        kept.note(event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        if not kept.scan.open:
            del self.open[record.stream]
        return react(record.stream, event, kept.scan)  # type: ignore[arg-type]  # likewise

    def grants(self, slots: int, chunks_a_second: float) -> list[Grant]:
        """The chunks to send now, as `Turns` says, never above a scan's max_workers."""
        claimants = [kept.claimant() for kept in self.open.values()]
        taken = self._turns.taken(claimants, self.outstanding(), window(slots, chunks_a_second))
        granted = (self._grant(self.open[claimant.key], claimant.turn) for claimant in taken)
        return [grant for grant in granted if grant is not None]

    @staticmethod
    def _grant(kept: OpenScan, turn: int) -> Grant | None:
        kept.turn = turn
        chunk = kept.take()
        attempt = None if chunk is None else kept.attempt(chunk)
        if chunk is None or attempt is None or chunk in kept.outstanding:
            return None
        kept.outstanding[chunk] = attempt
        return Grant(kept.scan_id, chunk, attempt)

    def outstanding(self) -> int:
        return sum(len(scan.outstanding) for scan in self.open.values())

    def overdue(self, now: datetime) -> list[str]:
        """Scans whose time is up."""
        return [key for key, scan in self.open.items() if scan.deadline is not None and scan.deadline <= now]
