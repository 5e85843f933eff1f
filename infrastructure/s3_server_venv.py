"""The Python environment that the S3 server runs in: one of its own, because it pins a botocore."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from domain.errors import ServiceUnavailable

ROOT = Path(__file__).resolve().parents[1]
LOCK_FILE = ROOT / "deploy" / "s3-server" / "requirements.lock"
BUILD_SECONDS = 300


def s3_python() -> Path:
    """The interpreter with the server installed: `SCANLEDGER_S3_PYTHON`, or `.venv-s3`, built where it is missing.

    Building takes a package index and some seconds. Raises `ServiceUnavailable`.
    """
    named = os.environ.get("SCANLEDGER_S3_PYTHON")
    if named:
        return Path(named)
    folder = ROOT / ".venv-s3"
    with LOCK_FILE.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test runners start several at once
        if not _is_current(folder):
            _build(folder)
    return folder / "bin" / "python"


def _is_current(folder: Path) -> bool:
    stamp = folder / "built-from"
    return stamp.is_file() and stamp.read_text() == _digest()


def _digest() -> str:
    return hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()


def _build(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", python, "--requirement", str(LOCK_FILE)])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, "--requirement", str(LOCK_FILE)])
    (folder / "built-from").write_text(_digest())


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 — commands composed here
            command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        failed, said = done.returncode != 0, done.stderr.strip()[-500:]
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, said = True, str(error)
    if failed:
        raise ServiceUnavailable(
            f"The S3 server's environment could not be built: {said} "
            "Set SCANLEDGER_S3_PYTHON to an interpreter that has ministack and uvicorn."
        )
