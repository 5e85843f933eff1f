"""Who is handed the next chunk: max-min fair among tenants, and by priority among the scans of one.

Pure bookkeeping: no I/O, no clock.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Final

READY_AHEAD: Final = 1.25
"""Commands outstanding per live slot, so that a slot that falls free finds its next chunk waiting."""

QUEUE_SECONDS: Final = 0.25
"""Quick chunks queue for at most this long beyond that, by Little's law: outstanding = rate × time."""


def window(slots: int, chunks_a_second: float) -> int:
    """How many commands may be outstanding altogether."""
    return ceil(READY_AHEAD * slots + QUEUE_SECONDS * chunks_a_second) if slots else 0


Rank = tuple[float, int, str]


@dataclass(slots=True)
class Claimant:
    """A scan that has `outstanding` commands, and could send `most` more. `turn` grows with each it is handed."""

    key: str
    tenant: str
    weight: float
    outstanding: int
    most: int
    turn: int

    @property
    def rank(self) -> Rank:
        return (self.outstanding + 1) / self.weight, self.turn, self.key


@dataclass(slots=True)
class _Tenant:
    """The claimants of one tenant. Those with something to send are `waiting`, the next one first."""

    name: str
    turn: int
    outstanding: int = 0
    most: int = 0
    weights: list[float] = field(default_factory=list)
    waiting: list[tuple[Rank, Claimant]] = field(default_factory=list)

    @property
    def rank(self) -> Rank:
        return self.outstanding, self.turn, self.name

    def crowd(self, share: float) -> int:
        """How many of the scans have less than one chunk as their part of `share`, and so may send beyond it."""
        least = sum(self.weights) / share if share else 0.0
        return sum(weight < least for weight in self.weights)

    def next(self) -> Claimant:
        return heappop(self.waiting)[1]

    def next_beyond(self, share: float, level: float, now: int) -> Claimant | None:
        """The next one with the window full: one that is below its part of `share`, or any while the tenant is below
        `level`. Parts are of the share: parts of the level, and one for each of the crowd, may come to more than it."""
        if self.outstanding >= max(1, int(2 * share)):
            return None
        below = self._next_below(share, now)
        return self.next() if below is None and self.outstanding < int(level) else below

    def _next_below(self, share: float, now: int) -> Claimant | None:
        """Of the scans that have less than their weight's part of `share`, or nothing at all, the one that has waited
        longest for its weight."""
        total = sum(self.weights)
        below = [
            ((claimant.turn - now) * claimant.weight, rank, claimant)
            for rank, claimant in self.waiting
            if claimant.outstanding < max(1, int(share * claimant.weight / total))
        ]
        if not below:
            return None
        # Ranks differ, so claimants are never compared.
        _, rank, claimant = min(below)
        self.waiting.remove((rank, claimant))
        heapify(self.waiting)
        return claimant


class Turns:
    """Progressive filling. The tenant with least outstanding is next, and among equals the one that has waited longest;
    within it the scan with least outstanding for its weight.

    No scan starves: with the window full, those below their share still send, whoever has waited longest for its weight
    first, up to twice the window. So a newcomer does not wait for another's work to end, nor a low priority for a high
    one's. Where that gives a tenant more than its share, the others may have as much.
    """

    def __init__(self) -> None:
        self._last = 0
        self._tenants: dict[str, int] = {}

    def taken(self, claimants: Iterable[Claimant], total: int, most: int) -> Iterator[Claimant]:
        """Whose turn it is, one after the other, with `total` outstanding altogether and a window of `most`."""
        tenants = self._by_tenant(claimants)
        share = _even_share([tenant.outstanding + tenant.most for tenant in tenants], most)
        crowd = max((tenant.crowd(share) for tenant in tenants), default=0)
        level = min(2 * share, ceil(share) + crowd) if crowd and len(tenants) > 1 else share
        queue = [(tenant.rank, tenant) for tenant in tenants if tenant.waiting]
        heapify(queue)
        while queue and total < 2 * most:
            _, tenant = heappop(queue)
            claimant = tenant.next() if total < most else tenant.next_beyond(share, level, self._last)
            if claimant is None:
                continue
            total += 1
            self._hand(tenant, claimant)
            yield claimant
            if claimant.most > 0:
                heappush(tenant.waiting, (claimant.rank, claimant))
            if tenant.waiting:
                heappush(queue, (tenant.rank, tenant))

    def _by_tenant(self, claimants: Iterable[Claimant]) -> list[_Tenant]:
        tenants: dict[str, _Tenant] = {}
        for claimant in claimants:
            name = claimant.tenant
            tenant = tenants.get(name) or tenants.setdefault(name, _Tenant(name, self._tenants.get(name, 0)))
            tenant.outstanding += claimant.outstanding
            tenant.most += claimant.most
            if claimant.outstanding or claimant.most > 0:
                tenant.weights.append(claimant.weight)
            if claimant.most > 0:
                tenant.waiting.append((claimant.rank, claimant))
        for tenant in tenants.values():
            heapify(tenant.waiting)
        self._tenants = {name: turn for name, turn in self._tenants.items() if name in tenants}
        return list(tenants.values())

    def _hand(self, tenant: _Tenant, claimant: Claimant) -> None:
        self._last += 1
        self._tenants[tenant.name] = tenant.turn = claimant.turn = self._last
        tenant.outstanding += 1
        claimant.outstanding += 1
        claimant.most -= 1


def _even_share(demands: Iterable[int], most: int) -> float:
    """What each may have when those that want less have what they want, and the others the same."""
    left, wanting = float(most), sorted(demands)
    for place, demand in enumerate(wanting):
        share = left / (len(wanting) - place)
        if demand >= share:
            return share
        left -= demand
    return left
