"""Plain text: where a hit stands by line and column. The base of every other locator."""

from domain.detectors.rule import CONTEXT_AFTER, CONTEXT_BEFORE
from domain.finding import Occurrence
from infrastructure.formats.charset import Width
from infrastructure.formats.limits import Limits
from infrastructure.formats.window import Frame


class TextLocator:
    """Places hits in text. Between `begin` and `settle` of one frame it is asked in order of their start."""

    def __init__(self, width: Width, limits: Limits) -> None:
        self._width = width
        self._reach = limits.record_reach
        self._data = b""
        self._base = 0
        self._last = False
        self._position = 0
        self._source = 0
        self._line = 1
        self._line_source = 0

    def start_at(self, offset: int) -> None:
        """Count lines and records from `offset`, which is a line's beginning. To be called before the first frame."""
        self._position = self._source = self._line_source = offset

    def lines(self) -> int:
        """The lines that begin before the settled offset."""
        return self._line - 1 + (self._source > self._line_source)

    def records(self) -> int:
        """The records that begin before the settled offset."""
        return 0

    def begin(self, frame: Frame) -> None:
        self._data, self._base, self._last = frame.data, frame.base, frame.last

    def settle(self, offset: int) -> None:
        """No hit before `offset` will be asked for again."""
        self._advance_lines(offset)

    def column(self, start: int) -> str | None:  # noqa: ARG002 — plain text has no columns
        """The table column or the JSON path without array indices that findings are grouped by."""
        return None

    def near(self, start: int, end: int) -> bytes:
        """The bytes around a hit in which context words count."""
        first = max(start - self._base - CONTEXT_BEFORE, 0)
        return (
            self._data[first : start - self._base]
            + b" "
            + self._data[end - self._base : end - self._base + CONTEXT_AFTER]
        )

    def place(self, start: int, end: int, masked: str, confidence: float) -> Occurrence:
        """The hit `start..end` with everything that is known about where it stands."""
        return self._placed(start, end, masked, confidence)

    def _placed(
        self,
        start: int,
        end: int,
        masked: str,
        confidence: float,
        *,
        record_index: int | None = None,
        field: str | None = None,
        json_path: str | None = None,
    ) -> Occurrence:
        self._advance_lines(start)
        return Occurrence(
            masked=masked,
            confidence=confidence,
            byte_offset=self._source,
            length=self._width(self._data, start - self._base, end - self._base),
            line=self._line,
            column=self._source - self._line_source + 1,
            record_index=record_index,
            field=field,
            json_path=json_path,
        )

    def _advance_lines(self, offset: int) -> None:
        start, stop = self._position - self._base, offset - self._base
        if stop <= start:
            return
        newlines = self._newlines(start, stop)
        if newlines:
            line_start = self._data.rfind(b"\n", start, stop) + 1
            self._line += newlines
            self._line_source = self._source + self._width(self._data, start, line_start)
        self._source += self._width(self._data, start, stop)
        self._position = offset

    def _newlines(self, start: int, stop: int) -> int:
        """How many stand in this part of the data."""
        return self._data.count(b"\n", start, stop)
