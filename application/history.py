"""Events as the world outside sees them: one line each, made from what is stored and nothing else.

The bytes never change, whatever version of Scanledger shows them: an event is told in the shape it was recorded in, by
its `schema`. That is what the seal of a tenant's log rests on.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import msgspec

from application.progress import ScanView, WorkerCounts

CONTENT_TYPE: Final = "application/json"

_ENVELOPE: Final = ("schema", "at", "actor")

_encode: Final = msgspec.json.Encoder().encode
_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as it is stored: `state` is its JSON with schema, at and actor; `position` is its place in the log."""

    stream: str
    version: int
    position: int
    kind: str
    state: bytes

    @property
    def event_id(self) -> str:
        return f"{self.stream}:{self.version}"

    @property
    def of_scan(self) -> bool:
        return self.kind.startswith("scan.")


def event_line(event: LoggedEvent) -> bytes:
    """The event's document in compact JSON: the item of GET /scans/{id}/events, the body of a message in EVENTS.

    Values stand as they are stored, byte for byte. Raises msgspec.MsgspecError for a state that is no event's.
    """
    return _encode(_document(event, _raw.decode(event.state)))


def _document(event: LoggedEvent, stored: Mapping[str, msgspec.Raw]) -> Mapping[str, object]:
    if missing := [name for name in _ENVELOPE if name not in stored]:
        raise msgspec.ValidationError(f"{event.event_id} has no {missing[0]}")
    return {
        "event_id": event.event_id,
        "scan_id": event.stream if event.of_scan else None,
        "connector_id": None if event.of_scan else event.stream,
        "version": event.version,
        "position": event.position,
        "kind": event.kind,
        "schema": stored["schema"],
        "occurred_at": stored["at"],
        "actor": stored["actor"],
        "data": {name: value for name, value in stored.items() if name not in _ENVELOPE},
    }


def cloud_event(event: LoggedEvent, tenant: str) -> bytes:
    """The event as a CloudEvent 1.0 in the structured JSON mode, without a line end: the line that is exported and
    sealed. `data` is `event_line`. Raises msgspec.MsgspecError."""
    stored = _raw.decode(event.state)
    document = _document(event, stored)
    return _encode(
        {
            "specversion": "1.0",
            "id": event.event_id,
            "source": _source(tenant),
            "type": _type(event),
            "subject": event.stream,
            "time": stored["at"],
            "datacontenttype": CONTENT_TYPE,
            "data": document,
        }
    )


def cloud_event_headers(event: LoggedEvent, tenant: str) -> Mapping[str, str]:
    """The same event's attributes in the binary mode, as headers; the body is `event_line`."""
    stored = _raw.decode(event.state)
    return {
        "ce-specversion": "1.0",
        "ce-id": event.event_id,
        "ce-source": _source(tenant),
        "ce-type": _type(event),
        "ce-subject": event.stream,
        "ce-time": msgspec.json.decode(stored["at"], type=str),
        "content-type": CONTENT_TYPE,
    }


def _source(tenant: str) -> str:
    return f"/tenants/{tenant}"


def _type(event: LoggedEvent) -> str:
    return f"scanledger.{event.kind}"


# Reading it -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventFilters:
    """Which events of a tenant: those of `kinds` that occurred from `since` on and before `until`, and belong to the
    connector or to scans that read it."""

    kinds: tuple[str, ...] = ()
    connector: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in the order of the log. `resume_after` is the position to go on after, None when that was all so far."""

    events: Sequence[LoggedEvent]
    resume_after: int | None


@dataclass(frozen=True, slots=True)
class PastScan:
    """A scan as it stood once: after its event at `version`, as a client would have seen it at the moment `at`."""

    view: ScanView
    workers: WorkerCounts
    at: datetime


class History(Protocol):
    """Reads of the log itself. Every method raises ServiceUnavailable."""

    async def scan_events(self, scan_id: str, after_version: int, limit: int) -> Sequence[LoggedEvent]: ...

    async def tenant_events(self, tenant: str, filters: EventFilters, after: int, limit: int) -> EventPage:
        """The tenant's events behind the position `after`.

        The work of a call is bounded: it may give fewer than `limit` events, even none, and yet a place to go on.
        """

    async def version_of(self, tenant: str, scan_id: str, version: int) -> PastScan | None:
        """The tenant's scan after its event `version`, at the moment of that; None where there was none."""

    async def moment_of(self, tenant: str, scan_id: str, at: datetime) -> PastScan | None:
        """The tenant's scan at a moment: after all events from before the first that came later."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event as it comes in. Made once for all who wait for it."""

    event: LoggedEvent
    tenant: str
    line: bytes


class LiveLog(Protocol):
    """The log as it grows. Any number of readers share what is kept of it."""

    async def head(self) -> int:
        """The position of the newest event, once the log is being followed. Raises ServiceUnavailable."""

    def end(self) -> None:
        """The service ends: let every reader come to its end."""

    def tenant_events(self, tenant: str, after: int) -> AsyncIterator[Sequence[LiveEvent]]:
        """A tenant's events behind the position `after`, as they come; [] now and then meanwhile.

        Ends when the service does. Raises ServiceUnavailable where what is older cannot be read.
        """

    def scan_events(self, tenant: str, scan_id: str, after_version: int) -> AsyncIterator[Sequence[LiveEvent]]:
        """Likewise a scan's events after a version. Ends with the event that ends the scan, too."""

    async def beyond(self, scan_id: str, version: int, timeout: float) -> bool:
        """Wait until the log has an event of the scan after `version`, `timeout` seconds at most; whether it has."""
