"""A scan beside a model of it that a child could keep: a list of objects, each with what became of it."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.coverage import CoverageStrategy, Outcome
from domain.policy import MAX_CHUNK_ATTEMPTS, MAX_CHUNK_LOSSES, MAX_LISTING_FAILURES
from domain.scan import LostReason, Scan, Status, TooEarly, evolve
from domain.scan_events import ObjectsListed, ScanEvent
from tests.domain.given import ALONE, KEY, LATER, NOON, objects, queued

UNITS = 2
units = st.integers(0, UNITS - 1)
picks = st.integers(0, 9)


class ScanMachine(RuleBasedStateMachine):
    """Every rule sends one report, and notes in the model what ought to come of it."""

    @initialize(
        max_files=st.sampled_from([4, 1000]),
        share=st.sampled_from(["0.0", "0.5", "0.8", "1.0"]),
        strategy=st.sampled_from(CoverageStrategy),
    )
    def begin(self, max_files: int, share: str, strategy: CoverageStrategy) -> None:
        start = queued(UNITS, max_files=max_files, coverage_target=float(share), coverage_strategy=strategy)
        self.scan = evolve(Scan(), start)
        self.target, self.strict, self.max_files = Fraction(share), strategy is CoverageStrategy.STRICT, max_files
        self.objects: list[str] = []
        self.units = ["open"] * UNITS
        self.failures = [0] * UNITS
        self.batches = [0] * UNITS
        self.chunks: dict[int, list[int]] = {}
        self.begun: set[int] = set()
        self.losses: Counter[int] = Counter()
        self.failures_of: Counter[int] = Counter()
        self.numbers = 0
        self.ending: str | None = None
        self.paused = False

    # What comes of it -------------------------------------------------------------------------------------------

    def take(self, events: Sequence[ScanEvent], *kinds: str) -> None:
        """These events, and the ending if nothing is left."""
        left = self.chunks or "open" in self.units
        expected = list(kinds)
        if kinds and not left and self.ending is None:
            self.ending = self.verdict()
            expected.append(self.ending)
        assert [event.kind for event in events] == expected
        for event in events:
            self.scan = evolve(self.scan, event)

    def verdict(self) -> str:
        covered = self.objects.count("scanned")
        whole = self.units == ["complete"] * UNITS
        share = Fraction(covered, len(self.objects)) if self.objects else Fraction(int(whole))
        if not self.objects and "complete" not in self.units:
            return "scan.failed"
        if share < self.target and self.strict:
            return "scan.failed"
        if not whole or share < self.target or "worker_lost" in self.objects:
            return "scan.partially-completed"
        return "scan.completed"

    @property
    def over(self) -> bool:
        return self.ending is not None

    # Listing ----------------------------------------------------------------------------------------------------

    @rule(unit=units, count=st.integers(1, 4), empty=st.integers(0, 2), size=st.sampled_from([ALONE, 10]))
    def list_next_batch(self, unit: int, count: int, empty: int, size: int) -> None:
        found = [*objects(count, size=size), *objects(empty, size=0)]
        attempt = self.scan.units[unit].attempt
        batch = self.batches[unit] + 1
        listed = self.scan.list_objects(unit, attempt=attempt, batch=batch, objects=found, worker="w", at=LATER)
        if self.over or self.units[unit] != "open":
            assert listed is None
            return
        assert listed is not None
        self.batches[unit], self.failures[unit] = batch, 0
        self.note_objects(count, empty)
        event = listed.events[0]
        assert isinstance(event, ObjectsListed)
        assert event.first_chunk == self.numbers
        self.numbers += len(event.chunks)
        for number, chunk in enumerate(event.chunks, event.first_chunk):
            self.chunks[number] = [at for at in range(chunk.start, chunk.end + 1) if self.objects[at] == "remaining"]
        self.take(listed.events, "scan.objects-listed")

    def note_objects(self, count: int, empty: int) -> None:
        planned = sum(what not in {"empty", "max_files"} for what in self.objects)
        taken = min(count, self.max_files - planned)
        self.objects += ["remaining"] * taken + ["max_files"] * (count - taken) + ["empty"] * empty
        if taken < count:
            self.units = ["stopped" if unit == "open" else unit for unit in self.units]

    @rule(unit=units, ahead=st.integers(2, 3))
    def list_a_batch_too_early(self, unit: int, ahead: int) -> None:
        attempt = self.scan.units[unit].attempt
        batch = self.batches[unit] + ahead
        try:
            taken = self.scan.list_objects(unit, attempt=attempt, batch=batch, objects=objects(1), worker="w", at=LATER)
            assert taken is None
            assert self.over or self.units[unit] != "open"
        except TooEarly:
            assert self.units[unit] == "open"

    @rule(unit=units, back=st.integers(0, 2))
    def list_a_batch_again(self, unit: int, back: int) -> None:
        attempt = self.scan.units[unit].attempt
        batch = self.batches[unit] - back
        found = objects(1)
        assert self.scan.list_objects(unit, attempt=attempt, batch=batch, objects=found, worker="w", at=LATER) is None

    @rule(unit=units, stale=st.booleans())
    def end_listing(self, unit: int, stale: bool) -> None:
        attempt = self.scan.units[unit].attempt - stale
        counts = not stale and not self.over and self.units[unit] == "open"
        events = self.scan.complete_listing(unit, attempt=attempt, batches=self.batches[unit], worker="w", at=LATER)
        if counts:
            self.units[unit] = "complete"
        self.take(events, *["scan.listing-completed"] * counts)

    @rule(unit=units, permanent=st.sampled_from([False, False, False, True]))
    def fail_listing(self, unit: int, permanent: bool) -> None:
        attempt = self.scan.units[unit].attempt
        counts = not self.over and self.units[unit] == "open"
        events = self.scan.fail_listing(
            unit, attempt=attempt, reason="x", detail="y", permanent=permanent, worker="w", at=LATER
        )
        if counts:
            self.failures[unit] += 1
            if permanent or self.failures[unit] == MAX_LISTING_FAILURES:
                self.units[unit] = "failed"
        self.take(events, *["scan.listing-failed"] * counts)

    # Chunks -----------------------------------------------------------------------------------------------------

    def chunk(self, pick: int) -> int:
        return sorted(self.chunks)[pick % len(self.chunks)]

    @rule(pick=picks)
    @precondition(lambda self: self.chunks)
    def begin_chunk(self, pick: int) -> None:
        chunk = self.chunk(pick)
        attempt = self.scan.pending[chunk].attempt
        counts = not self.over and chunk not in self.begun
        events = self.scan.start_chunk(chunk, attempt=attempt, worker="w", at=LATER)
        self.begun.add(chunk)
        self.take(events, *["scan.chunk-started"] * counts)

    @rule(pick=picks, failed=st.integers(0, 2), stale=st.booleans())
    @precondition(lambda self: self.chunks)
    def end_chunk(self, pick: int, failed: int, stale: bool) -> None:
        chunk = self.chunk(pick)
        inside = self.chunks[chunk]
        failed = min(failed, len(inside))
        outcome = Outcome(len(inside) - failed, failed={"network": failed})
        attempt = self.scan.pending[chunk].attempt - stale
        events = self.report(chunk, attempt, outcome)
        counts = not stale and not self.over
        if counts:
            self.account(chunk, ["network"] * failed + ["scanned"] * (len(inside) - failed))
        self.take(events, *["scan.chunk-completed"] * counts)
        assert self.report(chunk, attempt, outcome) == []

    def report(self, chunk: int, attempt: int, outcome: Outcome) -> list[ScanEvent]:
        return self.scan.complete_chunk(chunk, attempt=attempt, outcome=outcome, worker="w", started_at=NOON, at=LATER)

    def account(self, chunk: int, fates: Sequence[str]) -> None:
        for at, fate in zip(self.chunks.pop(chunk), fates, strict=True):
            self.objects[at] = fate

    @rule(pick=picks, reason=st.sampled_from(LostReason), suspect=st.none() | picks)
    @precondition(lambda self: self.chunks)
    def lose_chunk(self, pick: int, reason: LostReason, suspect: int | None) -> None:
        chunk = self.chunk(pick)
        inside = self.chunks[chunk]
        blamed = {"worker_lost": chunk in self.begun, "worker_stopped": False}.get(reason, True)
        suspected = None if suspect is None else inside[suspect % len(inside)]
        events = self.scan.fail_chunk(
            chunk,
            attempt=self.scan.pending[chunk].attempt,
            reason=reason,
            worker="w",
            at=LATER,
            suspect=suspected,
            objects=[(at, 1) for at in inside],
        )
        counts = not self.over
        if counts:
            self.failures_of[chunk] += reason is not LostReason.WORKER_STOPPED
            self.losses[chunk] += blamed
            self.begun.discard(chunk)
            spent = self.failures_of[chunk] == MAX_CHUNK_ATTEMPTS and reason is not LostReason.WORKER_STOPPED
            unbegun = reason is LostReason.WORKER_LOST and self.failures_of[chunk] == MAX_CHUNK_LOSSES
            if (blamed or unbegun) and len(inside) > 1:
                self.part(chunk, suspected)
            elif self.losses[chunk] == MAX_CHUNK_LOSSES or spent:
                fate = "timeout" if reason is LostReason.STALLED else "worker_lost"
                self.account(chunk, [fate] * len(inside))
        self.take(events, *["scan.chunk-failed"] * counts)

    def part(self, chunk: int, suspect: int | None) -> None:
        """The suspect alone between its neighbours, or two halves; who stands alone keeps what it cost so far."""
        inside = self.chunks.pop(chunk)
        cuts = [len(inside) // 2] if suspect is None else [inside.index(suspect), inside.index(suspect) + 1]
        pieces = [inside[a:b] for a, b in zip([0, *cuts], [*cuts, len(inside)], strict=True)]
        for piece in filter(None, pieces):
            self.chunks[self.numbers] = piece
            self.losses[self.numbers] = self.losses[chunk] if len(piece) == 1 else 0
            self.numbers += 1

    @rule(sure=st.integers(0, 3))
    @precondition(lambda self: self.scan.version > 3)
    def pause(self, sure: int) -> None:
        if sure == 0:
            events = self.scan.pause(actor=KEY, at=LATER)
            counts = not self.over and not self.paused
            self.paused = self.paused or counts
            self.take(events, *["scan.paused"] * counts)

    @rule()
    @precondition(lambda self: self.paused)
    def resume(self) -> None:
        stale = {unit: state.attempt for unit, state in self.scan.units.items() if state.status == "open"}
        events = self.scan.resume(actor=KEY, at=LATER)
        counts = not self.over
        self.paused = False
        self.take(events, *["scan.resumed"] * counts)
        if counts:
            for unit, attempt in stale.items():
                assert self.scan.start_listing(unit, attempt=attempt, worker="w", at=LATER) == []

    @rule(sure=st.integers(0, 19))
    @precondition(lambda self: self.scan.version > 5)
    def cancel(self, sure: int) -> None:
        if sure == 0:
            events = self.scan.cancel(actor=KEY, at=LATER)
            counts = not self.over
            if counts:
                self.ending = "scan.cancelled"
                self.units = ["stopped" if unit == "open" else unit for unit in self.units]
            self.take(events, *["scan.cancelled"] * counts)

    # What must be the same --------------------------------------------------------------------------------------

    @invariant()
    def the_sums_are_those_of_the_list(self) -> None:
        fates = Counter(self.objects)
        coverage = self.scan.coverage
        assert coverage.enumerated == len(self.objects)
        assert coverage.scanned == fates["scanned"]
        assert coverage.remaining == fates["remaining"]
        assert +Counter(coverage.skipped) == +Counter({name: fates[name] for name in ("empty", "max_files")})
        assert +Counter(coverage.failed) == +Counter(
            {name: fates[name] for name in ("network", "worker_lost", "timeout")}
        )

    @invariant()
    def open_work_is_the_same(self) -> None:
        assert set(self.scan.pending) == set(self.chunks)
        assert [unit.status for unit in self.scan.units.values()] == self.units
        assert self.scan.open == (not self.over)
        assert self.over or (self.scan.status is Status.PAUSED) == self.paused


TestScanBesideItsModel = ScanMachine.TestCase
TestScanBesideItsModel.settings = settings(max_examples=40, stateful_step_count=50)
