"""A detector tried on texts: does it do what it should, and why does it find nothing?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.detectors import Detector


@dataclass(frozen=True, slots=True)
class Example:
    """A text of the rule itself: one in which it must find exactly one value (`wanted`), or a near miss."""

    text: str
    wanted: bool
    hits: int

    @property
    def passed(self) -> bool:
        return self.hits == int(self.wanted)


@dataclass(frozen=True, slots=True)
class Trial:
    """A detector with what became of its examples."""

    detector: Detector
    examples: Sequence[Example]

    @property
    def passed(self) -> bool:
        return all(example.passed for example in self.examples)


@dataclass(slots=True)
class Explanation:
    """What a detector finds in a text, masked, and why it finds nothing (else), as sentences."""

    detector: str
    found: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
