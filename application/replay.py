"""What building the views anew from the log came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row of a view that is not what the log says. `fields` are those that differ, as they are and as they should be;
    none of a row that is only on one side: `kind` is changed, missing or surplus."""

    key: str
    kind: str
    fields: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TableDifferences:
    """How many rows of a view there should be, how many differ, and the first of those."""

    table: str
    rows: int
    differing: int
    shown: Sequence[RowDifference]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The views as `events` events made them, up to `position` in the log. `switched`: they are what clients read now.

    `schema`: where they were left for inspection.
    """

    events: int
    position: int
    tables: Sequence[TableDifferences] = ()
    switched: bool = False
    schema: str | None = None

    @property
    def differing(self) -> int:
        return sum(table.differing for table in self.tables)
