"""What /metrics tells: requests by route, their latency, the figures of the whole service, and the process itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from api import service_metrics
from application.reading import ApiPorts
from domain.errors import ServiceUnavailable

Told = TypeVar("Told")

_FRESH_SECONDS: Final = 5.0
_KNOWN_METHODS: Final = frozenset({"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"})
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class Metrics:
    """A registry of its own, so that several applications can live in one process. `ports` are those of the running
    application; what they tell is asked for once in five seconds, however many scrape."""

    def __init__(self, ports: Callable[[], ApiPorts]) -> None:
        self.registry = CollectorRegistry()
        self._ports = ports
        self._gathered_at = float("-inf")
        self._gathered: Sequence[Metric] = ()
        self._gathering = asyncio.Lock()
        labels = ("route", "method", "status")
        self._requests = Counter("scanledger_api_requests", "Requests answered", labels, registry=self.registry)
        self._seconds = Histogram(
            "scanledger_api_request_seconds",
            "Seconds from a request's head to the end of its answer",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._database_up = Gauge(
            "scanledger_database_up", "1 while the database answers the api", registry=self.registry
        )
        self._broker_up = Gauge("scanledger_broker_up", "1 while the broker answers the api", registry=self.registry)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(self)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        known = method if method in _KNOWN_METHODS else "other"
        child = self._children.get((route, known, status))
        if child is None:
            child = self._requests.labels(route, known, status), self._seconds.labels(route, known)
            self._children[route, known, status] = child
        child[0].inc()
        child[1].observe(seconds)

    async def exposition(self) -> bytes:
        """The text of /metrics. With the database or the broker away it tells what it can."""
        async with self._gathering:
            if time.monotonic() - self._gathered_at > _FRESH_SECONDS:
                self._gathered = await self._gather()
                self._gathered_at = time.monotonic()
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """What was gathered last, as the registry asks for it."""
        yield from self._gathered

    async def _gather(self) -> Sequence[Metric]:
        ports = self._ports()
        database, seal, broker = await asyncio.gather(
            _told(ports.figures.database(), service_metrics.of_database, self._database_up),
            _told(ports.sealed.state(), service_metrics.of_seal, self._database_up),
            _told(ports.figures.broker(), service_metrics.of_broker, self._broker_up),
        )
        # Nobody is heard while the broker is away, which does not mean that nobody is there.
        fleet = list(service_metrics.of_fleet(ports.presence.scanners())) if broker else []
        return [*database, *seal, *broker, *fleet]


async def _told(asked: Awaitable[Told], shown: Callable[[Told], Iterable[Metric]], up: Gauge) -> Sequence[Metric]:
    try:
        figures = await asked
    except ServiceUnavailable:
        up.set(0)
        return []
    up.set(1)
    return list(shown(figures))
