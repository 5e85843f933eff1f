"""`scanledger findings export`: a whole file, or none."""

from pathlib import Path

import pytest

from tests.api.cli_documents import Cli
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]

ROUTE = "GET /scans/scan-1/findings/export"
BODY = "a;ü\r\n".encode() * 50_000
TOLD = {"X-Scan-Status": "completed", "X-Scan-Version": "9", "Content-Type": "text/csv"}
EXPORT = ("findings", "export", "scan-1", "--format", "csv")


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_file_is_written_as_it_comes_and_its_size_told(service: ScriptedService, scanledger: Cli) -> None:
    service.on(ROUTE, Answer(200, BODY, TOLD))
    ran = scanledger(*EXPORT, "-o", "found.csv")
    assert (ran.code, ran.out, ran.err) == (0, "", "300 KB written to found.csv.\n")
    assert (Path("found.csv").read_bytes(), names()) == (BODY, ["found.csv"])


def test_without_a_file_it_goes_to_standard_output(service: ScriptedService, scanledger: Cli) -> None:
    service.on(ROUTE, Answer(200, BODY, TOLD))
    for arguments in (EXPORT, (*EXPORT, "-o", "-")):
        ran = scanledger(*arguments)
        assert (ran.code, ran.out, ran.err) == (0, BODY.decode(), "")


def test_the_filters_are_those_of_the_list(service: ScriptedService, scanledger: Cli) -> None:
    service.on(ROUTE, Answer(200, b"", TOLD))
    filters = {"category": "pii", "detector": "pii.email", "severity": "high", "connector": "conn-1", "object": "=a"}
    given = [part for name, value in filters.items() for part in (f"--{name}", value)]
    assert scanledger(*EXPORT, *given, "--min-confidence", "0.5").code == 0
    [asked] = service.requests(ROUTE)
    expected = {**filters, "min_confidence": "0.5", "format": "csv"}
    assert asked.query == {name: [value] for name, value in expected.items()}


def test_of_a_file_that_breaks_off_nothing_stays_and_what_was_there_does(
    service: ScriptedService, scanledger: Cli
) -> None:
    service.on(ROUTE, Answer(200, BODY, TOLD, missing=1))
    Path("found.csv").write_text("before")
    ran = scanledger(*EXPORT, "-o", "found.csv")
    assert ran.code == 1
    assert "broke off before its end" in ran.err
    assert (Path("found.csv").read_text(), names()) == ("before", ["found.csv"])


def test_a_refusal_leaves_nothing(service: ScriptedService, scanledger: Cli) -> None:
    service.on(ROUTE, Answer.error(404, "SCAN_NOT_FOUND", "There is no scan 'scan-1'."))
    ran = scanledger(*EXPORT, "-o", "found.csv")
    assert (ran.code, ran.err, names()) == (1, "Error: There is no scan 'scan-1'.\n", [])


def test_a_service_that_is_busy_is_asked_again(service: ScriptedService, scanledger: Cli) -> None:
    busy = Answer.error(503, "SERVICE_UNAVAILABLE", "Away.", Retry_After="0")
    service.on_each(ROUTE, busy, Answer(200, BODY, TOLD))
    assert scanledger(*EXPORT, "-o", "found.csv").code == 0
    assert Path("found.csv").read_bytes() == BODY


def test_of_a_scan_that_goes_on_it_is_said_how_far_it_was(service: ScriptedService, scanledger: Cli) -> None:
    service.on(ROUTE, Answer(200, b"", {**TOLD, "X-Scan-Status": "running"}))
    ran = scanledger(*EXPORT, "-o", "found.csv")
    assert "The scan is running: this is what it had found by version 9." in ran.err


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (".", "is no regular file"),
        ("/dev/null", "is no regular file"),
        ("missing/found.csv", "No such file or directory"),
    ],
)
def test_where_no_file_can_be_nothing_is_asked_for(
    service: ScriptedService, scanledger: Cli, output: str, message: str
) -> None:
    ran = scanledger(*EXPORT, "-o", output)
    assert ran.code == 2
    assert message in ran.err
    assert service.requests(ROUTE) == []


def test_a_link_is_followed(service: ScriptedService, scanledger: Cli) -> None:
    service.on(ROUTE, Answer(200, BODY, TOLD))
    Path("real.csv").write_text("before")
    Path("link.csv").symlink_to("real.csv")
    assert scanledger(*EXPORT, "-o", "link.csv").code == 0
    assert Path("real.csv").read_bytes() == BODY
    assert Path("link.csv").is_symlink()


def test_an_unknown_format_is_wrong_usage(service: ScriptedService, scanledger: Cli) -> None:
    for arguments in (("findings", "export", "scan-1"), ("findings", "export", "scan-1", "--format", "xml")):
        assert scanledger(*arguments).code == 2
