"""The tour of the API in the README, request by request, against a running service."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infrastructure.settings import Settings
from infrastructure.wiring import running_service
from tests.fixtures_api import eventually
from tests.webhook_receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
STEP = re.compile(
    r"```sh\n(?P<script>.*?)```\n|"
    r"```python\n(?P<program>.*?)```\n```text\n(?P<output>.*?)```\n|"
    r"```http(?: until (?P<field>\w+) is (?P<value>\w+))?\n(?P<method>[A-Z]+) (?P<path>\S+)\n(?P<body>.*?)```\n"
    r"```(?P<form>json|sse|csv) (?P<status>\d+)\n(?P<answer>.*?)```",
    re.DOTALL,
)
SCANLEDGER = (sys.executable, "-c", "from api.cli import main; main()")
SAME_EVERYWHERE = "…"
CUSTOMERS = """\
name,email,card
Ada Lovelace,ada@example.org,4111111111111111
Alan Turing,alan@example.org,5555555555554444
"""


@dataclass
class Tour:
    """A client on the tour: what `{connector_id}` and its like stand for by now."""

    client: httpx.Client
    names: dict[str, str]
    home: Path
    receiver: Receiver

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell in the folder whose service is up, and that finds the command."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCANLEDGER_")}
        return {**inherited, "PYTHONPATH": str(ROOT), "PATH": f"{self.home}{os.pathsep}{os.environ['PATH']}"}

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def take(self, step: re.Match[str]) -> httpx.Response:
        body = self.filled(step["body"])
        headers = {"Content-Type": "application/json"}
        return self.client.request(step["method"], self.filled(step["path"]), content=body or None, headers=headers)

    def run(self, program: str) -> str:
        """What a subscriber's program prints, which gets the login that the command tells."""
        command = [*SCANLEDGER, "subscriber-login", "--json", "--data", str(self.home / ".scanledger")]
        told = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout
        login = {f"NATS_{name.upper()}": value for name, value in json.loads(told).items()}
        argv = [sys.executable, "-c", program]
        return subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **login}).stdout.decode()

    def remember(self, answer: dict[str, Any]) -> None:
        if isinstance(answer.get("data"), dict):
            self.names |= {k: v for k, v in answer["data"].items() if k in {"connector_id", "scan_id", "webhook_id"}}


@pytest.fixture
def tour(tmp_path: Path) -> Iterator[Tour]:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "customers.csv").write_text(CUSTOMERS)
    (folder / "app.log").write_text("2026-11-23 12:00:00 INFO sent the receipt to grace.hopper@example.com\n")
    (folder / "todo.txt").write_bytes(b"")
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    command = tmp_path / "scanledger"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import api.cli; api.cli.main()" "$@"\n')
    command.chmod(0o700)
    settings = Settings(data=tmp_path / ".scanledger", port=0, workers=1, filesystem_roots=(tmp_path,))
    with (
        receiving() as receiver,
        running_service(settings) as service,
        httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {service.api_key}"}, timeout=30
        ) as client,
    ):
        yield Tour(client, {"folder": str(folder), "receiver": receiver.url()}, tmp_path, receiver)


def assert_shown(shown: Any, real: Any, at: str = "$") -> None:
    """Everything the README shows is really there; `…` stands for any value, or any rest of a string."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in real, f"{at}.{key} is missing"
            assert_shown(value, real[key], f"{at}.{key}")
    elif isinstance(shown, list):
        assert len(shown) == len(real), f"{at} has {len(real)} members"
        for place, value in enumerate(shown):
            assert_shown(value, real[place], f"{at}[{place}]")
    elif isinstance(shown, str) and shown.endswith(SAME_EVERYWHERE):
        assert str(real).startswith(shown[:-1]), f"{at} is {real!r}"
    else:
        assert shown == real, f"{at} is {real!r}"


def assert_begins(shown: str, real: str) -> None:
    """The fields of the frames that the README shows are the first ones that really came."""
    lines = [line for line in real.splitlines() if line.startswith(("id: ", "data: "))]
    for line, got in zip(shown.splitlines(), lines, strict=False):
        assert got.startswith(line.removesuffix(SAME_EVERYWHERE)), got
    assert len(lines) >= len(shown.splitlines())


def assert_lines(shown: str, real: str) -> None:
    """The lines that the README shows are all there are; `…` stands for any part of one."""
    pattern = re.escape(shown).replace(re.escape(SAME_EVERYWHERE), ".*")
    assert re.fullmatch(pattern, real.replace("\r\n", "\n")), real


def until(tour: Tour, step: re.Match[str]) -> httpx.Response:
    for _ in range(600):
        answer = tour.take(step)
        if step["field"] is None or answer.json()["data"][step["field"]] == step["value"]:
            return answer
        threading.Event().wait(0.05)
    raise AssertionError(f"{step['field']} never became {step['value']}: {answer.text}")


def test_every_request_of_the_tour_gets_the_answer_shown(tour: Tour) -> None:
    steps = list(STEP.finditer(README))
    assert len(steps) == sum(map(README.count, ("```http", "```sh", "```text")))
    for step in steps:
        if step["script"]:
            subprocess.run(["sh", "-ec", tour.filled(step["script"])], check=True, cwd=tour.home, env=tour.environment)
            continue
        if step["program"]:
            assert_lines(step["output"], tour.run(step["program"]))
            continue
        answer = until(tour, step)
        assert answer.status_code == int(step["status"]), answer.text
        if step["form"] == "sse":
            assert_begins(tour.filled(step["answer"]), answer.text)
            continue
        if step["form"] == "csv":
            assert_lines(tour.filled(step["answer"]), answer.text)
            continue
        assert_shown(json.loads(tour.filled(step["answer"])), answer.json())
        tour.remember(answer.json())
    assert_webhook_is_told(tour)


def assert_webhook_is_told(tour: Tour) -> None:
    """The webhook that was made on the tour hears of a scan that is started after it."""
    started = {"connectors": [tour.names["connector_id"]], "type": "full", "options": {"coverage_target": 0.1}}
    scan = tour.client.post("/api/v1/scans/parallel", json=started).json()["data"]["scan_id"]

    def told() -> list[str]:
        return [one.event["type"] for one in tour.receiver.received if one.event["subject"] == scan]

    assert eventually(lambda: "scanledger.scan.completed" in told(), seconds=30)
    assert told() == ["scanledger.scan.queued", "scanledger.scan.completed"]
