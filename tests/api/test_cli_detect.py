"""`scanledger detect`, with the real engine on real files: what it tells, how it ends, and that it always ends."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import psutil
import pytest

from api.cli.detect import detect
from tests.api.cli_documents import Cli

pytest_plugins = ["tests.api.cli_fixtures"]

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text("utf-8")
CHAPTER: Final = README.split("## Scan files without a service\n")[1].split("\n## ")[0]
COMMAND: Final = [sys.executable, "-P", "-c", "import api.cli; api.cli.main()"]
MAIL: Final = "write to somebody@example.com today\n"
CUSTOMERS: Final = """\
name,email,card
Ada Lovelace,ada@example.org,4532015112830366
Alan Turing,alan@example.org,5425233430109903
"""
FEW: Final = ("--detectors", "pii.email,payment.card")
"""Detectors that are compiled in no time."""

RULE: Final = """\
[[detector]]
id = "secret.acme-token"
name = "Acme token"
confidence = 0.9
patterns = ['acme_[0-9a-f]{16}']
"""


def put(name: str, content: str | bytes = MAIL) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, at the head of a group of its own."""
    pipe = subprocess.PIPE
    options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **options}
    with subprocess.Popen(
        [*COMMAND, "detect", *FEW, *arguments], env=environment(), start_new_session=True, **options
    ) as process:
        try:
            yield process
        finally:
            process.kill()


# How it ends ----------------------------------------------------------------------------------------------------------


def test_nothing_found_is_0_and_says_what_was_looked_at(scanledger: Cli) -> None:
    put("f/a.txt", "nothing here\n")
    put("f/empty.txt", "")
    put("f/logo.png", b"\x89PNG\r\n\x1a\n" + bytes(64))
    put("f/x/left.log")
    Path("f/link").symlink_to("a.txt")
    os.mkfifo("f/pipe")
    ran = scanledger("detect", "f", *FEW, "--exclude", "x")
    assert (ran.code, ran.err) == (0, "")
    skipped = "5 skipped (1 binary, 1 empty, 1 excluded, 1 link, 1 not_a_file)"
    assert ran.out == f"1 object scanned (13 B) · {skipped} · 0 failed · 0 findings\n"


def test_findings_are_10_and_are_told_in_tables(scanledger: Cli) -> None:
    put("f/customers.csv", CUSTOMERS)
    put("f/clean.txt", "nothing here\n")
    put("f/mail.txt", MAIL)
    ran = scanledger("detect", "f", *FEW)
    assert (ran.code, ran.err) == (10, "")
    told = [re.split(r"\s{2,}", line.strip()) for line in ran.out.splitlines()]
    assert [line[0] for line in told] == [
        *("f/customers.csv", "Detector", "payment.card", "pii.email", ""),
        *("f/mail.txt", "Detector", "pii.email", ""),
        "3 objects scanned (157 B) · 0 skipped · 0 failed · 5 findings",
    ]
    assert told[2][2:] == ["high", "2", "2:30 card", "************0366"]
    assert told[7][2:] == ["medium", "1", "1:10", "********@******e.com"]


def test_what_cannot_be_read_is_1_and_is_told_on_stderr(scanledger: Cli) -> None:
    put("f/cut.csv.gz", gzip.compress(CUSTOMERS.encode())[:-9])
    put("f/clean.txt", "nothing here\n")
    ran = scanledger("detect", "f", "--quiet", "--detectors", "secret.jwt")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "failed: f/cut.csv.gz: parse_error: the gzip data is corrupt or cut short\n"


