"""Scans over a network that drops, repeats, reorders and delays what it is given, kills workers, and forgets.

The parts are the real ones, but for the store and the sources. Whatever happens, at every step the books balance and
tell the truth; and once the network is fair again, every scan ends, with each object as it truly is.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from application.scans import ScanRequest, Service, cancel_scan, pause_scan, resume_scan, start_scan
from domain.coverage import SkipReason
from domain.errors import Conflict
from domain.scan import Status, UnitStatus
from domain.tier import Tier
from tests.application.adversarial_ring import RECORDERS, Ring
from tests.application.memory_log import MemoryRulesets
from tests.application.planted import BUCKETS, HUGE_LINES, LINE, PART_LINES, RULES
from tests.application.ring_audit import Audit
from tests.application.work_in_hand import Key, Sent, Told, key_of
from tests.domain.given import KEY

MAX_OPEN: Final = 2
MAX_STARTED: Final = 3
FAIR_ROUNDS: Final = 150
LIMIT: Final = 6

TIER = Tier("test", 1_000, 10, 1_000)
kinds = st.sampled_from(["full", "full", "incremental", "limited"])
picks = st.integers(0, 50)
seeds = st.integers(0, 2**20)
which_recorder = st.integers(0, RECORDERS - 1)
pages = st.integers(1, 4)
seldom = st.integers(0, 14).map(lambda drawn: drawn == 7)
now_and_then = st.integers(0, 4).map(lambda drawn: drawn == 2)


class AdversarialNetwork(RuleBasedStateMachine):
    """Each rule is one thing that the network, a process or a client may do."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        # Everything is smaller than life, so that a few objects make many chunks, pages and parts.
        self.patches.setattr("domain.chunk.TARGET_SECONDS", 0.03)
        self.patches.setattr("domain.chunk.HUGE_BYTES", HUGE_LINES * LINE)
        self.patches.setattr("domain.chunk.PART_BYTES", PART_LINES * LINE)
        self.patches.setattr("application.scanning.REPORT_BYTES", 900)
        self.patches.setattr("application.listing.FAN_OUT_AFTER", 2)
        self.ring = Ring()
        self.audit = Audit(self.ring.log)
        self.started = 0

    # Clients ----------------------------------------------------------------------------------------------------------

    @initialize(kind=kinds, workers=st.integers(1, 3), seed=seeds, storms=st.integers(0, 20))
    def begin(self, kind: str, workers: int, seed: int, storms: int) -> None:
        self.start(kind, workers)
        self.rage(range(seed, seed + storms))

    @rule(kind=kinds, workers=st.integers(1, 3), sure=now_and_then)
    @precondition(lambda self: self.started < MAX_STARTED and len(self.ring.log.open_scans()) < MAX_OPEN)
    def begin_another(self, kind: str, workers: int, sure: bool) -> None:
        if sure:
            self.start(kind, workers)

    def start(self, kind: str, workers: int) -> None:
        self.started += 1
        ring = self.ring
        service = Service(ring.log, ring.facts, MemoryRulesets(ring.log), RULES.digest, 1_000_000, ring.clock)
        request = ScanRequest(
            connectors=tuple(BUCKETS),
            type="full" if kind == "limited" else kind,
            max_workers=workers,
            max_files=LIMIT if kind == "limited" else None,
            coverage_target=0.0,
        )
        connectors = [ring.log.connector(name) for name in BUCKETS]
        try:
            start_scan(
                service,
                request,
                scan_id=f"scan-{self.started}",
                tenant="acme",
                tier=TIER,
                connectors=connectors,
                actor=KEY,
            )
        except Conflict:
            # Another one reads the same connectors.
            if kind != "incremental":
                raise

    def any_open(self, pick: int) -> str | None:
        return _chosen(self.ring.log.open_scans(), pick)

    def switch(self, change: Callable[..., Any], scan_id: str) -> None:
        change(self.ring.log, scan_id, tenant="acme", actor=KEY, clock=self.ring.clock)

    @rule(pick=picks)
    @precondition(lambda self: self.ring.log.open_scans())
    def pause_or_resume(self, pick: int) -> None:
        scan_id = self.any_open(pick)
        paused = self.ring.log.course(scan_id).status is Status.PAUSED
        self.switch(resume_scan if paused else pause_scan, scan_id)

    @rule(pick=picks, sure=seldom)
    @precondition(lambda self: self.ring.log.open_scans())
    def cancel(self, pick: int, sure: bool) -> None:
        if sure:
            self.switch(cancel_scan, self.any_open(pick))

    @rule(pick=picks)
    @precondition(lambda self: self.ring.log.open_scans())
    def say_too_soon_that_time_is_up(self, pick: int) -> None:
        self.ring.time_is_up([self.any_open(pick)])

    @rule(sure=seldom)
    @precondition(lambda self: self.ring.log.open_scans())
    def time_passes(self, sure: bool) -> None:
        if sure:
            self.ring.now += timedelta(hours=3)
            self.ring.time_is_up(self.ring.orchestrator.overdue(self.ring.now))

    # Processes that go on, and that end -------------------------------------------------------------------------------

    @rule(events=st.integers(1, 8))
    def hear_and_grant(self, events: int) -> None:
        self.ring.hear(events)
        self.ring.grant()

    @rule(some=st.lists(picks, min_size=1, max_size=3), page=pages, announced=st.booleans())
    @precondition(lambda self: self.ring.deliverable())
    def deliver_commands(self, some: list[int], page: int, announced: bool) -> None:
        for pick in some:
            if self.ring.deliverable():
                self.ring.deliver(_chosen(self.ring.deliverable(), pick), page=page, announced=announced)

    @rule(some=st.lists(picks, min_size=1, max_size=3), reports=st.integers(1, 6))
    @precondition(lambda self: self.ring.hands)
    def work(self, some: list[int], reports: int) -> None:
        for pick in some:
            if self.ring.hands:
                self.ring.go_on(_chosen(self.ring.hands, pick), reports)

    @rule(pick=picks)
    @precondition(lambda self: self.ring.hands)
    def kill_a_worker(self, pick: int) -> None:
        work = _chosen(self.ring.hands, pick)
        if self.may_harm(key_of(work.command)):
            self.ring.kill(work)

    @rule(pick=picks)
    @precondition(lambda self: self.ring.hands)
    def stop_a_worker(self, pick: int) -> None:
        self.ring.stop_worker(_chosen(self.ring.hands, pick))

    @rule(pick=picks)
    @precondition(lambda self: self.ring.control)
    def hear_control(self, pick: int) -> None:
        self.ring.hear_control(_chosen(sorted(self.ring.control), pick))

    @rule(some=st.lists(picks, min_size=1, max_size=6), which=which_recorder, acked=st.booleans())
    @precondition(lambda self: self.ring.told)
    def record(self, some: list[int], which: int, acked: bool) -> None:
        self.ring.record([_chosen(self.ring.told, pick) for pick in some], which=which, acked=acked)

    @rule(which=which_recorder)
    @precondition(lambda self: self.ring.told)
    def record_all_in_order(self, which: int) -> None:
        self.ring.record(self.ring.told, which=which)

    @rule(pick=picks, which=which_recorder)
    @precondition(lambda self: any(told.early for told in self.ring.told))
    def give_up_waiting(self, pick: int, which: int) -> None:
        told = _chosen([told for told in self.ring.told if told.early], pick)
        if self.may_harm(key_of(told.report)):
            self.ring.give_up(told, which=which)

    @rule(which=which_recorder)
    def start_a_recorder_anew(self, which: int) -> None:
        self.ring.forget(which)

    @rule(sure=now_and_then)
    def start_the_orchestrator_anew(self, sure: bool) -> None:
        if sure:
            self.ring.begin_term()

    @rule(pick=picks)
    @precondition(lambda self: self.ring.unanswered())
    def presume_lost(self, pick: int) -> None:
        key, attempt = _chosen(self.ring.unanswered(), pick)
        if self.may_harm(key):
            self.ring.presume_lost(key, attempt)

    @rule()
    def call_off_strangers(self) -> None:
        self.ring.call_off_strangers()

    @rule(sure=now_and_then)
    def go_on_fairly(self, sure: bool) -> None:
        if sure:
            self.fair_round()

    def storm(self, seed: int) -> None:
        """A round of everything, each thing done or not, repeated or interrupted by chance."""
        ring, chance = self.ring, Random(seed)
        self.disaster(chance)
        ring.hear(chance.randint(1, 20))
        ring.grant()
        for sent in chance.sample(ring.deliverable(), k=len(ring.deliverable())):
            if chance.random() < 0.1:
                ring.orders.append(Sent(sent.body))
            if chance.random() < 0.8:
                ring.deliver(sent, page=chance.randint(1, 4), announced=chance.random() < 0.5)
        for work in chance.sample(ring.hands, k=len(ring.hands)):
            ring.go_on(work, chance.choice([0, 1, 2, 1_000, 1_000]))
            if work in ring.hands and chance.random() < 0.3 and self.may_harm(key_of(work.command)):
                chance.choice([ring.kill, ring.stop_worker])(work)
        for _ in range(chance.randint(1, 4)):
            some = chance.choices(ring.told, k=chance.randint(1, 6)) if ring.told else []
            ring.record(some, which=chance.randrange(RECORDERS), acked=chance.random() < 0.7)
        for key, attempt in ring.unanswered():
            if chance.random() < 0.1 and self.may_harm(key):
                ring.presume_lost(key, attempt)

    def disaster(self, chance: Random) -> None:
        """One time in two, something that all have to recover from."""
        ring, scans = self.ring, self.ring.log.open_scans()
        match chance.randrange(10):
            case 0:
                ring.log.restore(chance.randint(1, 10))
                self.excuse_the_fragile()
            case 1:
                ring.begin_term()
            case 2:
                ring.forget(chance.randrange(RECORDERS))
            case 3 | 4 if scans:
                scan_id = chance.choice(scans)
                paused = ring.log.course(scan_id).status is Status.PAUSED
                self.switch(resume_scan if paused else pause_scan, scan_id)
            case 5 if chance.random() < 0.5:
                self.excuse_the_fragile()
                ring.lose_everything()

    @rule(storms=st.lists(seeds, min_size=1, max_size=4))
    def rage(self, storms: Sequence[int]) -> None:
        for seed in storms:
            self.storm(seed)
            self.the_books_balance_and_tell_the_truth()

    # The network ------------------------------------------------------------------------------------------------------

    @rule(pick=picks)
    @precondition(lambda self: self.ring.deliverable())
    def drop_a_command(self, pick: int) -> None:
        sent = _chosen(self.ring.deliverable(), pick)
        if self.may_harm(key_of(sent.command)):
            self.ring.orders.remove(sent)

    @rule(pick=picks)
    @precondition(lambda self: self.ring.orders)
    def repeat_a_command(self, pick: int) -> None:
        self.ring.orders.append(Sent(_chosen(self.ring.orders, pick).body))

    @rule(pick=picks)
    @precondition(lambda self: any(sent.held for sent in self.ring.orders))
    def deliver_to_another_what_is_in_work(self, pick: int) -> None:
        sent = _chosen([sent for sent in self.ring.orders if sent.held], pick)
        if self.may_harm(key_of(sent.command)):
            self.ring.deliver(sent, page=1, announced=False)

    @rule(pick=picks)
    @precondition(lambda self: self.ring.told)
    def drop_a_report(self, pick: int) -> None:
        told = _chosen(self.ring.told, pick)
        if self.may_harm(key_of(told.report)):
            self.ring.told.remove(told)

    @rule(pick=picks)
    @precondition(lambda self: self.ring.told)
    def repeat_a_report(self, pick: int) -> None:
        self.ring.told.append(Told(_chosen(self.ring.told, pick).body))

    @rule(sure=now_and_then)
    def lose_all_streams(self, sure: bool) -> None:
        if sure:
            self.excuse_the_fragile()
            self.ring.lose_everything()

    @rule(transactions=st.integers(1, 12), sure=now_and_then)
    def restore_an_older_log(self, transactions: int, sure: bool) -> None:
        if sure:
            self.ring.log.restore(transactions)
            self.excuse_the_fragile()

    # How much harm is fair: nobody is to lose its worker so often that it is given up, but for those that deserve it --

    def may_harm(self, key: Key) -> bool:
        scan_id, what, number = key
        if not any(record.stream == scan_id for record in self.ring.log.records):
            return True
        scan = self.ring.scan(scan_id)
        if what == "unit":
            return number not in scan.units or scan.units[number].failures < 2
        state = scan.pending.get(number)
        return state is None or (state.losses < 2 and state.failures < 6)

    def excuse_the_fragile(self) -> None:
        for scan_id in self.ring.log.open_scans():
            scan = self.ring.scan(scan_id)
            listed, _ = self.audit.listed(scan_id)
            for number, state in scan.pending.items():
                if not self.may_harm((scan_id, "chunk", number)):
                    places = range(state.chunk.start, state.chunk.end + 1)
                    self.audit.excused |= {(scan_id, listed[place][1]) for place in places}

    # What must hold ---------------------------------------------------------------------------------------------------

    @invariant()
    def the_books_balance_and_tell_the_truth(self) -> None:
        self.audit.check()

    @invariant()
    def no_scan_has_more_commands_out_than_workers(self) -> None:
        current: dict[str, set[int]] = {}
        for sent in self.ring.orders:
            command = sent.command
            kept = self.ring.orchestrator.open.get(command.scan)
            state = kept.scan.pending.get(command.chunk) if kept is not None and command.kind == "scan" else None
            if state is not None and (state.attempt, state.plan) == (command.attempt, command.plan):
                current.setdefault(command.scan, set()).add(command.chunk)
        for scan_id, kept in self.ring.orchestrator.open.items():
            assert len(kept.outstanding) <= kept.scan.options.max_workers
            assert len(current.get(scan_id, ())) <= kept.scan.options.max_workers

    # The end ----------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.ring.close()
            self.patches.undo()

    def settle(self) -> None:
        """With a fair network every scan ends, and every object of one that was not cut short is accounted for."""
        rounds = 0
        while self.ring.log.open_scans():
            rounds += 1
            assert rounds < FAIR_ROUNDS, f"does not end: {self.stuck()}"
            for scan_id in self.ring.log.open_scans():
                if self.ring.log.course(scan_id).status is Status.PAUSED:
                    self.switch(resume_scan, scan_id)
            self.fair_round()
            self.audit.check()
            self.no_scan_has_more_commands_out_than_workers()
        before = list(self.ring.log.records)
        for _ in range(3):
            self.fair_round()
        assert self.ring.log.records == before, "something came after the end"
        self.audit.check()
        for scan_id in self.audit.accounts:
            self.check_complete(scan_id)

    def fair_round(self) -> None:
        """Everybody hears and does all there is; what nobody has is sent again, what waits in vain is given up."""
        ring = self.ring
        ring.hear(1_000_000)
        ring.call_off_strangers()
        for scan_id in sorted(ring.control):
            ring.hear_control(scan_id)
        ring.grant()
        for sent in ring.deliverable():
            ring.deliver(sent, page=3, announced=True)
        for work in list(ring.hands):
            ring.go_on(work, 1_000)
        before = ring.log.position()
        waited = [told for told in ring.told if told.early > 1]
        ring.record(ring.told)
        if ring.log.position() > before:
            return
        for told in waited:
            if told in ring.told:
                ring.give_up(told)
        ring.hear(1_000_000)
        if not ring.told:
            for key, attempt in ring.unanswered():
                ring.presume_lost(key, attempt)

    def stuck(self) -> str:
        ring = self.ring
        scans = {scan_id: ring.scan(scan_id) for scan_id in ring.log.open_scans()}
        pending = {scan_id: (scan.status, dict(scan.pending), dict(scan.units)) for scan_id, scan in scans.items()}
        out = {scan_id: kept.outstanding for scan_id, kept in ring.orchestrator.open.items()}
        return f"{pending}, outstanding {out}, {len(ring.orders)} commands, {[t.report for t in ring.told]}"

    def check_complete(self, scan_id: str) -> None:
        scan, account = self.ring.scan(scan_id), self.audit.accounts[scan_id]
        kinds = {record.event.kind for record in self.ring.log.history(scan_id, 0, 1_000_000)}
        if {"scan.cancelled", "scan.timed-out"} & kinds:
            return
        assert account.open == {}
        listed, skips = self.audit.listed(scan_id)
        eligible = sum(skip is None for skip in skips)
        if scan.limit_reached:
            assert (scan.status, eligible) == (Status.PARTIAL, scan.options.max_files)
            assert SkipReason.MAX_FILES in skips
            return
        assert eligible <= scan.options.max_files
        assert {unit.status for unit in scan.units.values()} == {UnitStatus.COMPLETE}
        assert sorted(listed) == sorted((name, key) for name, bucket in BUCKETS.items() for key in bucket)
        lost = account.failed["worker_lost"]
        assert scan.status is (Status.PARTIAL if lost else Status.COMPLETED)


def _chosen(some: Any, pick: int) -> Any:
    return some[pick % len(some)]


_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def test_whatever_the_network_does_the_books_balance_and_a_fair_one_brings_every_scan_to_its_true_end() -> None:
    run_state_machine_as_test(
        AdversarialNetwork, settings=settings(max_examples=40, stateful_step_count=25, suppress_health_check=_QUIET)
    )


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_so_it_is_for_longer() -> None:
    run_state_machine_as_test(
        AdversarialNetwork, settings=settings(max_examples=400, stateful_step_count=60, suppress_health_check=_QUIET)
    )
