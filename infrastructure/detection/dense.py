"""Dense columns: full of values of one kind, of which only the number is still to be found out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from infrastructure.detection.matcher import Matcher, Rule
from infrastructure.detection.tallies import Tallies

if TYPE_CHECKING:
    from infrastructure.detection.kernels import Kernel
    from infrastructure.detection.own_search import OwnRule

_RECORDS_THAT_TELL: Final = 256
_FULL: Final = 0.5


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense column: its name, its detector, and the kernel that accepts its values."""

    name: str
    detector: int
    kernel: "Kernel"


def dense_column(
    name: str, records: int, announced: "Sequence[Rule | OwnRule]", matcher: Matcher, tallies: Tallies
) -> Dense | None:
    """The dense column of this name; None if it is not dense, or if announced rules of other detectors look into it.

    It is dense if half of the `records` so far hold a value of one kind, whose occurrences are kept, and which no
    further value could make more certain. With an allow list that may speak of such a value, or with a tenant's own
    detectors, which may find something of theirs in it, each is looked at.
    """
    if records < _RECORDS_THAT_TELL or matcher.has_own:
        return None
    for detector, tally in tallies.in_column(name):
        full = tally.count >= max(tallies.occurrences, _FULL * records)
        if full and not tally.could_rise_in(name.encode()) and not tallies.may_allow(detector):
            kernel = _kernel(matcher.detectors[detector].id)
            if kernel is not None and all(rule.detector == detector for rule in announced):
                return Dense(name, detector, kernel)
    return None


def _kernel(detector: str) -> "Kernel | None":
    from infrastructure.detection.kernels import KERNELS  # noqa: PLC0415 — 20 MB that only dense columns need

    return KERNELS.get(detector)
