"""A scan whose time is up ends as timed out, whatever was restarted in between."""

import secrets
import time
from datetime import timedelta

from application.scans import ScanRequest, start_scan
from domain.scan_events import TimedOut
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.tenants import DEFAULT_TENANT
from infrastructure.wiring import utc_now
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, events

LEFT_SECONDS = 7


def queued_almost_a_minute_ago(ring: Ring, connector: str) -> str:
    """A scan with a deadline of one minute, of which few seconds are left."""
    scan_id = f"scan-{secrets.token_hex(8)}"
    log = PostgresScanLog(ring.database_url, pool_size=1)
    start_scan(
        log,
        ScanRequest((connector,), "full", prefixes=tuple(PREFIXES), timeout_minutes=1, max_workers=1),
        scan_id=scan_id,
        tenant=DEFAULT_TENANT,
        tier=ring.settings.tier("enterprise"),
        connectors=[log.connector(connector)],
        ruleset="any",
        max_object_bytes=10**9,
        actor="key:test",
        clock=lambda: utc_now() - timedelta(seconds=60 - LEFT_SECONDS),
    )
    log.close()
    return scan_id


def test_a_scan_times_out_through_a_restart_of_everything(ring: Ring, slow_bucket: SlowBucket) -> None:
    scan_id = queued_almost_a_minute_ago(ring, ring.connect_bucket(slow_bucket.config))
    wait_until("a chunk is done", lambda: ring.count(scan_id, "chunk-completed"))
    for part in ("orchestrator", "recorder", "scanner", "nats"):
        ring.kill(part)
    ring.make_whole()
    ring.wait_for_end(scan_id, within=LEFT_SECONDS + 15)
    seen = time.time()
    ring.wait_until_quiet()
    assert max(slow_bucket.reads) < seen + 1
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("partial", "timed_out")
    assert 0 < shown["coverage"]["total_scanned"] < shown["coverage"]["total_enumerated"]
    (over,) = events(ring, scan_id, TimedOut)
    queued = ring.history(scan_id)[0].event
    assert timedelta(minutes=1) <= over.at - queued.at
    assert_history_adds_up(ring, scan_id)
