"""A worker's listing of one unit, as numbered batches of what it finds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from application import object_columns
from application.messages import ListingCompleted, ListingFailed, ListingSplit, ListUnit, ObjectsListed, Report
from application.ports import ObjectSource, Stopped
from domain.errors import Permanent, ScanledgerError
from domain.manifest import ObjectInfo

REPORT_BYTES: Final = 512 * 1024
"""A larger report goes in numbered parts."""

FAN_OUT_AFTER: Final = 3
"""Pages after which a listing that may be parted asks for prefixes to part it at."""

_MOST_BOUNDS: Final = 15
_OBJECTS_A_BATCH: Final = 1_000

_HIGH: Final = "\U0010fffd"
"""The last character that a key may have."""

_KEY_BYTES: Final = 1_024
"""A provider need not take a longer key, not even to list after."""

Emit = Callable[[Report], None]
"""Takes a report; returns when there is room for the next one."""


def list_unit(command: ListUnit, source: ObjectSource, *, worker: str, emit: Emit, stopped: Callable[[], bool]) -> None:
    """List a unit from where it was recorded to its end, in numbered batches. Raises Stopped when called off.

    A long one hands its tail over to others where it may, and goes on with what is left.
    """
    listing = _Listing(command, worker, emit, stopped, command.next_batch, command.resume_after, command.until)
    try:
        if command.only is not None:
            listing.look_up(source, object_columns.from_text(command.only))
        else:
            listing.list(source)
    except ScanledgerError as error:
        emit(_listing_failed(command, worker, error))


@dataclass(slots=True)
class _Listing:
    command: ListUnit
    worker: str
    emit: Emit
    stopped: Callable[[], bool]
    batch: int
    after: str
    until: str

    def list(self, source: ObjectSource) -> None:
        may_fan_out = self.command.fan_out
        going = True
        while going:
            going = False
            for count, page in enumerate(source.list_pages(self.command.prefix, self.after, self.until), 1):
                self._report(page)
                if may_fan_out and count == FAN_OUT_AFTER:
                    may_fan_out = False
                    going = self._fan_out(source)
                if going:
                    break
        self._complete()

    def _fan_out(self, source: ObjectSource) -> bool:
        """Leave all behind the first prefix to come to others; false if there is nothing to leave."""
        bounds = [
            bound for bound in source.prefixes(self.command.prefix, self.after, self.until) if bound != self.until
        ]
        if not bounds:
            return False
        chosen = _spread(bounds, _MOST_BOUNDS)
        self.emit(
            ListingSplit(
                scan=self.command.scan,
                worker=self.worker,
                unit=self.command.unit,
                attempt=self.command.attempt,
                bounds=chosen,
            )
        )
        self.until = chosen[0]
        return True

    def look_up(self, source: ObjectSource, wanted: Sequence[ObjectInfo]) -> None:
        """Only these objects, as they are now. One that is gone is told as it was: reading it will say so."""
        present = _as_now(source, self.command.prefix, wanted)
        for at in range(0, len(wanted), _OBJECTS_A_BATCH):
            batch = [next(present) for _ in wanted[at : at + _OBJECTS_A_BATCH]]
            ends = at + len(batch) == len(wanted)
            self._report(batch, continues=ends and self.command.more)
        if not self.command.more:
            self._complete()

    def _report(self, page: Sequence[ObjectInfo], *, continues: bool = False) -> None:
        blocks = list(_fitting(page))
        for place, (objects, text) in enumerate(blocks, 1):
            if self.stopped():
                raise Stopped
            self.emit(
                ObjectsListed(
                    scan=self.command.scan,
                    worker=self.worker,
                    unit=self.command.unit,
                    attempt=self.command.attempt,
                    batch=self.batch,
                    after=self.after,
                    objects=text,
                    continues=continues and place == len(blocks),
                )
            )
            self.batch += 1
            self.after = objects[-1].key

    def _complete(self) -> None:
        self.emit(
            ListingCompleted(
                scan=self.command.scan,
                worker=self.worker,
                unit=self.command.unit,
                attempt=self.command.attempt,
                batches=self.batch - 1,
                until=self.until,
                after=self.after,
            )
        )


def _fitting(page: Sequence[ObjectInfo]) -> Iterator[tuple[Sequence[ObjectInfo], str]]:
    """The page as blocks that fit a message: whole, unless its keys are very long."""
    if not page:
        return
    text = object_columns.to_text(page)
    if len(text) <= REPORT_BYTES or len(page) == 1:
        yield page, text
        return
    middle = len(page) // 2
    yield from _fitting(page[:middle])
    yield from _fitting(page[middle:])


def _spread(bounds: Sequence[str], most: int) -> list[str]:
    """At most `most` of the bounds, evenly chosen."""
    if len(bounds) <= most:
        return list(bounds)
    return [bounds[place * len(bounds) // most] for place in range(most)]


def _as_now(source: ObjectSource, prefix: str, wanted: Sequence[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Each of `wanted`, which are in key order, as the source has it now, or as it was if it has it no more.

    Lists on where they stand close together and skips ahead where they do not, so it asks for no more pages than either
    their number or a listing of their whole range would take.
    """
    found: dict[str, ObjectInfo] = {}
    reached = ""
    for entry in wanted:
        if entry.key > reached:
            after = max(reached, _just_before(entry.key))
            found, reached = {}, wanted[-1].key
            for page in source.list_pages(prefix, after, wanted[-1].key):
                found.update((one.key, one) for one in page)
                if page and page[-1].key >= entry.key:
                    reached = page[-1].key
                    break
        yield found.get(entry.key, entry)


def _just_before(key: str) -> str:
    """A string that sorts before `key`, with hardly a key between them."""
    last = ord(key[-1]) - 1
    if last <= 0:
        return key[:-1]
    before = key[:-1] + ("\ud7ff" if 0xD800 <= last <= 0xDFFF else chr(last))
    return before + _HIGH if len(before.encode()) + len(_HIGH.encode()) <= _KEY_BYTES else before


def _listing_failed(command: ListUnit, worker: str, error: ScanledgerError) -> ListingFailed:
    return ListingFailed(
        scan=command.scan,
        worker=worker,
        unit=command.unit,
        attempt=command.attempt,
        reason=_snake(type(error).__name__),
        detail=str(error),
        permanent=isinstance(error, Permanent),
    )


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
