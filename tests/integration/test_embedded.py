"""PostgreSQL and NATS as our children: from nothing, on kept data, after any crash, and with few rights."""

import asyncio
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from nats.aio.client import Client

from domain.errors import Invalid, ServiceUnavailable
from infrastructure.embedded.folder import DataFolder, DataFolderBusy, port_is_free, write_json
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.postgres import EmbeddedPostgres, programs
from infrastructure.embedded.process import SystemUser, launch, server_environment
from infrastructure.embedded.system_user import closed_folders
from infrastructure.messaging.rights import COORDINATOR, INBOX_PREFIX, WORKER, WORKER_INBOX_PREFIX

ROOT = os.geteuid() == 0


def eventually(holds: Callable[[], bool], within: float = 10.0) -> None:
    tick = threading.Event()
    for _ in range(int(within / 0.02)):
        if holds():
            return
        tick.wait(0.02)
    pytest.fail(f"not within {within} s")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        yield folder


@pytest.fixture
def postgres(folder: DataFolder) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def nats(folder: DataFolder) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    return int(row[0]) if row else -1


def test_postgres_keeps_data_and_port_over_a_stop_and_any_kill(folder: DataFolder, postgres: EmbeddedPostgres) -> None:
    url = postgres.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    postgres.stop()
    again = EmbeddedPostgres(folder)
    again.start()
    assert again.url == url
    with psycopg.connect(url) as held:  # its backend outlives the postmaster for a moment
        assert again.pid is not None
        os.kill(again.pid, signal.SIGKILL)
        eventually(lambda: again.poll() is not None)
        again.start()
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    assert rows(url) == 1
    again.stop()


def test_postgres_takes_over_from_a_postmaster_that_an_earlier_run_left(
    folder: DataFolder, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    left = psutil.Process(postgres.pid)
    successor = EmbeddedPostgres(folder)
    successor.start()
    try:
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
        assert rows(successor.url) == 1
    finally:
        successor.stop()


def test_a_pid_file_that_names_a_stranger_does_not_keep_postgres_from_starting(
    folder: DataFolder, postgres: EmbeddedPostgres
) -> None:
    pid_file = folder.postgres / "postmaster.pid"
    stale = pid_file.read_text().splitlines()
    postgres.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *stale[1:]]))
    successor = EmbeddedPostgres(folder)
    successor.start()
    successor.stop()


def test_an_initialisation_that_was_cut_short_is_done_again(folder: DataFolder) -> None:
    (folder.path / "postgres.new" / "data" / "base").mkdir(parents=True)
    (folder.path / "postgres.new" / "data" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(folder)
    server.start()
    server.stop()


def test_the_services_own_role_is_no_superuser_and_passwords_are_checked(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        assert row == (False,)
        settings: dict[str, str] = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings"
                " WHERE name IN ('fsync', 'synchronous_commit', 'listen_addresses')"
            ).fetchall()
        )
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "127.0.0.1",
    }
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(postgres.url.replace("scanledger:", "scanledger:wrong", 1))


