"""What the use cases need from the world, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Detection, which a command line starts for a single file, must not wait for what only stores and sources need.
    from application.messages import ReportedFinding
    from domain.chunk import Chunk
    from domain.connector import Connector, ConnectorEvent
    from domain.coverage import Disposition, SkipReason
    from domain.detectors.own import OwnRules
    from domain.finding import Finding
    from domain.inventory import Known
    from domain.manifest import ObjectInfo
    from domain.scan import Scan
    from domain.scan_events import ScanEvent

Clock = Callable[[], datetime]
"""The present moment, aware, in UTC."""


class ByteStream(Protocol):
    """An object's bytes, in order, read once. `read` gives at least one byte until the end, then `b""`.

    Raises `ObjectUnreadable` when the object cannot be read to its end: a short read is never silent.
    """

    def read(self, size: int, /) -> bytes: ...


class ObjectSource(Protocol):
    """A bucket or folder, opened with its credentials. Safe to use from several threads."""

    ordered: bool
    """Whether listing is in byte order of the UTF-8 key, as S3 promises."""

    def list_pages(self, prefix: str, after: str = "", until: str = "") -> Iterator[Sequence[ObjectInfo]]:
        """Every object below `prefix` whose key sorts after `after` and, unless `until` is empty, not after `until`.

        In key order where the source is `ordered`, in pages of at most 1,000. So the ranges between any sorted keys
        give, one after the other, the whole listing. No more is asked of the provider than the range needs.

        Raises `SourceDenied`, `SourceMissing`, `SourceMisconfigured` or, after its own retries, a `Temporary`.
        """

    def prefixes(self, prefix: str, after: str = "", until: str = "") -> Sequence[str]:
        """Keys at which the range that `list_pages` would list can be divided, sorted, the first 1,000 at most.

        They are the prefixes, each up to a `/`, one level below `prefix`; where all of the range lies below a single
        one, those a level further down, and so on for at most 5 levels. Each sorts after `after` and, unless `until`
        is empty, not after `until`. So with `until=p` the range ends before everything below such a prefix p (an
        object of the key p itself is its last), and with `after=p` it begins with that. Empty when there are none.

        A hint, found with a few requests: some may be left out among very many objects, and a prefix may turn out
        to have no objects below it in the range. Raises as `list_pages` does.
        """

    def open_object(
        self, entry: ObjectInfo, *, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[ByteStream]:
        """The bytes `start..stop` (stop not included; None: to the end) of the object as it was listed.

        Raises `ObjectUnreadable`: access_denied, not_found, changed_during_read (the etag is another), network,
        timeout, encrypted (a customer key is needed); `ObjectSkipped`: archived_storage_class. Retries what can
        be retried, resuming where it was cut.
        """

    def check(self) -> None:
        """List at most one object, or raise as `list_pages` does."""

    def close(self) -> None: ...


OpenRange = Callable[[int, int], AbstractContextManager[ByteStream]]
"""Opens the bytes `start..stop` (stop not included) of one object, as `ObjectSource.open_object` does."""


class Detection(Protocol):
    """All detectors, compiled once per process."""

    digest: str
    """The ruleset digest: changes whenever a rule, a validator or its version changes."""

    def inspect(
        self, stream: ByteStream, *, name: str, size: int, stopped: Callable[[], bool] = lambda: False
    ) -> Inspection:
        """Read `stream` to its end in bounded memory and find what is sensitive in it.

        `name` is the object's key, `size` its listed size in bytes. Raises `ObjectSkipped` (binary,
        unsupported_format), `ObjectUnreadable` (parse_error for a corrupt container, encrypted, resource_limit, or
        what the stream raised; it carries what was found before), or `Stopped` soon after `stopped()` turns true.
        """

    def inspect_part(
        self,
        open_range: OpenRange,
        *,
        name: str,
        size: int,
        part: int,
        parts: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> PartInspection:
        """Read part `part` (from 0) of `parts` of an object, in bounded memory and by ranges.

        `domain.parts.merged` makes of all parts, in order, what `inspect` finds in the whole. A record belongs to the
        part in which it begins. Whatever cannot be split by its content, the first part reads as `inspect` does and
        the others come out empty. Raises as `inspect` does: for what the object's beginning says in the first part
        alone, for a corrupt Parquet footer in each.
        """


class Inspection(Protocol):
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def bytes_read(self) -> int:
        """Bytes taken from the stream (before decompression)."""

    @property
    def remark(self) -> str:
        """One sentence on what is packed in the object and was skipped; empty if that is nothing."""

    @property
    def allowed(self) -> int:
        """Hits that the tenant's allow list kept out of the findings."""


