"""Erasing what scans found and looked at, for privacy law.

An event promises it, and from that moment no read shows any of the data. The rows go in batches after that, whatever
happens meanwhile. History and sums stay: what was looked at, how, and when is still told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.ports import Clock, ScanLog
from domain.connector import ConnectorDataErased
from domain.errors import Conflict, NotFound
from domain.scan_events import DataErased


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that was promised. `rows` counts what there was then, by table; `done`: nothing of it is left."""

    stream: str
    position: int
    at: datetime
    actor: str
    rows: Mapping[str, int]
    scans: int
    done: bool


class Erasures(Protocol):
    """Promises of erasure, and what they would erase. Methods raise ServiceUnavailable."""

    def rows_of(self, scans: Sequence[str], connector: str | None = None) -> Mapping[str, int]:
        """What there is of the scans and, of a connector, in its inventory: rows by table."""

    def promise_scan(self, scan: str, event: DataErased) -> None:
        """Append the event, unless the scan has one. Raises Conflict SCAN_IN_USE while an open redrive needs it."""

    def promise_connector(self, connector: str, event: ConnectorDataErased) -> None: ...

    def last(self, stream: str) -> Erasure | None:
        """The last erasure of a scan or connector that was promised."""

    def scans_of(self, tenant: str, connector: str) -> Mapping[str, bool]:
        """The scans of a connector that are not to be erased yet, and whether each has ended."""


def erase_scan(log: ScanLog, erasures: Erasures, scan_id: str, *, tenant: str, actor: str, clock: Clock) -> Erasure:
    """Have a scan's data erased; of one that was erased before, the answer is the same again.

    Raises NotFound, and Conflict: SCAN_NOT_FINISHED, SCAN_IN_USE while an open redrive of it looks at its objects.
    """
    scan = log.course(scan_id)
    if scan.tenant != tenant:
        raise NotFound("scan", scan_id)
    if scan.open:
        message = f"Scan {scan_id} is {scan.status}; wait until it has ended, or cancel it, before you erase its data."
        raise Conflict("SCAN_NOT_FINISHED", message, status=scan.status.value)
    if scan.erased_at is None:
        erasures.promise_scan(scan_id, DataErased(at=clock(), actor=actor, rows=erasures.rows_of([scan_id])))
    return _promised(erasures, scan_id)


def erase_connector(
    log: ScanLog, erasures: Erasures, connector_id: str, *, tenant: str, actor: str, clock: Clock
) -> Erasure:
    """Have the data of all scans of a connector erased, a deleted one's too, and what is known of its objects.

    While there is nothing new to erase the answer is the same again. Raises NotFound, and Conflict CONNECTOR_IN_USE
    while an open scan reads it.
    """
    if log.connector(connector_id).tenant != tenant:
        raise NotFound("connector", connector_id)
    scans = erasures.scans_of(tenant, connector_id)
    if reading := [scan for scan, ended in scans.items() if not ended]:
        message = f"Scan {reading[0]} is reading connector {connector_id}; cancel it or wait for its end."
        raise Conflict("CONNECTOR_IN_USE", message, connector_id=connector_id, scan_id=reading[0])
    before = erasures.last(connector_id)
    if before is not None and not before.done:
        return before
    rows = erasures.rows_of(list(scans), connector_id)
    if before is not None and not scans and not any(rows.values()):
        return before
    event = ConnectorDataErased(at=clock(), actor=actor, scans=len(scans), rows=rows)
    erasures.promise_connector(connector_id, event)
    return _promised(erasures, connector_id)


def data_erased(scan_id: str) -> Conflict:
    """Why nothing can be begun that needs a scan's data."""
    message = f"The data of scan {scan_id} is erased; start a new scan instead."
    return Conflict("DATA_ERASED", message, scan_id=scan_id)


def _promised(erasures: Erasures, stream: str) -> Erasure:
    promised = erasures.last(stream)
    assert promised is not None
    return promised
