"""`scanledger up`: everything one machine needs, started in order, kept alive, and stopped without a trace."""

import http.client
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from domain.errors import Fault, Invalid, ScanledgerError, ServiceUnavailable
from infrastructure.embedded.child import Child, Program
from infrastructure.embedded.environment import child_environment, embedded_settings
from infrastructure.embedded.folder import DataFolder, port_is_free, read_json, write_json
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.embedded.process import end_marked, last_lines
from infrastructure.roles import COORDINATOR_ROLES, FOLLOWER_ROLES
from infrastructure.settings import Settings

READY_PATH: Final = "/readyz"
READY_SECONDS: Final = 60.0
MOST_DEATHS: Final = 5
DEATHS_WINDOW: Final = 30.0
"""A part that dies more than `MOST_DEATHS` times in so many seconds ends the service."""

_TICK: Final = 0.1
_COORDINATOR_SECONDS, _NATS_SECONDS, _POSTGRES_SECONDS = 1.5, 1.0, 1.5

_PYTHON: Final = (sys.executable, "-P", "-m")
PROGRAMS: Final[Sequence[Program]] = (
    Program("coordinator", "coordinator", (*_PYTHON, "workers", *COORDINATOR_ROLES)),
    Program("followers", "coordinator", (*_PYTHON, "workers", *FOLLOWER_ROLES)),
    Program("scanner", "scanner", (*_PYTHON, "workers", "scanner")),
    Program("api", "api", (*_PYTHON, "api")),
)

Migrate = Callable[[str], object]
"""Brings the schema at a database URL up to date."""

Bootstrap = Callable[[Settings, str | None], str]
"""The API key for `credentials.json`: the one given, when it is still good, else that of a tenant made now."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers. `pid_of` gives the process of a part by name: postgres, nats, api, scanner…"""

    url: str
    api_key: str = field(repr=False)
    settings: Settings
    pid_of: Callable[[str], int | None]

    @property
    def database_url(self) -> str:
        return self.settings.database_url.get_secret_value() if self.settings.database_url else ""


class Part(Protocol):
    """What the supervisor keeps alive: a server or a child process."""

    name: str
    log: Path

    @property
    def pid(self) -> int | None: ...
    def start(self, stopped: Callable[[], bool]) -> None: ...
    def poll(self) -> int | None: ...
    def stop(self, within: float) -> None: ...


