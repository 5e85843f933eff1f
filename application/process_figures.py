"""Figures that only one process of the ring knows: counted where things happen, told where somebody asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Family:
    """A metric, without the prefix `scanledger_`. `values` are those that its one label can have."""

    kind: Literal["counter", "gauge"]
    told: str
    label: str = ""
    values: tuple[str, ...] = ()


FAMILIES: Final[Mapping[str, Family]] = {
    "scanner_commands": Family(
        "counter",
        "Commands a scanner took: new ones, and those that were delivered again",
        "delivery",
        ("first", "again"),
    ),
    "scanner_chunks": Family(
        "counter", "Chunks a scanner was at, by how that ended", "outcome", ("done", "called_off", "lost")
    ),
    "scanner_listings": Family(
        "counter", "Listings a scanner was at, by how that ended", "outcome", ("done", "called_off", "lost")
    ),
    "scanner_chunk_seconds": Family("counter", "Seconds that slots spent on chunks"),
    "scanner_objects": Family("counter", "Objects a scanner read to their end"),
    "scanner_read_bytes": Family("counter", "Bytes of objects a scanner read"),
    "scanner_reports_sent": Family("counter", "Reports a scanner had stored"),
    "recorder_deliveries": Family(
        "counter", "Reports the recorder was given: new ones, and those that came again", "delivery", ("first", "again")
    ),
    "recorder_reports": Family(
        "counter",
        "Reports by what the recorder made of them: `unchanged` ones were duplicates or too late",
        "verdict",
        ("changed", "unchanged", "refused", "early", "unknown", "given_up"),
    ),
    "recorder_batches": Family("counter", "Batches of reports recorded"),
    "recorder_batch_seconds": Family("counter", "Seconds that recording them took"),
    "orchestrator_leads": Family("gauge", "1 in the process that leads, 0 in those that wait to"),
    "orchestrator_open_scans": Family("gauge", "Open scans as the leader has them"),
    "orchestrator_outstanding_commands": Family("gauge", "Commands for chunks sent and not answered"),
    "orchestrator_arrived_events": Family("gauge", "Events read from the log and not acted on yet"),
    "orchestrator_sent_again": Family("counter", "Commands taken for lost, and sent again"),
}
"""All there are, by name. Which of them a process tells depends on its roles: a name begins with the role."""


class ProcessFigures:
    """Counters and gauges of one process. Changed by one thread, read by any."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], float] = {}
        self._roles: tuple[str, ...] = ()

    def of_roles(self, *roles: str) -> None:
        """Tell the figures of these roles, from 0."""
        self._roles = roles

    def add(self, name: str, label: str = "", by: float = 1) -> None:
        key = name, label
        self._counts[key] = self._counts.get(key, 0) + by

    def set(self, name: str, value: float) -> None:
        """What a gauge has from now on."""
        self._counts[name, ""] = value

    def read(self) -> Mapping[str, Mapping[str, float]]:
        """By name, and by value of the label (empty where there is none)."""
        return {name: self._values(name) for name in FAMILIES if name.partition("_")[0] in self._roles}

    def _values(self, name: str) -> Mapping[str, float]:
        return {value: self._counts.get((name, value), 0.0) for value in FAMILIES[name].values or ("",)}