def test_findings_and_failures_together_are_10_with_the_failures_on_stderr(scanledger: Cli) -> None:
    put("f/cut.gz", b"\x1f\x8b\x08")
    put("f/mail.txt")
    ran = scanledger("detect", "f", *FEW, "--json")
    assert ran.code == 10
    assert [line["object"] for line in lines(ran.out)] == ["f/mail.txt"]
    assert ran.err.splitlines() == [
        "failed: f/cut.gz: parse_error: the gzip data is corrupt or cut short",
        "1 object scanned (36 B) · 0 skipped · 1 failed (1 parse_error) · 1 finding",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_or_folder_that_may_not_be_read_failed(scanledger: Cli) -> None:
    put("f/shut.txt").chmod(0)
    put("f/shut/inner.txt").parent.chmod(0)
    ran = scanledger("detect", "f", *FEW, "--quiet")
    assert ran.code == 1
    reason = "access_denied: this user may not read it"
    assert ran.err.splitlines() == [f"failed: f/shut.txt: {reason}", f"failed: f/shut/: {reason}"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "Missing argument"),
        (["missing", "gone"], "'gone' does not exist"),
        (["-", "-"], "only once"),
        (["a.txt", "--name", "x"], "--name is for standard input"),
        (["a.txt", "--jobs", "0"], "--jobs"),
        (["a.txt", "--min-confidence", "2"], "--min-confidence"),
        (["a.txt", "--detectors", "weather"], "weather is neither a detector nor a category"),
        (["a.txt", "--rules", "missing.toml"], "missing.toml cannot be read"),
        (["a.txt", "--rules", "a.txt"], "a.txt: is no TOML"),
        (["a.txt", "--rules", "bad.toml"], "bad.toml.detector[0].patterns[0]: is no regular expression"),
        (["a.txt", "--rules", "taken.toml"], "pii.email.id: is that of another detector"),
        (["a.txt", "--rules", "check.toml"], "check.toml.detector[0].validator: there is no check 'horoscope'"),
    ],
)
def test_wrong_usage_is_2_with_the_fault_and_nothing_is_told(scanledger: Cli, arguments: list[str], fault: str) -> None:
    put("a.txt")
    put("bad.toml", RULE.replace("acme_", "acme_("))
    put("taken.toml", RULE.replace("secret.acme-token", "pii.email"))
    put("check.toml", f'{RULE}validator = "horoscope"\n')
    ran = scanledger("detect", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert fault in ran.err


# What it tells --------------------------------------------------------------------------------------------------------


def test_each_occurrence_is_a_line_of_json_with_every_field(scanledger: Cli) -> None:
    put("f/customers.csv", CUSTOMERS)
    ran = scanledger("detect", "f", *FEW, "--json")
    assert ran.code == 10
    found = lines(ran.out)
    assert {len(line) for line in found} == {17}
    assert [(line["detector"], line["line"], line["record_index"], line["field"]) for line in found] == [
        *(("payment.card", 2, 0, "card"), ("payment.card", 3, 1, "card")),
        *(("pii.email", 2, 0, "email"), ("pii.email", 3, 1, "email")),
    ]
    assert (found[0]["byte_offset"], found[0]["length"], found[0]["masked"]) == (45, 16, "************0366")
    assert (found[0]["severity"], found[0]["page"], found[0]["inner_path"]) == ("high", None, None)


def test_with_json_what_was_skipped_is_told_on_stderr_line_by_line(scanledger: Cli) -> None:
    put("f/logo.png", b"\x89PNG\r\n\x1a\n" + bytes(64))
    put("f/empty.txt", "")
    ran = scanledger("detect", "f", *FEW, "--json")
    assert (ran.code, ran.out) == (0, "")
    empty, picture, sums = ran.err.splitlines()
    assert empty == "skipped: f/empty.txt: empty"
    assert picture.startswith("skipped: f/logo.png: binary")
    assert sums == "0 objects scanned (0 B) · 2 skipped (1 binary, 1 empty) · 0 failed · 0 findings"


def test_hostile_names_are_escaped_and_come_out_of_json_as_they_are(scanledger: Cli) -> None:
    names = ["a\nb.txt", "\x1b[31mred.txt", "\u202etxt.exe.txt"]
    for name in names:
        put(f"f/{name}")
    put(os.fsdecode(b"f/\xff\xfe.txt"))
    put("f/\x1b[2J.gz", b"\x1f\x8b\x08")
    ran = scanledger("detect", "f", *FEW, "--json", "--max-occurrences", "1")
    assert ran.out.isascii()
    assert {line["object"].removeprefix("f/") for line in lines(ran.out)} == {*names, "\ufffdff\ufffdfe.txt"}
    assert r"failed: f/\x1b[2J.gz" in ran.err
    table = scanledger("detect", "f", *FEW)
    assert [line for line in table.out.splitlines() if line.startswith("f/")] == [
        *(r"f/\x1b[31mred.txt", r"f/a\x0ab.txt", r"f/\u202etxt.exe.txt", "f/\ufffdff\ufffdfe.txt")
    ]


def test_what_is_doubtful_is_told_only_when_it_is_asked_for(scanledger: Cli) -> None:
    put("a.txt", "order 4111111111111111 of somebody@acme.com\n")
    usual = lines(scanledger("detect", "a.txt", *FEW, "--json").out)
    every = lines(scanledger("detect", "a.txt", *FEW, "--json", "--min-confidence", "0").out)
    sure = scanledger("detect", "a.txt", *FEW, "--json", "--min-confidence", "1")
    assert min(line["confidence"] for line in usual) >= 0.5
    assert len(every) > len(usual)
    assert (sure.code, sure.out) == (0, "")


def test_rule_files_add_their_detectors_to_those_that_were_chosen(scanledger: Cli) -> None:
    put("rules.toml", RULE)
    put("a.txt", f"{MAIL}token acme_{'0f' * 8}\n4532015112830366\n")
    ran = scanledger("detect", "a.txt", "--json", "--rules", "rules.toml", "--detectors", "pii.email")
    assert [(line["detector"], line["severity"]) for line in lines(ran.out)] == [
        *(("pii.email", "medium"), ("secret.acme-token", "critical"))
    ]


@pytest.mark.parametrize(("asked", "told"), [((), 30), (("--max-occurrences", "3"), 3)])
def test_with_json_all_occurrences_are_told_or_as_many_as_asked_for(
    scanledger: Cli, asked: tuple[str, ...], told: int
) -> None:
    put("a.txt", MAIL * 30)
    ran = scanledger("detect", "a.txt", "--json", *FEW, *asked)
    assert len(lines(ran.out)) == told
    assert ran.err.endswith("30 findings\n")


def test_tables_show_as_many_places_as_asked_for_and_count_all(scanledger: Cli) -> None:
    put("a.txt", MAIL * 30)
    ran = scanledger("detect", "a.txt", *FEW, "--max-occurrences", "3", "--quiet")
    _, _, first, second, third = ran.out.rstrip().splitlines()
    assert re.split(r"\s{2,}", first)[3:5] == ["30", "1:10"]
    assert [re.split(r"\s{2,}", line.strip())[1] for line in (second, third)] == ["2:10", "3:10"]


def test_output_is_in_the_order_of_the_paths_however_many_jobs_there_are(scanledger: Cli) -> None:
    for number in range(20):
        put(f"f/{number:02}.txt", MAIL + "x\n" * (60_000 if number % 3 == 0 else 1))
    one, two = (scanledger("detect", "f", *FEW, "--json", "--jobs", jobs) for jobs in ("1", "2"))
    assert (one.out, one.err) == (two.out, two.err)
    assert [line["object"] for line in lines(one.out)] == [f"f/{number:02}.txt" for number in range(20)]


# Processes ------------------------------------------------------------------------------------------------------------


def test_standard_input_is_read_and_may_be_named(clean_environment: None) -> None:
    with started("-", "--name", "c.csv", "--json") as process:
        out, err = process.communicate(CUSTOMERS.encode())
    assert process.returncode == 10
    assert {(line["object"], line["field"]) for line in lines(out.decode())} == {("c.csv", "card"), ("c.csv", "email")}
    assert err.decode().startswith("1 object scanned (108 B)")


def in_reading(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The child that reads standard input, when it is in the midst of it."""
    assert process.stdin is not None
    process.stdin.write(b"nothing here\n" * 40_000)  # more than a pipe holds
    process.stdin.flush()
    [child] = psutil.Process(process.pid).children()
    return child


def test_a_child_that_is_killed_costs_the_file_it_was_reading(clean_environment: None) -> None:
    put("after.txt")
    with started("-", "after.txt", "--json", "--jobs", "1") as process:
        in_reading(process).kill()
        out, err = process.communicate()
    assert process.returncode == 10
    assert [line["object"] for line in lines(out.decode())] == ["after.txt"]
    assert err.decode().startswith("failed: -: worker_lost: its reader was ended by SIGKILL\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_all_of_it_at_once_and_quietly(
    clean_environment: None, number: signal.Signals, code: int
) -> None:
    with started("-", "--jobs", "2") as process:
        child = in_reading(process)
        os.killpg(process.pid, number)
        process.wait(timeout=5)
        assert process.stderr is not None
        assert process.stderr.read() == b"\n"
    assert process.returncode == code
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_children_end_with_a_parent_that_is_killed(clean_environment: None) -> None:
    with started("-") as process:
        child = in_reading(process)
        process.kill()
        psutil.wait_procs([child], timeout=5)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_reader_that_has_seen_enough_ends_it_quietly(clean_environment: None) -> None:
    put("a.txt", MAIL * 20_000)
    with started("a.txt", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=20)
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_it_loads_nothing_that_only_a_service_needs() -> None:
    program = (
        "import sys, api.cli.commands, api.cli.detect, infrastructure.detection.local.{}\n"
        "print([name for name in sys.argv[1:] if name in sys.modules])"
    )
    heavy = ["litestar", "boto3", "botocore", "psycopg", "nats", "httpx", "pydantic", "asyncio", "pyarrow", "uvicorn"]
    for process, more in (("pool", ["hyperscan", "rich.console", "domain.detectors"]), ("child", ["rich.console"])):
        command = [sys.executable, "-P", "-c", program.format(process), *heavy, *more]
        ran = subprocess.run(command, env=environment(), capture_output=True, check=True)
        assert ran.stdout == b"[]\n"


# The README -----------------------------------------------------------------------------------------------------------


def test_the_readmes_table_names_every_option_with_its_meaning() -> None:
    rows = dict(re.findall(r"^\| `(--[a-z-]+)[^`|]*` \| ([^|]+) \|$", CHAPTER, re.MULTILINE))
    options = {param.opts[0]: param.help for param in detect.params if isinstance(param, click.Option)}
    assert rows == options


def test_the_readmes_exit_codes_are_the_commands() -> None:
    assert re.findall(r"^\| (\d+) \|", CHAPTER, re.MULTILINE) == ["0", "10", "1", "2"]


@pytest.fixture
def exports(clean_environment: None, tmp_path: Path) -> dict[str, str]:
    """The folder that the README speaks of, and an environment in which `scanledger` can be called."""
    put("exports/customers.csv", CUSTOMERS)
    put("exports/app.log", "2026-11-23 12:00:00 INFO sent the receipt to grace.hopper@example.com\n")
    put("exports/logo.png", b"\x89PNG\r\n\x1a\n" + bytes(64))
    command = put("bin/scanledger", f'#!/bin/sh\nexec {sys.executable} -P -c "import api.cli; api.cli.main()" "$@"\n')
    command.chmod(0o755)
    return {**environment(), "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def comparable(text: str) -> list[str]:
    """Its lines, without what a rule's tuning changes: how sure it is."""
    return [re.sub(r"\b[01]\.\d+\b", "0.…", line.rstrip()) for line in text.strip().splitlines()]


def test_what_the_readme_shows_is_what_happens(exports: dict[str, str]) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```", CHAPTER, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        steps = [step.partition("\n") for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
        code = 0
        for command, _, shown in steps:
            script = f"exec 2>&1; (exit {code}); {command}"
            ran = subprocess.run(["sh", "-c", script], env=exports, capture_output=True, check=False)
            code = ran.returncode
            assert comparable(ran.stdout.decode()) == comparable(shown)


def test_the_hook_and_the_job_of_the_readme_fail_where_something_is_found(exports: dict[str, str]) -> None:
    entry = re.findall(r"^ +entry: (.+)$", CHAPTER, re.MULTILINE)
    run = re.findall(r"^ +- run: (.+)$", CHAPTER, re.MULTILINE)
    assert (len(entry), len(run)) == (1, 1)
    put("clean/a.txt", "nothing here\n")
    card = put("cards.txt", "card 4532015112830366\n")
    for command, code in ((f"{entry[0]} clean/a.txt", 0), (f"{entry[0]} clean/a.txt {card}", 10), (run[0], 10)):
        assert subprocess.run(["sh", "-c", command], env=exports, capture_output=True, check=False).returncode == code
