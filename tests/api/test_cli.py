"""The command line against a scripted service: what it asks, prints and exits with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from api.cli.commands import cli
from tests.api.cli_documents import API_KEY, HOSTILE, SHOWN, Cli, finding, scan_document
from tests.api.scripted_service import Answer, Asked, ScriptedService, scripted_service

pytest_plugins = ["tests.api.cli_fixtures"]


# The interface itself -------------------------------------------------------------------------------------------------


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, f"{path} {name}")


def test_every_command_and_every_option_says_what_it_is_for() -> None:
    commands = dict(_commands(cli, "scanledger"))
    silent = [path for path, command in commands.items() if not command.help]
    silent += [
        f"{path} {option.opts[0]}"
        for path, command in commands.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert len(commands) > 20
    assert silent == []


def test_the_version_is_the_distributions(scanledger: Cli) -> None:
    assert scanledger("--version").out == "scanledger 0.1.0\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["scan"],
        ["scan", "/tmp", "--max-files", "0"],
        ["scan", "/tmp", "--sample", "0"],
        ["scan", "/tmp", "--priority", "10"],
        ["scans", "list", "--status", "over"],
        ["scans", "pause", "../x"],
        ["scans", "show", "../scans"],
        ["scan", "s3:///prefix"],
        ["scan", "gs://bucket"],
        ["scan", "does-not-exist"],
        ["scan", "/tmp", "--no-wait"],
    ],
)
def test_wrong_usage_exits_2_with_a_reason_and_prints_no_result(scanledger: Cli, arguments: list[str]) -> None:
    ran = scanledger(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err


def test_every_wrong_target_is_named_and_nothing_is_asked_of_the_service(
    scanledger: Cli, service: ScriptedService, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("x")
    ran = scanledger("scan", "missing", "a-file", "s3://", str(tmp_path))
    assert ran.code == 2
    assert all(fault in ran.err for fault in ("'missing' does not exist", "'a-file' is a file", "'s3://' names no"))
    assert service.asked == []


# Finding and asking the service ---------------------------------------------------------------------------------------


def test_without_a_service_a_reading_command_says_how_to_get_one(scanledger: Cli) -> None:
    ran = scanledger("scans", "list")
    assert ran.code == 1
    assert "scanledger up" in ran.err


def test_a_url_without_a_key_is_wrong_usage(scanledger: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLEDGER_URL", "http://127.0.0.1:1")
    assert scanledger("scans", "list").code == 2


def test_the_data_folders_credentials_are_used(scanledger: Cli, tmp_path: Path) -> None:
    with scripted_service() as service:
        service.on("GET /scans", Answer.data([]))
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "credentials.json").write_text(json.dumps({"url": service.url, "api_key": API_KEY}))
        assert scanledger("scans", "list", "--json", "--data", "data").out == "[]\n"
        assert {asked.headers["authorization"] for asked in service.asked} == {f"Bearer {API_KEY}"}


def test_damaged_credentials_are_a_sentence(scanledger: Cli, tmp_path: Path) -> None:
    (tmp_path / ".scanledger").mkdir()
    (tmp_path / ".scanledger" / "credentials.json").write_text('["not", "them"]')
    ran = scanledger("scans", "list")
    assert ran.code == 1
    assert "is damaged" in ran.err


def test_lists_follow_every_page(scanledger: Cli, service: ScriptedService) -> None:
    pages = {None: ([1, 2], "two"), "two": ([], "three"), "three": ([3], None)}

    def page(asked: Asked) -> Answer:
        numbers, more = pages[asked.query.get("cursor", [None])[0]]
        return Answer.data([{"connector_id": f"conn-{number}"} for number in numbers], more=more)

    service.on("GET /connectors", page)
    listed = json.loads(scanledger("connectors", "list", "--json").out)
    assert [one["connector_id"] for one in listed] == ["conn-1", "conn-2", "conn-3"]


def test_a_limit_stops_a_list_and_asks_for_no_more_than_it_needs(scanledger: Cli, service: ScriptedService) -> None:
    service.on("GET /connectors", Answer.data([{"connector_id": "conn-1"}, {"connector_id": "conn-2"}], more="on"))
    assert len(json.loads(scanledger("connectors", "list", "--json", "--limit", "2").out)) == 2
    assert [asked.query["limit"] for asked in service.asked] == [["2"]]


def test_filters_reach_the_service_and_those_not_given_do_not(scanledger: Cli, service: ScriptedService) -> None:
    service.on("GET /scans/scan-1/findings", Answer.data([]))
    scanledger("scans", "findings", "scan-1", "--category", "pii", "--min-confidence", "0.5", "--json")
    assert service.asked[0].query == {"category": ["pii"], "min_confidence": ["0.5"], "limit": ["100"]}


def test_every_field_the_service_refuses_is_told_without_a_traceback(scanledger: Cli, service: ScriptedService) -> None:
    faults = {"options.max_files": "must be at least 1", "connectors": "is \x1b[31mred"}
    service.on("GET /scans/scan-1", Answer.error(400, "VALIDATION_ERROR", "Two faults.", faults))
    ran = scanledger("scans", "show", "scan-1")
    assert (ran.code, ran.out) == (1, "")
    assert "options.max_files: must be at least 1" in ran.err
    assert r"connectors: is \x1b[31mred" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"data"', b'{"status":"success"}'])
def test_an_answer_that_is_none_of_the_api_is_a_sentence(
    scanledger: Cli, service: ScriptedService, body: bytes
) -> None:
    service.on("GET /scans/scan-1", Answer(200, body))
    ran = scanledger("scans", "show", "scan-1")
    assert ran.code == 1
    assert "is not a Scanledger service" in ran.err


def test_a_service_that_is_away_for_a_moment_is_asked_again(scanledger: Cli, service: ScriptedService) -> None:
    away = Answer.error(503, "SERVICE_UNAVAILABLE", "The database does not answer.", Retry_After="0")
    service.on_each("GET /scans/scan-1", away, Answer(502, b"a proxy's page"), Answer.data(scan_document()))
    assert scanledger("scans", "show", "scan-1", "--json").code == 0
    assert len(service.asked) == 3


# Watching -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 3), ("partial", 4), ("cancelled", 5)])
def test_watching_exits_with_what_became_of_the_scan(
    scanledger: Cli, service: ScriptedService, status: str, code: int
) -> None:
    service.on("GET /scans/scan-1", Answer.data(scan_document(status), ETag='"9"'))
    assert scanledger("scans", "watch", "scan-1").code == code


def test_watching_asks_only_for_what_changed_and_tells_each_status_in_a_line(
    scanledger: Cli, service: ScriptedService
) -> None:
    service.on_each(
        "GET /scans/scan-1",
        Answer.data(scan_document("running", version=4), ETag='"4"'),
        Answer(304, b""),
        Answer.data(scan_document("completed"), ETag='"9"'),
    )
    lines = scanledger("scans", "watch", "scan-1").out.splitlines()
    assert [asked.headers.get("if-none-match") for asked in service.asked[:3]] == [None, '"4"', '"4"']
    assert [line.split(" · ")[0] for line in lines[:2]] == ["scan-1: running", "scan-1: completed"]
    assert "10/10 files" in lines[1]
    assert "coverage 99.9 %" in lines[1]


def test_a_paused_scan_is_no_end_and_is_watched_on(scanledger: Cli, service: ScriptedService) -> None:
    service.on_each(
        "GET /scans/scan-1",
        Answer.data(scan_document("paused", version=4), ETag='"4"'),
        Answer.data(scan_document("running", version=5), ETag='"5"'),
        Answer.data(scan_document("completed"), ETag='"9"'),
    )
    ran = scanledger("scans", "watch", "scan-1")
    told = [line.split(" · ")[0] for line in ran.out.splitlines()[:3]]
    assert (ran.code, told) == (0, ["scan-1: paused", "scan-1: running", "scan-1: completed"])


def test_ctrl_c_while_watching_leaves_the_scan_alone_and_says_how_to_return(
    service: ScriptedService, tmp_path: Path
) -> None:
    (tmp_path / "their own.toml").touch()

    def interrupt(_: Asked) -> Answer:
        os.kill(watching.pid, signal.SIGINT)
        return Answer.data(scan_document("running"), ETag='"9"')

    service.on("GET /scans/scan-1", interrupt)
    arguments = [
        sys.executable,
        "-c",
        "import api.cli; api.cli.main()",
        "scans",
        "watch",
        "scan-1",
        "--config",
        "their own.toml",
    ]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as watching:
        _, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "scanledger scans watch scan-1 --config 'their own.toml'\n" in err
    assert "scanledger scans cancel scan-1 --config 'their own.toml'\n" in err
    assert "Traceback" not in err
    assert service.requests("POST /scans/scan-1/cancel") == []


@pytest.mark.parametrize("flags", [["--data", "their data"], []])
def test_the_commands_suggested_name_the_data_folder_unless_it_is_the_default(
    scanledger: Cli, service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    service.on("GET /scans/scan-1", Answer.data(scan_document()))
    service.on("GET /scans", Answer.data([]))
    monkeypatch.delenv("SCANLEDGER_URL")
    folder = tmp_path / (flags[-1] if flags else ".scanledger")
    folder.mkdir()
    (folder / "credentials.json").write_text(json.dumps({"url": service.url, "api_key": API_KEY}))
    ran = scanledger("scans", "show", "scan-1", *flags)
    assert ran.code == 0, ran.err
    assert ran.out.rstrip().endswith("scans events scan-1" + (" --data 'their data'" if flags else ""))


@pytest.mark.parametrize(
    "command", [["connectors", "list", "--json"], ["connectors", "list"], ["scans", "events", "x"]]
)
def test_a_reader_that_closes_the_pipe_early_is_no_failure(service: ScriptedService, command: list[str]) -> None:
    connector = {"connector_id": "conn-1", "type": "s3", "status": "active", "created_at": None, "name": "n" * 4000}
    event = {"version": 1, "occurred_at": "2026-01-31T12:00:00Z", "kind": "k" * 4000, "actor": "me", "data": {}}
    service.on("GET /connectors", Answer.data([connector] * 50))
    service.on("GET /scans/x/events", Answer.data([event] * 50))
    arguments = [sys.executable, "-c", "import api.cli; api.cli.main()", *command]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()) as writing:
        assert writing.stdout is not None
        assert writing.stderr is not None
        writing.stdout.read(1)
        writing.stdout.close()
        assert (writing.stderr.read(), writing.wait(30)) == (b"", 0)


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


# Steering -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "status"), [("pause", "paused"), ("resume", "running")])
def test_pausing_and_resuming_say_how_the_scan_stands(
    scanledger: Cli, service: ScriptedService, verb: str, status: str
) -> None:
    answer = {"scan_id": "scan-1", "status": status, f"{verb}d_at": "2026-01-31T12:00:00.000000Z"}
    service.on(f"POST /scans/scan-1/{verb}", Answer.data(answer))
    assert scanledger("scans", verb, "scan-1").out == f"Scan scan-1 is {status}.\n"
    assert json.loads(scanledger("scans", verb, "scan-1", "--json").out) == answer


def test_a_paused_scan_is_told_how_to_go_on(scanledger: Cli, service: ScriptedService) -> None:
    service.on("POST /scans/scan-1/pause", Answer.data({"scan_id": "scan-1", "status": "paused", "paused_at": "…"}))
    service.on("GET /scans/scan-1", Answer.data(scan_document("paused")))
    assert "scanledger scans resume scan-1" in scanledger("scans", "pause", "scan-1").err
    assert "scanledger scans resume scan-1" in scanledger("scans", "show", "scan-1").out


def test_a_refused_pause_exits_with_1_and_the_reason(scanledger: Cli, service: ScriptedService) -> None:
    service.on("POST /scans/scan-1/pause", Answer.error(409, "SCAN_ALREADY_FINISHED", "It has ended as failed."))
    ran = scanledger("scans", "pause", "scan-1")
    assert (ran.code, ran.out, ran.err) == (1, "", "Error: It has ended as failed.\n")


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 3), ("partial", 4), ("cancelled", 5)])
def test_a_redrive_is_watched_to_its_end_and_exits_with_it(
    scanledger: Cli, service: ScriptedService, status: str, code: int
) -> None:
    service.on("POST /scans/scan-0/redrive", Answer.data({"scan_id": "scan-1", "status": "queued"}, status=201))
    again = {**scan_document(status), "redrive_of": "scan-0"}
    service.on("GET /scans/scan-1", Answer.data(again, ETag='"9"'))
    ran = scanledger("scans", "redrive", "scan-0")
    assert ran.code == code
    assert "redrive of scan-0" in ran.out
    [asked] = service.requests("POST /scans/scan-0/redrive")
    assert asked.headers["idempotency-key"]
    assert json.loads(scanledger("scans", "redrive", "scan-0", "--json").out)["redrive_of"] == "scan-0"


def test_a_redrive_that_is_not_waited_for_prints_its_id(scanledger: Cli, service: ScriptedService) -> None:
    service.on("POST /scans/scan-0/redrive", Answer.data({"scan_id": "scan-1", "status": "queued"}, status=201))
    ran = scanledger("scans", "redrive", "scan-0", "--no-wait")
    assert (ran.code, ran.out) == (0, "scan-1\n")
    assert "scanledger scans watch scan-1" in ran.err


def test_scans_are_listed_with_the_one_they_are_a_redrive_of(scanledger: Cli, service: ScriptedService) -> None:
    service.on("GET /scans", Answer.data([scan_document("paused"), {**scan_document(), "redrive_of": "scan-0"}]))
    ran = scanledger("scans", "list", "--status", "paused", "--status", "completed")
    assert service.asked[0].query["status"] == ["paused", "completed"]
    _, first, second = ran.out.splitlines()
    assert "paused" in first
    assert "scan-0" not in first
    assert "scan-0" in second


@pytest.mark.parametrize(
    ("status", "failed", "suggested"), [("partial", 1, True), ("running", 1, False), ("completed", 0, False)]
)
def test_a_redrive_is_suggested_for_what_an_ended_scan_left(
    scanledger: Cli, service: ScriptedService, status: str, failed: int, suggested: bool
) -> None:
    service.on("GET /scans/scan-1", Answer.data(scan_document(status, failed=failed)))
    service.on("GET /scans/scan-1/objects", Answer.data([]))
    assert ("scanledger scans redrive scan-1" in scanledger("scans", "show", "scan-1").out) is suggested


def test_lines_name_the_scan_that_read_an_unchanged_object_and_when_a_finding_was_gone(
    scanledger: Cli, service: ScriptedService
) -> None:
    entry = {"object": "a.csv", "disposition": "skipped", "reason": "unchanged", "scanned_by": "scan-0"}
    service.on("GET /scans/scan-1/objects", Answer.data([entry]))
    service.on("GET /scans/scan-1/findings", Answer.data([finding(gone_at="2026-01-31T12:00:00.000000Z"), finding()]))
    assert scanledger("scans", "objects", "scan-1").out == "skipped  unchanged  a.csv  (scanned by scan-0)\n"
    gone, there = scanledger("scans", "findings", "scan-1").out.splitlines()
    assert "(gone by 2026-01-31 12:00:00Z)" in gone
    assert "gone" not in there


# What a person reads --------------------------------------------------------------------------------------------------


def _with_hostile_keys(service: ScriptedService) -> None:
    entry = {"object": HOSTILE, "disposition": "failed", "reason": "access_denied", "detail": "no\x1b[2J"}
    event = {"version": 1, "occurred_at": "2026-01-31T12:00:00Z", "kind": "scan.x", "actor": HOSTILE, "data": {}}
    worker = {
        "worker_id": HOSTILE, "status": "idle", "chunk": None, "chunks_completed": 1, "files_processed_total": 1,
        "last_seen_at": None,
    }  # fmt: skip
    connector = {"connector_id": "conn-1", "type": "s3", "status": "active", "created_at": None, "name": HOSTILE}
    service.on("GET /scans/scan-1", Answer.data(scan_document("failed", failed=1, findings=4)))
    service.on("GET /detectors", Answer.data([{"detector": "payment.card", "category": "payment"}]))
    service.on("GET /scans/scan-1/findings", Answer.data([finding()]))
    service.on("GET /scans/scan-1/objects", Answer.data([entry]))
    service.on("GET /scans/scan-1/events", Answer.data([event]))
    service.on("GET /scans/scan-1/workers", Answer.data([worker]))
    service.on("GET /connectors", Answer.data([connector]))
    service.on("GET /connectors/conn-1", Answer.data({**connector, "config": {"bucket": HOSTILE}}))


@pytest.mark.parametrize(
    "command",
    [
        ["scans", "show", "scan-1"],
        ["scans", "watch", "scan-1"],
        ["scans", "findings", "scan-1"],
        ["scans", "objects", "scan-1"],
        ["scans", "events", "scan-1"],
        ["scans", "workers", "scan-1"],
        ["connectors", "list"],
        ["connectors", "show", "conn-1"],
    ],
)
def test_no_key_reaches_the_terminal_with_its_control_characters(
    scanledger: Cli, service: ScriptedService, command: list[str]
) -> None:
    _with_hostile_keys(service)
    printed = scanledger(*command).out
    assert SHOWN in printed
    assert all(line.isprintable() for line in printed.splitlines())


def test_json_carries_the_key_as_it_is_in_ascii(scanledger: Cli, service: ScriptedService) -> None:
    _with_hostile_keys(service)
    printed = scanledger("scans", "findings", "scan-1", "--json").out
    assert json.loads(printed)[0]["object"] == HOSTILE
    assert printed.isascii()


def test_a_result_shows_coverage_reasons_findings_with_samples_and_failures(
    scanledger: Cli, service: ScriptedService
) -> None:
    _with_hostile_keys(service)
    printed = scanledger("scans", "show", "scan-1").out
    for part in ("empty", "access_denied", "payment", "card", "****-1111", ":3:7", "99.9 %", "scans events scan-1"):
        assert part in printed


RULES = """
[[detector]]
id = "acme.badge"
name = "Badge"
confidence = 0.8
patterns = ["EMP-[0-9]{6}"]
matches = [["EMP-", "123456"]]

