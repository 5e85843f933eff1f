"""Which part of a listing is asked for, and where it can be divided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_PREFIXES = 1000
LEVELS = 5
"""How many levels are tried where everything lies below a single prefix."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys that begin with `prefix` and sort after `after` and, unless `until` is empty, not after `until`."""

    prefix: str = ""
    after: str = ""
    until: str = ""

    def __contains__(self, key: str) -> bool:
        return key > self.after and key.startswith(self.prefix) and (not self.until or key <= self.until)

    @property
    def empty(self) -> bool:
        """Whether no key at all can be in it."""
        return bool(self.until) and (self.until <= self.after or self.until < self.prefix)

    def ends_by(self, key: str) -> bool:
        """Whether no key behind `key` is in it."""
        return bool(self.until) and key >= self.until

    def meets(self, prefix: str) -> bool:
        """Whether a key in the range can begin with `prefix` and be longer than it."""
        related = prefix.startswith(self.prefix) or self.prefix.startswith(prefix)
        return related and (prefix > self.after or self.after.startswith(prefix)) and not self.ends_by(prefix)


@dataclass(frozen=True, slots=True)
class Level:
    """What lies directly below a prefix and meets a range: the prefixes up to the next `/`, sorted.

    `others` says that objects lie beside them, or may do so.
    """

    prefixes: Sequence[str]
    others: bool


def dividing_prefixes(asked: KeyRange, level_below: Callable[[str], Level]) -> list[str]:
    """The prefixes at which the range `asked` can be divided, as `ObjectSource.prefixes` says."""
    level = level_below(asked.prefix)
    for _ in range(LEVELS - 1):
        if level.others or len(level.prefixes) != 1:
            break
        level = level_below(level.prefixes[0])
    return [prefix for prefix in level.prefixes if prefix > asked.after][:MOST_PREFIXES]
