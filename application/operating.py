"""What operators are told of the whole service: figures of the database, of the broker, and of who is at work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a follower of the log is behind its head, in events and in seconds: the age of the oldest of those."""

    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FindingTotal:
    detector: str
    category: str
    findings: int
    hits: int


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What the open scans want. `wanted_workers`: Σ min(max_workers, chunks left) over those that are not paused, at
    least one for a scan that is being listed. `quiet_seconds`: since the last event of the one of these that has been
    quiet for longest."""

    chunks: int = 0
    objects: int = 0
    wanted_workers: int = 0
    quiet_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """`totals` by name and label as `application.totals` has them, `lags` by follower, `webhooks` by status of their
    deliveries."""

    totals: Mapping[tuple[str, str], int]
    findings: Sequence[FindingTotal]
    work: OpenWork
    events: int
    lags: Mapping[str, Lag]
    webhooks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ConsumerFigures:
    """Messages of a consumer: not delivered yet, delivered and not acknowledged, and of these delivered before."""

    pending: int
    unacknowledged: int
    redelivered: int


@dataclass(frozen=True, slots=True)
class StreamFigures:
    messages: int
    bytes: int
    consumers: Mapping[str, ConsumerFigures]


class Figures(Protocol):
    """Each raises ServiceUnavailable within seconds. No call reads a table that grows with objects or findings."""

    async def database(self) -> DatabaseFigures: ...

    async def broker(self) -> Mapping[str, StreamFigures]:
        """By stream, of those that exist."""
