"""How often a key may ask."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_MOST_BUCKETS: Final = 10_000


@dataclass(slots=True)
class RateLimiter:
    """A token bucket for each key: `per_minute` at once, refilled evenly. In this process's memory alone."""

    monotonic: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, key: str, per_minute: int) -> float:
        """Take a token; the seconds until there is one if there is none, else 0."""
        now = self.monotonic()
        level, at = self._buckets.get(key, (float(per_minute), now))
        level = min(per_minute, level + (now - at) * per_minute / 60)
        if level < 1:
            self._buckets[key] = (level, now)
            return (1 - level) * 60 / per_minute
        if key not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._buckets.clear()
        self._buckets[key] = (level - 1, now)
        return 0.0
