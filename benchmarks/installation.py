"""A whole installation for a benchmark: real PostgreSQL and NATS in a temporary folder, roles as processes."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil
import psycopg

import infrastructure.wiring as w
from infrastructure.embedded.environment import child_environment, embedded_settings
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.settings import Role, Settings

ROOT = Path(__file__).parents[1]
QUIET = {"log_level": "warning"}


@dataclass(frozen=True)
class Installation:
    """Running servers with a migrated database. What is started through it ends with it."""

    settings: Settings

    @property
    def database_url(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    @contextmanager
    def process(self, role: Role, arguments: Sequence[str], **changes: object) -> Iterator[subprocess.Popen[bytes]]:
        """`python -m ARGUMENTS` with the environment of `role`, ended with SIGTERM when the context ends."""
        settings = self.settings.model_copy(update=changes)
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=child_environment(role, settings),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def installed() -> Iterator[Installation]:
    """Start the servers, make the schema; stop them and remove their files when the context ends."""
    os.environ["SCANLEDGER_CONFIG"] = ""
    with tempfile.TemporaryDirectory(prefix="scanledger-bench-") as path:
        folder = DataFolder(Path(path))
        with folder.locked():
            postgres, nats = EmbeddedPostgres(folder), EmbeddedNats(folder)
            try:
                postgres.start()
                nats.start()
                given = w.load_settings({"data": path, **QUIET})
                settings = embedded_settings(given, folder, postgres_port=postgres.port, nats_port=nats.port)
                w.migrate_database(settings)
                yield Installation(settings)
            finally:
                nats.stop()
                postgres.stop()


def wait_for(condition: Callable[[], bool], *, seconds: float, every: float = 0.02) -> None:
    """Return as soon as `condition()` holds. Raises TimeoutError after `seconds`."""
    pause = Event()
    for _ in range(int(seconds / every)):
        if condition():
            return
        pause.wait(every)
    raise TimeoutError(f"not so within {seconds:.0f} s: {condition.__qualname__}")


def new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def cpu_seconds(pids: Sequence[int] = ()) -> float:
    """CPU seconds so far of these processes (default: this one) and of everything below them."""
    tops = [psutil.Process(pid) for pid in pids] or [psutil.Process()]
    everybody = [process for top in tops for process in (top, *top.children(recursive=True))]
    return float(sum(sum(process.cpu_times()[:2]) for process in everybody))
