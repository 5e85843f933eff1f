"""One child process that does not outlive us: start, stop within a deadline, log to a file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from domain.errors import ServiceUnavailable

MARK: Final = "SCANLEDGER_RUN_FOLDER"
"""Names the data folder in the environment of everything that runs for it."""

_LAUNCHER: Final = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Whom a process runs as. `reach`: it also needs to pass through folders that are closed to that user."""

    uid: int
    gid: int
    reach: bool = False


def server_environment(folder: Path) -> dict[str, str]:
    """For the embedded servers: nothing of ours that could be a secret or change what they do."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", MARK: str(folder)}


def launch(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: IO[bytes] | int = subprocess.DEVNULL,
    user: SystemUser | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, so that Ctrl-C reaches only us, and its group can be killed whole.

    On Linux it gets `on_parent_death` when the *thread* that called this ends: call it from one that lives on.
    """
    order = {
        "parent": os.getpid(),
        "signal": int(on_parent_death),
        "uid": user.uid if user else None,
        "gid": user.gid if user else None,
        "reach": bool(user and user.reach),
        "argv": list(argv),
    }
    return subprocess.Popen(  # noqa: S603 — the programs are ours
        [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(order)],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[bytes], *, first: signal.Signals, within: float) -> None:
    """Ask `process` to end, wait `within` seconds, then kill whatever is left of its group."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(first)
        with suppress(subprocess.TimeoutExpired):
            process.wait(within)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_all(processes: Sequence[psutil.Process], *, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, waiting its seconds, until every process is gone.

    Raises `ServiceUnavailable` when one is still there after the last.
    """
    left = list(processes)
    for number, seconds in signals:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + seconds
        while left := [process for process in left if _lives(process)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return
    raise ServiceUnavailable(f"Process {left[0].pid} does not end: end it by hand, then start again.")


def _lives(process: psutil.Process) -> bool:
    """A zombie does not: where process 1 does not collect the dead, it stays one for ever."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end_marked(folder: Path) -> None:
    """End what an earlier run on `folder` left behind: every process whose environment bears its mark."""
    spared = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    mark = str(folder)
    left = [process for process in psutil.process_iter() if process.pid not in spared and _mark(process) == mark]
    end_all(left, signals=((signal.SIGTERM, 1.0), (signal.SIGKILL, 3.0)))


def _mark(process: psutil.Process) -> str | None:
    try:
        environment: dict[str, str] = process.environ()
    except (psutil.Error, OSError):
        return None
    return environment.get(MARK)


def open_log(path: Path, *, fresh: bool) -> IO[bytes]:
    """A log file only we can read. `fresh` moves what an earlier run wrote to NAME.1."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if fresh and path.exists():
        path.replace(path.with_name(path.name + ".1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def last_lines(path: Path, count: int = 5) -> str:
    """The end of a log, for an error's message."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4_096))
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-count:])
    except OSError:
        return ""
