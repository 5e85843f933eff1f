"""What a scan found, summed up by detector, in a bounded number of requests."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from api.cli.client import Client, Document

MOST_FINDINGS: Final = 1_000
"""Findings read per detector; beyond them its sums are lower bounds and said to be."""

SAMPLES: Final = 3
"""Findings kept as examples per detector."""


@dataclass(slots=True)
class DetectorSum:
    """One detector's part in a scan. `hits` counts every occurrence, in `objects` objects."""

    detector: str
    category: str
    hits: int = 0
    complete: bool = True
    keys: set[tuple[str, str]] = field(default_factory=set)
    samples: list[Document] = field(default_factory=list)

    def add(self, finding: Document) -> None:
        where = (finding["connector"], finding["object"])
        if len(self.samples) < SAMPLES and where not in self.keys:
            self.samples.append(finding)
        self.keys.add(where)
        self.hits += finding["count"]

    def document(self) -> Document:
        return {
            "detector": self.detector,
            "category": self.category,
            "count": self.hits,
            "objects": len(self.keys),
            "complete": self.complete,
        }


def summed(client: Client, scan_id: str) -> list[DetectorSum]:
    """Each detector that found something, by category and name. Raises `ApiFailure`."""
    sums = [_sum(client, scan_id, detector) for detector in client.get("/detectors")]
    return sorted((one for one in sums if one.hits), key=lambda one: (one.category, one.detector))


def _sum(client: Client, scan_id: str, detector: Document) -> DetectorSum:
    found = DetectorSum(detector["detector"], detector["category"])
    findings = client.items(f"/scans/{scan_id}/findings", {"detector": found.detector}, MOST_FINDINGS + 1)
    for finding in islice(findings, MOST_FINDINGS):
        found.add(finding)
    found.complete = next(findings, None) is None
    return found
