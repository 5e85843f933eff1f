"""`scanledger scan` against a scripted service: what it makes, starts, cleans up and prints."""

import json
from pathlib import Path

import pytest

from tests.api.cli_documents import Cli, finding, scan_document
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]


@pytest.fixture
def ready(service: ScriptedService) -> ScriptedService:
    """A service with no connectors that makes them, finds them working, and completes every scan at once."""
    made = iter(range(1, 100))
    service.on("GET /connectors", Answer.data([]))
    service.on("POST /connectors", lambda _: Answer.data({"connector_id": f"conn-{next(made)}"}, status=201))
    for number in range(1, 4):
        service.on(f"POST /connectors/conn-{number}/test", Answer.data({"ok": True, "detail": ""}))
        service.on(f"DELETE /connectors/conn-{number}", Answer(204, b""))
    service.on("POST /scans/parallel", Answer.data({"scan_id": "scan-1", "status": "queued"}, status=201))
    service.on("GET /scans/scan-1", Answer.data(scan_document(), ETag='"9"'))
    service.on("GET /detectors", Answer.data([]))
    return service


def test_a_scan_asks_for_what_the_command_line_says_and_leaves_the_rest_to_the_service(
    scanledger: Cli, ready: ScriptedService, tmp_path: Path
) -> None:
    ran = scanledger(
        "scan", ".", "s3://bucket/exports/2026/", "--max-files", "5", "--file-type", ".CSV", "--prefix", "a/",
        "--prefix", "b/", "--coverage-target", "1", "--strict", "--endpoint-url", "http://127.0.0.1:9000/",
        "--incremental", "--sample", "100", "--detectors", "pii, payment.card", "--priority", "0",
    )  # fmt: skip
    assert ran.code == 0
    made = [asked.body for asked in ready.requests("POST /connectors")]
    assert made == [
        {"name": ".", "type": "filesystem", "config": {"root": str(tmp_path.resolve())}},
        {
            "name": "s3://bucket/exports/2026/",
            "type": "s3",
            "config": {"bucket": "bucket", "prefixes": ["exports/2026/"], "endpoint_url": "http://127.0.0.1:9000"},
        },
    ]
    [started] = ready.requests("POST /scans/parallel")
    assert started.headers["idempotency-key"]
    assert started.body == {
        "connectors": ["conn-1", "conn-2"],
        "type": "incremental",
        "options": {
            "max_files": 5,
            "file_types": ["CSV"],
            "prefixes": ["a/", "b/"],
            "coverage_target": 1.0,
            "coverage_strategy": "strict",
            "sample_percent": 100,
            "detectors": ["pii", "payment.card"],
            "priority": 0,
        },
    }


def test_a_scan_of_which_nothing_is_said_leaves_all_to_the_service(scanledger: Cli, ready: ScriptedService) -> None:
    assert scanledger("scan", ".").code == 0
    assert ready.requests("POST /scans/parallel")[0].body == {"connectors": ["conn-1"], "type": "full", "options": {}}


def test_the_same_target_twice_is_one_connector(scanledger: Cli, ready: ScriptedService, tmp_path: Path) -> None:
    assert scanledger("scan", ".", str(tmp_path)).code == 0
    assert len(ready.requests("POST /connectors")) == 1


def test_a_connector_that_stands_for_the_target_is_used_again(
    scanledger: Cli, ready: ScriptedService, tmp_path: Path
) -> None:
    others = [
        {"connector_id": "conn-2", "type": "filesystem", "config": {"root": str(tmp_path.resolve() / "inner")}},
        {"connector_id": "conn-3", "type": "filesystem", "config": {"root": str(tmp_path.resolve())}},
    ]
    ready.on("GET /connectors", Answer.data(others))
    assert scanledger("scan", ".").code == 0
    assert ready.requests("POST /connectors") == []
    assert ready.requests("POST /scans/parallel")[0].body["connectors"] == ["conn-3"]


