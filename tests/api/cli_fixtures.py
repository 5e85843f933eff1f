"""A command line in this process, and a scripted service it talks to."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli.commands import run
from tests.api.cli_documents import API_KEY, Cli, Ran
from tests.api.scripted_service import ScriptedService, scripted_service


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the machine's, and an empty folder to be in."""
    for name in list(os.environ):
        if name.startswith(("SCANLEDGER_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def service(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedService]:
    """A scripted service that the environment names."""
    with scripted_service() as scripted:
        monkeypatch.setenv("SCANLEDGER_URL", scripted.url)
        monkeypatch.setenv("SCANLEDGER_API_KEY", API_KEY)
        yield scripted


@pytest.fixture
def scanledger(clean_environment: None, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process."""

    def invoke(*arguments: str) -> Ran:
        code = run(arguments)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return invoke