class Watch:
    """When a part that died may be started again: at once, then ever later, and not too often."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._deaths: deque[float] = deque()
        self._due: float | None = None

    def tend(self, stopped: Callable[[], bool], notify: Callable[[str], None]) -> None:
        """Start the part again if it died. Raises `ServiceUnavailable` when it does not stay up."""
        status = self.part.poll()
        if status is None:
            return
        if self._due is None:
            self._due = self._after_death(status)
            notify(f"{self.part.name} ended ({_told(status)}); starting it again")
        if time.monotonic() < self._due:
            return
        self._due = None
        with suppress(ServiceUnavailable):
            # A server that did not come up is a server that died: the next round counts it.
            self.part.start(stopped)

    def _after_death(self, status: int) -> float:
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - DEATHS_WINDOW:
            self._deaths.popleft()
        if len(self._deaths) > MOST_DEATHS:
            raise ServiceUnavailable(
                f"{self.part.name} does not stay up ({_told(status)}); see {self.part.log}:\n"
                f"{last_lines(self.part.log)}"
            )
        return now + (0.2 * 2 ** (len(self._deaths) - 2) if len(self._deaths) > 1 else 0.0)


def _told(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


class Supervisor:
    """The embedded service on `settings.data`. `run` does everything, in one thread that must live as long."""

    def __init__(
        self,
        settings: Settings,
        *,
        migrate: Migrate,
        bootstrap: Bootstrap,
        programs: Sequence[Program] = PROGRAMS,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._migrate = migrate
        self._bootstrap = bootstrap
        self._programs = programs
        self._notify = notify
        self._folder = DataFolder(settings.data)
        self._watches: list[Watch] = []
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def stop(self) -> None:
        """Make `run` stop everything and return; called again, without waiting for anything. Safe from signals."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def run(self, on_ready: Callable[[Running], None]) -> None:
        """Start everything, call `on_ready`, keep everything alive until `stop`, then stop everything.

        Raises `DataFolderBusy`, `Invalid` (a setting cannot work) or `ServiceUnavailable` (a part does not start or
        does not stay up); everything is stopped then, too.
        """
        with self._folder.locked():
            end_marked(self._folder.path)
            try:
                running = self._start()
                if not self._stop.is_set():
                    on_ready(running)
                while not self._stop.wait(_TICK):
                    self._tend()
            except ScanledgerError:
                # A part whose start was called off says so.
                if not self._stop.is_set():
                    raise
            finally:
                self._stop.set()
                self._stop_all()

    def _start(self) -> Running:
        port = self._api_port()
        settings = self._start_servers().model_copy(update={"port": port})
        self._migrate(settings.database_url.get_secret_value() if settings.database_url else "")
        kept = read_json(self._folder.credentials).get("api_key")
        api_key = self._bootstrap(settings, kept if isinstance(kept, str) else None)
        for program in self._programs:
            environment = child_environment(program.role, self._with_own_port(settings, program))
            self._begin(Child(program, environment, self._folder))
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 — compared
        self._await_ready(host, port)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        write_json(self._folder.credentials, {"url": url, "api_key": api_key})
        return Running(url, api_key, settings, self._pid_of)

    def _with_own_port(self, settings: Settings, program: Program) -> Settings:
        """`settings`, in which the metrics of each worker process have a port of their own."""
        own = [other.name for other in self._programs if other.role != "api"]
        if not settings.metrics_port or program.name not in own:
            return settings
        return settings.model_copy(update={"metrics_port": settings.metrics_port + own.index(program.name)})

    def _api_port(self) -> int:
        host, port = self._settings.host, self._settings.port
        if port == 0:
            return self._folder.port("api", host)
        if not port_is_free(port, host):
            fault = f"{host}:{port} is taken or not ours: stop what listens there, or choose another with --port"
            raise Invalid([Fault("port", fault)])
        return port

    def _start_servers(self) -> Settings:
        """Start the servers that no setting points elsewhere; gives the settings that name all of them."""
        postgres_port = nats_port = None
        if self._settings.nats_url is None:
            nats = EmbeddedNats(self._folder)
            self._begin(nats)
            nats_port = nats.port
        if self._settings.database_url is None:
            postgres = EmbeddedPostgres(self._folder)
            self._begin(postgres)
            postgres_port = postgres.port
        return embedded_settings(self._settings, self._folder, postgres_port=postgres_port, nats_port=nats_port)

    def _begin(self, part: Part) -> None:
        self._watches.append(Watch(part))
        part.start(self._stop.is_set)

    def _tend(self) -> None:
        for watch in self._watches:
            watch.tend(self._stop.is_set, self._notify)

    def _await_ready(self, host: str, port: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(host, port):
            if time.monotonic() > deadline:
                logs = self._folder.logs
                raise ServiceUnavailable(f"The api was not ready in {READY_SECONDS:.0f} s; see {logs}.")
            if self._stop.wait(_TICK):
                raise ServiceUnavailable("The start was called off.")
            self._tend()

    def _pid_of(self, name: str) -> int | None:
        return next((watch.part.pid for watch in self._watches if watch.part.name == name), None)

    def _stop_all(self) -> None:
        """In the order in which nobody misses who is gone: api and scanner, coordinators, NATS, PostgreSQL."""
        parts = [watch.part for watch in reversed(self._watches)]
        children = [part for part in parts if isinstance(part, Child)]
        clients = [child for child in children if child.role != "coordinator"]
        grace = self._grace()
        self._stop_children(clients, grace + 1.0)
        self._stop_children([child for child in children if child not in clients], _COORDINATOR_SECONDS)
        for part in parts:
            if isinstance(part, EmbeddedNats):
                part.stop(_NATS_SECONDS)
        for part in parts:
            if isinstance(part, EmbeddedPostgres):
                part.stop(_POSTGRES_SECONDS)
        end_marked(self._folder.path)

    def _grace(self) -> float:
        ports = {"postgres_port": None, "nats_port": None}
        return embedded_settings(self._settings, self._folder, **ports).grace_seconds

    def _stop_children(self, children: Sequence[Child], within: float) -> None:
        deadline = time.monotonic() + within
        for child in children:
            child.ask_to_end()
        while any(child.poll() is None for child in children):
            if self._hurry.is_set() or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        for child in children:
            child.stop(0)


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", READY_PATH)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve(supervisor: Supervisor, on_ready: Callable[[Running], None]) -> None:
    """Run in the main thread until SIGTERM, SIGHUP or Ctrl-C; a second one does not wait. Raises as `run` does."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: supervisor.stop()) for number in numbers}
    try:
        supervisor.run(on_ready)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_service(
    settings: Settings,
    *,
    migrate: Migrate,
    bootstrap: Bootstrap,
    programs: Sequence[Program] = PROGRAMS,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[Running]:
    """The embedded service for as long as the context lasts, supervised by a thread of its own.

    Raises as `Supervisor.run` does: on entering when it does not start, on leaving when it did not stay up.
    """
    supervisor = Supervisor(settings, migrate=migrate, bootstrap=bootstrap, programs=programs, notify=notify)
    ready: deque[Running] = deque()
    failed: deque[BaseException] = deque()

    def run() -> None:
        try:
            supervisor.run(ready.append)
        except BaseException as error:  # noqa: BLE001 — raised again below, in the thread that asked
            failed.append(error)
        finally:
            finished.set()

    # Until Python 3.13, Ctrl-C in `Thread.join` takes a running thread for an ended one: so an event says it.
    finished = threading.Event()
    threading.Thread(target=run, name="supervisor", daemon=True).start()
    try:
        while not ready and not finished.wait(0.05):
            pass
        if ready:
            yield ready[0]
    finally:
        supervisor.stop()
        finished.wait()
    if failed:
        raise failed[0]
