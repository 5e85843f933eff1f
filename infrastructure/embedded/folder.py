"""The data folder of the embedded service: its lock, its secrets, its ports, the CLI's credentials."""

import base64
import fcntl
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from domain.errors import Fault, Invalid, Permanent

LOOPBACK: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 32_000)
"""Below the range from which kernels take the ports of outgoing connections."""


class DataFolderBusy(Permanent):
    """Another process runs the service on this folder. `pid` is that process, 0 when it cannot be told."""

    def __init__(self, path: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is in use by {who}: stop it, or choose another folder with --data.")
        self.pid = pid


class DataFolder:
    """Paths and small files below the data folder. All files are readable by their owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.credentials = self.path / "credentials.json"
        self.logs = self.path / "logs"
        self.postgres = self.path / "postgres"
        self.nats = self.path / "nats"
        self.nats_config = self.path / "nats.conf"
        self.checkpoints = self.path / "checkpoints"
        self._lock = self.path / "lock"
        self._secrets = self.path / "secrets.json"
        self._ports = self.path / "ports.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, making it if needed. The lock goes with the process, however that ends.

        Raises `DataFolderBusy` when another process holds it, `Invalid` when it cannot be made or written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = self._acquire()
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            fault = f"{self.path} is not a folder we can write ({error.strerror}): choose another with --data"
            raise Invalid([Fault("data", fault)]) from error
        try:
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            yield
        finally:
            self._lock.unlink(missing_ok=True)
            os.close(handle)

    def _acquire(self) -> int:
        # A moment's patience: `holder` of another process takes the lock for an instant.
        for last in (False, False, False, True):
            try:
                return self._try_acquire()
            except DataFolderBusy:
                if last:
                    raise
                time.sleep(0.05)
        raise AssertionError

    def _try_acquire(self) -> int:
        while True:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(handle)
                raise DataFolderBusy(self.path, self._written_pid()) from error
            # The last holder may have removed the file between our open and our lock.
            if os.fstat(handle).st_nlink > 0:
                return handle
            os.close(handle)

    def holder(self) -> int | None:
        """The process that runs the service on this folder; 0 when it cannot be told, None when there is none."""
        try:
            handle = os.open(self._lock, os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._written_pid()
        finally:
            os.close(handle)
        return None

    def _written_pid(self) -> int:
        try:
            return int(self._lock.read_text("ascii"))
        except (OSError, ValueError):
            return 0

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """The secret of that name, made at the first call and kept."""
        kept = read_json(self._secrets)
        if name not in kept:
            kept[name] = make()
            write_json(self._secrets, kept)
        return str(kept[name])

    def encryption_key(self) -> str:
        """Base64 of 32 random bytes, made once and kept."""
        return self.secret("encryption_key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def seal_key(self) -> str:
        """Base64 of the 32 bytes of an Ed25519 key, made once and kept."""
        return self.secret("seal_key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def kept_seal_key(self) -> bytes | None:
        """The key itself, where one was made."""
        kept = read_json(self._secrets).get("seal_key")
        return base64.b64decode(kept) if isinstance(kept, str) else None

    def port(self, name: str, host: str = LOOPBACK) -> int:
        """The port kept for `name`; a new one where none is kept or another program has taken it."""
        kept = read_json(self._ports)
        port = kept.get(name)
        if not isinstance(port, int) or not port_is_free(port, host):
            port = free_port(host, avoiding={*kept.values()})
            write_json(self._ports, {**kept, name: port})
        return port

    def kept_port(self, name: str) -> int | None:
        port = read_json(self._ports).get(name)
        return port if isinstance(port, int) else None


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on it now. Connections of an earlier server that linger do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK, avoiding: set[object] | frozenset[object] = frozenset()) -> int:
    """A port nobody listens on. Raises `Invalid` when `host` has none, being no address of this machine."""
    choice = random.SystemRandom()
    for _ in range(200):
        port = choice.choice(_PORTS)
        if port not in avoiding and port_is_free(port, host):
            return port
    raise Invalid([Fault("host", f"no free port on {host}: is it an address of this machine?")])


def read_json(path: Path) -> dict[str, object]:
    """The object in a file of ours; empty when there is none. Raises `Invalid` when it is damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Invalid([Fault("data", f"{path} is damaged: restore it from a copy, or remove it")]) from error
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace the file in one step; readable by its owner alone."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, durably; readable by its owner alone."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
