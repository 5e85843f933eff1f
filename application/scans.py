"""Starting and cancelling scans."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from application.ports import Append, Clock, ScanLog
from domain.connector import Connector
from domain.coverage import CoverageStrategy
from domain.errors import Conflict, Fault, Invalid, NotFound
from domain.manifest import distinct_prefixes
from domain.policy import ScanOptions
from domain.scan import Scan, Status
from domain.scan_events import ENDINGS, ListingUnit, Queued
from domain.tier import Tier


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A valid POST /scans/parallel. `max_files` and `max_workers` are as the tier allows when None."""

    connectors: tuple[str, ...]
    type: str
    max_files: int | None = None
    max_workers: int | None = None
    file_types: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    timeout_minutes: int = 120
    coverage_target: float = 0.8
    coverage_strategy: CoverageStrategy = CoverageStrategy.BEST_EFFORT


@dataclass(frozen=True, slots=True)
class Started:
    """A scan that was queued: its event, and the position in the log that a view must pass to show it."""

    scan_id: str
    event: Queued
    position: int


@dataclass(frozen=True, slots=True)
class CancelledScan:
    """A cancelled scan, now or before. `position` is None when it had been cancelled before."""

    scan_id: str
    cancelled_at: datetime | None
    position: int | None


def start_scan(
    log: ScanLog,
    request: ScanRequest,
    *,
    scan_id: str,
    tenant: str,
    tier: Tier,
    connectors: Sequence[Connector],
    ruleset: str,
    max_object_bytes: int,
    actor: str,
    clock: Clock,
) -> Started:
    """Queue a scan of `connectors`, which are the tenant's own and in the order of the request.

    Raises TierLimitExceeded, Conflict (a connector is disabled or runs elsewhere), Invalid (the requested prefixes lie
    outside a connector's). Nothing is written unless the whole request is good.
    """
    options = ScanOptions(
        max_files=tier.files(request.max_files),
        max_workers=tier.workers(request.max_workers),
        file_types=tuple(sorted({extension.lower() for extension in request.file_types})),
        prefixes=request.prefixes,
        timeout_minutes=request.timeout_minutes,
        coverage_target=request.coverage_target,
        coverage_strategy=request.coverage_strategy,
        max_object_bytes=max_object_bytes,
    )
    event = Queued(
        at=clock(),
        actor=actor,
        tenant=tenant,
        type=request.type,
        connectors=request.connectors,
        units=listing_units(connectors, request.prefixes),
        options=options,
        ruleset=ruleset,
    )
    return Started(scan_id, event, log.append([Append(scan_id, 0, [event])]))


def listing_units(connectors: Sequence[Connector], prefixes: Sequence[str]) -> tuple[ListingUnit, ...]:
    """One unit per connector and prefix to list. Raises Conflict or Invalid as `start_scan` says."""
    units: list[ListingUnit] = []
    faults: list[Fault] = []
    for connector in connectors:
        _require_usable(connector)
        found = distinct_prefixes(connector.prefixes, prefixes)
        units.extend(ListingUnit(connector.connector_id, prefix) for prefix in found)
        if not found:
            name = connector.connector_id
            message = f"none of these meets a prefix of connector {name}; name one that does, or leave them out"
            faults.append(Fault("options.prefixes", message))
    if faults:
        raise Invalid(faults)
    return tuple(units)


def cancel_scan(log: ScanLog, scan_id: str, *, tenant: str, actor: str, clock: Clock) -> CancelledScan:
    """Cancel an open scan; of a cancelled one the answer is the same again.

    Raises NotFound (another tenant's too) and Conflict SCAN_ALREADY_FINISHED for a scan that ended otherwise.
    """
    scan = _owned(log, scan_id, tenant)
    position: int | None = None
    events = scan.cancel(actor=actor, at=clock())
    if events:
        position = log.append_next(scan_id, events, unless=[ending.kind for ending in ENDINGS])
        scan = log.course(scan_id)
    if scan.status is not Status.CANCELLED:
        raise Conflict(
            "SCAN_ALREADY_FINISHED",
            f"Scan {scan_id} has already ended as {scan.status}; only a queued or running scan can be cancelled.",
            status=scan.status.value,
        )
    return CancelledScan(scan_id, scan.ended_at, position)


def _owned(log: ScanLog, scan_id: str, tenant: str) -> Scan:
    scan = log.course(scan_id)
    if scan.tenant != tenant:
        raise NotFound("scan", scan_id)
    return scan


def _require_usable(connector: Connector) -> None:
    if not connector.usable:
        raise Conflict(
            "CONNECTOR_DISABLED",
            f"Connector {connector.connector_id} is {connector.status}; enable it before you scan it.",
            connector_id=connector.connector_id,
        )
