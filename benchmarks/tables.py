"""What a benchmark prints: one table, with what it is measured beside and the ratio of the two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

__all__ = ["Table", "figure", "median", "ratio"]


@dataclass(slots=True)
class Table:
    """Rows of text under `columns`; `notes` are printed below it."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def show(self) -> None:
        """Print it; numbers to the right, the first column to the left."""
        widths = [max(len(row[at]) for row in [self.columns, *self.rows]) for at in range(len(self.columns))]
        print(f"\n{self.title}")
        for row in [self.columns, *self.rows]:
            first, *others = row
            cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
            print("  " + "  ".join(cells))
        for note in self.notes:
            print(f"  {note}")


def figure(value: float) -> str:
    """A count or a rate, to about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """The median of the ratios of each round: what disturbs the machine disturbs both sides of a round."""
    return median(one / other for one, other in zip(ours, floor, strict=True))
