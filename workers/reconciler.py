"""What was sent and not answered: still waiting in the stream, in somebody's hands, or lost."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import structlog

from application.orchestration import ListingDue, OpenScan, Orchestrator
from domain.errors import ServiceUnavailable
from domain.scan import Status, UnitStatus
from infrastructure.wiring import COMMANDS, REPORTS, Broker
from workers.fleet import Fleet

_HURRIED_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 5.0
"""At most; with a shorter ack wait, as often as that."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Commands in the stream, as (scan, chunk, attempt) and (scan, unit, attempt)."""

    chunks: set[tuple[str, int, int]] = field(default_factory=set)
    listings: set[tuple[str, int, int]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.chunks or self.listings)


def chunk_key(scan_id: str, chunk: int, attempt: int) -> str:
    """What the command for a chunk goes by, and the stem of its message id."""
    return f"{scan_id}/{chunk}/{attempt}"


def listing_key(scan_id: str, unit: int, attempt: int) -> str:
    """Likewise for the listing of a unit."""
    return f"{scan_id}/unit-{unit}/{attempt}"


class Reconciler:
    """PostgreSQL is the truth, the streams only carry. What nobody has for 2 × ack_wait is sent again.

    It lasts for a term of leadership, of which `term` is the name. `under_way(key)` says what is being sent.
    """

    def __init__(
        self, broker: Broker, fleet: Fleet, ack_wait: float, *, term: str, under_way: Callable[[str], bool]
    ) -> None:
        self._broker = broker
        self._fleet = fleet
        self._term = term
        self._under_way = under_way
        self._patience = 2 * ack_wait
        self._look_every = min(_LOOK_SECONDS, ack_wait)
        self._sent: dict[str, float] = {}
        self._times: dict[str, int] = {}
        self._barriers: dict[str, int] = {}
        self._called_off: set[str] = set()
        self._held_up: set[str] = set()
        self._hurried: set[str] = set()
        self._looked = time.monotonic()
        self._found_lost = 0

    def sending(self, key: str) -> str:
        """Note that the command `scan/chunk/attempt` is being sent; gives its message id.

        Sent again, in this term or another, it has another id, for the stream would take it for a duplicate.
        """
        self._sent[key] = time.monotonic()
        return f"{key}/{self._term}/{self._times.get(key, 0)}"

    def forget(self, scan_id: str) -> None:
        """The scan has ended, and its workers were told."""
        self._called_off.add(scan_id)
        for key in [key for key in self._sent if key.startswith(f"{scan_id}/")]:
            del self._sent[key]
            self._times.pop(key, None)

    def tell_again(self) -> None:
        """Whatever was told may be lost."""
        self._called_off.clear()

    async def strangers(self, open_scans: Collection[str]) -> set[str]:
        """Scans that have commands in the stream or in work, are none of the open ones, and were not called off.

        A log that was restored from a backup may not know them, or have ended them without anybody being told.
        """
        try:
            subjects = await self._broker.subjects(COMMANDS)
        except ServiceUnavailable:
            return set()
        seen = {subject.rpartition(".")[2] for subject in subjects} | {work.scan for work in self._fleet.in_hand()}
        self._called_off &= seen
        return seen.difference(open_scans, self._called_off)

    def held_up(self) -> set[str]:
        """The scans of which something was found lost since this was last asked.

        Their workers may have dropped it on a word that was overtaken, and will again until they hear another.
        """
        held_up, self._held_up = self._held_up, set()
        return held_up

    def found_lost(self) -> int:
        """How many commands were found lost since this was last asked."""
        found, self._found_lost = self._found_lost, 0
        return found

    def hurry(self, kept: OpenScan) -> None:
        """The scan goes on after a pause: what is outstanding and nobody has was dropped meanwhile, and is lost now."""
        self._hurried |= {chunk_key(kept.scan_id, chunk, attempt) for chunk, attempt in kept.outstanding.items()}

    @property
    def hurried(self) -> bool:
        """Whether there is something that cannot wait for the next look."""
        return bool(self._hurried)

    def due(self) -> bool:
        every = min(_HURRIED_SECONDS, self._look_every) if self._hurried else self._look_every
        return time.monotonic() - self._looked >= every

    async def lost(self, orchestrator: Orchestrator) -> list[ListingDue]:
        """Make lost chunks ready again; gives the listings whose attempt has come to nothing."""
        self._looked = time.monotonic()
        suspected = self._suspects(orchestrator)
        self._hurried &= {chunk_key(*suspect) for suspect in suspected.chunks}
        try:
            suspects = await self._unanswered(suspected)
            if not suspects:
                return []
            waiting = await self.commands_in_stream()
        except ServiceUnavailable:
            return []
        self._hurried -= {chunk_key(*suspect) for suspect in suspects.chunks}
        for scan_id, chunk, attempt in suspects.chunks - waiting.chunks:
            log.warning("reconciler.chunk_lost", scan=scan_id, chunk=chunk, attempt=attempt)
            kept = orchestrator.open.get(scan_id)
            if kept is not None and kept.put_back(chunk):
                self._held_up.add(scan_id)
                self._again(chunk_key(scan_id, chunk, attempt))
        due: list[ListingDue] = []
        for scan_id, unit, attempt in suspects.listings - waiting.listings:
            log.warning("reconciler.listing_lost", scan=scan_id, unit=unit, attempt=attempt)
            self._held_up.add(scan_id)
            self._again(listing_key(scan_id, unit, attempt))
            due.append(ListingDue(scan_id, unit))
        return due

    async def _unanswered(self, suspects: Waiting) -> Waiting:
        """Those suspects whose answer is not among the reports still to be recorded. Raises ServiceUnavailable.

        An answer would be behind none of the reports that waited when its command was first suspected: so once those
        are recorded, however many have come since, there is none.
        """
        if not suspects:
            self._barriers.clear()
            return suspects
        try:
            state = (await self._broker.jetstream.stream_info(REPORTS)).state
        except Exception as error:
            raise ServiceUnavailable("The broker does not answer.") from error

        def passed(key: str) -> bool:
            barrier = min(self._barriers.get(key, state.last_seq), state.last_seq)
            barriers[key] = barrier
            return state.messages == 0 or state.first_seq > barrier

        barriers: dict[str, int] = {}
        unanswered = Waiting(
            {suspect for suspect in suspects.chunks if passed(chunk_key(*suspect))},
            {suspect for suspect in suspects.listings if passed(listing_key(*suspect))},
        )
        self._barriers = barriers
        return unanswered

    def _again(self, key: str) -> None:
        self._found_lost += 1
        self._times[key] = self._times.get(key, 0) + 1

    def _suspects(self, orchestrator: Orchestrator) -> Waiting:
        """What was sent long ago, and nobody says to be working on."""
        hands = {(work.scan, work.chunk, work.unit) for work in self._fleet.in_hand()}
        suspects = Waiting()
        for scan_id, kept in orchestrator.open.items():
            if kept.scan.status is Status.PAUSED:
                # What its workers drop is looked for when the scan goes on.
                continue
            for chunk, attempt in kept.outstanding.items():
                if (scan_id, chunk, None) not in hands and self._old(chunk_key(scan_id, chunk, attempt)):
                    suspects.chunks.add((scan_id, chunk, attempt))
            for number, unit in kept.scan.units.items():
                if unit.status is not UnitStatus.OPEN or (scan_id, None, number) in hands:
                    continue
                if self._old(listing_key(scan_id, number, unit.attempt)):
                    suspects.listings.add((scan_id, number, unit.attempt))
        return suspects

    def _old(self, key: str) -> bool:
        if self._under_way(key):
            self._sent[key] = time.monotonic()
        # Found in the stream at take-over, not sent by us: its age counts from when it is first looked at.
        sent = self._sent.setdefault(key, time.monotonic())
        return key in self._hurried or time.monotonic() - sent > self._patience

    async def commands_in_stream(self) -> Waiting:
        """All commands that no worker has acknowledged. Raises ServiceUnavailable."""
        waiting = Waiting()
        async for message_id in self._broker.message_ids(COMMANDS):
            scan_id, what, attempt, *_ = message_id.split("/")
            if what.startswith("unit-"):
                waiting.listings.add((scan_id, int(what.removeprefix("unit-")), int(attempt)))
            else:
                waiting.chunks.add((scan_id, int(what), int(attempt)))
        return waiting
