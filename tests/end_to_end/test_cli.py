"""The command line as a person uses it: real processes, a real service, real files and buckets."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from api.cli.commands import run
from infrastructure.s3_server import S3Server
from tests.end_to_end.ring import wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "import api.cli; api.cli.main()"]
DEADLINE = 60.0


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    def document(self) -> Any:
        """What it printed as JSON, having ended well."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Cli = Callable[..., Ran]


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SCANLEDGER_", "AWS_"))}
    return {**inherited, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def scanledger(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process, in the folder whose service is up."""
    for name in os.environ.keys() - _environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(home)

    def invoke(*arguments: str) -> Ran:
        code = run(arguments)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return invoke


def processes_of(data: Path) -> list[psutil.Process]:
    """Whatever runs for the service of this data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            told = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(data) in told and process.pid != os.getpid():
            found.append(process)
    return found


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator["subprocess.Popen[str]"]:
    """A command that goes on, ended at the latest with the context."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for number in range(5):
        (folder / f"list-{number}.csv").write_text(f"name,email\nAda,ada.{number}@example.org\n")
    (folder / "empty.txt").touch()
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder whose `.scanledger` has a service that is up: started, and at last stopped, by the command."""
    folder = tmp_path_factory.mktemp("home")
    with started("up", "--port", "0", "--workers", "2", cwd=folder) as service:
        assert service.stdout is not None
        assert service.stdout.readline().startswith("Scanledger is up at http://127.0.0.1:")
        yield folder
        service.send_signal(signal.SIGTERM)
        began = time.monotonic()
        service.communicate(timeout=DEADLINE)
        assert service.returncode == 0
        assert time.monotonic() - began < 10
    assert processes_of(folder / ".scanledger") == []


def test_a_scan_without_a_service_brings_its_own_and_leaves_nothing_running(tmp_path: Path, files: Path) -> None:
    with started("scan", str(files), "--json", cwd=tmp_path) as scan:
        out, err = scan.communicate(timeout=DEADLINE)
    result = Ran(scan.returncode, out, err).document()
    assert result["status"] == "completed"
    assert result["coverage"]["total_scanned"] == 5
    assert result["coverage"]["skipped_by_reason"] == {"empty": 1}
    assert result["findings"] == [
        {"detector": "pii.email", "category": "pii", "count": 5, "objects": 5, "complete": True}
    ]
    assert err == ""
    assert (tmp_path / ".scanledger" / "credentials.json").stat().st_mode & 0o077 == 0
    assert processes_of(tmp_path / ".scanledger") == []
    assert not (tmp_path / ".scanledger" / "lock").exists()


def test_ctrl_c_cancels_the_scan_and_stops_the_service_started_for_it(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    for number in range(40):
        (big / f"{number}.log").write_bytes(b"nobody@example.org wrote a line that is read in full\n" * 100_000)
    with started("scan", "big", cwd=tmp_path) as scan:
        assert scan.stdout is not None
        assert any(": running" in line for line in scan.stdout)
        scan.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, told = scan.communicate(timeout=DEADLINE)
    assert scan.returncode == 130
    assert "Cancelled scan scan-" in told
    assert "Traceback" not in told
    assert time.monotonic() - began < 12
    assert processes_of(tmp_path / ".scanledger") == []


def test_ctrl_c_while_the_service_starts_leaves_nothing_of_it(tmp_path: Path, files: Path) -> None:
    with started("scan", str(files), cwd=tmp_path) as scan:
        assert scan.stderr is not None
        assert "starting one for this run" in scan.stderr.readline()
        scan.send_signal(signal.SIGINT)
        scan.communicate(timeout=DEADLINE)
    assert scan.returncode == 130
    assert processes_of(tmp_path / ".scanledger") == []
    assert not (tmp_path / ".scanledger" / "lock").exists()


@pytest.mark.torture
def test_scans_of_the_same_folder_use_one_connector_however_many_there_are(scanledger: Cli, files: Path) -> None:
    for _ in range(2):
        ran = scanledger("scan", str(files))
        assert ran.code == 0, ran.err
        assert "completed" in ran.out
        assert "email" in ran.out
    connectors = scanledger("connectors", "list", "--json").document()
    mine = [one for one in connectors if one["config"].get("root") == str(files.resolve())]
    assert [one["status"] for one in mine] == ["active"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--coverage-target", "1", "--strict"], 3),
        (["--coverage-target", "0.9"], 4),
        pytest.param(["--max-files", "1"], 4, marks=pytest.mark.torture),
    ],
)
def test_the_exit_code_says_what_became_of_the_scan(
    scanledger: Cli, files: Path, options: list[str], code: int
) -> None:
    assert scanledger("scan", str(files), *options).code == code


def test_everything_about_a_scan_can_be_had_as_json(scanledger: Cli, files: Path) -> None:
    def told(*arguments: str) -> Any:
        return scanledger(*arguments, "--json").document()

    scan_id = scanledger("scan", str(files), "--no-wait").out.strip()
    watched = told("scans", "watch", scan_id)
    assert told("scans", "show", scan_id)["version"] == watched["version"]
    assert scan_id in {one["scan_id"] for one in told("scans", "list")}
    findings = told("scans", "findings", scan_id, "--detector", "pii.email")
    assert sorted(one["object"] for one in findings) == [f"list-{number}.csv" for number in range(5)]
    [skipped] = told("scans", "objects", scan_id, "--disposition", "skipped")
    assert (skipped["object"], skipped["reason"]) == ("empty.txt", "empty")
    events = told("scans", "events", scan_id)
    assert [event["version"] for event in events] == list(range(1, watched["version"] + 1))
    assert sum(worker["files_processed_total"] for worker in told("scans", "workers", scan_id)) == 5
    assert any(one["detector"] == "pii.email" for one in told("detectors"))


def test_findings_are_exported_to_a_file_of_their_own(scanledger: Cli, files: Path, home: Path) -> None:
    scan_id = scanledger("scan", str(files), "--json").document()["scan_id"]
    export = ("findings", "export", scan_id, "--severity", "medium", "-o")
    for name in ("ndjson", "parquet", "csv", "ocsf", "sarif"):
        assert scanledger(*export, f"found.{name}", "--format", name).code == 0
    lines = (home / "found.ndjson").read_text().splitlines()
    assert [json.loads(line)["object"] for line in lines] == [f"list-{number}.csv" for number in range(5)]
    [run] = json.loads((home / "found.sarif").read_text())["runs"]
    assert run["originalUriBaseIds"] == {json.loads(lines[0])["connector"]: {"uri": f"file://{files}/"}}
    assert (home / "found.parquet").read_bytes().startswith(b"PAR1")
    assert list(home.glob(".*.partial")) == []


def test_a_scan_that_ended_cannot_be_cancelled_and_the_error_says_so(scanledger: Cli, files: Path) -> None:
    scan_id = scanledger("scan", str(files), "--json").document()["scan_id"]
    ran = scanledger("scans", "cancel", scan_id)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: ")


@pytest.mark.torture
def test_a_folder_scanned_again_is_read_where_it_changed(scanledger: Cli, files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(files, folder)
    first = scanledger("scan", str(folder), "--incremental", "--detectors", "pii, payment.card", "--json").document()
    (folder / "list-0.csv").write_text("name,email\nEve,eve@example.org\nEve,eve@example.com\n")
    again = ["scan", str(folder), "--incremental", "--detectors", "pii", "--priority", "9", "--json"]
    second = scanledger(*again).document()
    assert (second["type"], second["options"]["detectors"], second["options"]["priority"]) == (
        "incremental",
        ["pii"],
        9,
    )
    assert second["coverage"]["skipped_by_reason"] == {"empty": 1, "unchanged": 4}
    told = scanledger("scans", "objects", second["scan_id"], "--reason", "unchanged").out
    assert told.count(f"(scanned by {first['scan_id']})") == 4
    sampled = scanledger("scan", str(folder), "--sample", "1", "--json")
    assert (sampled.code, json.loads(sampled.out)["options"]["sample_percent"]) == (4, 1)


def test_a_scan_is_paused_resumed_cancelled_and_redriven(scanledger: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    names = [f"{number}.log" for number in range(20)]
    for name in names:
        (folder / name).write_bytes(b"nobody@example.org wrote a line that is read in full\n" * 100_000)
    scan_id = scanledger("scan", str(folder), "--max-workers", "1", "--no-wait").out.strip()

    def coverage() -> Any:
        return scanledger("scans", "show", scan_id, "--json").document()["coverage"]

    wait_until("all is listed", lambda: coverage()["total_enumerated"] == len(names))
    assert scanledger("scans", "pause", scan_id, "--json").document()["status"] == "paused"
    assert scan_id in scanledger("scans", "list", "--status", "paused").out
    assert scanledger("scans", "redrive", scan_id).code == 1
    assert scanledger("scans", "resume", scan_id).out == f"Scan {scan_id} is running.\n"
    scanledger("scans", "pause", scan_id)
    assert scanledger("scans", "cancel", scan_id).code == 0
    left = coverage()["total_remaining"]
    assert left > 0, "the scan was over before it could be paused"
    for name in names:
        (folder / name).write_text("nothing to see\n")
    again = scanledger("scans", "redrive", scan_id, "--json").document()
    assert (again["redrive_of"], again["coverage"]["total_scanned"]) == (scan_id, left)
    assert scanledger("scans", "redrive", again["scan_id"]).code == 1


def test_a_folder_outside_the_roots_is_refused_and_leaves_no_connector(scanledger: Cli) -> None:
    before = scanledger("connectors", "list", "--json").document()
    ran = scanledger("scan", "/usr/share")
    assert ran.code == 1
    assert "/usr/share" in ran.err
    assert scanledger("connectors", "list", "--json").document() == before


def test_a_bucket_is_scanned_below_its_prefix_with_the_environments_keys(
    scanledger: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server() as server:
        client = server.client()
        client.create_bucket(Bucket="exports")
        for key in ("2025/old.txt", "2026/new.txt"):
            client.put_object(Bucket="exports", Key=key, Body=b"write to ada@example.org\n")
        client.close()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_access_key)
        endpoint = ["--endpoint-url", server.endpoint_url, "--region", server.region]
        for _ in range(2):
            found = scanledger("scan", "s3://exports/2026/", *endpoint, "--json").document()
            assert found["coverage"]["total_enumerated"] == 1
            assert [one["detector"] for one in found["findings"]] == ["pii.email"]

        ran = scanledger("scan", "s3://exports", "s3://no-such-bucket", *endpoint)
        assert ran.code == 1
        assert "s3://no-such-bucket" in ran.err
        left = scanledger("connectors", "list", "--json").document()
        assert [one["name"] for one in left if one["type"] == "s3"] == ["s3://exports/2026/"]


def test_doctor_finds_nothing_wrong_with_a_service_that_is_up(scanledger: Cli, home: Path) -> None:
    checks = scanledger("doctor", "--json").document()
    assert {"database", "broker", "schema"} <= {check["name"] for check in checks}
    assert [check for check in checks if check["state"] == "problem"] == []
    found = {check["name"]: check for check in checks}
    assert found["streams"]["state"] == "ok", found["streams"]["found"]
    assert re.fullmatch(r"answers, version \d+\.\d+\.\d+", found["broker"]["found"])
    port = json.loads((home / ".scanledger" / "credentials.json").read_bytes())["url"].rsplit(":")[-1]
    assert found["port"]["found"].endswith(f":{port}")


def test_a_single_file_of_a_folder_is_scanned_alone(scanledger: Cli, files: Path) -> None:
    found = scanledger("scan", str(files / "list-3.csv"), "--json").document()
    assert (found["status"], found["coverage"]["total_enumerated"], found["findings"][0]["objects"]) == (
        "completed",
        1,
        1,
    )


def test_a_key_made_beside_a_service_that_is_up_opens_its_own_tenants_data_alone(
    scanledger: Cli, home: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scanledger("scan", str(files)).code == 0
    assert scanledger("tenants", "create", "acme").code == 0
    made = scanledger("keys", "create", "--tenant", "acme", "--json").document()
    url = json.loads((home / ".scanledger" / "credentials.json").read_bytes())["url"]
    monkeypatch.setenv("SCANLEDGER_URL", url)
    monkeypatch.setenv("SCANLEDGER_API_KEY", made["api_key"])
    assert scanledger("scans", "list", "--json").document() == []


def test_views_made_again_from_the_log_differ_in_nothing(scanledger: Cli, files: Path) -> None:
    assert scanledger("scan", str(files)).code == 0
    ran = scanledger("views", "rebuild")
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.count(", 0 differed") == 5


def test_the_schema_of_a_service_that_is_up_needs_no_migration(scanledger: Cli) -> None:
    ran = scanledger("migrate")
    assert ran.code == 0, ran.err
    assert "nothing to apply" in ran.out
