"""Starting, cancelling, pausing, resuming and redriving scans."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from application.erasure import data_erased
from application.ports import Append, Claimed, Clock, Inventory, Rows, RulesetRow, Rulesets, ScanLog
from domain.connector import Connector
from domain.coverage import CoverageStrategy
from domain.detectors import detectors, names, select
from domain.detectors.own import OwnRules, combined
from domain.detectors.rule import Detector
from domain.errors import Conflict, Fault, Invalid, NotFound
from domain.manifest import distinct_prefixes
from domain.policy import DEFAULT_PRIORITY, ScanOptions
from domain.scan import Scan, Status
from domain.scan_events import ENDINGS, ListingUnit, Paused, Queued, Resumed
from domain.tier import Tier

INCREMENTAL: Final = "incremental"
UNKNOWN_DETECTOR: Final = "is neither a detector's id nor a category; GET /detectors lists them"

_UNLESS_ENDED: Final = tuple(ending.kind for ending in ENDINGS)


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
    sample_percent: int = 100
    detectors: tuple[str, ...] = ()
    priority: int = DEFAULT_PRIORITY


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


@dataclass(frozen=True, slots=True)
class Switched:
    """A scan that was paused or resumed, now or before. `position` is None when it had been before; `at` is when."""

    scan_id: str
    status: Status
    at: datetime | None
    position: int | None


@dataclass(frozen=True, slots=True)
class Service:
    """What starting a scan needs beside the request: the log, inventories and tenants' own rules, the digest of the
    detection that is built in, and the size in bytes above which objects are skipped as too_large."""

    log: ScanLog
    inventory: Inventory
    rules: Rulesets
    ruleset: str
    max_object_bytes: int
    clock: Clock


def start_scan(
    service: Service,
    request: ScanRequest,
    *,
    scan_id: str,
    tenant: str,
    tier: Tier,
    connectors: Sequence[Connector],
    actor: str,
) -> Started:
    """Queue a scan of `connectors`, which are the tenant's own and in the order of the request. It looks for what is
    built in and what the tenant's own rules are now, whatever becomes of those while it runs.

    Raises TierLimitExceeded, Conflict (a connector is disabled, runs elsewhere, or is read by another incremental scan
    while this one is incremental too), Invalid with every fault (unknown detectors, requested prefixes outside a
    connector's, a strict target that the sample cannot reach). Nothing is written unless the whole request is good.
    """
    options = _options(request, tier, service.max_object_bytes)
    for connector in connectors:
        _require_usable(connector)
    own = service.rules.rules(tenant)
    if faults := _faults(request, connectors, own.detectors):
        raise Invalid(faults)
    event = Queued(
        at=service.clock(),
        actor=actor,
        tenant=tenant,
        type=request.type,
        connectors=request.connectors,
        units=listing_units(connectors, request.prefixes, service.inventory),
        options=options,
        ruleset=combined(service.ruleset, own.digest),
        detectors=chosen_detectors(request.detectors, own.detectors),
        locations={connector.connector_id: connector.location for connector in connectors},
        rules=own.digest,
    )
    return _queued(service.log, scan_id, event, own)


def _queued(log: ScanLog, scan_id: str, event: Queued, own: OwnRules | None = None) -> Started:
    rows = Rows(sources=[event.redrive_of] if event.redrive_of else [])
    if own:
        rows.rulesets.append(RulesetRow(event.tenant, own.digest, own.body))
    if event.type == INCREMENTAL:
        rows.claims.extend((connector, scan_id) for connector in event.connectors)
    try:
        return Started(scan_id, event, log.append([Append(scan_id, 0, [event])], rows))
    except Claimed as claimed:
        raise Conflict(
            "INCREMENTAL_SCAN_RUNNING",
            f"Connector {claimed.connector} is being read by the incremental scan {claimed.scan}; wait until that has"
            " ended, cancel it, or start a full scan.",
            connector_id=claimed.connector,
            scan_id=claimed.scan,
        ) from claimed


def _options(request: ScanRequest, tier: Tier, max_object_bytes: int) -> ScanOptions:
    return ScanOptions(
        max_files=tier.files(request.max_files),
        max_workers=tier.workers(request.max_workers),
        file_types=tuple(sorted({extension.lower() for extension in request.file_types})),
        prefixes=request.prefixes,
        timeout_minutes=request.timeout_minutes,
        coverage_target=request.coverage_target,
        coverage_strategy=request.coverage_strategy,
        max_object_bytes=max_object_bytes,
        sample_percent=request.sample_percent,
        detectors=request.detectors,
        priority=request.priority,
    )


def _faults(request: ScanRequest, connectors: Sequence[Connector], own: Sequence[Detector]) -> list[Fault]:
    unreachable = unreachable_target(
        request.type, request.coverage_strategy, request.sample_percent, request.coverage_target
    )
    return [
        *([unreachable] if unreachable else []),
        *_unknown_detectors(request.detectors, own),
        *_prefixes_apart(request.prefixes, connectors),
    ]


def unreachable_target(type_: str, strategy: CoverageStrategy, sample_percent: int, target: float) -> Fault | None:
    """What is wrong with a strict target above the sample, which counts against coverage: no scan could reach it.

    An incremental scan may have the rest covered already.
    """
    if strategy is not CoverageStrategy.STRICT or type_ == INCREMENTAL or sample_percent / 100 >= target:
        return None
    message = (
        f"cannot be reached under strict: a sample of {sample_percent} % leaves the rest unscanned; lower it to"
        f" {sample_percent / 100}, raise options.sample_percent, or use best_effort"
    )
    return Fault("options.coverage_target", message)


def _unknown_detectors(requested: Sequence[str], own: Sequence[Detector]) -> list[Fault]:
    known = names(own)
    return [
        Fault(f"options.detectors[{place}]", UNKNOWN_DETECTOR)
        for place, name in enumerate(requested)
        if name not in known
    ]


def _prefixes_apart(requested: Sequence[str], connectors: Sequence[Connector]) -> list[Fault]:
    apart = (one.connector_id for one in connectors if not distinct_prefixes(one.prefixes, requested))
    told = "none of these meets a prefix of connector {}; name one that does, or leave them out"
    return [Fault("options.prefixes", told.format(name)) for name in apart]


def chosen_detectors(requested: Sequence[str], own: Sequence[Detector] = ()) -> tuple[str, ...]:
    """The ids of the detectors that known ids and categories name, sorted; none when that is all of them, those of the
    tenant's `own` included."""
    chosen = select(requested, own)
    return () if len(chosen) == len(detectors()) + len(own) else tuple(sorted(detector.id for detector in chosen))


def listing_units(
    connectors: Sequence[Connector], prefixes: Sequence[str], inventory: Inventory
) -> tuple[ListingUnit, ...]:
    """The units to list, per connector and prefix: one, or several key ranges where the inventory is large."""
    return tuple(
        unit
        for connector in connectors
        for prefix in distinct_prefixes(connector.prefixes, prefixes)
        for unit in _ranges(connector, prefix, inventory)
    )


def _ranges(connector: Connector, prefix: str, inventory: Inventory) -> list[ListingUnit]:
    name = connector.connector_id
    bounds = inventory.boundaries(name, connector.location, prefix)
    if not bounds:
        return [ListingUnit(name, prefix)]
    ends = zip(("", *bounds), (*bounds, ""), strict=True)
    return [ListingUnit(name, prefix, after, until, fan_out=False) for after, until in ends]


def redrive_scan(
    service: Service, finished: str, unfinished: int, *, scan_id: str, connectors: Sequence[Connector], actor: str
) -> Started:
    """Queue a scan of just the objects that a finished scan failed or left, `unfinished` of them, under its options
    and the tenant's own rules that it had.

    `connectors` are the finished scan's, as they are now. Raises Conflict: SCAN_NOT_FINISHED, NOTHING_TO_REDRIVE,
    CONNECTOR_CHANGED (it points elsewhere by now), DATA_ERASED, and as `start_scan` does.
    """
    scan = service.log.course(finished)
    if scan.open or scan.options is None:
        message = f"Scan {finished} is {scan.status}; wait until it has ended, or cancel it, before you redrive it."
        raise Conflict("SCAN_NOT_FINISHED", message, status=scan.status.value)
    if scan.erased_at is not None:
        raise data_erased(finished)
    if not unfinished:
        message = f"Scan {finished} left no object failed or remaining; there is nothing to redrive."
        raise Conflict("NOTHING_TO_REDRIVE", message)
    for connector in connectors:
        _require_usable(connector)
        _require_unmoved(connector, scan)
    event = Queued(
        at=service.clock(),
        actor=actor,
        tenant=scan.tenant,
        type=scan.type,
        connectors=tuple(connector.connector_id for connector in connectors),
        units=tuple(scan.units[number].unit for number in sorted(scan.units)),
        options=scan.options,
        ruleset=combined(service.ruleset, scan.rules),
        detectors=scan.ruleset.detectors,
        locations=dict(scan.locations),
        redrive_of=finished,
        rules=scan.rules,
    )
    return _queued(service.log, scan_id, event)


def _require_unmoved(connector: Connector, scan: Scan) -> None:
    name = connector.connector_id
    if scan.locations.get(name, connector.location) != connector.location:
        message = f"Connector {name} points elsewhere than when the scan ran; start a new scan instead."
        raise Conflict("CONNECTOR_CHANGED", message, connector_id=name)


def pause_scan(log: ScanLog, scan_id: str, *, tenant: str, actor: str, clock: Clock) -> Switched:
    """Hand out no more work of an open scan; of a paused one the answer is the same again.

    Raises NotFound and Conflict SCAN_ALREADY_FINISHED.
    """
    return _switch(log, scan_id, tenant=tenant, event=Paused(at=clock(), actor=actor))


def resume_scan(log: ScanLog, scan_id: str, *, tenant: str, actor: str, clock: Clock) -> Switched:
    """Go on with a paused scan; of one that was resumed the answer is the same again.

    Raises NotFound, Conflict SCAN_ALREADY_FINISHED, and SCAN_NOT_PAUSED for one that never was paused.
    """
    return _switch(log, scan_id, tenant=tenant, event=Resumed(at=clock(), actor=actor))


def _switch(log: ScanLog, scan_id: str, *, tenant: str, event: Paused | Resumed) -> Switched:
    scan = _owned(log, scan_id, tenant)
    pausing = isinstance(event, Paused)
    position: int | None = None
    if scan.open and pausing != (scan.status is Status.PAUSED):
        alternating = [Paused.kind, Resumed.kind]
        position = log.append_next(scan_id, [event], unless=_UNLESS_ENDED, alternating=alternating)
        scan = log.course(scan_id)
    if not scan.open:
        raise _already_finished(scan_id, scan, "paused" if pausing else "resumed")
    if not pausing and scan.resumed_at is None:
        message = f"Scan {scan_id} is {scan.status}; only a paused scan can be resumed."
        raise Conflict("SCAN_NOT_PAUSED", message, status=scan.status.value)
    return Switched(scan_id, scan.status, scan.paused_at if pausing else scan.resumed_at, position)


def cancel_scan(log: ScanLog, scan_id: str, *, tenant: str, actor: str, clock: Clock) -> CancelledScan:
    """Cancel an open scan; of a cancelled one the answer is the same again.

    Raises NotFound (another tenant's too) and Conflict SCAN_ALREADY_FINISHED for a scan that ended otherwise.
    """
    scan = _owned(log, scan_id, tenant)
    position: int | None = None
    events = scan.cancel(actor=actor, at=clock())
    if events:
        position = log.append_next(scan_id, events, unless=_UNLESS_ENDED)
        scan = log.course(scan_id)
    if scan.status is not Status.CANCELLED:
        raise _already_finished(scan_id, scan, "cancelled")
    return CancelledScan(scan_id, scan.ended_at, position)


def _already_finished(scan_id: str, scan: Scan, what: str) -> Conflict:
    return Conflict(
        "SCAN_ALREADY_FINISHED",
        f"Scan {scan_id} has already ended as {scan.status}; only an open scan can be {what}.",
        status=scan.status.value,
    )


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
