"""The ports of the store in memory, without a database, for tests of use cases. Same contracts, same suites."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock

from application.erasure import data_erased
from application.ports import (
    Append,
    Claimed,
    ConcurrentAppend,
    LogRewound,
    ManifestPage,
    ObjectPartRow,
    Recorded,
    Refused,
    Rows,
)
from domain import connector as connectors
from domain import scan as scans
from domain.connector import CONNECTOR_EVENTS, Connector, ConnectorEvent
from domain.detectors.own import OwnRules
from domain.errors import NotFound
from domain.inventory import Known
from domain.scan import Scan
from domain.scan_events import (
    ENDINGS,
    SCAN_EVENTS,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    DataErased,
    ObjectsListed,
    Queued,
    ScanEvent,
)

_BULK = (ObjectsListed, ChunkStarted, ChunkCompleted, ChunkFailed)


class MemoryScanLog:
    """`ScanLog`. Rows are kept by table in `rows`; what a table's key forbids is refused."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self.rows = Rows()
        self._lock = Lock()

    def scan(self, scan_id: str) -> Scan:
        events = self._scan_events(scan_id)
        scan = Scan()
        for event in events:
            scan = scans.evolve(scan, event)
        return scan

    def course(self, scan_id: str) -> Scan:
        scan = Scan()
        for event in self._scan_events(scan_id):
            if not isinstance(event, _BULK):
                scan = scans.evolve(scan, event)
        return scan

    def connector(self, connector_id: str) -> Connector:
        found = Connector(connector_id=connector_id)
        for event in self._events(connector_id):
            if not isinstance(event, CONNECTOR_EVENTS):
                raise NotFound("connector", connector_id)
            found = connectors.evolve(found, event)
        if not found.version:
            raise NotFound("connector", connector_id)
        return found

    def append(self, appends: Sequence[Append], rows: Rows | None = None) -> int:
        with self._lock:
            latest = Counter(record.stream for record in self.records)
            for append in appends:
                if latest[append.stream] < append.after_version:
                    raise LogRewound(append.stream)
                if latest[append.stream] > append.after_version:
                    raise ConcurrentAppend(append.stream)
                latest[append.stream] += len(append.events)
            if rows:
                self._keep(rows)
            for append in appends:
                self._put(append.stream, append.after_version, append.events)
            return len(self.records)

    def append_next(
        self, stream: str, events: Sequence[ScanEvent], *, unless: Sequence[str], alternating: Sequence[str] = ()
    ) -> int | None:
        with self._lock:
            before = self._events(stream)
            last = next((event.kind for event in reversed(before) if event.kind in alternating), None)
            if last == events[0].kind or any(event.kind in unless for event in before):
                return None
            self._put(stream, len(before), events)
            return len(self.records)

    def read(self, after: int, limit: int) -> Sequence[Recorded]:
        with self._lock:
            return self.records[after : after + limit]

    def history(self, stream: str, after_version: int, limit: int) -> Sequence[Recorded]:
        found = [record for record in self.records if record.stream == stream and record.version > after_version]
        return found[:limit]

    def open_scans(self) -> Sequence[str]:
        begun = [record.stream for record in self.records if isinstance(record.event, Queued)]
        ended = {record.stream for record in self.records if isinstance(record.event, ENDINGS)}
        return [stream for stream in begun if stream not in ended]

    def position(self) -> int:
        return len(self.records)

    def _events(self, stream: str) -> list[ScanEvent | ConnectorEvent]:
        return [record.event for record in self.records if record.stream == stream]

    def _scan_events(self, scan_id: str) -> list[ScanEvent]:
        events = [event for event in self._events(scan_id) if isinstance(event, SCAN_EVENTS)]
        if not events:
            raise NotFound("scan", scan_id)
        return events

    def _put(self, stream: str, version: int, events: Sequence[ScanEvent | ConnectorEvent]) -> None:
        for number, event in enumerate(events, version + 1):
            self.records.append(Recorded(len(self.records) + 1, stream, number, event))

    def _keep(self, new: Rows) -> None:
        keys: list[tuple[object, ...]] = [
            *(("page", row.scan, row.first_index) for row in (*self.rows.pages, *new.pages)),
            *(("exception", row.scan, row.index) for row in (*self.rows.exceptions, *new.exceptions)),
            *(("finding", row.scan, row.finding_id) for row in (*self.rows.findings, *new.findings)),
        ]
        done = set(new.object_parts_done)
        object_parts = [row for row in new.object_parts if (row.scan, row.index) not in done]
        keys += [("part", row.scan, row.index, row.part) for row in (*self.rows.object_parts, *object_parts)]
        if len(set(keys)) < len(keys):
            raise Refused("the same row twice")
        for scan in new.sources:
            if any(isinstance(event, DataErased) for event in self._events(scan)):
                raise data_erased(scan)
        self._claim(new)
        self.rows.pages += new.pages
        self.rows.exceptions += new.exceptions
        self.rows.findings += new.findings
        parts = {(p.scan, p.chunk, p.attempt, p.part): p for p in (*self.rows.parts, *new.parts)}
        self.rows.parts = [
            part
            for part in parts.values()
            if not any(part.scan == s and part.chunk == c and part.attempt <= a for s, c, a in new.parts_done)
        ]
        pinned = {(row.tenant, row.digest) for row in self.rows.rulesets}
        self.rows.rulesets += [row for row in new.rulesets if (row.tenant, row.digest) not in pinned]
        kept = [row for row in self.rows.object_parts if (row.scan, row.index) not in done]
        self.rows.object_parts = kept + object_parts

    def _claim(self, new: Rows) -> None:
        claims = dict(self.rows.claims)
        for connector, scan in new.claims:
            holder = claims.get(connector, scan)
            if holder != scan and not any(isinstance(event, ENDINGS) for event in self._events(holder)):
                raise Claimed(connector, holder)
            claims[connector] = scan
        self.rows.claims = list(claims.items())


