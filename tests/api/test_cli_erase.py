"""`scanledger erase`: it asks first, and ends when nothing is left."""

from typing import Any

import pytest

from tests.api.cli_documents import Cli, scan_document
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]

ERASED = {"state": "erased", "erased_at": "2026-01-31T12:00:00Z", "erased_by": "key:k", "erased": {"findings": 1234}}


SCAN = {"scan_id": "scan-1"}
CONNECTOR = {"connector_id": "conn-1", "scans": 2}


@pytest.mark.parametrize(
    ("command", "more", "told"),
    [
        ("scan scan-1", SCAN, "Erased the data of scan scan-1: 1,234 findings.\n"),
        ("connector conn-1", CONNECTOR, "Erased the data of 2 scans of connector conn-1: 1,234 findings.\n"),
    ],
)
def test_it_waits_until_nothing_is_left_and_says_what_there_was(
    scanledger: Cli, service: ScriptedService, command: str, more: dict[str, Any], told: str
) -> None:
    answers = [Answer.data({**ERASED, **more, "state": state}) for state in ("erasing", "erased")]
    what, identifier = command.split()
    service.on_each(f"DELETE /{what}s/{identifier}/data", *answers)
    ran = scanledger("erase", what, identifier, "--yes")
    assert (ran.code, ran.out) == (0, told)
    assert len(service.asked) == 2


def test_nothing_is_erased_unless_it_is_meant(scanledger: Cli, service: ScriptedService) -> None:
    ran = scanledger("erase", "scan", "scan-1")
    assert ran.code != 0
    assert service.asked == []


def test_why_it_is_refused_is_told(scanledger: Cli, service: ScriptedService) -> None:
    refused = Answer.error(409, "SCAN_NOT_FINISHED", "Scan scan-1 is running; wait until it has ended.")
    service.on("DELETE /scans/scan-1/data", refused)
    ran = scanledger("erase", "scan", "scan-1", "--yes")
    assert ran.code == 1
    assert "wait until it has ended" in ran.err


def test_an_erased_scan_is_shown_with_its_sums_and_says_that_it_is_erased(
    scanledger: Cli, service: ScriptedService
) -> None:
    scan = scan_document(findings=3, failed=1) | {"data_erased_at": "2026-01-31T12:00:00Z"}
    service.on("GET /scans/scan-1", Answer.data(scan))
    ran = scanledger("scans", "show", "scan-1")
    assert ran.code == 0
    assert "3 findings" in ran.out
    assert "What it found and looked at was erased at 2026-01-31" in ran.out
    assert [asked.path for asked in service.asked] == ["/scans/scan-1"]
