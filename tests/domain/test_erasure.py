"""Erasing a scan's data changes no status and no sum, neither of the scan nor of its view."""

from dataclasses import replace

from hypothesis import given

from application.progress import ScanProgress, begin, project
from domain.connector import Connector, ConnectorDataErased
from domain.connector import evolve as evolve_connector
from domain.scan import Scan, evolve
from domain.scan_events import DataErased, Queued, ScanEvent
from tests.domain.given import KEY, LATER
from tests.domain.histories import histories

ERASED = DataErased(at=LATER, actor=KEY, rows={"findings": 3})


@given(history=histories())
def test_only_that_it_is_erased_is_told_of_a_scan_from_then_on(history: list[ScanEvent]) -> None:
    scan = Scan()
    for event in history:
        scan = evolve(scan, event)
    assert evolve(scan, ERASED) == replace(scan, erased_at=LATER, version=scan.version + 1)


@given(history=histories())
def test_a_view_keeps_its_sums_and_says_when_and_by_whom(history: list[ScanEvent]) -> None:
    assert isinstance(history[0], Queued)
    before = begin("scan-1", history[0])
    for event in history[1:]:
        before = project(before, event)
    units = tuple(replace(unit, detail="") for unit in before.view.units)
    view = replace(before.view, units=units, erased_at=LATER, erased_by=KEY, version=before.view.version + 1)
    assert project(before, ERASED) == ScanProgress(view, before.workers)


def test_a_connector_stays_as_it_is() -> None:
    event = ConnectorDataErased(at=LATER, actor=KEY, scans=2, rows={})
    assert evolve_connector(Connector(), event) == Connector(version=1)
