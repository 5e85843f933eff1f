"""What /metrics tells: requests by route, their latency, scans by status, and the process itself."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from domain.errors import ServiceUnavailable
from domain.scan import Status

_FRESH_SECONDS: Final = 5.0
_KNOWN_METHODS: Final = frozenset({"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"})
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class Metrics:
    """A registry of its own, so that several applications can live in one process."""

    def __init__(self, scans_by_status: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        self.registry = CollectorRegistry()
        self._scans_by_status = scans_by_status
        self._counted_at = float("-inf")
        labels = ("route", "method", "status")
        self._requests = Counter("scanledger_api_requests", "Requests answered", labels, registry=self.registry)
        self._seconds = Histogram(
            "scanledger_api_request_seconds",
            "Seconds from a request's head to the end of its answer",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._scans = Gauge("scanledger_scans", "Scans by status", ("status",), registry=self.registry)
        self._up = Gauge("scanledger_database_up", "1 while the database answers the api", registry=self.registry)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        known = method if method in _KNOWN_METHODS else "other"
        child = self._children.get((route, known, status))
        if child is None:
            child = self._requests.labels(route, known, status), self._seconds.labels(route, known)
            self._children[route, known, status] = child
        child[0].inc()
        child[1].observe(seconds)

    async def exposition(self) -> bytes:
        """The text of /metrics. With the database away it tells what it can."""
        now = time.monotonic()
        if now - self._counted_at > _FRESH_SECONDS:
            self._counted_at = now
            await self._count_scans()
        return generate_latest(self.registry)

    async def _count_scans(self) -> None:
        try:
            counts = await self._scans_by_status()
        except ServiceUnavailable:
            self._up.set(0)
            return
        self._up.set(1)
        for status in Status:
            if status is not Status.NEW:
                self._scans.labels(status.value).set(counts.get(status.value, 0))
