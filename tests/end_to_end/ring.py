"""The whole ring as real processes over real servers. Each of them can be killed and started again."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import psutil
import psycopg

from application.ports import Recorded
from domain.scan_events import ENDINGS
from infrastructure.embedded.environment import child_environment, embedded_settings
from infrastructure.embedded.folder import LOOPBACK, DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.postgres import SUPERUSER, EmbeddedPostgres, programs
from infrastructure.embedded.process import MARK, end_group, launch, open_log
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.streams import COMMANDS, REPORTS
from infrastructure.postgres.follower import LOG_COLUMNS, records
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.tenants import bootstrap
from infrastructure.settings import Role, Settings

ACK_WAIT: Final = 2.0
GRACE: Final = 0.4

ROLES: Final[Mapping[str, Role]] = {
    "orchestrator": "coordinator",
    "recorder": "coordinator",
    "projector": "coordinator",
    "scanner": "scanner",
    "api": "api",
}
FOLLOWERS: Final[Mapping[str, Role]] = {
    "publisher": "coordinator",
    "seal": "coordinator",
    "webhooks": "coordinator",
}
"""Roles that a ring does without unless they are started."""

SERVERS: Final = ("postgres", "nats")
LINKS: Final = ("postgres", "nats", "worker-nats")
"""How processes reach the servers: the database, NATS as coordinators do, NATS as scanners do."""

_SOURCES: Final = Path(__file__).parents[2]

T = TypeVar("T")


def wait_until(what: str, condition: Callable[[], T], *, within: float = 40.0, every: float = 0.02) -> T:
    """The first true value of `condition`. Raises AssertionError naming `what` when it does not come in time."""
    tick, deadline = threading.Event(), time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        tick.wait(every)
    return value


def _directly(_: str, port: int) -> int:
    return port


class Ring:
    """Every role as a process of its own. A part goes by its role; further scanners are `scanner-2`, `scanner-3`."""

    def __init__(self, path: Path, roots: Sequence[Path], *, workers: int = 2, **others: Any) -> None:
        self._folder = DataFolder(path)
        self._given = Settings(
            data=path,
            workers=workers,
            filesystem_roots=tuple(roots),
            ack_wait_seconds=ACK_WAIT,
            grace_seconds=GRACE,
            **others,
        )
        self._postgres = EmbeddedPostgres(self._folder)
        self._nats = EmbeddedNats(self._folder)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._metrics_ports: dict[str, int] = {}
        self._connection: psycopg.Connection[Any] | None = None
        self.link: Callable[[str, int], int] = _directly
        """Of `LINKS`, and the port a server listens on: the port at which processes reach it. Set before `running`."""

    @contextmanager
    def running(self) -> "Iterator[Ring]":
        """Start everything, and leave nothing behind."""
        with self._folder.locked():
            try:
                self._postgres.start()
                self._nats.start()
                self.settings = self._complete_settings()
                migrate(self.database_url)
                key = bootstrap(self.database_url, self.settings.encryption_key_bytes(), tier="enterprise")
                self.client = httpx.Client(
                    base_url=f"http://{LOOPBACK}:{self.settings.port}/api/v1",
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=10,
                )
                self.make_whole()
                yield self
            finally:
                self._stop()

    def _complete_settings(self) -> Settings:
        assert self._postgres.port is not None
        assert self._nats.port is not None
        servers = {
            "postgres_port": self.link("postgres", self._postgres.port),
            "nats_port": self.link("nats", self._nats.port),
        }
        for_workers = f"nats://{LOOPBACK}:{self.link('worker-nats', self._nats.port)}"
        return embedded_settings(self._given, self._folder, **servers).model_copy(
            update={"port": self._folder.port("api"), "worker_nats_url": for_workers}
        )

    def _stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            end_group(process, first=signal.SIGTERM, within=GRACE + 5)
        self._nats.stop()
        self._postgres.stop()
        if self._connection is not None:
            self._connection.close()
        if hasattr(self, "client"):
            self.client.close()

    # Processes --------------------------------------------------------------------------------------------------------

    @property
    def database_url(self) -> str:
        return self._postgres.url

    @property
    def parts(self) -> list[str]:
        """The processes that run, servers aside."""
        return [*self._processes]

    @property
    def scanners(self) -> list[str]:
        return [name for name in self._processes if name.startswith("scanner")]

    def make_whole(self, *, scanners: int = 1) -> None:
        """Start what does not run, end scanners beyond the first `scanners`, and wait until the API is ready."""
        wanted = [*SERVERS, *ROLES, *(f"scanner-{n}" for n in range(2, scanners + 1))]
        for name in self.scanners:
            if name not in wanted:
                self.kill(name)
        for name in wanted:
            if not self.alive(name):
                self.start(name)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        wait_until("the API is ready", self._ready)

    def _ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.client.get(f"http://{LOOPBACK}:{self.settings.port}/readyz").status_code == 200
        return False

    def alive(self, name: str) -> bool:
        if name in SERVERS:
            return self._server(name).poll() is None
        return name in self._processes and self._processes[name].poll() is None

    def start(self, name: str) -> None:
        if name in SERVERS:
            self._server(name).start()
            return
        part = name.partition("-")[0]
        role = {**ROLES, **FOLLOWERS}[part]
        module = ["api"] if part == "api" else ["workers", part]
        settings = self.settings.model_copy(update={"metrics_port": self.metrics_port(name)})
        environment = {**child_environment(role, settings), MARK: str(self._folder.path)}
        environment["PYTHONPATH"] = str(_SOURCES)
        with open_log(self._folder.logs / f"{name}.log", fresh=False) as output:
            argv = [sys.executable, "-P", "-m", *module]
            self._processes[name] = launch(argv, env=environment, output=output)

    def metrics_port(self, name: str) -> int:
        """Where the process answers with its own metrics; 0 if it does not."""
        if not self._given.metrics_port:
            return 0
        if name not in self._metrics_ports:
            self._metrics_ports[name] = self._folder.port(f"metrics-{name}")
        return self._metrics_ports[name]

    def pid(self, name: str) -> int:
        pid = self._server(name).pid if name in SERVERS else self._processes[name].pid
        assert pid is not None
        return pid

    def children(self, name: str) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.pid(name)).children(recursive=True)
        return found

    def kill(self, name: str) -> None:
        """SIGKILL for that one process. Returns when it and all its children are gone, which nobody helped along."""
        process = psutil.Process(self.pid(name))
        family = [process, *process.children(recursive=True)]
        process.kill()
        wait_until_gone(name, family)
        # Collects the dead process.
        wait_until(f"{name} is known to be gone", lambda: not self.alive(name))
        self._processes.pop(name, None)

    def family(self, name: str) -> list[psutil.Process]:
        """The process and its children."""
        return [psutil.Process(self.pid(name)), *self.children(name)]

    def ask_to_end(self, name: str) -> int:
        """SIGTERM; the exit code."""
        process = self._processes.pop(name)
        process.terminate()
        return process.wait(GRACE + 10)

    def wipe_nats(self) -> None:
        """Kill NATS and lose all it had stored; start it again."""
        self.kill("nats")
        shutil.rmtree(self._folder.nats)
        self.start("nats")

    def back_up(self) -> Path:
        """A base backup of the database as it is now; the server goes on meanwhile."""
        backup = self._folder.path / "backup"
        shutil.rmtree(backup, ignore_errors=True)
        where = ["-h", LOOPBACK, "-p", str(self._postgres.port), "-U", SUPERUSER, "-D", str(backup)]
        environment = {**os.environ, "PGPASSWORD": self._folder.secret("postgres_superuser")}
        argv = [str(programs() / "pg_basebackup"), *where, "--checkpoint=fast"]
        subprocess.run(argv, env=environment, check=True, capture_output=True)
        return backup

    def restore(self, backup: Path) -> None:
        """Kill PostgreSQL, put the backup in the place of its folder, and start it again."""
        self.kill("postgres")
        owner = self._folder.postgres.stat()
        shutil.rmtree(self._folder.postgres)
        shutil.move(backup, self._folder.postgres)
        for path in (self._folder.postgres, *self._folder.postgres.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        self.start("postgres")

    def log_of(self, name: str) -> str:
        return (self._folder.logs / f"{name}.log").read_text("utf-8")

    def _server(self, name: str) -> EmbeddedPostgres | EmbeddedNats:
        return self._postgres if name == "postgres" else self._nats

    def wait_until_quiet(self) -> None:
        """Until no worker holds or can get any work, and all that they reported is recorded."""
        wait_until("the streams are empty", lambda: not asyncio.run(self._messages()), every=0.1)

    async def _messages(self) -> int:
        """How many commands and reports are waiting or in hand."""
        async with self.broker() as broker:
            states = [(await broker.jetstream.stream_info(stream)).state for stream in (COMMANDS, REPORTS)]
        return sum(state.messages for state in states)

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        """A connection with the coordinator's rights, straight to the server."""
        address = replace(self.settings.broker("coordinator"), url=self._nats.url)
        broker = await Broker(address, name="test").connect(patience=10)
        try:
            yield broker
        finally:
            await broker.close()

    # Scans ------------------------------------------------------------------------------------------------------------

    def connect_folder(self, root: Path) -> str:
        """A filesystem connector; its id."""
        body = {"name": root.name[:40], "type": "filesystem", "config": {"root": str(root)}}
        return str(self._made("/connectors", body)["connector_id"])

    def connect_bucket(self, config: Mapping[str, object]) -> str:
        """An S3 connector; its id."""
        return str(self._made("/connectors", {"name": "bucket", "type": "s3", "config": dict(config)})["connector_id"])

    def start_scan(self, *connectors: str, incremental: bool = False, **options: object) -> str:
        kind = "incremental" if incremental else "full"
        body = {"connectors": list(connectors), "type": kind, "options": options}
        return str(self._made("/scans/parallel", body)["scan_id"])

    def _made(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    def cancel(self, scan_id: str) -> httpx.Response:
        return self.client.post(f"/scans/{scan_id}/cancel")

    def pause(self, scan_id: str) -> None:
        answer = self.client.post(f"/scans/{scan_id}/pause")
        assert (answer.status_code, answer.json()["data"]["status"]) == (200, "paused"), answer.text

    def resume(self, scan_id: str) -> None:
        answer = self.client.post(f"/scans/{scan_id}/resume")
        assert answer.status_code == 200, answer.text

    def redrive(self, finished: str) -> str:
        """A new scan of what a finished one failed or left; its id."""
        return str(self._made(f"/scans/{finished}/redrive", {})["scan_id"])

    def shown(self, scan_id: str) -> Mapping[str, Any]:
        answer = self.client.get(f"/scans/{scan_id}")
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    def history(self, scan_id: str, after: int = 0) -> Sequence[Recorded]:
        """The scan's events from the log itself; none while the database is away."""
        return records(
            self.rows(
                f"SELECT {LOG_COLUMNS} FROM stored_events"
                " WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version",
                scan_id,
                after,
            )
        )

    def count(self, scan_id: str, kind: str) -> int:
        """How many events of this kind the scan has; 0 while the database is away."""
        query = "SELECT count(*) FROM stored_events WHERE originator_id = %s AND topic = %s"
        return sum(row[0] for row in self.rows(query, scan_id, f"scan.{kind}"))

    def rows(self, query: str, *values: object) -> Sequence[Any]:
        """What a query gives; nothing while the database is away."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self.database_url, autocommit=True, connect_timeout=3)
            return self._connection.execute(query.encode(), values).fetchall()
        except psycopg.OperationalError:
            self._connection = None
            return []

    def ended(self, scan_id: str) -> bool:
        """Whether the log holds the scan's end."""
        return any(self.count(scan_id, ending.kind.removeprefix("scan.")) for ending in ENDINGS)

    def wait_for_end(self, scan_id: str, *, within: float = 60.0) -> None:
        """Until the log holds the scan's end, and the view shows it."""
        query = "SELECT 1 FROM scan_views WHERE scan_id = %s AND status = ANY (%s)"
        ends = ["completed", "partial", "failed", "cancelled"]
        wait_until(f"{scan_id} ends", lambda: self.rows(query, scan_id, ends), within=within, every=0.05)


def peak_bytes(process: psutil.Process) -> int:
    """The most that a process has had in memory so far."""
    lines = Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def wait_until_gone(name: str, family: Sequence[psutil.Process]) -> None:
    wait_until(f"{name} and its children are gone", lambda: not any(map(_lives, family)), within=10)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
