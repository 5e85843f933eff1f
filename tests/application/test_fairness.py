"""Who is handed the next chunk: tenants alike, scans of one by their priority, and nobody never."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from application.fairness import Claimant, Turns, window
from domain.policy import ScanOptions

ENDLESS = 10**9


def weight(priority: int) -> float:
    return ScanOptions(max_files=1, max_workers=1, priority=priority).weight


@dataclass
class Running:
    """A scan that has `chunks` left to send, and at most `workers` of them outstanding."""

    tenant: str
    priority: int = 5
    chunks: int = ENDLESS
    workers: int = ENDLESS
    outstanding: int = 0
    turn: int = 0
    waited: int = 0
    longest_wait: int = 0


@dataclass
class Fleet:
    """Hands out chunks, and completes the one that has been outstanding longest."""

    scans: Sequence[Running]
    most: int
    turns: Turns = field(default_factory=Turns)
    queue: deque[int] = field(default_factory=deque)
    completed: Counter[int] = field(default_factory=Counter)

    def grant(self) -> list[int]:
        claimants = [
            Claimant(
                str(number),
                scan.tenant,
                weight(scan.priority),
                scan.outstanding,
                min(scan.chunks, scan.workers - scan.outstanding),
                scan.turn,
            )
            for number, scan in enumerate(self.scans)
        ]
        granted = []
        for claimant in self.turns.taken(claimants, len(self.queue), self.most):
            number = int(claimant.key)
            scan = self.scans[number]
            scan.turn = claimant.turn
            scan.outstanding += 1
            scan.chunks -= 1
            granted.append(number)
        self.queue.extend(granted)
        return granted

    def complete(self, place: int = 0) -> None:
        number = self.queue[place]
        del self.queue[place]
        self.scans[number].outstanding -= 1
        self.completed[number] += 1

    def run(self, completions: int) -> "Fleet":
        for _ in range(completions):
            self._wait(self.grant())
            if not self.queue:
                break
            self.complete()
        return self

    def _wait(self, granted: Sequence[int]) -> None:
        for number, scan in enumerate(self.scans):
            idle = not scan.outstanding and scan.chunks and number not in granted
            scan.waited = scan.waited + 1 if idle else 0
            scan.longest_wait = max(scan.longest_wait, scan.waited)

    def by_tenant(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for number, count in self.completed.items():
            total[self.scans[number].tenant] += count
        return total


def test_without_slots_there_is_no_window_and_with_some_it_is_a_quarter_larger() -> None:
    assert [window(0, 100.0), window(1, 0.0), window(8, 0.0), window(8, 100.0)] == [0, 2, 10, 35]


crowds = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=4)


@given(crowds=crowds, most=st.integers(4, 16))
@example(crowds=[[0], [0, 0, 0, 8, 8]], most=11)  # a crowd whose rounded parts came to more than others could have
def test_equal_tenants_get_equal_shares_however_many_scans_each_has(crowds: list[list[int]], most: int) -> None:
    scans = [Running(f"t{tenant}", priority) for tenant, crowd in enumerate(crowds) for priority in crowd]
    done = Fleet(scans, most).run(300).by_tenant()
    assert len(done) == len(crowds)
    # What is handed out once is not taken back: beyond that all are level.
    assert max(done.values()) - min(done.values()) <= 2 * most


def test_a_tenant_with_one_scan_gets_half_beside_one_with_a_hundred() -> None:
    scans = [Running("small"), *(Running("large", 9) for _ in range(100))]
    done = Fleet(scans, 10).run(1_000).by_tenant()
    assert done["small"] == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize("crowd", [1, 15], ids=["fewer scans than room", "more scans than room"])
def test_within_a_tenant_a_share_doubles_every_two_steps_of_priority(crowd: int) -> None:
    scans = [Running("t", priority) for priority in (3, 5, 7) for _ in range(crowd)]
    fleet = Fleet(scans, 7).run(3_500)
    low, middle, high = (sum(fleet.completed[place * crowd + n] for n in range(crowd)) for place in range(3))
    assert [low, middle, high] == [pytest.approx(share, rel=0.05) for share in (500, 1_000, 2_000)]


def test_what_a_tenant_cannot_use_goes_to_the_others() -> None:
    scans = [Running("a", workers=1), Running("b"), Running("c")]
    done = Fleet(scans, 11).run(1_100).by_tenant()
    assert done["a"] == pytest.approx(100, rel=0.1)
    assert done["b"] == pytest.approx(done["c"], rel=0.02)


mixtures = st.lists(
    st.builds(
        Running,
        tenant=st.sampled_from(["a", "b", "c"]),
        priority=st.integers(0, 9),
        workers=st.sampled_from([1, 2, 5, ENDLESS]),
    ),
    min_size=1,
    max_size=25,
)


@given(scans=mixtures, most=st.integers(1, 20))
def test_no_scan_starves_whatever_the_priorities_and_however_many(scans: list[Running], most: int) -> None:
    Fleet(scans, most).run(400)
    tenants = len({scan.tenant for scan in scans})
    for scan in scans:
        others = sum(weight(other.priority) for other in scans if other.tenant == scan.tenant)
        # Its share of its tenant's turns comes round, and all that was handed out before is done first.
        assert scan.longest_wait <= 2 * most + tenants * (len(scans) + 2 * others / weight(scan.priority))


@given(scans=mixtures, most=st.integers(0, 20), random=st.randoms(use_true_random=False))
def test_neither_max_workers_nor_twice_the_window_is_ever_exceeded_and_no_room_is_left_unused(
    scans: list[Running], most: int, random: Random
) -> None:
    for scan in scans:
        scan.chunks = random.randrange(20)
    fleet = Fleet(scans, most)
    for _ in range(60):
        fleet.grant()
        assert all(scan.outstanding <= scan.workers and scan.chunks >= 0 for scan in scans)
        assert len(fleet.queue) <= 2 * most
        more = any(scan.chunks and scan.outstanding < scan.workers for scan in scans)
        assert len(fleet.queue) >= most or not more
        if fleet.queue:
            fleet.complete(random.randrange(len(fleet.queue)))


def test_a_newcomer_does_not_wait_for_anothers_work_to_end() -> None:
    old = Running("t", 9)
    fleet = Fleet([old], 10)
    assert len(fleet.grant()) == 10
    for new in (Running("t", 0), Running("u", 0)):
        fleet.scans = [*fleet.scans, new]
        assert len(fleet.scans) - 1 in fleet.grant()
