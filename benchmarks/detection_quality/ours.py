"""Our own detection of texts and files, in this process."""

import io
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.peers.scanners import Alarm
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import Finding, Occurrence
from infrastructure.detection.engine import HyperscanDetection

SHOWN: Final = 0.5
"""The confidence from which a hit is shown to a reader by default."""

_ALL: Final = 100_000
_BEFORE: Final = 24


class Hit(NamedTuple):
    """A span of characters of a text, found as `detector`."""

    start: int
    end: int
    detector: str
    confidence: float


@cache
def detection() -> HyperscanDetection:
    return HyperscanDetection(occurrences=_ALL)


def findings_of(content: bytes, name: str) -> tuple[Finding, ...]:
    """What is found in it; of what cannot be read to its end, as far as it was read. Nothing of what is skipped."""
    try:
        return detection().inspect(io.BytesIO(content), name=name, size=len(content)).findings
    except ObjectSkipped:
        return ()
    except ObjectUnreadable as error:
        return tuple(error.findings)


def hits_in(text: str, name: str = "note.txt") -> Iterator[Hit]:
    """All hits, whatever their confidence."""
    ends = list(accumulate(len(character.encode("utf-8", "surrogatepass")) for character in text))
    for finding in findings_of(text.encode("utf-8", "surrogatepass"), name):
        for occurrence in finding.occurrences:
            sure = _shown(finding, occurrence.confidence)
            if occurrence.byte_offset is not None and occurrence.length is not None:
                start = bisect_left(ends, occurrence.byte_offset + 1)
                stop = bisect_left(ends, occurrence.byte_offset + occurrence.length) + 1
                yield Hit(start, stop, finding.detector, sure)


def _shown(finding: Finding, confidence: float | None) -> float:
    # A column that mostly fails its checks takes its values' confidence down.
    return min(finding.confidence, finding.confidence if confidence is None else confidence)


def alarms_in(folder: Path) -> list[Alarm]:
    """What a reader is shown of a folder's files."""
    found: list[Alarm] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for finding in findings_of(path.read_bytes(), path.name):
            for occurrence in finding.occurrences:
                sure = _shown(finding, occurrence.confidence)
                if sure >= SHOWN:
                    line = occurrence.line or 1
                    found.append(Alarm(str(path), line, line, finding.detector, sure, occurrence.masked))
    return found


def counts_in(content: bytes, name: str) -> tuple[Counter[str], dict[str, list[str]]]:
    """How often each detector is shown, and a few of its hits: line, what stands before it, and the value masked."""
    lines = content.decode("utf-8", "replace").split("\n")
    counts: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    for finding in findings_of(content, name):
        shown = [o for o in finding.occurrences if _shown(finding, o.confidence) >= SHOWN]
        if shown:
            counts[finding.detector] += len(shown)
            samples[finding.detector] = [_sample(lines, name, o) for o in shown[:5]]
    return counts, samples


def _sample(lines: list[str], name: str, occurrence: Occurrence) -> str:
    line, column = occurrence.line or 1, occurrence.column or 1
    before = lines[line - 1][: column - 1][-_BEFORE:] if line <= len(lines) else ""
    return f"{name}:{line} {before.strip()} [{occurrence.masked}]".replace("\n", " ")
