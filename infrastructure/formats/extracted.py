"""What a reader makes of a format that is no plain text: columns, passages, entries, and what it could not read."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Final, NamedTuple, Protocol, Self

from application.ports import ByteStream
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.limits import Budget
from infrastructure.formats.streams import PeekableStream

SEPARATOR: Final = b"\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where extracted text stands in its document. All are counted from 1 but `record_index`, which is from 0."""

    page: int | None = None
    sheet: str | None = None
    cell: str | None = None
    record_index: int | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of text (UTF-8) that stands together: a page, a slide, the paragraphs of a document, a mail header.

    A hit in it is placed at `place`, and at the line and the column within the text.
    """

    text: bytes
    place: Place = Place()


class DistinctValues(NamedTuple):
    """The values of a column. `text` holds them, those that are repeated once, each followed by a newline, `ends` where
    each ends with it, and `numbers` which of them stands in each row; -1 for a row without a value. The last two may
    be NumPy arrays."""

    text: bytes
    ends: Sequence[int]
    numbers: Sequence[int]


Accepts = Callable[[Any, Any, Any], Any]
"""From a text and where its values begin and end to which of them are accepted, all as NumPy arrays."""


class ColumnBatch:
    """Some values of one column of a table, `size` bytes of distinct ones.

    `place(row)` tells where the value of a row stands; `records` is how many rows the table has as far as it was read.
    `without(accepts)`, where it is there, gives how many rows hold an accepted value, and the batch of the others.
    """

    def __init__(
        self,
        column: str,
        rows: Sequence[int],
        place: Callable[[int], Place],
        records: int,
        *,
        size: int,
        values: Callable[[], DistinctValues],
        without: "Callable[[Accepts], tuple[int, ColumnBatch | None]] | None" = None,
    ) -> None:
        self.column: Final = column
        self.place: Final = place
        self.records = records
        self.size: Final = size
        self.without: Final = without
        self._rows = rows
        self._make = values

    @classmethod
    def of(
        cls, column: str, values: Sequence[bytes | None], rows: Sequence[int], place: Callable[[int], Place]
    ) -> Self:
        """The batch of these values; `rows[i]`, in order, is the row of `values[i]`; None is one that is not there."""
        distinct: dict[bytes, int] = {}
        numbers = [-1 if value is None else distinct.setdefault(value, len(distinct)) for value in values]
        ends = list(accumulate(len(value) + len(SEPARATOR) for value in distinct))
        made = DistinctValues(b"".join(value + SEPARATOR for value in distinct), ends, numbers)
        return cls(column, rows, place, rows[-1] + 1 if rows else 0, size=len(made.text), values=lambda: made)

    @property
    def first(self) -> int:
        """The number of its first row."""
        return self._rows[0] if len(self._rows) else 0

    @cached_property
    def values(self) -> DistinctValues:
        return self._make()

    def value_of(self, start: int, end: int) -> int | None:
        """The value that holds `text[start:end]`; None if that crosses values."""
        ends = self.values.ends
        index = bisect_right(ends, start)
        return index if index < len(ends) and end < ends[index] else None

    def rows_with(self, wanted: Collection[int]) -> Iterator[tuple[int, int]]:
        """Each row that has one of these values, in order, and which. In nested columns a row may have several."""
        numbers: Any = self.values.numbers
        if isinstance(numbers, list):
            places = [at for at, number in enumerate(numbers) if number in wanted]
        else:
            import numpy as np  # noqa: PLC0415 — there already

            marked = np.zeros(len(self.values.ends) + 1, np.bool_)  # the last one for those without a value
            marked[list(wanted)] = True
            places = np.flatnonzero(marked[numbers]).tolist()
        for at in places:
            yield self._rows[at], int(numbers[at])


@dataclass(frozen=True, slots=True)
class Entry:
    """An object within an object: a file of an archive, an attachment. `stream` is valid until the next item."""

    name: str
    stream: ByteStream


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of an object that its reader cannot give: its name in the object and why, as if it were one itself."""

    name: str
    error: ObjectSkipped | ObjectUnreadable


Extracted = Passage | ColumnBatch | Entry | Unread


class Reader(Protocol):
    """Reads one format. Yields what it extracts, in the order of the object.

    Raises `ObjectUnreadable` (parse_error, encrypted, resource_limit) or `ObjectSkipped` if it cannot go on: what it
    gave before counts all the same. Asks `budget` before it spends, so that no input can cost more than it allows.
    """

    def __call__(self, content: PeekableStream, name: str, budget: Budget, /) -> Iterator[Extracted]: ...
