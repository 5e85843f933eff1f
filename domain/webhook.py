"""Webhooks: which events a subscriber is told of, and what becomes of a delivery by what its receiver answered.

A delivery is `pending` until it is `delivered` (the receiver answered 2xx) or `dead` (it never did, as often as it was
asked). Dead ones stay until somebody sends them again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.connector import CONNECTOR_EVENTS
from domain.scan_events import (
    SCAN_EVENTS,
    Cancelled,
    Completed,
    Failed,
    PartiallyCompleted,
    Paused,
    Queued,
    Resumed,
    TimedOut,
)

EVERY_KIND: Final = "*"
KINDS: Final = (*(event.kind for event in (*SCAN_EVENTS, *CONNECTOR_EVENTS)), EVERY_KIND)
"""What a webhook may ask for."""

DEFAULT_KINDS: Final = tuple(
    event.kind for event in (Queued, Paused, Resumed, Cancelled, TimedOut, Completed, PartiallyCompleted, Failed)
)
"""What it gets that asks for nothing: the course of a scan, not its bulk."""

MOST_WEBHOOKS: Final = 20
"""That a tenant may have."""

WAITS: Final = (5, 30, 120, 600, 3_600, 18_000, 32_400, 32_400)
"""Seconds to wait after the first failed attempt, after the second, and so on: about a day in all."""

MOST_ATTEMPTS: Final = len(WAITS) + 1
LONGEST_WAIT: Final = 86_400
"""Seconds that a receiver's Retry-After is heeded for at most."""

_GONE: Final = 410


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back of one attempt: the receiver's `status` (None: no answer at all) and one sentence about it.

    `retry_after` is in seconds, where the receiver named a time. `took` is how long the attempt was, in seconds.
    """

    status: int | None
    detail: str
    retry_after: float | None = None
    took: float = 0.0

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants no more of this webhook."""
        return self.status == _GONE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery. `next_at`: when a pending one is due again."""

    status: DeliveryStatus
    next_at: datetime | None = None


def verdict(answered: Answered, attempts: int, now: datetime, jitter: float) -> Verdict:
    """What becomes of a delivery after its attempt number `attempts` (from 1). `jitter` is uniform in 0..1.

    A wait varies by a quarter to both sides, so that receivers that come back are not met by everything at once; it is
    never shorter than what the receiver asked for.
    """
    if answered.accepted:
        return Verdict(DeliveryStatus.DELIVERED)
    if answered.gone or attempts >= MOST_ATTEMPTS:
        return Verdict(DeliveryStatus.DEAD)
    wait = WAITS[attempts - 1] * (0.75 + jitter / 2)
    return Verdict(DeliveryStatus.PENDING, now + max(timedelta(seconds=wait), _asked_for(answered)))


def rest(answered: Answered) -> timedelta:
    """How long a receiver that did not accept something is sent nothing at all: what is queued for it waits."""
    return max(timedelta(seconds=WAITS[0]), _asked_for(answered))


def _asked_for(answered: Answered) -> timedelta:
    return timedelta(seconds=min(answered.retry_after or 0.0, LONGEST_WAIT))