def test_a_target_that_does_not_work_leaves_no_connector_of_this_run_behind(
    scanledger: Cli, ready: ScriptedService
) -> None:
    ready.on("POST /connectors/conn-2/test", Answer.data({"ok": False, "detail": "There is no such bucket."}))
    ran = scanledger("scan", "s3://there", "s3://not-there")
    assert ran.code == 1
    assert "s3://not-there: There is no such bucket." in ran.err
    assert len(ready.requests("DELETE /connectors/conn-1") + ready.requests("DELETE /connectors/conn-2")) == 2
    assert ready.requests("POST /scans/parallel") == []


def test_the_environments_aws_keys_go_into_the_connector_and_nowhere_else(
    scanledger: Cli, ready: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-itself")
    ran = scanledger("scan", "s3://bucket")
    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "the-secret-itself"}
    assert ready.requests("POST /connectors")[0].body["config"] == {"bucket": "bucket", **keys}
    assert "the-secret-itself" not in ran.out + ran.err

    ready.on("GET /connectors", Answer.data([{"connector_id": "conn-1", "type": "s3", "config": {"bucket": "bucket"}}]))
    ready.on("PATCH /connectors/conn-1", Answer.data({}))
    assert scanledger("scan", "s3://bucket").code == 0
    [renewed] = ready.requests("PATCH /connectors/conn-1")
    assert renewed.body == {"config": {"session_token": None, **keys}}


def test_json_is_one_document_with_the_findings_summed_up_and_nothing_else(
    scanledger: Cli, ready: ScriptedService
) -> None:
    ready.on("GET /scans/scan-1", Answer.data(scan_document(findings=8)))
    ready.on("GET /detectors", Answer.data([{"detector": "payment.card", "category": "payment"}]))
    ready.on("GET /scans/scan-1/findings", Answer.data([finding(), finding(object="other.csv")]))
    ran = scanledger("scan", ".", "--json")
    result = json.loads(ran.out)
    assert (result["scan_id"], result["status"]) == ("scan-1", "completed")
    assert result["findings"] == [
        {"detector": "payment.card", "category": "payment", "count": 8, "objects": 2, "complete": True}
    ]
    assert ran.err == ""


def test_no_wait_prints_the_id_and_returns(scanledger: Cli, ready: ScriptedService) -> None:
    ran = scanledger("scan", ".", "--no-wait")
    assert (ran.code, ran.out) == (0, "scan-1\n")
    assert ready.requests("GET /scans/scan-1") == []


def test_a_single_file_is_its_folder_limited_to_it(scanledger: Cli, ready: ScriptedService, tmp_path: Path) -> None:
    for name in ("list.csv", "other.csv", "a-list.csv"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("list.csv")
    for target in ("list.csv", "link"):
        ran = scanledger("scan", target)
        assert ran.code == 0, ran.err
    config = {"root": str(tmp_path.resolve())}
    made = [asked.body for asked in ready.requests("POST /connectors")]
    assert made[0] == {"name": str(tmp_path.resolve()), "type": "filesystem", "config": config}
    started = [asked.body["options"] for asked in ready.requests("POST /scans/parallel")]
    assert started == [{"prefixes": ["list.csv"]}] * 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list"], "scan its folder, with --prefix list if you like"),
        (["list.csv", "."], "'list.csv' is a file, which is scanned alone"),
        (["list.csv", "s3://bucket"], "'list.csv' is a file, which is scanned alone"),
        (["list.csv", "--prefix", "li"], "leave it out when you name a file"),
    ],
)
def test_a_file_that_cannot_be_scanned_alone_is_refused_with_what_to_do(
    scanledger: Cli, ready: ScriptedService, tmp_path: Path, arguments: list[str], told: str
) -> None:
    for name in ("list", "list.csv"):
        (tmp_path / name).touch()
    ran = scanledger("scan", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert ready.asked == []