class PartInspection(Protocol):
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def bytes_read(self) -> int:
        """Bytes that this part answers for: those of all parts add up to the object's size. What it reads around
        them, to see where records begin and values end, does not count."""

    @property
    def lines(self) -> int:
        """Lines of this part, of which its findings' `line` counts from 1."""

    @property
    def records(self) -> int:
        """Records of this part, of which its findings' `record_index` counts from 0."""

    @property
    def remark(self) -> str:
        """As of an `Inspection`, where the part is all of the object."""

    @property
    def allowed(self) -> int: ...


class Stopped(Exception):
    """Raised inside a read when the scan was cancelled."""


class ConcurrentAppend(Exception):
    """Another writer appended to one of the streams first. Load again and decide anew; nothing was written."""


class Claimed(Exception):
    """Another open incremental scan, `scan`, reads the connector; nothing was written."""

    def __init__(self, connector: str, scan: str) -> None:
        super().__init__(f"{connector} is read by {scan}")
        self.connector = connector
        self.scan = scan


class LogRewound(ConcurrentAppend):
    """The log ends before what was read of it: an older copy took its place. Nothing was written.

    Whatever is kept in memory of it, of any stream, must be forgotten and read anew.
    """


class Refused(Exception):
    """The store cannot take these rows, now or ever; nothing was written. One of the reports behind them is bad."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in its place: `position` in the whole log, `version` in its stream."""

    position: int
    stream: str
    version: int
    event: ScanEvent | ConnectorEvent


@dataclass(frozen=True, slots=True)
class ManifestPage:
    """One listing batch of a unit: manifest positions from `first_index`; `chunks` are numbered from `first_chunk`.

    `scanned_by` is as in `domain.chunk.Plan`.
    """

    scan: str
    first_index: int
    unit: int
    connector: str
    objects: Sequence[ObjectInfo]
    skips: Sequence[SkipReason | None]
    first_chunk: int
    chunks: Sequence[Chunk]
    scanned_by: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """An object skipped or failed while reading; or one that was scanned, with a remark on it as the `detail`."""

    scan: str
    index: int
    disposition: Disposition
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding in its place. `occurrences` is their JSON."""

    scan: str
    finding_id: str
    connector: str
    object: str
    index: int
    finding: ReportedFinding
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class PartRow:
    """A numbered part of a report that is complete only with its last message."""

    scan: str
    chunk: int
    attempt: int
    part: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ObjectPartRow:
    """What a part of a huge object came to, kept until its other parts are in. `findings` is their JSON.

    Of a part that was not read to its end nobody knows the lines and records.
    """

    scan: str
    index: int
    part: int
    lines: int | None
    records: int | None
    findings: bytes
    remark: str = ""


@dataclass(frozen=True, slots=True)
class RulesetRow:
    """A tenant's own rules, as scans are pinned to them by their digest."""

    tenant: str
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A connector's secret, sealed under a data key that the master key `key_id` wraps."""

    connector: str
    field: str
    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


