"""Scans with a deadline of one minute, most of which is over."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from application.scans import ScanRequest, Service, start_scan
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.inventory import PostgresInventory
from infrastructure.postgres.own_rules import PostgresRuleShelf
from infrastructure.postgres.tenants import DEFAULT_TENANT
from infrastructure.wiring import utc_now
from tests.end_to_end.ring import Ring


def queued_almost_a_minute_ago(ring: Ring, connector: str, *, left: float, prefixes: Sequence[str] = ()) -> str:
    """The id of a scan that has `left` seconds."""
    scan_id = f"scan-{secrets.token_hex(8)}"
    log = PostgresScanLog(ring.database_url, pool_size=1)
    inventory, shelf = PostgresInventory(ring.database_url), PostgresRuleShelf(ring.database_url)
    start_scan(
        Service(log, inventory, shelf, "any", 10**9, lambda: utc_now() - timedelta(seconds=60 - left)),
        ScanRequest((connector,), "full", prefixes=tuple(prefixes), timeout_minutes=1, max_workers=1),
        scan_id=scan_id,
        tenant=DEFAULT_TENANT,
        tier=ring.settings.tier("enterprise"),
        connectors=[log.connector(connector)],
        actor="key:test",
    )
    log.close()
    inventory.close()
    shelf.close()
    return scan_id
