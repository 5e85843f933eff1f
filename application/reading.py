"""What the API reads and keeps, as ports: views, the ledger, keys, idempotency, and who is at work now."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from application.access import AccessRecords
from application.auditing import SealedLog
from application.erasure import Erasures
from application.exporting import MakeExport
from application.history import History, LiveLog
from application.messages import Control, Telemetry, WorkInHand
from application.operating import Figures
from application.own_rules import RuleShelf, TryOut
from application.ports import Clock, Inventory, ScanLog, SecretRow
from application.progress import ScanView, WorkerCounts, WorkerView
from application.scans import Service
from application.tracing import ScanTraces
from application.webhooks import Post, WebhookShelf
from domain.connector import Connector
from domain.coverage import Disposition
from domain.detectors.own import OwnRules
from domain.manifest import ObjectInfo
from domain.tier import Tier

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a key of a tenant, with what it may do."""

    key_id: str
    tenant: str
    tier: Tier
    scopes: frozenset[str]

    @property
    def actor(self) -> str:
        return f"key:{self.key_id}"

    def may(self, scope: str) -> bool:
        """Whether the key has the scope; `admin` has all of them."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class ScanRow:
    """A scan as its views have it, at one version."""

    view: ScanView
    workers: WorkerCounts


@dataclass(frozen=True, slots=True)
class ScanFilters:
    """Which scans of a tenant. Empty means all; `since`: created after."""

    connector: str | None = None
    statuses: tuple[str, ...] = ()
    type: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeverityFilter:
    """Findings of `detectors`; of those that are not `known`, the ones of `categories`, or of all but `categories`."""

    detectors: tuple[str, ...]
    known: tuple[str, ...]
    categories: tuple[str, ...]
    all_but: bool = False


@dataclass(frozen=True, slots=True)
class FindingFilters:
    category: str | None = None
    detector: str | None = None
    connector: str | None = None
    object: str | None = None
    min_confidence: float | None = None
    severity: SeverityFilter | None = None


FindingPlace = tuple[str, str, str, int, str]
"""Where a finding stands in order: category, detector, the object's first 256 characters, its index, finding id."""


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding and its place; `document` is complete but for the scan."""

    place: FindingPlace
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One discovered object and what became of it. `chunk` is None for what planning skipped; `scanned_by` is the
    earlier scan that an `unchanged` one counts as scanned by."""

    index: int
    connector: str
    entry: ObjectInfo
    disposition: Disposition
    reason: str | None = None
    detail: str = ""
    chunk: int | None = None
    scanned_by: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Entries in order. `resume_after` is the index to go on after, None when nothing can follow."""

    entries: Sequence[LedgerEntry]
    resume_after: int | None


class ReadModel(Protocol):
    """Reads on the views. Everything is of one tenant; every method raises ServiceUnavailable.

    What the log has and the views do not show yet is found too, as it stood when it was made.
    """

    async def scan(self, tenant: str, scan_id: str) -> ScanRow | None: ...

    async def scans(
        self, tenant: str, filters: ScanFilters, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ScanRow]:
        """Newest first, those that come after (created_at, scan_id)."""

    async def workers(self, scan_id: str, after: str, limit: int) -> Sequence[WorkerView]:
        """In order of worker id."""

    async def findings(
        self, scan_id: str, filters: FindingFilters, after: FindingPlace | None, limit: int
    ) -> Sequence[StoredFinding]: ...

    async def objects(
        self, view: ScanView, disposition: Disposition | None, reason: str | None, after: int, limit: int
    ) -> LedgerPage:
        """The ledger as of `view`, in manifest order, from the index above `after`.

        The work of a call is bounded: it may give fewer than `limit` entries, even none, and yet a place to go on.
        """

    async def pinned_rules(self, tenant: str, digest: str) -> OwnRules:
        """The tenant's own rules that scans were pinned to by this digest; none for an empty one."""

    async def connector(self, tenant: str, connector_id: str) -> Connector | None:
        """None for a deleted one too."""

    async def connectors(self, tenant: str, after: tuple[datetime, str] | None, limit: int) -> Sequence[Connector]: ...

    async def open_scan_of(self, tenant: str, connector_id: str) -> str | None:
        """An open scan that reads the connector, if there is one."""

    async def projected(self) -> int:
        """The position in the log up to which the views are current."""


class KeyRing(Protocol):
    async def verify(self, token: str) -> Caller | None:
        """Whose key it is; None for no valid key. Raises ServiceUnavailable."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, for giving it again."""

    status: int
    body: bytes