@dataclass(slots=True)
class Rows:
    """What is written in the same transaction as the events that count it."""

    pages: list[ManifestPage] = field(default_factory=list)
    exceptions: list[ExceptionRow] = field(default_factory=list)
    findings: list[FindingRow] = field(default_factory=list)
    parts: list[PartRow] = field(default_factory=list)
    parts_done: list[tuple[str, int, int]] = field(default_factory=list)
    object_parts: list[ObjectPartRow] = field(default_factory=list)
    object_parts_done: list[tuple[str, int]] = field(default_factory=list)
    claims: list[tuple[str, str]] = field(default_factory=list)
    """Connectors of which a scan, which is incremental, wants to be the only open one of that kind."""
    sources: list[str] = field(default_factory=list)
    """Scans whose data is needed. Conflict DATA_ERASED where it is to be erased."""
    rulesets: list[RulesetRow] = field(default_factory=list)
    """Kept for good, each once."""
    secrets_dropped: list[str] = field(default_factory=list)
    """Connectors whose secrets are deleted, before `secrets` are put in."""
    secrets: list[SecretRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        work = self.pages or self.exceptions or self.findings or self.parts or self.parts_done
        parts = self.object_parts or self.object_parts_done
        return bool(
            work or parts or self.claims or self.sources or self.rulesets or self.secrets_dropped or self.secrets
        )


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream whose last event has number `after_version` (0: the stream is new)."""

    stream: str
    after_version: int
    events: Sequence[ScanEvent | ConnectorEvent]


class ScanLog(Protocol):
    """The append-only log. Every method raises ServiceUnavailable when the database is away."""

    def scan(self, scan_id: str) -> Scan:
        """The scan, folded from all its events. Raises NotFound."""

    def course(self, scan_id: str) -> Scan:
        """The scan folded without its chunks and listed objects: status, options and units only. Raises NotFound."""

    def connector(self, connector_id: str) -> Connector:
        """The connector, folded from its events (a deleted one too). Raises NotFound."""

    def append(self, appends: Sequence[Append], rows: Rows | None = None) -> int:
        """All or nothing; gives the position of the last event.

        Raises ConcurrentAppend, LogRewound when a stream ends before its `after_version`, Claimed, or Refused for bad
        rows.
        """

    def append_next(
        self, stream: str, events: Sequence[ScanEvent], *, unless: Sequence[str], alternating: Sequence[str] = ()
    ) -> int | None:
        """Append after whatever is last, unless the stream holds an event of one of the kinds `unless`, or the last of
        its events of the kinds `alternating` is of the first new event's kind (then None)."""

    def read(self, after: int, limit: int) -> Sequence[Recorded]:
        """Events in log order, those with a position above `after`, `limit` at most."""

    def history(self, stream: str, after_version: int, limit: int) -> Sequence[Recorded]:
        """One stream's events in order, those with a version above `after_version`."""

    def open_scans(self) -> Sequence[str]:
        """Scans that have begun and not ended, oldest first."""

    def position(self) -> int:
        """The position of the last event, 0 in an empty log."""


class ManifestStore(Protocol):
    def pages(self, scan: str, start: int, end: int) -> Sequence[ManifestPage]:
        """The pages that hold any of the positions `start..end` (inclusive), in order. `chunks` may be left empty."""

    def parts(self, scan: str, chunk: int, attempt: int) -> Sequence[bytes]:
        """The parts of a report recorded so far, in order."""

    def object_parts(self, scan: str, index: int) -> Sequence[ObjectPartRow]:
        """The parts of a huge object recorded so far, in order."""

    def unit_pages(self, scan: str, unit: int, after: str) -> Iterator[tuple[ManifestPage, Mapping[int, str]]]:
        """A unit's pages in key order, from the one that holds the key after `after`, each with the disposition of
        those of its objects that were skipped or failed in reading, by manifest position."""


class Rulesets(Protocol):
    """Tenants' own rules. Methods raise ServiceUnavailable."""

    def rules(self, tenant: str) -> OwnRules:
        """The tenant's rules as they stand now."""

    def pinned(self, tenant: str, digest: str) -> bytes | None:
        """The body of the rules that a scan of the tenant was pinned to; None for a digest that none was."""


class Inventory(Protocol):
    """What is known of connectors' objects from the scans that ended. Methods raise ServiceUnavailable."""

    def known(self, connector: str, location: str, first: str, last: str) -> Mapping[str, Known]:
        """What is known of the keys `first..last` (inclusive) of a connector that points to `location`, by key."""

    def boundaries(self, connector: str, location: str, prefix: str) -> Sequence[str]:
        """Keys below `prefix` that part what is known of it into runs worth listing side by side; none if it is little,
        or nothing is known."""

    def accepted_up_to(self) -> int:
        """The position in the log up to which every scan that ended has been taken into the inventories."""
