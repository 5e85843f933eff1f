"""Starting and cancelling scans, on the log in memory."""

from dataclasses import replace
from typing import Any

import pytest

from application.ports import Append
from application.scans import CancelledScan, ScanRequest, Started, cancel_scan, start_scan
from domain.connector import Connector, ConnectorStatus
from domain.errors import Conflict, Invalid, NotFound, TierLimitExceeded
from domain.scan import Status
from domain.scan_events import Cancelled, Completed, ListingUnit
from domain.tier import Tier
from tests.application.memory_log import MemoryScanLog
from tests.domain.given import KEY, LATER, NOON, queued

PRO = Tier("pro", max_files=1000, max_workers=8, requests_per_minute=60)


def connector(name: str = "conn-1", *prefixes: str, **changes: Any) -> Connector:
    config = {"prefixes": list(prefixes)}
    made = Connector(connector_id=name, tenant="acme", status=ConnectorStatus.ACTIVE, config=config, version=1)
    return replace(made, **changes)


def start(log: MemoryScanLog, *connectors: Connector, **changes: Any) -> Started:
    names = tuple(each.connector_id for each in connectors)
    return start_scan(
        log,
        ScanRequest(connectors=names, type="full", **changes),
        scan_id="scan-1",
        tenant="acme",
        tier=PRO,
        connectors=connectors,
        ruleset="r1",
        max_object_bytes=10**9,
        actor=KEY,
        clock=lambda: NOON,
    )


def cancel(log: MemoryScanLog, scan_id: str = "scan-1", tenant: str = "acme") -> CancelledScan:
    return cancel_scan(log, scan_id, tenant=tenant, actor=KEY, clock=lambda: LATER)


def test_a_started_scan_is_queued_at_the_position_it_answers() -> None:
    log = MemoryScanLog()
    started = start(log, connector("conn-1"), connector("conn-2"))
    scan = log.scan("scan-1")
    assert (scan.status, scan.tenant, scan.queued_at) == (Status.QUEUED, "acme", NOON)
    assert [unit.unit for unit in scan.units.values()] == [ListingUnit("conn-1"), ListingUnit("conn-2")]
    assert (started.scan_id, started.position) == ("scan-1", log.position())
    assert log.records[-1].event == started.event


def test_what_is_left_open_is_what_the_tier_allows() -> None:
    options = start(MemoryScanLog(), connector()).event.options
    assert (options.max_files, options.max_workers, options.max_object_bytes) == (1000, 8, 10**9)
    assert (options.timeout_minutes, options.coverage_target) == (120, 0.8)


def test_file_types_are_kept_once_in_lower_case() -> None:
    options = start(MemoryScanLog(), connector(), file_types=("CSV", "json", "csv")).event.options
    assert options.file_types == ("csv", "json")


@pytest.mark.parametrize("too_much", [{"max_files": 1001}, {"max_workers": 9}])
def test_more_than_the_tier_allows_starts_nothing(too_much: dict[str, int]) -> None:
    log = MemoryScanLog()
    with pytest.raises(TierLimitExceeded):
        start(log, connector(), **too_much)
    assert log.position() == 0


@pytest.mark.parametrize("state", [{"status": ConnectorStatus.DISABLED}, {"deleted": True}])
def test_a_connector_that_is_not_usable_starts_nothing(state: dict[str, Any]) -> None:
    log = MemoryScanLog()
    with pytest.raises(Conflict):
        start(log, connector(), connector("conn-2", **state))
    assert log.position() == 0


def test_each_connector_is_listed_below_the_prefixes_it_shares_with_the_request() -> None:
    log = MemoryScanLog()
    event = start(log, connector("conn-1", "a/", "b/"), connector("conn-2"), prefixes=("a/x", "b")).event
    assert event.units == (
        ListingUnit("conn-1", "a/x"),
        ListingUnit("conn-1", "b/"),
        ListingUnit("conn-2", "a/x"),
        ListingUnit("conn-2", "b"),
    )


def test_every_connector_outside_the_requested_prefixes_is_a_fault_of_its_own() -> None:
    log = MemoryScanLog()
    with pytest.raises(Invalid) as caught:
        start(log, connector("conn-1", "a/"), connector("conn-2", "c/"), connector("conn-3", "b/"), prefixes=("c/",))
    assert [fault.field for fault in caught.value.faults] == ["options.prefixes"] * 2
    assert ["conn-1" in caught.value.faults[0].message, "conn-3" in caught.value.faults[1].message] == [True, True]
    assert log.position() == 0


def test_cancelling_twice_gives_the_same_answer_and_one_event() -> None:
    log = MemoryScanLog()
    start(log, connector())
    first = cancel(log)
    assert (first.cancelled_at, first.position) == (LATER, log.position())
    assert cancel(log) == replace(first, position=None)
    assert sum(isinstance(record.event, Cancelled) for record in log.records) == 1


def test_a_scan_that_ended_otherwise_cannot_be_cancelled() -> None:
    log = MemoryScanLog()
    log.append([Append("scan-1", 0, [queued(), Completed(at=NOON, actor="system:recorder")])])
    with pytest.raises(Conflict) as caught:
        cancel(log)
    assert (caught.value.code, caught.value.details) == ("SCAN_ALREADY_FINISHED", {"status": "completed"})


@pytest.mark.parametrize(("ending", "cancelled"), [(Completed(at=NOON, actor="system:x"), False), (None, True)])
def test_whoever_ends_the_scan_first_decides_a_race(ending: Completed | None, cancelled: bool) -> None:
    class Raced(MemoryScanLog):
        def append_next(self, stream: str, events: Any, *, unless: Any) -> int | None:
            winner = ending or Cancelled(at=NOON, actor="key:other")
            self.append([Append(stream, 1, [winner])])
            return super().append_next(stream, events, unless=unless)

    log = Raced()
    start(log, connector())
    if cancelled:
        assert cancel(log) == CancelledScan("scan-1", NOON, None)
    else:
        with pytest.raises(Conflict):
            cancel(log)
    assert log.position() == 2


@pytest.mark.parametrize(("scan_id", "tenant"), [("scan-1", "other"), ("scan-2", "acme")])
def test_a_scan_of_another_tenant_is_as_absent_as_none(scan_id: str, tenant: str) -> None:
    log = MemoryScanLog()
    start(log, connector())
    with pytest.raises(NotFound) as caught:
        cancel(log, scan_id, tenant)
    assert str(caught.value) == f"There is no scan {scan_id!r}."