@dataclass(slots=True)
class Claim:
    """The sole right to answer a request with this idempotency key, until the context it was given in is left.

    `seed` is the same whenever the same key, route and body are claimed again, even after a crash: what is made from
    it is made once. Set `answer` to have it kept. A `Permanent` error in the context frees the key.
    """

    seed: bytes
    kept: Answer | None = None
    answer: Answer | None = None


class IdempotencyKeys(Protocol):
    def claim(self, tenant: str, key: str, route: str, body: bytes) -> AbstractAsyncContextManager[Claim]:
        """Raises KeyReused (another body or route), KeyInProgress (answered elsewhere just now, past a short wait)."""


class KeyReused(Exception):
    """The idempotency key came before with another request."""


class KeyInProgress(Exception):
    """The first request with this key has not been answered yet."""


class Vault(Protocol):
    """Seals secrets, bound to tenant, connector and field."""

    def seal(self, tenant: str, connector_id: str, secrets: Mapping[str, str]) -> Sequence[SecretRow]: ...


class SourceTests(Protocol):
    """Connectors' settings, judged and tried."""

    def check(self, kind: str, config: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, str] | None]:
        """A posted config parted into settings and credentials. Raises Invalid with every fault under `config`."""

    def secret_fields(self, kind: str) -> frozenset[str]:
        """The names in a config of that type that are secrets."""

    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON Schema of each type's config, as clients may send it."""

    async def try_out(self, connector: Connector) -> tuple[bool, str]:
        """Whether the connector can be listed within 15 s, and one sentence on it."""


class ControlChannel(Protocol):
    async def publish(self, control: Control, *, timeout: float) -> bool:
        """Tell the workers of a scan; whether the broker has stored it within `timeout` seconds."""

    async def check(self, *, timeout: float) -> None:
        """Raises ServiceUnavailable unless the broker stores messages now."""


@dataclass(slots=True)
class Presence:
    """What scanners said of themselves in the last seconds. Old news is not told."""

    monotonic: Callable[[], float]
    window: float = 5.0
    _heard: dict[str, tuple[float, Telemetry]] = field(default_factory=dict)

    def hear(self, telemetry: Telemetry) -> None:
        now = self.monotonic()
        self._heard = {name: said for name, said in self._heard.items() if now - said[0] <= self.window}
        self._heard[telemetry.scanner] = (now, telemetry)

    def scanners(self) -> Sequence[Telemetry]:
        """What each scanner that is there said last."""
        now = self.monotonic()
        return [telemetry for at, telemetry in self._heard.values() if now - at <= self.window]

    def of(self, scan_id: str) -> Mapping[str, tuple[float, WorkInHand]]:
        """Seconds since it was heard, and the chunk in work, by worker, for those at work on the scan."""
        now = self.monotonic()
        return {
            work.worker: (now - at, work)
            for at, telemetry in self._heard.values()
            if now - at <= self.window
            for work in telemetry.work
            if work.scan == scan_id and work.chunk is not None
        }


@dataclass(frozen=True, slots=True)
class Check:
    """One part of readiness. `detail` says what to do when it failed."""

    ok: bool
    detail: str


class InTime(Protocol):
    async def __call__(self, function: Callable[..., Result], /, *args: Any) -> Result:
        """`function(*args)` in a thread, for work on the log. Raises ServiceUnavailable when it takes too long.

        What it would ask of the log after that fails, so that no commit is sent that the answer does not tell of.
        """


Readiness = Callable[[], Awaitable[Mapping[str, Check]]]


@dataclass(frozen=True, slots=True)
class ApiPorts:
    """Everything the API works with. `ruleset` is the digest of the detection that is built in, `cursor_key` signs
    cursors, `unfit` says what is wrong with an expression of an allow list, `url_fault` with a webhook's URL."""

    log: ScanLog
    inventory: Inventory
    reads: ReadModel
    erasures: Erasures
    access: AccessRecords
    history: History
    sealed: SealedLog
    live: LiveLog
    keys: KeyRing
    idempotency: IdempotencyKeys
    vault: Vault
    sources: SourceTests
    shelf: RuleShelf
    try_out: TryOut
    unfit: Callable[[str], str | None]
    webhooks: WebhookShelf
    url_fault: Callable[[str], str | None]
    ping: Post
    control: ControlChannel
    presence: Presence
    figures: Figures
    traces: ScanTraces
    readiness: Readiness
    in_time: InTime
    parquet: MakeExport
    clock: Clock
    new_id: Callable[[], bytes]
    cursor_key: bytes
    ruleset: str
    max_object_bytes: int

    @property
    def service(self) -> Service:
        """What starting a scan needs."""
        return Service(self.log, self.inventory, self.shelf, self.ruleset, self.max_object_bytes, self.clock)
