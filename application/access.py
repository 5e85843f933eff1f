"""The record of who read what: history, findings, ledgers. It is append-only, and holds no object's key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol


class Operation(StrEnum):
    """What was read."""

    FINDINGS = "findings"
    FINDINGS_EXPORT = "findings-export"
    OBJECTS = "objects"
    EVENTS = "events"
    EVENTS_LIVE = "events-live"
    SCAN_AS_IT_WAS = "scan-as-it-was"
    AUDIT_PROOF = "audit-proof"
    AUDIT_EXPORT = "audit-export"
    ACCESS = "access"


OF_DATA: Final = frozenset({Operation.FINDINGS, Operation.FINDINGS_EXPORT, Operation.OBJECTS})
"""What is read of a scan that erasing takes away."""


@dataclass(frozen=True, slots=True)
class Access:
    """One access. `rows` is how many the answer holds; None for a stream, of which nobody knows before."""

    tenant: str
    key_id: str
    operation: Operation
    request_id: str
    scan: str | None = None
    connector: str | None = None
    filters: Mapping[str, Any] | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class AccessFilters:
    """Which accesses to a tenant's data. None means all; `since` is included, `until` is not."""

    since: datetime | None = None
    until: datetime | None = None
    key_id: str | None = None
    scan: str | None = None
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class RecordedAccess:
    """An access in its place: records of a higher number are later ones."""

    number: int
    at: datetime
    access: Access


class AccessRecords(Protocol):
    """Methods raise ServiceUnavailable: what cannot be recorded must not be answered."""

    async def record(self, access: Access) -> bool:
        """When it returns, the access is on record for good. Whether the data of its scan is being erased by now: then
        what was read before may lack some of it."""

    async def records(
        self, tenant: str, filters: AccessFilters, before: int | None, limit: int
    ) -> Sequence[RecordedAccess]:
        """Newest first, those with a number below `before`."""
