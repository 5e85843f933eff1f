"""A log in memory of which an older copy can take the place."""

from collections.abc import Sequence
from dataclasses import fields

from application.ports import Append, LogRewound, Recorded, Rows
from domain.scan_events import ScanEvent
from tests.application.memory_log import MemoryScanLog


class RewindableLog(MemoryScanLog):
    """`ScanLog` that keeps a copy of itself from after each transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[tuple[list[Recorded], Rows]] = []
        self.restores = 0

    def append(self, appends: Sequence[Append], rows: Rows | None = None) -> int:
        position = super().append(appends, rows)
        self.copies.append((list(self.records), _copied(self.rows)))
        return position

    def append_next(
        self, stream: str, events: Sequence[ScanEvent], *, unless: Sequence[str], alternating: Sequence[str] = ()
    ) -> int | None:
        position = super().append_next(stream, events, unless=unless, alternating=alternating)
        if position is not None:
            self.copies.append((list(self.records), _copied(self.rows)))
        return position

    def restore(self, transactions: int) -> None:
        """Go back to how it was before the last so many; the first two always stay."""
        del self.copies[max(2, len(self.copies) - transactions) :]
        records, rows = self.copies[-1]
        self.records, self.rows = list(records), _copied(rows)
        self.restores += 1


class WatchfulLog:
    """What a recorder sees of it: that it was restored is said once, by the next `append` or `history`."""

    def __init__(self, log: RewindableLog) -> None:
        self._log = log
        self._restores = log.restores

    def append(self, appends: Sequence[Append], rows: Rows | None = None) -> int:
        self._notice()
        return self._log.append(appends, rows)

    def history(self, stream: str, after_version: int, limit: int) -> Sequence[Recorded]:
        self._notice()
        return self._log.history(stream, after_version, limit)

    def _notice(self) -> None:
        if self._restores != self._log.restores:
            self._restores = self._log.restores
            raise LogRewound("restored")


def _copied(rows: Rows) -> Rows:
    return Rows(**{field.name: list(getattr(rows, field.name)) for field in fields(Rows)})
