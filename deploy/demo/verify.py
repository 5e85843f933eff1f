"""Whether a scan came to what the generator put there."""

from collections.abc import Iterator, Sequence
from typing import Final

from objects import Place

from api.cli.client import Document
from api.cli.summary import DetectorSum

CATEGORIES: Final = {"network", "payment", "pii", "secret"}


def faults_of(place: Place, scan: Document, sums: Sequence[DetectorSum]) -> Iterator[str]:
    """A sentence for every sum that is wrong."""
    progress, coverage, there = scan["progress"], scan["coverage"], len(place.objects)
    to_read = there - sum(place.failed.values()) - sum(place.skipped.values())
    accounted = sum(coverage[f"total_{fate}"] for fate in ("scanned", "skipped", "failed", "remaining"))
    found = {one.detector: len(one.keys) for one in sums}
    checks = {
        "status": (scan["status"], "completed"),
        "objects enumerated": (coverage["total_enumerated"], there),
        "objects accounted for": (accounted, there),
        "objects scanned": (coverage["total_scanned"], to_read),
        "skipped by reason": (coverage["skipped_by_reason"], place.skipped),
        "failed by reason": (coverage["failed_by_reason"], place.failed),
        "bytes listed": (progress["bytes_total"], place.total_bytes),
        "categories found": ({one.category for one in sums}, CATEGORIES),
        "objects with planted secrets": ({kind: found.get(kind, 0) for kind in place.planted}, place.planted),
    }
    for what, (is_so, should_be) in checks.items():
        if is_so != should_be:
            yield f"{place.name}: {what}: {is_so!r} instead of {should_be!r}."
