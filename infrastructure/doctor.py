"""What is wrong with an installation, and how to mend it: the checks of `scanledger doctor`."""

import os
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import hyperscan

from domain.errors import Invalid
from infrastructure.embedded import nats, postgres
from infrastructure.embedded.environment import EMBEDDED_DEFAULTS, attached_settings
from infrastructure.embedded.folder import DataFolder, port_is_free, read_json
from infrastructure.embedded.process import MARK
from infrastructure.embedded.system_user import postgres_user
from infrastructure.settings import PREFIX, Settings, variable

State = Literal["ok", "warning", "problem"]
GIB: Final = 1024**3
LEAST_FREE: Final = 1 * GIB
COMFORTABLE_FREE: Final = 5 * GIB
LEAST_FILES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `remedy` says what to do about it; empty when there is nothing to do."""

    name: str
    state: State
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def ok(name: str, found: str) -> Check:
    return Check(name, "ok", found)


def machine_checks(settings: Settings) -> Iterator[Check]:
    """Everything but the servers themselves; see `doctor_servers`. Changes nothing, and never raises."""
    folder = DataFolder(settings.data)
    yield _python()
    yield from _programs(settings)
    yield _data_folder(folder)
    if settings.database_url is None:
        yield _postgres_user(folder)
    yield _disk(folder)
    yield _lock(folder)
    yield _port(settings, folder)
    yield _hyperscan()
    yield _open_files()
    yield from _roots(settings)
    yield from _unknown_variables()


def worst(checks: Sequence[Check]) -> State:
    states = {check.state for check in checks}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def servers_in_use(settings: Settings) -> Settings:
    """The settings with the embedded servers filled in, where they run."""
    return attached_settings(settings)


def _python() -> Check:
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 — a wheel may be forced onto an older one
        return Check("python", "problem", running, "Install Python 3.11 or later.")
    return ok("python", running)


def _programs(settings: Settings) -> Iterator[Check]:
    if settings.database_url is None:
        yield _program("postgres", lambda: postgres.programs() / "postgres")
        yield _program("initdb", lambda: postgres.programs() / "initdb")
    if settings.nats_url is None:
        yield _program("nats-server", nats.program)


def _program(name: str, find: Callable[[], Path]) -> Check:
    try:
        path = find()
    except Invalid as invalid:
        return Check(f"program {name}", "problem", "missing", invalid.faults[0].message)
    if not os.access(path, os.X_OK):
        return Check(f"program {name}", "problem", f"{path} is not executable", f"chmod +x {path}")
    return ok(f"program {name}", str(path))


def _data_folder(folder: DataFolder) -> Check:
    name, path = "data folder", folder.path
    if not path.exists():
        parent = _existing(path)
        if os.access(parent, os.W_OK | os.X_OK):
            return ok(name, f"{path} will be made")
        return Check(name, "problem", f"{parent} is not writable", "Choose another folder with --data.")
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return Check(name, "problem", f"{path} is not a folder we can write", "Choose another with --data.")
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IRWXO):
        return Check(name, "warning", f"{path} is open to other users", f"chmod go-rw,o-x {path}")
    for file in (folder.credentials, path / "secrets.json", folder.nats_config):
        if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return Check(name, "problem", f"{file} is open to other users", f"chmod 600 {file}")
    return ok(name, str(path))


def _postgres_user(folder: DataFolder) -> Check:
    name = "postgres user"
    try:
        user = postgres_user(folder.postgres, postgres.programs(), make=False)
    except Invalid as invalid:
        return Check(name, "problem", "cannot run PostgreSQL", invalid.faults[0].message)
    return ok(name, "ourselves" if user is None else f"uid {user.uid}")


def _disk(folder: DataFolder) -> Check:
    free = shutil.disk_usage(_existing(folder.path)).free
    found = f"{free / GIB:.1f} GiB free"
    remedy = f"Free space on the disk of {folder.path}, or choose another folder with --data."
    if free < LEAST_FREE:
        return Check("disk space", "problem", found, remedy)
    return Check("disk space", "warning", found, remedy) if free < COMFORTABLE_FREE else ok("disk space", found)


def _lock(folder: DataFolder) -> Check:
    holder = folder.holder()
    return ok("service", "not running on this folder" if holder is None else f"running as process {holder}")


def _port(settings: Settings, folder: DataFolder) -> Check:
    if folder.holder() is not None and (served := _served_at(folder)):
        return _port_in_use(*served)
    if settings.port == 0:
        return ok("port", "any free one")
    where = f"{settings.host}:{settings.port}"
    if port_is_free(settings.port, settings.host):
        return ok("port", f"{where} is free")
    if folder.holder() is not None:
        return ok("port", f"{where} is taken, and the service runs")
    remedy = "Stop what listens there, or choose another with --port; check that host is an address of this machine."
    return Check("port", "problem", f"{where} is taken or not ours", remedy)


def _served_at(folder: DataFolder) -> tuple[str, int] | None:
    """Host and port of the folder's service, as it wrote them down when it was ready."""
    try:
        url = urlsplit(str(read_json(folder.credentials).get("url", "")))
        host, port = url.hostname, url.port
    except (Invalid, OSError, ValueError):
        return None
    return (host, port) if host and port else None


def _port_in_use(host: str, port: int) -> Check:
    if port_is_free(port, host):
        remedy = "It is starting; if that lasts, see logs/ in the data folder."
        return Check("port", "warning", f"the service does not listen on {host}:{port}", remedy)
    return ok("port", f"the service listens on {host}:{port}")


def _hyperscan() -> Check:
    try:
        hyperscan.Database().compile(expressions=[b"scan"], ids=[1], flags=[0])
    except hyperscan.error as error:
        remedy = (
            "Run on a CPU with SSSE3 (any x86-64 of the last 15 years; in a virtual machine pass the host's CPU on)."
        )
        return Check("hyperscan", "problem", str(error) or "does not work on this CPU", remedy)
    return ok("hyperscan", version("hyperscan"))


def _open_files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_FILES:
        return Check("open files", "warning", f"limit {soft}", f"Raise it before starting: ulimit -n {LEAST_FILES}")
    return ok("open files", f"limit {soft}")


def _roots(settings: Settings) -> Iterator[Check]:
    given = "filesystem_roots" in settings.model_fields_set
    roots = settings.filesystem_roots if given else EMBEDDED_DEFAULTS["filesystem_roots"]
    assert isinstance(roots, tuple)
    for root in roots:
        name = f"filesystem root {root}"
        if root.is_dir() and os.access(root, os.R_OK | os.X_OK):
            yield ok(name, "readable")
        else:
            remedy = f"Make it readable, or take it out of {variable('filesystem_roots')}."
            yield Check(name, "warning", "is not a folder we can read", remedy)


def _unknown_variables() -> Iterator[Check]:
    known = {variable(name) for name in (*Settings.model_fields, "config")} | {MARK}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(f"{variable('tiers')}__"):
            yield Check(f"environment {name}", "warning", "is no setting and has no effect", "Correct or remove it.")


def _existing(path: Path) -> Path:
    return next(way for way in (path, *path.parents) if way.exists())
