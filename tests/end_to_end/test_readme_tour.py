"""The tour of the API in the README, request by request, against a running service."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infrastructure.settings import Settings
from infrastructure.wiring import running_service

README = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")
STEP = re.compile(
    r"```sh\n(?P<script>.*?)```\n|"
    r"```http(?: until (?P<field>\w+) is (?P<value>\w+))?\n(?P<method>[A-Z]+) (?P<path>\S+)\n(?P<body>.*?)```\n"
    r"```json (?P<status>\d+)\n(?P<answer>.*?)```",
    re.DOTALL,
)
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

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def take(self, step: re.Match[str]) -> httpx.Response:
        body = self.filled(step["body"])
        headers = {"Content-Type": "application/json"}
        return self.client.request(step["method"], self.filled(step["path"]), content=body or None, headers=headers)

    def remember(self, answer: dict[str, Any]) -> None:
        if isinstance(answer.get("data"), dict):
            self.names |= {k: v for k, v in answer["data"].items() if k in {"connector_id", "scan_id"}}


@pytest.fixture
def tour(tmp_path: Path) -> Iterator[Tour]:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "customers.csv").write_text(CUSTOMERS)
    (folder / "app.log").write_text("2026-11-23 12:00:00 INFO sent the receipt to grace.hopper@example.com\n")
    (folder / "todo.txt").write_bytes(b"")
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    settings = Settings(data=tmp_path / "data", port=0, workers=1, filesystem_roots=(tmp_path,))
    with (
        running_service(settings) as service,
        httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {service.api_key}"}, timeout=30
        ) as client,
    ):
        yield Tour(client, {"folder": str(folder)})


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


def until(tour: Tour, step: re.Match[str]) -> httpx.Response:
    for _ in range(600):
        answer = tour.take(step)
        if step["field"] is None or answer.json()["data"][step["field"]] == step["value"]:
            return answer
        threading.Event().wait(0.05)
    raise AssertionError(f"{step['field']} never became {step['value']}: {answer.text}")


def test_every_request_of_the_tour_gets_the_answer_shown(tour: Tour) -> None:
    steps = list(STEP.finditer(README))
    assert len(steps) == README.count("```http") + README.count("```sh")
    for step in steps:
        if step["script"]:
            subprocess.run(["sh", "-ec", tour.filled(step["script"])], check=True)
            continue
        answer = until(tour, step)
        assert answer.status_code == int(step["status"]), answer.text
        assert_shown(json.loads(tour.filled(step["answer"])), answer.json())
        tour.remember(answer.json())
