"""What may happen to a scan: every decision, from its state, a report and the time to events.

Decisions are pure and idempotent. A report for a chunk that is not open, from an attempt that was superseded, or after
the end gives no event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.chunk import Chunk, Earlier, Plan, Sized, isolated, plan
from domain.coverage import FailReason, Outcome
from domain.manifest import ObjectInfo
from domain.policy import MAX_LISTING_FAILURES
from domain.scan_events import (
    Cancelled,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListingStarted,
    ListingUnit,
    ObjectsListed,
    Paused,
    Resumed,
    ScanEvent,
    TimedOut,
)
from domain.scan_evolution import evolve, outcome_of
from domain.scan_state import (
    ChunkState,
    EndReason,
    LostReason,
    ScanState,
    Status,
    UnitState,
    UnitStatus,
    enumeration_status,
    final_reason,
    is_failure,
    is_given_up,
    is_to_be_parted,
    share_listed,
)
from domain.verdict import verdict

__all__ = [
    "ChunkState",
    "EndReason",
    "Listed",
    "LostReason",
    "Scan",
    "Status",
    "TooEarly",
    "UnitState",
    "UnitStatus",
    "enumeration_status",
    "evolve",
    "outcome_of",
    "share_listed",
]


class TooEarly(Exception):
    """The report builds on one that has not been recorded yet; deliver it again in a moment."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The decision on a listing batch: its events, and the plan that the manifest page keeps."""

    events: Sequence[ScanEvent]
    objects: Sequence[ObjectInfo]
    plan: Plan
    first_index: int


