"""A bucket in memory, and the words that tests of a worker's work are told in."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from application.messages import ObjectsListed, Report, Source
from application.object_columns import from_text
from application.ports import ByteStream
from domain.connector import ConnectorType
from domain.errors import ScanledgerError
from domain.manifest import ObjectInfo

SOURCE = Source(connector="conn-1", type=ConnectorType.S3, config={})


@dataclass
class Bucket:
    """`ObjectSource` in memory. `faults` by key are raised on opening, `end` after the last page."""

    bodies: dict[str, bytes]
    faults: dict[str, ScanledgerError] = field(default_factory=dict)
    end: ScanledgerError | None = None
    page: int = 2
    ordered: bool = True
    opened: list[str] = field(default_factory=list)
    pages: int = 0
    """How many pages were asked for."""

    def entries(self) -> list[ObjectInfo]:
        return [ObjectInfo(key, len(body)) for key, body in sorted(self.bodies.items())]

    def within(self, prefix: str, after: str, until: str) -> list[ObjectInfo]:
        below = [entry for entry in self.entries() if entry.key.startswith(prefix)]
        return [entry for entry in below if entry.key > after and (not until or entry.key <= until)]

    def list_pages(self, prefix: str, after: str = "", until: str = "") -> Iterator[Sequence[ObjectInfo]]:
        found = self.within(prefix, after, until)
        self.pages += not found
        for at in range(0, len(found), self.page):
            self.pages += 1
            yield found[at : at + self.page]
        if self.end:
            raise self.end

    def prefixes(self, prefix: str, after: str = "", until: str = "") -> Sequence[str]:
        keys = [entry.key for entry in self.within(prefix, after, until)]
        heads: set[str] = set()
        for _ in range(5):
            heads = {key[: key.find("/", len(prefix)) + 1] for key in keys}
            if len(heads) != 1 or "" in heads:
                break
            (prefix,) = heads
        return sorted(head for head in heads if head > after)[:1_000]

    @contextmanager
    def open_object(self, entry: ObjectInfo, *, start: int = 0, stop: int | None = None) -> Iterator[ByteStream]:
        self.opened.append(entry.key)
        if fault := self.faults.get(entry.key):
            raise fault
        yield io.BytesIO(self.bodies[entry.key][start:stop])

    def check(self) -> None:
        """Always well."""

    def close(self) -> None:
        """Nothing is held."""


def keys(reports: Sequence[Report]) -> list[list[str]]:
    """Those of each batch."""
    return [[entry.key for entry in from_text(r.objects)] for r in reports if isinstance(r, ObjectsListed)]
