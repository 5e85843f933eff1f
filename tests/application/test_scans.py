"""Starting, cancelling, pausing, resuming and redriving scans, on the log in memory."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from application.ports import Append
from application.scans import (
    CancelledScan,
    ScanRequest,
    Service,
    Started,
    Switched,
    cancel_scan,
    chosen_detectors,
    pause_scan,
    redrive_scan,
    resume_scan,
    start_scan,
)
from domain.connector import Connector, ConnectorStatus, ConnectorType
from domain.coverage import CoverageStrategy
from domain.detectors import detectors
from domain.detectors.own import Allowance, OwnRules, combined, own_detector
from domain.errors import Conflict, Invalid, NotFound, TierLimitExceeded
from domain.scan import Status
from domain.scan_events import Cancelled, Completed, ListingUnit, Paused, Resumed
from domain.tier import Tier
from tests.application.memory_log import MemoryInventory, MemoryRulesets, MemoryScanLog
from tests.domain.given import KEY, LATER, NOON, queued

PRO = Tier("pro", max_files=1000, max_workers=8, requests_per_minute=60)


def connector(name: str = "conn-1", *prefixes: str, **changes: Any) -> Connector:
    config = {"prefixes": list(prefixes)}
    made = Connector(connector_id=name, tenant="acme", status=ConnectorStatus.ACTIVE, config=config, version=1)
    return replace(made, **changes)


def service(log: MemoryScanLog, inventory: MemoryInventory | None = None, own: OwnRules | None = None) -> Service:
    return Service(log, inventory or MemoryInventory(), MemoryRulesets(log, own), "r1", 10**9, lambda: NOON)


def start(log: MemoryScanLog, *connectors: Connector, scan_id: str = "scan-1", **changes: Any) -> Started:
    names = tuple(each.connector_id for each in connectors)
    return start_scan(
        service(log, changes.pop("inventory", None), changes.pop("own", None)),
        ScanRequest(**{"connectors": names, "type": "full", **changes}),
        scan_id=scan_id,
        tenant="acme",
        tier=PRO,
        connectors=connectors,
        actor=KEY,
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


def test_where_the_inventory_is_large_a_prefix_is_listed_in_ranges_that_meet_and_are_parted_no_further() -> None:
    bounds = MemoryInventory(bounds=["a/1", "a/5", "b/7"])
    event = start(MemoryScanLog(), connector("conn-1", "a/", "c/"), inventory=bounds).event
    assert event.units == (
        ListingUnit("conn-1", "a/", "", "a/1", fan_out=False),
        ListingUnit("conn-1", "a/", "a/1", "a/5", fan_out=False),
        ListingUnit("conn-1", "a/", "a/5", "", fan_out=False),
        ListingUnit("conn-1", "c/"),
    )


def test_a_scan_knows_where_its_connectors_point_to_and_what_it_looks_for() -> None:
    event = start(MemoryScanLog(), connector("conn-1", type=ConnectorType.S3), detectors=("pii.email",)).event
    assert (event.locations, event.ruleset, event.detectors) == ({"conn-1": "|"}, "r1", ("pii.email",))
    assert event.options.detectors == ("pii.email",)


# Detectors ------------------------------------------------------------------------------------------------------------


def test_detectors_are_chosen_by_id_or_category_once_each_and_sorted() -> None:
    payment = [detector.id for detector in detectors() if detector.category == "payment"]
    assert chosen_detectors(["pii.email", "payment", payment[0]]) == tuple(sorted([*payment, "pii.email"]))


@pytest.mark.parametrize("names", [[], sorted({detector.category for detector in detectors()})])
def test_all_detectors_are_the_same_as_none_in_particular(names: list[str]) -> None:
    assert chosen_detectors(names) == ()


def test_every_name_that_is_no_detector_is_a_fault_of_its_own_and_starts_nothing() -> None:
    log = MemoryScanLog()
    with pytest.raises(Invalid) as caught:
        start(log, connector(), detectors=("pii.email", "pii.e-mail", "nothing"))
    assert [fault.field for fault in caught.value.faults] == ["options.detectors[1]", "options.detectors[2]"]
    assert log.position() == 0


# Samples --------------------------------------------------------------------------------------------------------------

STRICT = {"coverage_strategy": CoverageStrategy.STRICT, "coverage_target": 0.5}


@pytest.mark.parametrize(
    "changes",
    [
        {**STRICT, "sample_percent": 50},
        {**STRICT, "sample_percent": 10, "type": "incremental"},
        {"coverage_target": 0.5, "sample_percent": 10},
    ],
)
def test_a_sample_that_may_reach_its_target_is_started(changes: dict[str, Any]) -> None:
    assert start(MemoryScanLog(), connector(), **changes).event.options.sample_percent == changes["sample_percent"]


def test_a_strict_target_that_the_sample_cannot_reach_starts_nothing() -> None:
    log = MemoryScanLog()
    with pytest.raises(Invalid) as caught:
        start(log, connector(), **STRICT, sample_percent=49)
    (fault,) = caught.value.faults
    assert fault.field == "options.coverage_target"
    assert "0.49" in fault.message
    assert log.position() == 0


# Claims ---------------------------------------------------------------------------------------------------------------


def test_a_connector_is_read_by_one_incremental_scan_at_a_time() -> None:
    log = MemoryScanLog()
    start(log, connector("conn-1"), type="incremental")
    with pytest.raises(Conflict) as caught:
        start(log, connector("conn-2"), connector("conn-1"), scan_id="scan-2", type="incremental")
    assert caught.value.code == "INCREMENTAL_SCAN_RUNNING"
    assert caught.value.details == {"connector_id": "conn-1", "scan_id": "scan-1"}
    assert log.position() == 1
    start(log, connector("conn-1"), scan_id="scan-3", type="full")
    start(log, connector("conn-2"), scan_id="scan-4", type="incremental")


def test_the_end_of_an_incremental_scan_frees_its_connectors() -> None:
    log = MemoryScanLog()
    start(log, connector(), type="incremental")
    cancel(log)
    assert start(log, connector(), scan_id="scan-2", type="incremental").position == log.position()


# Cancelling -----------------------------------------------------------------------------------------------------------


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
        def append_next(self, stream: str, events: Any, *, unless: Any, alternating: Any = ()) -> int | None:
            winner = ending or Cancelled(at=NOON, actor="key:other")
            self.append([Append(stream, 1, [winner])])
            return super().append_next(stream, events, unless=unless, alternating=alternating)

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


# Pausing and resuming -------------------------------------------------------------------------------------------------


def pause(log: MemoryScanLog, scan_id: str = "scan-1", tenant: str = "acme", *, at: datetime = LATER) -> Switched:
    return pause_scan(log, scan_id, tenant=tenant, actor=KEY, clock=lambda: at)


def resume(log: MemoryScanLog, scan_id: str = "scan-1", tenant: str = "acme", *, at: datetime = LATER) -> Switched:
    return resume_scan(log, scan_id, tenant=tenant, actor=KEY, clock=lambda: at)


def test_pausing_and_resuming_twice_each_give_the_same_answer_and_one_event() -> None:
    log = MemoryScanLog()
    start(log, connector())
    paused = pause(log, at=NOON)
    assert (paused.status, paused.at, paused.position) == (Status.PAUSED, NOON, 2)
    assert pause(log) == replace(paused, position=None)
    resumed = resume(log, at=LATER)
    assert (resumed.status, resumed.at, resumed.position) == (Status.QUEUED, LATER, 3)
    assert resume(log, at=NOON) == replace(resumed, position=None)
    assert [type(record.event) for record in log.records[1:]] == [Paused, Resumed]


def test_a_scan_can_be_paused_again_after_it_was_resumed() -> None:
    log = MemoryScanLog()
    start(log, connector())
    for _ in range(2):
        assert pause(log).position is not None
        assert resume(log).position is not None
    assert log.position() == 5


def test_a_scan_that_was_never_paused_cannot_be_resumed() -> None:
    log = MemoryScanLog()
    start(log, connector())
    with pytest.raises(Conflict) as caught:
        resume(log)
    assert (caught.value.code, caught.value.details) == ("SCAN_NOT_PAUSED", {"status": "queued"})


@pytest.mark.parametrize("switch", [pause, resume])
def test_a_scan_that_has_ended_is_neither_paused_nor_resumed(switch: Callable[[MemoryScanLog], Switched]) -> None:
    log = MemoryScanLog()
    start(log, connector())
    pause(log)
    cancel(log)
    with pytest.raises(Conflict) as caught:
        switch(log)
    assert (caught.value.code, caught.value.details) == ("SCAN_ALREADY_FINISHED", {"status": "cancelled"})
    assert log.position() == 3


@pytest.mark.parametrize("switch", [pause, resume])
def test_another_tenants_scan_is_neither_paused_nor_resumed(
    switch: Callable[[MemoryScanLog, str, str], Switched],
) -> None:
    log = MemoryScanLog()
    start(log, connector())
    pause(log)
    with pytest.raises(NotFound):
        switch(log, "scan-1", "other")
    assert log.position() == 2


def test_of_two_who_pause_at_once_one_does_and_both_have_the_same_answer() -> None:
    class Raced(MemoryScanLog):
        def append_next(self, stream: str, events: Any, *, unless: Any, alternating: Any = ()) -> int | None:
            self.append([Append(stream, 1, [Paused(at=NOON, actor="key:other")])])
            return super().append_next(stream, events, unless=unless, alternating=alternating)

    log = Raced()
    start(log, connector())
    assert pause(log, at=LATER) == Switched("scan-1", Status.PAUSED, NOON, None)
    assert log.position() == 2


# Redriving ------------------------------------------------------------------------------------------------------------


def finished(*connectors: Connector, **changes: Any) -> MemoryScanLog:
    """A log with a finished scan of these connectors."""
    log = MemoryScanLog()
    start(log, *connectors, **changes)
    cancel(log)
    return log


def redrive(log: MemoryScanLog, *connectors: Connector, unfinished: int = 3, scan_id: str = "scan-2") -> Started:
    return redrive_scan(service(log), "scan-1", unfinished, scan_id=scan_id, connectors=connectors, actor="key:k2")


def test_a_redrive_looks_for_the_same_in_the_same_units_under_the_same_options() -> None:
    one = connector("conn-1", "a/", "b/")
    log = finished(one, type="incremental", detectors=("pii.email",), priority=7, max_files=10)
    first = log.records[0].event
    again = redrive(log, one).event
    assert isinstance(first, type(again))
    assert again == replace(first, actor="key:k2", redrive_of="scan-1")
    assert log.scan("scan-2").redrive_of == "scan-1"


def test_a_redrive_of_an_incremental_scan_claims_its_connectors() -> None:
    one = connector()
    log = finished(one, type="incremental")
    start(log, one, scan_id="scan-3", type="incremental")
    with pytest.raises(Conflict) as caught:
        redrive(log, one)
    assert caught.value.code == "INCREMENTAL_SCAN_RUNNING"


def test_an_open_scan_is_not_redriven() -> None:
    log = MemoryScanLog()
    start(log, connector())
    with pytest.raises(Conflict) as caught:
        redrive(log, connector())
    assert caught.value.code == "SCAN_NOT_FINISHED"
    assert log.position() == 1


@pytest.mark.parametrize(
    ("unfinished", "changes", "code"),
    [
        (0, {}, "NOTHING_TO_REDRIVE"),
        (1, {"status": ConnectorStatus.DISABLED}, "CONNECTOR_DISABLED"),
        (1, {"deleted": True}, "CONNECTOR_DISABLED"),
        (1, {"config": {"root": "/elsewhere"}}, "CONNECTOR_CHANGED"),
    ],
)
def test_what_cannot_be_redriven_is_said_and_starts_nothing(
    unfinished: int, changes: dict[str, Any], code: str
) -> None:
    log = finished(connector())
    with pytest.raises(Conflict) as caught:
        redrive(log, connector(**changes), unfinished=unfinished)
    assert caught.value.code == code
    assert log.position() == 2


def test_a_scan_that_nobody_knows_is_not_redriven() -> None:
    with pytest.raises(NotFound):
        redrive(MemoryScanLog(), connector())


# A tenant's own rules -------------------------------------------------------------------------------------------------

RULE: dict[str, Any] = {"id": "acme.badge", "name": "Badge", "confidence": 0.8, "patterns": ["EMP-[0-9]{6}"]}
OWN = OwnRules((own_detector(RULE),), (Allowance("acme", pattern="EMP-0+"),))


def test_a_scan_is_pinned_to_the_tenants_own_rules() -> None:
    log = MemoryScanLog()
    event = start(log, connector(), own=OWN, detectors=("acme",)).event
    assert (event.detectors, event.rules) == (("acme.badge",), OWN.digest)
    assert event.ruleset == combined("r1", OWN.digest) != "r1"
    assert MemoryRulesets(log).pinned("acme", event.rules) == OWN.body
    assert MemoryRulesets(log).pinned("other", event.rules) is None


def test_without_own_rules_nothing_is_pinned_and_every_detector_runs() -> None:
    log = MemoryScanLog()
    assert start(log, connector()).event.rules == ""
    assert start(log, connector(), scan_id="scan-2", own=OWN).event.detectors == ()
    assert len(log.rows.rulesets) == 1


def test_a_detector_of_nobody_and_one_of_another_tenant_are_the_same_fault() -> None:
    for own in (None, OWN):
        with pytest.raises(Invalid) as raised:
            start(MemoryScanLog(), connector(), own=own, detectors=("pii", "other.badge"))
        assert [fault.field for fault in raised.value.faults] == ["options.detectors[1]"]


def test_a_redrive_has_the_rules_of_the_scan_whatever_they_are_by_now() -> None:
    log = MemoryScanLog()
    first = start(log, connector(), own=OWN).event
    log.append([Append("scan-1", 1, [Cancelled(at=LATER, actor=KEY)])])
    again = redrive_scan(service(log), "scan-1", 1, scan_id="scan-2", connectors=[connector()], actor=KEY).event
    assert (again.rules, again.ruleset, again.detectors) == (first.rules, first.ruleset, first.detectors)
