"""When to ask again, and when to give up. Pure: jitter and time come from outside."""

from dataclasses import dataclass

LEAST_BYTES_PER_SECOND = 256 * 1024
"""The slowest transfer that still counts as one: below it, an object's deadline passes."""

THROTTLED_FACTOR = 4
"""A provider that asks to slow down is left alone this much longer than one that merely failed."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: delays are uniform in `0..first·2ⁿ`, capped. Seconds."""

    attempts: int = 4
    first: float = 0.25
    ceiling: float = 8.0

    def delay(self, failures: int, jitter: float, *, throttled: bool = False) -> float | None:
        """Seconds to wait after `failures` failures in a row (≥ 1), or None to give up.

        `jitter` is uniform in 0..1.
        """
        if failures >= self.attempts:
            return None
        first = self.first * (THROTTLED_FACTOR if throttled else 1)
        return jitter * float(min(self.ceiling, first * 2 ** (failures - 1)))


def transfer_deadline(size: int) -> float:
    """Seconds within which `size` bytes must have arrived, retries included.

    A read time-out alone never ends a transfer that drips a few bytes at a time.
    """
    return 30.0 + size / LEAST_BYTES_PER_SECOND