def test_lost_passwords_are_told_at_once(folder: DataFolder, postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    (folder.path / "secrets.json").unlink()
    with pytest.raises(Invalid, match=r"secrets\.json"):
        EmbeddedPostgres(folder).start()


def test_what_is_in_the_folder_is_for_its_owner_alone(
    folder: DataFolder, postgres: EmbeddedPostgres, nats: EmbeddedNats
) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == (0o710 if ROOT else 0o700)
    open_to_others = [
        path
        for path in (*folder.path.glob("*.json"), *folder.path.glob("*.log"), folder.nats_config, folder.postgres)
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


@pytest.mark.skipif(not ROOT, reason="only root runs PostgreSQL as another user")
def test_as_root_postgres_runs_as_another_even_below_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = DataFolder(closed / "data")
    with data.locked():
        server = EmbeddedPostgres(data)
        server.start()
        try:
            assert psutil.Process(server.pid).uids().effective != 0
            assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        finally:
            server.stop()


@pytest.mark.skipif(not ROOT, reason="only root can close a folder to itself in another's name")
def test_a_folder_closed_to_a_user_is_found(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o711)
    closed.chmod(0o700)
    assert closed in closed_folders([closed / "inner"], nobody.pw_uid, nobody.pw_gid)
    closed.chmod(0o711)
    assert closed not in closed_folders([closed / "inner"], nobody.pw_uid, nobody.pw_gid)


@pytest.mark.skipif(not ROOT, reason="only root can become another")
def test_a_launched_process_gives_up_root_for_good(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    shown = tmp_path / "shown"
    with shown.open("wb") as output:
        user = SystemUser(nobody.pw_uid, nobody.pw_gid)
        process = launch(["/usr/bin/env", "id"], env=server_environment(tmp_path), output=output, user=user)
        assert process.wait(10) == 0
    assert f"uid={nobody.pw_uid}" in shown.read_text()
    assert "root" not in shown.read_text()


def test_a_launched_process_dies_with_its_parent(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    child_pid = tmp_path / "pid"
    script = (
        "import sys, threading; from pathlib import Path\n"
        "from infrastructure.embedded.process import launch\n"
        "child = launch([sys.executable, '-c', 'import threading; threading.Event().wait()'], env={})\n"
        f"Path({str(child_pid)!r} + '.new').write_text(str(child.pid))\n"
        f"Path({str(child_pid)!r} + '.new').rename({str(child_pid)!r})\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    eventually(child_pid.exists)
    child = psutil.Process(int(child_pid.read_text()))
    parent.kill()
    parent.wait()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_nats_keeps_messages_and_port_over_a_kill(nats: EmbeddedNats) -> None:
    url = nats.url
    asyncio.run(published(nats))
    assert nats.pid is not None
    os.kill(nats.pid, signal.SIGKILL)
    eventually(lambda: nats.poll() is not None)
    nats.start()
    assert nats.url == url
    assert asyncio.run(stored(nats)) == 1


async def connected(nats: EmbeddedNats, user: str, refused: asyncio.Queue[str] | None = None) -> Client:
    async def on_error(error: Exception) -> None:
        if refused is not None:
            refused.put_nowait(str(error))

    name, password = nats.login(user)
    prefix = WORKER_INBOX_PREFIX if user == WORKER else INBOX_PREFIX
    client = Client()
    await client.connect(
        nats.url, user=name, password=password, inbox_prefix=prefix, error_cb=on_error, allow_reconnect=False
    )
    return client


async def published(nats: EmbeddedNats) -> None:
    client = await connected(nats, COORDINATOR)
    stream = client.jetstream()
    await stream.add_stream(name="COMMANDS", subjects=["scan.cmd.>"])
    await stream.publish("scan.cmd.default.s1", b"work")
    await client.close()


async def stored(nats: EmbeddedNats) -> int:
    client = await connected(nats, COORDINATOR)
    info = await client.jetstream().stream_info("COMMANDS")
    await client.close()
    return int(info.state.messages)


ALLOWED_TO_PUBLISH = (
    "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.workers-default",
    "$JS.API.CONSUMER.INFO.COMMANDS.workers-default",
    "$JS.API.DIRECT.GET.CONTROL.scan.control.s1",
    "$JS.ACK.COMMANDS.workers-default.1.1.1.1.0",
    "scan.report.default.s1",
    "scan.progress.w1",
    "scan.credentials.c1",
)
REFUSED_TO_PUBLISH = (
    "scan.cmd.default.s1",
    "scan.control.s1",
    "scan.events.t1.s1.k",
    "$JS.API.STREAM.PURGE.COMMANDS",
    "$JS.API.STREAM.DELETE.REPORTS",
    "$JS.API.CONSUMER.MSG.NEXT.REPORTS.recorder",
    "$JS.API.DIRECT.GET.REPORTS.x",
    "$JS.ACK.REPORTS.recorder.1.1.1.1.0",
    "$JS.API.ACCOUNT.INFO",
)
REFUSED_TO_SUBSCRIBE = ("scan.cmd.>", "scan.report.>", "scan.credentials.>", "scan.progress.>", "_INBOX.>", ">")


def test_a_worker_may_do_its_work_and_nothing_else(nats: EmbeddedNats) -> None:
    refusals = asyncio.run(worker_attempts(nats))
    assert sorted(refusals) == sorted(
        [f'publish to "{subject.lower()}"' for subject in REFUSED_TO_PUBLISH]
        + [f'subscription to "{subject.lower()}"' for subject in REFUSED_TO_SUBSCRIBE]
    )


async def worker_attempts(nats: EmbeddedNats) -> list[str]:
    """What the server refused of everything a worker tried."""
    refused: asyncio.Queue[str] = asyncio.Queue()
    client = await connected(nats, WORKER, refused)
    for subject in (*ALLOWED_TO_PUBLISH, *REFUSED_TO_PUBLISH):
        await client.publish(subject, b"")
    for subject in ("scan.control.>", f"{WORKER_INBOX_PREFIX}.x", *REFUSED_TO_SUBSCRIBE):
        await client.subscribe(subject)
    await client.flush()
    expected = len(REFUSED_TO_PUBLISH) + len(REFUSED_TO_SUBSCRIBE)
    told = [await asyncio.wait_for(refused.get(), 5) for _ in range(expected)]
    await client.flush()
    await client.close()
    told += [refused.get_nowait() for _ in range(refused.qsize())]
    return [text.lower().split("permissions violation for ", 1)[-1].rstrip("'") for text in told]


def test_the_folder_has_one_holder_and_names_it(folder: DataFolder) -> None:
    with pytest.raises(DataFolderBusy) as raised, DataFolder(folder.path).locked():
        pytest.fail("two holders")
    assert raised.value.pid == os.getpid()
    assert str(os.getpid()) in str(raised.value)
    assert folder.holder() == os.getpid()


def test_a_released_folder_has_no_holder_and_no_lock_file(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        pass
    assert folder.holder() is None
    assert list(folder.path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_invalid_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="--data"), DataFolder(tmp_path / "file" / "data").locked():
        pytest.fail("a folder inside a file")


def test_a_kept_port_that_is_taken_is_replaced(folder: DataFolder) -> None:
    kept = folder.port("nats")
    assert folder.port("nats") == kept
    with socket.create_server(("127.0.0.1", kept)):
        other = folder.port("nats")
        assert other != kept
        assert port_is_free(other)
    assert folder.port("nats") == other


def test_a_start_that_is_called_off_says_so_and_leaves_nothing(folder: DataFolder) -> None:
    server = EmbeddedPostgres(folder)
    with pytest.raises(ServiceUnavailable):
        server.start(stopped=lambda: True)
    server.stop()
    assert not [process for process in psutil.process_iter() if runs_on(process, folder.postgres)]


def runs_on(process: psutil.Process, data: Path) -> bool:
    try:
        return bool(process.cwd() == str(data))
    except psutil.Error:
        return False


def test_a_damaged_small_file_is_named(folder: DataFolder) -> None:
    write_json(folder.path / "secrets.json", {"nats_worker": "kept"})
    assert folder.secret("nats_worker") == "kept"
    (folder.path / "secrets.json").write_text("{")
    with pytest.raises(Invalid, match=r"secrets\.json is damaged"):
        folder.secret("nats_worker")


def test_the_programs_are_found_in_their_wheels() -> None:
    assert os.access(programs() / "initdb", os.X_OK)
