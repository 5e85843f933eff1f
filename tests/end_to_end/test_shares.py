"""Who gets the fleet: tenants alike, scans of one by their priority."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from infrastructure.postgres.tenants import ensure_tenant, make_key
from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket

HALF = PREFIXES[:12]
"""Of as many chunks."""


@pytest.fixture
def fleet(ring: Ring) -> Ring:
    """Two scanners, of two slots each."""
    ring.make_whole(scanners=2)
    return ring


def beginnings(ring: Ring, *scans: str) -> list[str]:
    """The scans of the chunks that were begun, in order."""
    query = (
        "SELECT originator_id FROM stored_events WHERE originator_id = ANY (%s) AND topic = 'scan.chunk-started'"
        " ORDER BY notification_id"
    )
    return [row[0] for row in ring.rows(query, list(scans))]


@contextmanager
def acting_as(ring: Ring, tenant: str) -> Iterator[None]:
    """Whatever is asked of the API meanwhile is asked by this tenant."""
    ensure_tenant(ring.database_url, tenant, name=tenant, tier="enterprise")
    key = make_key(ring.database_url, ring.settings.encryption_key_bytes(), tenant)
    own = ring.client
    with httpx.Client(base_url=own.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=10) as client:
        ring.client = client
        try:
            yield
        finally:
            ring.client = own


@pytest.mark.torture
def test_two_tenants_share_alike_however_many_scans_each_has(fleet: Ring, slow_bucket: SlowBucket) -> None:
    many = fleet.connect_bucket(slow_bucket.config)
    ours = [fleet.start_scan(many, prefixes=HALF) for _ in range(2)]
    with acting_as(fleet, "other"):
        theirs = fleet.start_scan(fleet.connect_bucket(slow_bucket.config), prefixes=HALF)
    for scan_id in (*ours, theirs):
        fleet.wait_for_end(scan_id)
    begun = beginnings(fleet, *ours, theirs)
    assert len(begun) == 3 * len(HALF)
    shares = Counter(begun[begun.index(theirs) :][:15])
    # By scans it would be five.
    assert 6 <= shares[theirs] <= 9, shares
    assert min(shares[scan_id] for scan_id in ours) > 1, shares


@pytest.mark.torture
def test_a_high_priority_gets_most_and_a_low_one_goes_on(fleet: Ring, slow_bucket: SlowBucket) -> None:
    bucket = fleet.connect_bucket(slow_bucket.config)
    low = fleet.start_scan(bucket, prefixes=PREFIXES, priority=1)
    wait_until("the low one has the fleet", lambda: fleet.count(low, "chunk-completed"))
    high = fleet.start_scan(bucket, prefixes=PREFIXES, priority=9)
    fleet.wait_for_end(high)
    fleet.cancel(low)
    fleet.wait_until_quiet()
    begun = beginnings(fleet, low, high)
    both = begun[begun.index(high) : len(begun) - begun[::-1].index(high)]
    shares = Counter(both)
    assert shares[high] == len(PREFIXES)
    # What is queued when its turn comes is begun first: a low one may wait for seconds.
    assert 0 < shares[low] <= len(PREFIXES) // 2, shares
