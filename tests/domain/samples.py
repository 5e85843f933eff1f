"""One event of every kind, with every field set to something that is not its default."""

from dataclasses import replace
from typing import Any

from domain.chunk import Chunk
from domain.connector import (
    ConnectorChanged,
    ConnectorCreated,
    ConnectorDataErased,
    ConnectorDeleted,
    ConnectorEvent,
    ConnectorStatus,
    ConnectorTested,
    ConnectorType,
    Execution,
)
from domain.coverage import CoverageStrategy
from domain.policy import ScanOptions
from domain.scan_events import (
    Cancelled,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    Completed,
    DataErased,
    Failed,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListingStarted,
    ListingUnit,
    ObjectsListed,
    PartiallyCompleted,
    Paused,
    Queued,
    Resumed,
    ScanEvent,
    TimedOut,
)
from tests.domain.given import KEY, LATER, NOON, WORKER

_BY_CLIENT: dict[str, Any] = {"at": NOON, "actor": KEY}
_BY_WORKER: dict[str, Any] = {"at": LATER, "actor": WORKER, "worker": "w1"}
_BY_SYSTEM: dict[str, Any] = {"at": LATER, "actor": "system:recorder"}

OPTIONS = ScanOptions(
    max_files=5000,
    max_workers=3,
    file_types=("csv", "json"),
    prefixes=("a/", "b/"),
    timeout_minutes=30,
    coverage_target=0.95,
    coverage_strategy=CoverageStrategy.STRICT,
    max_object_bytes=10**10,
    sample_percent=20,
    detectors=("pii.email", "secret"),
    priority=9,
)

SAMPLES: tuple[ScanEvent | ConnectorEvent, ...] = (
    Queued(
        **_BY_CLIENT,
        tenant="acme",
        type="full",
        connectors=("conn-1", "conn-2"),
        units=(ListingUnit("conn-1", "a/", "a/b", "a/c", fan_out=False), ListingUnit("conn-2")),
        options=OPTIONS,
        ruleset="sha256:0a1b",
        detectors=("pii.email", "secret.aws-access-key"),
        locations={"conn-1": "|invoices", "conn-2": "/data"},
        redrive_of="scan-0",
        rules="5d9a",
    ),
    ListingStarted(**_BY_WORKER, unit=1, connector="conn-1", prefix="a/", attempt=2),
    ObjectsListed(
        **_BY_WORKER,
        unit=1,
        connector="conn-1",
        batch=2,
        first_index=1000,
        files=4,
        bytes=123,
        last_key='a/"Zoë"\n\x00\u2028😀.csv',
        first_chunk=7,
        chunks=(Chunk(1000, 1001, 2, 100), Chunk(1003, 1003, 1, 23, 1, 2)),
        skipped={"empty": 1},
        limit_reached=True,
        continues=True,
    ),
    ListingSplit(
        **_BY_WORKER,
        unit=1,
        connector="conn-1",
        until="a/b/",
        first_unit=3,
        units=(ListingUnit("conn-1", "a/", "a/b/", "a/d/"), ListingUnit("conn-1", "a/", "a/d/")),
    ),
    ListingCompleted(**_BY_WORKER, unit=1, connector="conn-1", batches=2),
    ListingFailed(
        **_BY_WORKER,
        unit=1,
        connector="conn-1",
        attempt=2,
        reason="source_denied",
        detail="The bucket refused the credentials.",
        final=True,
    ),
    ChunkStarted(**_BY_WORKER, chunk=7, attempt=2, connector="conn-1", start_index=1000, end_index=1001, files=2),
    ChunkCompleted(
        **_BY_WORKER,
        chunk=7,
        attempt=2,
        files=6,
        scanned=1,
        started_at=NOON,
        bytes_read=2**40,
        findings=3,
        skipped={"binary": 2},
        failed={"network": 3},
        part_reason="network",
        allowed=5,
    ),
    ChunkFailed(
        **_BY_WORKER,
        chunk=7,
        attempt=2,
        reason="worker_lost",
        final=True,
        files=2,
        findings=4,
        first_chunk=9,
        replaced_by=(Chunk(1000, 1000, 1, 50), Chunk(1001, 1001, 1, 50)),
    ),
    Paused(**_BY_CLIENT),
    Resumed(**_BY_CLIENT),
    Cancelled(**_BY_CLIENT),
    TimedOut(**_BY_SYSTEM, timeout_minutes=30),
    Completed(**_BY_SYSTEM),
    PartiallyCompleted(**_BY_SYSTEM, reason="max_files"),
    Failed(**_BY_SYSTEM, reason="listing_failed"),
    DataErased(**_BY_CLIENT, rows={"findings": 7, "manifest_pages": 2}, connector="conn-1"),
    ConnectorCreated(
        **_BY_CLIENT,
        tenant="acme",
        name="Invoices",
        type=ConnectorType.S3,
        execution=Execution.MANAGED,
        pool="default",
        config={"bucket": "invoices", "prefixes": ["a/"], "requester_pays": True},
        has_credentials=True,
    ),
    ConnectorChanged(
        **_BY_CLIENT,
        name="Bills",
        config={"bucket": "bills"},
        has_credentials=False,
        status=ConnectorStatus.DISABLED,
    ),
    ConnectorTested(**_BY_SYSTEM, passed=False, detail="There is no bucket of that name."),
    ConnectorDeleted(**_BY_CLIENT),
    ConnectorDataErased(**_BY_CLIENT, scans=3, rows={"findings": 7, "inventory_pages": 1}),
)

FIRST_OPTIONS = replace(OPTIONS, sample_percent=100, detectors=(), priority=5)

FIRST_SAMPLES: tuple[ScanEvent, ...] = (
    Queued(
        **_BY_CLIENT,
        tenant="acme",
        type="full",
        connectors=("conn-1", "conn-2"),
        units=(ListingUnit("conn-1", "a/"), ListingUnit("conn-2")),
        options=FIRST_OPTIONS,
        ruleset="sha256:0a1b",
    ),
    ObjectsListed(
        **_BY_WORKER,
        unit=1,
        connector="conn-1",
        batch=2,
        first_index=1000,
        files=4,
        bytes=123,
        last_key='a/"Zoë"\n\x00\u2028😀.csv',
        first_chunk=7,
        chunks=(Chunk(1000, 1001, 2, 100), Chunk(1003, 1003, 1, 23)),
        skipped={"empty": 1},
        limit_reached=True,
    ),
    ChunkCompleted(
        **_BY_WORKER,
        chunk=7,
        attempt=2,
        files=6,
        scanned=1,
        started_at=NOON,
        bytes_read=2**40,
        findings=3,
        skipped={"binary": 2},
        failed={"network": 3},
    ),
    ChunkFailed(**_BY_WORKER, chunk=7, attempt=2, reason="worker_lost", final=True, files=2),
)
"""What the files of schema 1 hold, of the kinds that have a later one."""

SECOND_SAMPLES: tuple[ScanEvent | ConnectorEvent, ...] = tuple(
    replace(event, rules="") if isinstance(event, Queued) else replace(event, allowed=0)
    for event in SAMPLES
    if isinstance(event, Queued | ChunkCompleted)
)
"""What the files of schema 2 hold, of the kinds that have a later one."""
