"""Which hits count where several stand in the same place."""

from bisect import bisect_left
from collections.abc import Collection, Sequence

from infrastructure.detection.frequent import FrequentValues
from infrastructure.detection.matcher import Hit


def definite(
    hits: Sequence[Hit],
    cut: int,
    yielding: Collection[int],
    covered: dict[int, int],
    *,
    frequent: FrequentValues | None = None,
    earlier: Sequence[Hit] = (),
) -> list[Hit]:
    """The first `cut` of these hits, which are in order, each place once.

    Without those that share a byte with an earlier one of their own detector, and those of `yielding` detectors that
    share one with a hit of another, with a value that `frequent` took, or with a surer or earlier one of their own
    kind. `covered`, where the last hit of each detector ended, is carried on; and `earlier` are the hits of earlier
    calls that may reach into these, in order.
    """
    wanted: list[Hit] = []
    for hit in hits[:cut]:
        start, end, detector, confidence, _ = hit
        if start >= covered.get(detector, 0):
            wanted.append(hit)
            if confidence > 0.0:
                covered[detector] = end
    if not yielding or not any(hit[2] in yielding for hit in wanted):
        return wanted
    sure = [hit for hit in (*earlier, *hits) if hit[3] > 0.0]
    widest = max((hit[1] - hit[0] for hit in sure), default=0)
    return [
        hit
        for hit in wanted
        if hit[2] not in yielding
        or not (_gives_way(hit, sure, widest, yielding) or (frequent is not None and frequent.meets(hit[0], hit[1])))
    ]


def _gives_way(hit: Hit, others: Sequence[Hit], widest: int, yielding: Collection[int]) -> bool:
    start, end = hit[:2]
    first, last = bisect_left(others, (start - widest,)), bisect_left(others, (end,))
    met = (other for other in others[first:last] if other[1] > start and other[2] != hit[2])
    return any(other[2] not in yielding or (-other[3], other) < (-hit[3], hit) for other in met)
