"""The search of a table's column, of which each distinct value is looked at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain.finding import Occurrence
from infrastructure.detection.dense import dense_column
from infrastructure.detection.matcher import Hit, Matcher, Rule, announced_hits
from infrastructure.detection.precedence import definite
from infrastructure.detection.tallies import Tallies, masked, shown_confidence
from infrastructure.formats.extracted import ColumnBatch

if TYPE_CHECKING:
    from infrastructure.detection.own_search import OwnRule


def record_batch(batch: ColumnBatch, matcher: Matcher, tallies: Tallies, inner_path: str) -> None:
    """Tally the hits of a batch, each as often as its value stands in a row."""
    tallies.records = max(tallies.records, batch.records)
    announced = matcher.announced(batch.column)
    dense = dense_column(batch.column, batch.first, announced, matcher, tallies) if batch.without is not None else None
    left: ColumnBatch | None = batch
    if dense is not None and batch.without is not None:
        count, left = batch.without(dense.kernel)
        tallies.of(dense.detector, dense.name).count += count
    if left is not None:
        _search(left, announced, matcher, tallies, inner_path)


def _search(
    batch: ColumnBatch, announced: "Sequence[Rule | OwnRule]", matcher: Matcher, tallies: Tallies, inner_path: str
) -> None:
    text = batch.values.text
    hits = matcher.hits(text, 0, 0, len(text), matcher.nothing_covered())
    hits += announced_hits(announced, text)
    hits.sort()
    by_value: dict[int, list[Hit]] = {}
    for hit in definite(hits, len(hits), matcher.yielding, {}):
        value = batch.value_of(hit[0], hit[1])
        if value is not None:
            by_value.setdefault(value, []).append(hit)
    if by_value:
        _record(batch, by_value, tallies, inner_path)


def _record(batch: ColumnBatch, by_value: dict[int, list[Hit]], tallies: Tallies, inner_path: str) -> None:
    near = batch.column.encode()
    for row, value in batch.rows_with(by_value):
        for start, end, detector, confidence, _ in by_value[value]:
            if confidence == 0.0:
                tallies.reject(detector, batch.column)
                continue
            if tallies.allow(detector, batch.values.text[start:end]):
                continue
            tally = tallies.of(detector, batch.column)
            tally.count += 1
            kept = tally.count <= tallies.occurrences
            if kept or tally.could_rise(confidence):
                sure = tally.rise(confidence, near)
                if kept:
                    shown = masked(batch.values.text[start:end])
                    tally.keep(Occurrence(masked=shown, field=batch.column, confidence=shown_confidence(sure)))
                    tally.move(batch.place(row), inner_path or None)
