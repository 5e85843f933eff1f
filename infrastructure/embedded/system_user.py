"""As whom PostgreSQL runs: it refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from domain.errors import Fault, Invalid
from infrastructure.embedded.process import SystemUser

OWN_USER: Final = "scanledger"
_X_FOR_OWNER, _X_FOR_GROUP, _X_FOR_OTHERS = 0o100, 0o010, 0o001
_CAP_DAC: Final = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, as bits of `/proc/self/status`."""


def postgres_user(data: Path, programs: Path, *, make: bool = True) -> SystemUser | None:
    """The user to run PostgreSQL as: None (ourselves) unless we are root.

    For root: the owner of `data`, else the system user `postgres`, else `scanledger` (with `make`, made when it
    can be), else `nobody`. Where a folder on the way to `data` or to `programs` is closed to that user, it is given
    the right to pass; `data`'s own folder its owner opens. Raises `Invalid` with the remedy when that cannot be done.
    """
    if os.geteuid() != 0:
        return None
    entry = _entry(data, make)
    blocked = closed_folders([data.parent.parent, programs], entry.pw_uid, entry.pw_gid)
    if blocked and not _may_pass_rights_on():
        where = ", ".join(map(str, blocked))
        remedy = f"chmod o+x {' '.join(map(str, blocked))}, choose another folder with --data, or do not run as root"
        raise Invalid([Fault("data", f"the user {entry.pw_name} that runs PostgreSQL cannot enter {where}: {remedy}")])
    return SystemUser(entry.pw_uid, entry.pw_gid, reach=bool(blocked))


def _entry(data: Path, make: bool) -> pwd.struct_passwd:
    with suppress(FileNotFoundError, KeyError):
        owner = pwd.getpwuid(data.stat().st_uid)
        if owner.pw_uid != 0:
            return owner
    for name in ("postgres", OWN_USER):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    if make:
        _make_own_user()
    for name in (OWN_USER, "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise Invalid([Fault("data", "there is no user to run PostgreSQL as: make one with `useradd --system scanledger`")])


def _make_own_user() -> None:
    for command in (
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", OWN_USER],
        ["adduser", "-S", "-D", "-H", "-s", "/sbin/nologin", OWN_USER],
    ):
        if program := shutil.which(command[0]):
            done = subprocess.run([program, *command[1:]], check=False, capture_output=True)  # noqa: S603 — fixed
            if done.returncode == 0:
                return


def closed_folders(paths: Sequence[Path], uid: int, gid: int) -> list[Path]:
    """The folders on the way to `paths`, these included, that the user cannot pass through, by their mode bits."""
    ways = [way for path in paths for way in (path.absolute(), *path.absolute().parents)]
    ways += [way for path in paths for way in path.resolve().parents]
    return sorted({way for way in ways if way.is_dir() and not _passable(way, uid, gid)})


def _passable(folder: Path, uid: int, gid: int) -> bool:
    status = folder.stat()
    if status.st_uid == uid:
        return bool(status.st_mode & _X_FOR_OWNER)
    return bool(status.st_mode & (_X_FOR_GROUP if status.st_gid == gid else _X_FOR_OTHERS))


def _may_pass_rights_on() -> bool:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("CapPrm:"):
                return bool(int(line.split()[1], 16) & _CAP_DAC)
    return False