class MemoryManifest:
    """`ManifestStore` over the rows of a log in memory."""

    def __init__(self, log: MemoryScanLog) -> None:
        self._log = log

    def pages(self, scan: str, start: int, end: int) -> Sequence[ManifestPage]:
        pages = sorted((page for page in self._log.rows.pages if page.scan == scan), key=lambda page: page.first_index)
        return [p for p in pages if p.first_index <= end and p.first_index + len(p.objects) > start]

    def parts(self, scan: str, chunk: int, attempt: int) -> Sequence[bytes]:
        found = [p for p in self._log.rows.parts if (p.scan, p.chunk, p.attempt) == (scan, chunk, attempt)]
        return [part.body for part in sorted(found, key=lambda part: part.part)]

    def object_parts(self, scan: str, index: int) -> Sequence[ObjectPartRow]:
        found = [row for row in self._log.rows.object_parts if (row.scan, row.index) == (scan, index)]
        return sorted(found, key=lambda row: row.part)

    def unit_pages(self, scan: str, unit: int, after: str) -> Iterator[tuple[ManifestPage, Mapping[int, str]]]:
        exceptions = {row.index: row.disposition.value for row in self._log.rows.exceptions if row.scan == scan}
        for page in self.pages(scan, 0, 10**18):
            if page.unit == unit and page.objects[-1].key > after:
                indexes = range(page.first_index, page.first_index + len(page.objects))
                yield page, {index: exceptions[index] for index in indexes if index in exceptions}


class MemoryInventory:
    """`Inventory` of what it is given, whatever the location."""

    def __init__(self, *known: Known, bounds: Sequence[str] = ()) -> None:
        self._known = {one.key: one for one in known}
        self._bounds = bounds
        self.position = 0

    def known(self, connector: str, location: str, first: str, last: str) -> Mapping[str, Known]:
        return {key: one for key, one in self._known.items() if first <= key <= last}

    def boundaries(self, connector: str, location: str, prefix: str) -> Sequence[str]:
        return [bound for bound in self._bounds if bound.startswith(prefix)]

    def accepted_up_to(self) -> int:
        return self.position


class MemoryRulesets:
    """`Rulesets`: the same `own` for every tenant, and what a log in memory was pinned to."""

    def __init__(self, log: MemoryScanLog, own: OwnRules | None = None) -> None:
        self._log = log
        self.own = own or OwnRules()

    def rules(self, tenant: str) -> OwnRules:
        return self.own

    def pinned(self, tenant: str, digest: str) -> bytes | None:
        rows = self._log.rows.rulesets
        return next((row.body for row in rows if (row.tenant, row.digest) == (tenant, digest)), None)
