"""Detection on local files, without a scan: what is to be read, and what became of it."""

import json
from dataclasses import dataclass
from typing import Final, Literal

from domain.coverage import Disposition
from domain.finding import Finding, Occurrence

NO_FILE: Final = "not_a_file"
LINK: Final = "link"
EXCLUDED: Final = "excluded"
"""Why a local file was not opened, beside the reasons of `SkipReason`."""

IO_ERROR: Final = "io_error"
"""Why one could not be read, beside those of `FailReason`: the system said so."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to be read: where it is, as what it is told, and about how large. Without a path: standard input."""

    path: str | None
    object: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class LocalFinding:
    """A finding of one object whose confidence is enough.

    `hits` counts its occurrences that are sure enough; `at_most`, if not all could be looked at one by one. `told` of
    them were given as lines, and `cut` says that there are more than can be kept in memory.
    """

    detector: str
    category: str
    severity: str
    column: str | None
    confidence: float
    hits: int
    at_most: bool = False
    told: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class LocalAccount:
    """What became of one object; for `reason` and `detail` see the domain's dispositions."""

    object: str
    disposition: Literal[Disposition.SCANNED, Disposition.SKIPPED, Disposition.FAILED]
    reason: str = ""
    detail: str = ""
    remark: str = ""
    bytes_read: int = 0
    findings: tuple[LocalFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for and what to tell: detectors by name (none: all), more of them as rule files (name and text),
    lines for `most` occurrences of each finding (None: all), and only what is of confidence `least` or more."""

    detectors: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    most: int | None = 1
    least: float = 0.5


def told_confidences(finding: Finding) -> list[float]:
    """The confidence of each occurrence: its own, adjusted as the finding's was by how far its column agrees.

    Where that lowered the finding's, no occurrence has a higher one; where it raised it, all have the raised one.
    """
    own = [finding.confidence if one.confidence is None else one.confidence for one in finding.occurrences]
    best = max(own, default=finding.confidence)
    if finding.column is None or finding.confidence == best:
        return own
    if finding.confidence < best:
        return [min(one, finding.confidence) for one in own]
    raised = finding.confidence >= round(best + (1 - best) / 2, 2)
    return [finding.confidence] * len(own) if raised else own


def line_of(told_as: str, found: LocalFinding, confidence: float, at: Occurrence) -> str:
    """One occurrence as a line of JSON, in ASCII: no name in it can steer a terminal."""
    document = {
        "object": told_as,
        "detector": found.detector,
        "category": found.category,
        "severity": found.severity,
        "confidence": confidence,
        "byte_offset": at.byte_offset,
        "length": at.length,
        "line": at.line,
        "column": at.column,
        "record_index": at.record_index,
        "field": at.field,
        "json_path": at.json_path,
        "inner_path": at.inner_path,
        "page": at.page,
        "sheet": at.sheet,
        "cell": at.cell,
        "masked": at.masked,
    }
    line = json.dumps(document)
    return (line.replace("\x7f", "\\u007f") if "\x7f" in line else line) + "\n"