@dataclass(frozen=True, slots=True)
class Scan(ScanState):
    """A scan that can decide."""

    # Listing ------------------------------------------------------------------------------------------------------

    def start_listing(self, unit: int, *, attempt: int, worker: str, at: datetime) -> list[ScanEvent]:
        state = self._open_unit(unit, attempt)
        if state is None or state.started:
            return []
        return [
            ListingStarted(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                prefix=state.unit.prefix,
                attempt=attempt,
                worker=worker,
            )
        ]

    def list_objects(
        self,
        unit: int,
        *,
        attempt: int,
        batch: int,
        objects: Sequence[ObjectInfo],
        worker: str,
        at: datetime,
        earlier: Earlier | None = None,
        continues: bool = False,
    ) -> Listed | None:
        """Take a batch of a listing: exactly the next one, once. `earlier` is what other scans tell of its objects.

        None for a repeated or superseded batch; raises TooEarly when the batch before it is still to come.
        """
        state = self._open_unit(unit, attempt)
        if state is None or batch <= state.batches or not objects:
            return None
        if batch > state.batches + 1:
            raise TooEarly
        assert self.options is not None
        first_index, room = self.coverage.enumerated, self.options.max_files - self.planned
        planned = plan(objects, first_index=first_index, filters=self.options.filters, room=room, earlier=earlier)
        event = ObjectsListed(
            at=at,
            actor=f"worker:{worker}",
            unit=unit,
            connector=state.unit.connector,
            worker=worker,
            batch=batch,
            first_index=first_index,
            files=len(objects),
            bytes=planned.bytes,
            last_key=objects[-1].key,
            first_chunk=self.chunks,
            chunks=planned.chunks,
            skipped=planned.skipped,
            limit_reached=planned.limit_reached,
            continues=continues,
        )
        events = self._and_ending(event) if event.limit_reached else [event]
        return Listed(events, objects, planned, first_index)

    def split_listing(
        self, unit: int, *, attempt: int, bounds: Sequence[str], worker: str, at: datetime
    ) -> list[ScanEvent]:
        """Part the rest of a unit at `bounds`: it ends at the first of them, and each further piece is a unit.

        Bounds that are not in order, or not within what is still to be listed, change nothing.
        """
        state = self._open_unit(unit, attempt)
        if state is None or not bounds or not _cuts(state, bounds):
            return []
        ends = (*bounds[1:], state.unit.until)
        return [
            ListingSplit(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                worker=worker,
                until=bounds[0],
                first_unit=len(self.units),
                units=tuple(
                    ListingUnit(state.unit.connector, state.unit.prefix, after, until)
                    for after, until in zip(bounds, ends, strict=True)
                ),
            )
        ]

    def complete_listing(
        self, unit: int, *, attempt: int, batches: int, until: str = "", worker: str, at: datetime
    ) -> list[ScanEvent]:
        """A unit was listed as far as `until` in `batches` batches, all attempts together.

        Raises TooEarly as list_objects, and while the report that it ends there is still to come.
        """
        state = self._open_unit(unit, attempt)
        if state is None:
            return []
        if batches > state.batches or until != state.unit.until:
            raise TooEarly
        return self._and_ending(
            ListingCompleted(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                worker=worker,
                batches=batches,
            )
        )

    def fail_listing(
        self, unit: int, *, attempt: int, reason: str, detail: str, permanent: bool, worker: str, at: datetime
    ) -> list[ScanEvent]:
        """An attempt at a unit failed. Given up when trying again cannot help, or failed too often in a row."""
        state = self._open_unit(unit, attempt)
        if state is None:
            return []
        return self._and_ending(
            ListingFailed(
                at=at,
                actor=f"worker:{worker}",
                unit=unit,
                connector=state.unit.connector,
                worker=worker,
                attempt=attempt,
                reason=reason,
                detail=detail,
                final=permanent or state.failures + is_failure(state, reason) >= MAX_LISTING_FAILURES,
            )
        )

    # Chunks -------------------------------------------------------------------------------------------------------

    def start_chunk(self, chunk: int, *, attempt: int, worker: str, at: datetime) -> list[ScanEvent]:
        state = self.chunk_in_work(chunk, attempt)
        if state is None or state.worker is not None:
            return []
        return [
            ChunkStarted(
                at=at,
                actor=f"worker:{worker}",
                chunk=chunk,
                attempt=attempt,
                worker=worker,
                connector=state.connector,
                start_index=state.chunk.start,
                end_index=state.chunk.end,
                files=state.chunk.files,
            )
        ]

    def complete_chunk(
        self, chunk: int, *, attempt: int, outcome: Outcome, worker: str, started_at: datetime, at: datetime
    ) -> list[ScanEvent]:
        """Account for a chunk. An outcome that does not add up to the chunk's objects is a failed attempt.

        Of a part of a huge object `outcome` tells what became of the part, with the findings of the whole object if it
        is the last one in. The object failed if any part did.
        """
        state = self.chunk_in_work(chunk, attempt)
        if state is None:
            return []
        if outcome.files != state.chunk.files:
            return self.fail_chunk(chunk, attempt=attempt, reason=LostReason.INVALID_REPORT, worker=worker, at=at)
        part_reason = ""
        if state.chunk.parts > 1:
            part_reason = next(iter((*outcome.failed, *outcome.skipped)), "")
            outcome = self._with_other_parts(chunk, state.chunk, outcome)
        return self._and_ending(
            ChunkCompleted(
                at=at,
                actor=f"worker:{worker}",
                chunk=chunk,
                attempt=attempt,
                worker=worker,
                files=outcome.files,
                scanned=outcome.scanned,
                started_at=started_at,
                bytes_read=outcome.bytes_read,
                findings=outcome.findings,
                skipped=dict(outcome.skipped),
                failed=dict(outcome.failed),
                part_reason=part_reason,
                allowed=outcome.allowed,
            )
        )

    def is_last_part(self, number: int) -> bool:
        """Whether a pending chunk is a part of a huge object, all of whose other parts are accounted for."""
        chunk = self.pending[number].chunk
        first = number - chunk.part
        others = (other for other in range(first, first + chunk.parts) if other != number)
        return chunk.parts > 1 and not any(other in self.pending for other in others)

    def _with_other_parts(self, number: int, chunk: Chunk, outcome: Outcome) -> Outcome:
        """What the part comes to for its object: nothing, unless it is the last one in."""
        if not self.is_last_part(number):
            return Outcome(bytes_read=outcome.bytes_read, allowed=outcome.allowed)
        earlier = self.parts_in.get(chunk.start, "")
        if outcome.failed or not earlier:
            return outcome
        counts = {earlier: 1}
        failed = earlier in set(FailReason)
        if not failed and outcome.skipped:
            return outcome
        return Outcome(
            skipped={} if failed else counts,
            failed=counts if failed else {},
            bytes_read=outcome.bytes_read,
            findings=outcome.findings,
            allowed=outcome.allowed,
        )

    def fail_chunk(
        self,
        chunk: int,
        *,
        attempt: int,
        reason: LostReason,
        worker: str,
        at: datetime,
        suspect: int | None = None,
        objects: Sequence[Sized] = (),
        findings: int = 0,
    ) -> list[ScanEvent]:
        """An attempt was lost. A stopped worker is no one's fault; for any other loss the chunk's `objects` are parted,
        so that the one to blame, the `suspect` if there is one, does not take its neighbours with it. An object that
        stands alone and keeps losing its worker is given up.

        `worker` is who says so; the event names the one that was at work, if any was. `findings` are those of the other
        parts of a huge object, when this is the last one in.
        """
        state = self.chunk_in_work(chunk, attempt)
        if state is None:
            return []
        parted: tuple[Chunk, ...] = ()
        if len(objects) > 1 and is_to_be_parted(state, reason):
            parted = isolated(objects, suspect)
        final = not parted and is_given_up(state, reason)
        decides = final and (state.chunk.parts == 1 or self.is_last_part(chunk))
        return self._and_ending(
            ChunkFailed(
                at=at,
                actor=f"worker:{worker}",
                chunk=chunk,
                attempt=attempt,
                worker=state.worker or worker,
                reason=final_reason(reason) if final else reason,
                final=final,
                files=state.chunk.files if decides or not final else 0,
                findings=findings if decides else 0,
                first_chunk=self.chunks if parted else 0,
                replaced_by=parted,
            )
        )

    # The whole ----------------------------------------------------------------------------------------------------

    def cancel(self, *, actor: str, at: datetime) -> list[ScanEvent]:
        return [Cancelled(at=at, actor=actor)] if self.open else []

    def pause(self, *, actor: str, at: datetime) -> list[ScanEvent]:
        return [Paused(at=at, actor=actor)] if self.open and self.status is not Status.PAUSED else []

    def resume(self, *, actor: str, at: datetime) -> list[ScanEvent]:
        return [Resumed(at=at, actor=actor)] if self.status is Status.PAUSED else []

    def time_out(self, *, at: datetime) -> list[ScanEvent]:
        """End the scan if its time is over; before that, while it is paused, and after the end, nothing."""
        if not self.open or self.options is None or self.deadline is None or at < self.deadline:
            return []
        over = TimedOut(at=at, actor="system:timer", timeout_minutes=self.options.timeout_minutes)
        return [over, verdict(evolve(self, over), at=at, timed_out=True)]

    def _and_ending(self, event: ScanEvent) -> list[ScanEvent]:
        # No event accounts for more than one chunk.
        if len(self.pending) > 1:
            return [event]
        after = evolve(self, event)
        if after.pending or any(u.status is UnitStatus.OPEN for u in after.units.values()):
            return [event]
        return [event, verdict(after, at=event.at)]

    def _open_unit(self, unit: int, attempt: int) -> UnitState | None:
        state = self.units.get(unit) if self.open else None
        usable = state is not None and state.status is UnitStatus.OPEN and state.attempt == attempt
        return state if usable else None

    def cut_by(self, plan: str, chunk: int) -> bool:
        """Whether the chunk is not accounted for, and of this plan: else what is said of it is of other objects."""
        state = self.pending.get(chunk)
        return state is not None and state.plan == plan

    def chunk_in_work(self, chunk: int, attempt: int) -> ChunkState | None:
        """The chunk, if the scan is open, the chunk is not accounted for, and this is the attempt that counts."""
        state = self.pending.get(chunk) if self.open else None
        return state if state is not None and state.attempt == attempt else None


def _cuts(state: UnitState, bounds: Sequence[str]) -> bool:
    """Whether `bounds` part what a unit has still to list into pieces, in order."""
    ascending = all(a < b for a, b in zip((state.reached, *bounds), bounds, strict=False))
    return ascending and (not state.unit.until or bounds[-1] < state.unit.until)
