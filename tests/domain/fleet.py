"""All reports of one scan, delivered in any order and any number of times."""

from collections.abc import Callable, Sequence
from random import Random

from domain.coverage import Outcome
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan, TooEarly, evolve
from domain.scan_events import ChunkFailed, ObjectsListed, ScanEvent
from tests.domain.given import KEY, LATER, NOON, queued

Report = Callable[[Scan], Sequence[ScanEvent]]
Units = Sequence[Sequence[Sequence[ObjectInfo]]]
"""Per listing unit its batches."""


class Fleet:
    """A chunk's reports exist once its batch is recorded, as in life; every third chunk may lose its first attempt.

    What becomes of an object depends on its key alone (`fails`), so that the sums must not depend on the order.
    """

    def __init__(self, units: Units, random: Random) -> None:
        self.scan = evolve(Scan(), queued(len(units), coverage_target=0.0))
        self.events: list[ScanEvent] = []
        self._bag: list[Report] = []
        self._random = random
        self._keys: list[str] = []
        for unit, batches in enumerate(units):
            self._send(listing_begins(unit))
            for number, found in enumerate(batches, 1):
                self._send(self._listing(unit, number, found))
            self._send(listing_ends(unit, len(batches)))

    def deliver(self, most: int = 1_000_000) -> None:
        """Deliver up to `most` reports; what is too early goes back into the bag."""
        while self._bag and most:
            report = self._bag.pop(self._random.randrange(len(self._bag)))
            try:
                self._record(report(self.scan))
            except TooEarly:
                self._bag.append(report)
            most -= 1

    def cancel(self) -> None:
        self._record(self.scan.cancel(actor=KEY, at=LATER))

    def _send(self, report: Report) -> None:
        self._bag.extend([report] * self._random.randint(1, 3))

    def _listing(self, unit: int, batch: int, found: Sequence[ObjectInfo]) -> Report:
        def report(scan: Scan) -> Sequence[ScanEvent]:
            listed = scan.list_objects(unit, attempt=1, batch=batch, objects=found, worker="w", at=LATER)
            if listed is None:
                return []
            self._keys.extend(entry.key for entry in found)
            return listed.events

        return report

    def _record(self, events: Sequence[ScanEvent]) -> None:
        for event in events:
            self.scan = evolve(self.scan, event)
            self.events.append(event)
            match event:
                case ObjectsListed():
                    for number in range(event.first_chunk, event.first_chunk + len(event.chunks)):
                        self._hand_out(number, attempt=1)
                case ChunkFailed(final=False):
                    self._hand_out(event.chunk, attempt=event.attempt + 1)
                case _:
                    pass

    def _hand_out(self, chunk: int, attempt: int) -> None:
        place = self.scan.pending[chunk].chunk
        keys = self._keys[place.start : place.end + 1]
        failed = sum(map(fails, keys))
        outcome = Outcome(len(keys) - failed, failed={"network": failed} if failed else {}, findings=len(keys))
        self._send(chunk_begins(chunk, attempt))
        self._send(chunk_ends(chunk, attempt, outcome))
        if chunk % 3 == 0 and attempt == 1:
            self._send(chunk_is_lost(chunk, attempt))


def fails(key: str) -> bool:
    return key.endswith(("3.csv", "7.csv"))


def listing_begins(unit: int) -> Report:
    return lambda scan: scan.start_listing(unit, attempt=1, worker="w", at=LATER)


def listing_ends(unit: int, batches: int) -> Report:
    return lambda scan: scan.complete_listing(unit, attempt=1, batches=batches, worker="w", at=LATER)


def chunk_begins(chunk: int, attempt: int) -> Report:
    return lambda scan: scan.start_chunk(chunk, attempt=attempt, worker="w", at=LATER)


def chunk_ends(chunk: int, attempt: int, outcome: Outcome) -> Report:
    return lambda scan: scan.complete_chunk(
        chunk, attempt=attempt, outcome=outcome, worker="w", started_at=NOON, at=LATER
    )


def chunk_is_lost(chunk: int, attempt: int) -> Report:
    return lambda scan: scan.fail_chunk(chunk, attempt=attempt, reason=LostReason.WORKER_LOST, worker="w", at=LATER)
