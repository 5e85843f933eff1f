"""One large object read in parts: how its bytes are shared out, and how what was found becomes one again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.finding import MAX_OCCURRENCES, Finding, Occurrence, agreed

MAX_FINDINGS: Final = 1000
"""Findings kept apart by column in one object; beyond them, a detector's hits count for the object as a whole."""

_SPLITTABLE: Final = (
    ".csv", ".tsv", ".tab", ".psv", ".ndjson", ".jsonl", ".txt", ".log", ".text", ".parquet", ".pq",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartFindings:
    """What one part found. Its lines are numbered from 1 and its records from 0; `lines` and `records` are how many
    it has, hence what the numbers of the parts behind it grow by; None where it was not read to its end."""

    findings: Sequence[Finding]
    lines: int | None
    records: int | None


def part_range(size: int, part: int, parts: int) -> range:
    """The bytes of part `part` of `parts`, from 0: `size * part // parts` up to where the next begins. Together the
    parts cover every byte once; records are moved to the part in which they begin by whoever reads them."""
    return range(size * part // parts, size * (part + 1) // parts)


def part_at(size: int, offset: int, parts: int) -> int:
    """The part whose range holds byte `offset`; one outside `0..size-1` counts for the nearest."""
    nearest = min(max(offset, 0), size - 1)
    return ((nearest + 1) * parts - 1) // size


def splittable(key: str) -> bool:
    """Whether an object of this name may be read in parts. Only the content decides whether it is: of one that turns
    out otherwise, the first part reads the whole."""
    return key.lower().endswith(_SPLITTABLE)


def merged(parts: Sequence[PartFindings | None]) -> tuple[Finding, ...]:
    """The findings of the object, from all its parts in order: as a reading of the whole gives them, by detector and
    column.

    Of a part that was not read (None) nobody knows the lines and records: behind it no occurrence has any.

    Counts add up, the highest confidence holds, and the first `MAX_OCCURRENCES` occurrences stay, in the object's own
    lines and records. Past `MAX_FINDINGS`, which columns stay apart may differ from a reading of the whole.
    """
    found: dict[tuple[str, str | None], list[Finding]] = {}
    lines: int | None = 0
    records: int | None = 0
    for part in parts:
        if part is None:
            lines = records = None
            continue
        for finding in part.findings:
            key = finding.detector, finding.column
            if key not in found and len(found) >= MAX_FINDINGS:
                key = finding.detector, None
            found.setdefault(key, []).append(_shifted(finding, lines, records))
        lines = None if lines is None or part.lines is None else lines + part.lines
        records = None if records is None or part.records is None else records + part.records
    ordered = sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    whole = tuple(_sum(same, column) for (_, column), same in ordered)
    return whole if records is None else tuple(agreed(finding, records) for finding in whole)


def _shifted(finding: Finding, lines: int | None, records: int | None) -> Finding:
    moved = tuple(_moved(occurrence, lines, records) for occurrence in finding.occurrences)
    return replace(finding, occurrences=moved)


def _moved(occurrence: Occurrence, lines: int | None, records: int | None) -> Occurrence:
    line, record = occurrence.line, occurrence.record_index
    return replace(
        occurrence,
        line=None if line is None or lines is None else line + lines,
        record_index=None if record is None or records is None else record + records,
    )


def _sum(findings: Sequence[Finding], column: str | None) -> Finding:
    occurrences = sorted((place for finding in findings for place in finding.occurrences), key=_place)
    return replace(
        findings[0],
        confidence=max(finding.confidence for finding in findings),
        count=sum(finding.count for finding in findings),
        occurrences=tuple(occurrences[:MAX_OCCURRENCES]),
        column=column,
        rejected=sum(finding.rejected for finding in findings),
    )


def _place(occurrence: Occurrence) -> tuple[int, int]:
    return occurrence.byte_offset or 0, occurrence.record_index or 0
