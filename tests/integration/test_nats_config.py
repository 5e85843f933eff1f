"""The file that `scanledger nats-config` writes, on a server that includes it."""

import asyncio
import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest

from api.cli.commands import run
from api.cli.failures import USAGE
from infrastructure.embedded.folder import DataFolder, free_port
from infrastructure.embedded.nats import EmbeddedNats, program, server_url
from infrastructure.embedded.process import end_group, launch, server_environment
from infrastructure.messaging.rights import COORDINATOR, WORKER, WORKER_INBOX_PREFIX, subscriber
from infrastructure.messaging.streams import Limits, ensure_streams
from tests.end_to_end.ring import wait_until
from tests.workers.brokers import login_refused

ABC = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"
"""The bcrypt hash of `abc`, of that algorithm's published test vectors."""


@contextmanager
def served(folder: Path, accounts: Path) -> Iterator[str]:
    """The URL of a server that includes `accounts`."""
    port = free_port()
    config = folder / "nats.conf"
    config.write_text(f"host: 127.0.0.1\nport: {port}\njetstream {{ store_dir: '{folder}' }}\n")
    with config.open("a") as file:
        file.write(f"include {accounts.name}\n")
    process = launch([str(program()), "-c", str(config), "-l", str(folder / "log")], env=server_environment(folder))
    try:
        wait_until("the server", lambda: (folder / "log").exists() and "is ready" in (folder / "log").read_text())
        yield server_url(port)
    finally:
        end_group(process, first=2, within=2)  # type: ignore[arg-type]  # SIGINT


def test_a_server_runs_by_what_is_written_and_lets_in_who_it_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = tmp_path / "accounts.conf"
    assert run(["nats-config", "--tenant", "acme", "--password-hash", f"{WORKER}={ABC}", "-o", str(accounts)]) == 0
    told = capsys.readouterr()
    made = dict(re.findall(r"^(\S+)  (\S+)$", told.err, re.MULTILINE))
    assert told.out == ""
    assert set(made) == {COORDINATOR, subscriber("acme")}
    assert stat.S_IMODE(accounts.stat().st_mode) == 0o600

    async def test(url: str) -> None:
        for user, password in {**made, WORKER: "abc"}.items():
            prefix = WORKER_INBOX_PREFIX if user == WORKER else "_INBOX"
            client = await nats.connect(url, user=user, password=password, inbox_prefix=prefix)
            if user == COORDINATOR:
                await ensure_streams(client.jetstream(), ack_wait=30, limits=Limits())
            await client.close()

    with served(tmp_path, accounts) as url:
        asyncio.run(test(url))
        assert login_refused(url, user=WORKER, **{"pass": ABC})


def test_the_embedded_server_has_the_rights_that_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        server = EmbeddedNats(folder, tenants=("acme",))
        embedded = json.loads(server._configuration(4222))["accounts"]
    assert run(["nats-config", "--tenant", "acme"]) == 0
    written = json.loads(capsys.readouterr().out.partition("accounts: ")[2])
    for accounts in (embedded, written):
        for account in accounts.values():
            for user in account["users"]:
                assert user.pop("password")
    assert written == embedded


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tenant", "Acme.*"], "not a tenant's name"),
        (["--password-hash", "worker"], "as USER=HASH"),
        (["--password-hash", "worker=secret"], "worker: is not a bcrypt hash: make one with"),
        (["--password-hash", f"subscriber-acme={ABC}"], "subscriber-acme: is no login here: these are coordinator"),
    ],
)
def test_what_cannot_be_written_is_told(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "accounts.conf"
    assert run(["nats-config", *arguments, "-o", str(output)]) == USAGE
    assert words in " ".join(capsys.readouterr().err.split()).replace("│ ", "")
    assert not output.exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "accounts.conf"
    output.write_text("mine")
    assert run(["nats-config", "-o", str(output)]) == USAGE
    assert "Nothing was written" in capsys.readouterr().err
    assert output.read_text() == "mine"


def test_without_an_embedded_server_there_is_no_login_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["subscriber-login", "--data", str(tmp_path)]) == USAGE
    assert "start `scanledger up`" in capsys.readouterr().err