[[detector]]
id = "acme.desk"
name = "Desk"
confidence = 0.5
keywords = ["desk no"]
patterns = ["[0-9]{2}"]
"""


def test_the_detectors_of_a_rule_file_are_made_and_deleted_one_by_one(
    scanledger: Cli, service: ScriptedService
) -> None:
    Path("rules.toml").write_text(RULES)
    answer = {"id": "acme.badge", "test": {"matches": [{"ok": True, "hits": 1}]}}
    service.on("POST /detectors", Answer.data(answer, status=201))
    ran = scanledger("detectors", "add", "rules.toml")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "acme.badge is one of yours now: 1 example found")
    first, second = service.requests("POST /detectors")
    assert (first.body["id"], first.body["matches"], first.body["dry_run"]) == ("acme.badge", ["EMP-123456"], False)
    assert (second.body["keywords"], second.body["patterns"]) == (["desk no"], ["[0-9]{2}"])
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert scanledger("detectors", "add", "rules.toml", "--dry-run").code == 0
    assert service.asked[-1].body["dry_run"] is True
    service.on("DELETE /detectors/acme.badge", Answer.data({"detector": "acme.badge", "deleted": True}))
    assert scanledger("detectors", "remove", "acme.badge").out == "Deleted acme.badge.\n"
    assert scanledger("detectors", "remove", "../scans/x").code == 2


def test_what_is_wrong_with_a_rule_file_is_told(scanledger: Cli, service: ScriptedService) -> None:
    Path("rules.toml").write_text(RULES.replace("0.5", "5"))
    ran = scanledger("detectors", "add", "rules.toml")
    assert (ran.code, service.asked) == (2, [])
    assert "confidence: must be above 0" in ran.err
    Path("rules.toml").write_text(RULES)
    refused = Answer.error(400, "VALIDATION_ERROR", "No.", {"patterns[0]": "looks around"})
    service.on("POST /detectors", refused)
    ran = scanledger("detectors", "add", "rules.toml")
    assert ran.code == 1
    assert "patterns[0]: looks around" in ran.err
