"""Connectors: where objects live. A connector's events hold its settings, never a secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, assert_never


class ConnectorType(StrEnum):
    S3 = "s3"
    FILESYSTEM = "filesystem"


class ConnectorStatus(StrEnum):
    PENDING_TEST = "pending_test"
    ACTIVE = "active"
    ERROR = "error"
    DISABLED = "disabled"


class Execution(StrEnum):
    MANAGED = "managed"
    BYOC = "byoc"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    kind: ClassVar[str]
    schema: ClassVar[int] = 1
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorCreated(_Event):
    kind = "connector.created"
    tenant: str
    name: str
    type: ConnectorType
    execution: Execution
    pool: str
    config: Mapping[str, object]
    has_credentials: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorChanged(_Event):
    """Only what changed is set. A changed config or credential needs a new test; a disabled connector stays disabled
    until `status` says otherwise."""

    kind = "connector.changed"
    name: str | None = None
    config: Mapping[str, object] | None = None
    has_credentials: bool | None = None
    status: ConnectorStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorTested(_Event):
    kind = "connector.tested"
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorDeleted(_Event):
    kind = "connector.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorDataErased(_Event):
    """What is known of the connector's objects is erased, and the data of its `scans` scans, each of which says so
    itself. `rows` counts what there was, by table."""

    kind = "connector.data-erased"
    scans: int
    rows: Mapping[str, int]


ConnectorEvent = ConnectorCreated | ConnectorChanged | ConnectorTested | ConnectorDeleted | ConnectorDataErased
CONNECTOR_EVENTS: tuple[type[ConnectorEvent], ...] = (
    ConnectorCreated,
    ConnectorChanged,
    ConnectorTested,
    ConnectorDeleted,
    ConnectorDataErased,
)


_LOCATION: Final = {
    ConnectorType.S3: ("endpoint_url", "bucket"),
    ConnectorType.FILESYSTEM: ("root",),
}


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector as its events tell it. `version` is the number of events."""

    connector_id: str = ""
    tenant: str = ""
    name: str = ""
    type: ConnectorType = ConnectorType.FILESYSTEM
    execution: Execution = Execution.MANAGED
    pool: str = "default"
    status: ConnectorStatus = ConnectorStatus.PENDING_TEST
    config: Mapping[str, object] = field(default_factory=dict)
    has_credentials: bool = False
    created_at: datetime | None = None
    test_detail: str = ""
    deleted: bool = False
    version: int = 0

    @property
    def prefixes(self) -> tuple[str, ...]:
        configured = self.config.get("prefixes") or ()
        assert isinstance(configured, list | tuple)
        return tuple(configured)

    @property
    def location(self) -> str:
        """Where the connector points to. Keys of another location are other objects, whatever they are called."""
        return "|".join(str(self.config.get(part) or "") for part in _LOCATION[self.type])

    @property
    def usable(self) -> bool:
        return not self.deleted and self.status is not ConnectorStatus.DISABLED


def place_of(kind: ConnectorType, location: str) -> str:
    """The bucket, or the path of the folder, of a `location`."""
    return location.rpartition("|")[2] if kind is ConnectorType.S3 else location


def evolve(connector: Connector, event: ConnectorEvent) -> Connector:
    """The connector after the event."""
    return replace(_changed(connector, event), version=connector.version + 1)


def _changed(connector: Connector, event: ConnectorEvent) -> Connector:
    match event:
        case ConnectorCreated():
            return replace(
                connector,
                tenant=event.tenant,
                name=event.name,
                type=event.type,
                execution=event.execution,
                pool=event.pool,
                config=event.config,
                has_credentials=event.has_credentials,
                created_at=event.at,
            )
        case ConnectorChanged():
            return _edited(connector, event)
        case ConnectorTested():
            status = ConnectorStatus.ACTIVE if event.passed else ConnectorStatus.ERROR
            if connector.status is ConnectorStatus.DISABLED:
                status = ConnectorStatus.DISABLED
            return replace(connector, status=status, test_detail=event.detail)
        case ConnectorDeleted():
            return replace(connector, deleted=True)
        case ConnectorDataErased():
            return connector
        case _:
            assert_never(event)


def _edited(connector: Connector, event: ConnectorChanged) -> Connector:
    changed = event.config is not None or event.has_credentials is not None
    retest = changed and connector.status is not ConnectorStatus.DISABLED
    status = event.status or (ConnectorStatus.PENDING_TEST if retest else connector.status)
    has_credentials = connector.has_credentials if event.has_credentials is None else event.has_credentials
    return replace(
        connector,
        name=connector.name if event.name is None else event.name,
        config=connector.config if event.config is None else event.config,
        has_credentials=has_credentials,
        status=status,
    )
