"""Making, changing, testing and deleting connectors. Their secrets are written with the event that mentions them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from application.ports import Append, Clock, ConcurrentAppend, Rows, ScanLog
from application.reading import Vault
from domain.connector import (
    Connector,
    ConnectorChanged,
    ConnectorCreated,
    ConnectorDeleted,
    ConnectorEvent,
    ConnectorStatus,
    ConnectorTested,
    ConnectorType,
    Execution,
    evolve,
)
from domain.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class NewConnector:
    """A valid POST /connectors: settings and credentials parted."""

    name: str
    type: ConnectorType
    config: Mapping[str, object]
    credentials: Mapping[str, str] | None = None
    pool: str = "default"


@dataclass(frozen=True, slots=True)
class Change:
    """A valid PATCH. What is None stays; empty credentials are removed."""

    name: str | None = None
    config: Mapping[str, object] | None = None
    credentials: Mapping[str, str] | None = None
    disabled: bool | None = None

    def moves(self, connector: Connector) -> bool:
        """Whether the connector would point elsewhere."""
        return self.config is not None and replace(connector, config=self.config).location != connector.location


@dataclass(frozen=True, slots=True)
class Written:
    """The connector after the event, and the position in the log that a view must pass to show it."""

    connector: Connector
    position: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Connectors:
    """The connectors of one tenant, changed in the name of `actor`. Raises NotFound for another tenant's."""

    log: ScanLog
    vault: Vault
    tenant: str
    actor: str
    clock: Clock

    def create(self, connector_id: str, new: NewConnector) -> Written:
        """Make it. With an id that was made before, by the same request, it is what that made."""
        event = ConnectorCreated(
            at=self.clock(),
            actor=self.actor,
            tenant=self.tenant,
            name=new.name,
            type=new.type,
            execution=Execution.MANAGED,
            pool=new.pool,
            config=new.config,
            has_credentials=bool(new.credentials),
        )
        rows = Rows(secrets=list(self.vault.seal(self.tenant, connector_id, new.credentials or {})))
        try:
            return self._append(Connector(connector_id=connector_id), event, rows)
        except ConcurrentAppend:
            return Written(self.get(connector_id), self.log.position())

    def get(self, connector_id: str) -> Connector:
        """The connector as the log has it. Raises NotFound."""
        connector = self.log.connector(connector_id)
        if connector.tenant != self.tenant or connector.deleted:
            raise NotFound("connector", connector_id)
        return connector

    def change(self, connector_id: str, change: Change) -> Written:
        """Change what is set; the rest stays. What changes nothing writes nothing."""
        before = self.get(connector_id)
        status = _status(before, change)
        event = ConnectorChanged(
            at=self.clock(),
            actor=self.actor,
            name=change.name,
            config=change.config,
            has_credentials=None if change.credentials is None else bool(change.credentials),
            status=status,
        )
        if (event.name, event.config, event.has_credentials, event.status) == (None, None, None, None):
            return Written(before, self.log.position())
        rows = Rows()
        if change.credentials is not None:
            rows.secrets_dropped.append(connector_id)
            rows.secrets.extend(self.vault.seal(self.tenant, connector_id, change.credentials))
        return self._append_or_conflict(before, event, rows)

    def record_test(self, tested: Connector, *, passed: bool, detail: str) -> Written:
        """Note how a test went. Raises Conflict if the connector was changed since `tested` was read."""
        event = ConnectorTested(at=self.clock(), actor=self.actor, passed=passed, detail=detail)
        return self._append_or_conflict(tested, event, None)

    def delete(self, connector_id: str) -> int:
        """Delete it and its secrets; gives the event's position."""
        before = self.get(connector_id)
        event = ConnectorDeleted(at=self.clock(), actor=self.actor)
        return self._append_or_conflict(before, event, Rows(secrets_dropped=[connector_id])).position

    def _append_or_conflict(self, before: Connector, event: ConnectorEvent, rows: Rows | None) -> Written:
        try:
            return self._append(before, event, rows)
        except ConcurrentAppend as error:
            raise Conflict(
                "CONNECTOR_CHANGED",
                f"Connector {before.connector_id} was changed by another request meanwhile; read it and try again.",
                connector_id=before.connector_id,
            ) from error

    def _append(self, before: Connector, event: ConnectorEvent, rows: Rows | None) -> Written:
        position = self.log.append([Append(before.connector_id, before.version, [event])], rows)
        return Written(evolve(before, event), position, event.at)


def _status(before: Connector, change: Change) -> ConnectorStatus | None:
    """What the status is set to; None leaves it to the event. A disabled one stays so, whatever else changes."""
    was_disabled = before.status is ConnectorStatus.DISABLED
    stays_disabled = was_disabled if change.disabled is None else change.disabled
    if stays_disabled:
        changes = not was_disabled or change.config is not None or change.credentials is not None
        return ConnectorStatus.DISABLED if changes else None
    return ConnectorStatus.PENDING_TEST if was_disabled else None
