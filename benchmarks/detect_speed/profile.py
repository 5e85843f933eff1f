"""Which rules cost: how often what we search for ends in ordinary text, and what each detector takes alone."""

import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import hyperscan

from domain.detectors import Detector, detectors
from domain.detectors.anchors import anchor_of, keyword_anchors
from infrastructure.detection.engine import HyperscanDetection

_TURNS: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """One detector on one text: how often its anchors end in it, its hits, and what it takes alone, beyond what a run
    with no detector takes. In the whole set it shares most of that with others."""

    detector: str
    fired: int
    anchors: tuple[tuple[str, int], ...]
    hits: int
    milliseconds: float


def all_told(text: bytes, name: str) -> tuple[float, float, float]:
    """Milliseconds that this text takes with all detectors and with none, and how often any anchor ends in it."""
    known = detectors()
    return _seconds(known, text, name)[0] * 1_000, _seconds((), text, name)[0] * 1_000, _fired(known, text).total()


def costs(text: bytes, name: str) -> Iterator[Cost]:
    """The cost of every detector for this text."""
    known = detectors()
    fired = _fired(known, text)
    idle = _seconds((), text, name)[0]
    for detector in known:
        own = Counter({expression: fired[expression] for expression in _expressions(detector) if fired[expression]})
        seconds, hits = _seconds((detector,), text, name)
        yield Cost(detector.id, own.total(), tuple(own.most_common(3)), hits, (seconds - idle) * 1_000)


def _expressions(detector: Detector) -> list[str]:
    found = []
    for pattern in detector.patterns:
        found += [] if pattern.keywords else [anchor_of(pattern).expression]
        found += [expression for keyword in pattern.keywords for expression in keyword_anchors(keyword)]
    return list(dict.fromkeys(found))


def _fired(known: Sequence[Detector], text: bytes) -> Counter[str]:
    """How often each expression ends in the text."""
    expressions = list(dict.fromkeys(one for detector in known for one in _expressions(detector)))
    counts = [0] * len(expressions)

    def count(number: int, *_: object) -> None:
        counts[number] += 1

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    encoded = [expression.encode() for expression in expressions]
    database.compile(expressions=encoded, ids=range(len(encoded)), elements=len(encoded), flags=0)
    database.scan(text, count)
    return Counter(dict(zip(expressions, counts, strict=True)))


def _seconds(chosen: Sequence[Detector], text: bytes, name: str) -> tuple[float, int]:
    detection = HyperscanDetection(chosen)
    detection.inspect(io.BytesIO(text[:1_000]), name=name, size=1_000)
    taken = []
    for _ in range(_TURNS):
        begin = time.process_time()
        inspected = detection.inspect(io.BytesIO(text), name=name, size=len(text))
        taken.append(time.process_time() - begin)
    return min(taken), sum(finding.count for finding in inspected.findings)
