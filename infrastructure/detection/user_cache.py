"""Files in the user's cache folder, for what is slow to make and the same every time."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_KEPT: Final = 32
"""Files kept; of more, those used longest ago are removed."""

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LARGEST: Final = 256 * 1024 * 1024
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ENDING: Final = ".kept"


def kept(name: str) -> bytes | None:
    """What was kept under this name; None if nothing was, or if it is not sound, or not this user's alone."""
    folder = cache_folder()
    if folder is None:
        return None
    content = _read(folder / (name + _ENDING))
    digest, kept_content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if not kept_content or hashlib.sha256(kept_content).digest() != digest:
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / (name + _ENDING))
    return kept_content


def keep(name: str, content: bytes) -> None:
    """Keep this under a name, whole or not at all. Where that cannot be, nothing is kept."""
    folder = cache_folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(folder.lstat()):
            return
        file, temporary = tempfile.mkstemp(dir=folder, suffix=f"{_ENDING}.part")  # for its owner alone
        try:
            with open(file, "wb") as target:  # noqa: PTH123 — it is open already
                target.write(hashlib.sha256(content).digest() + content)
            Path(temporary).replace(folder / (name + _ENDING))
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        _prune(folder)


def cache_folder() -> Path | None:
    """`$XDG_CACHE_HOME/scanledger`, or `~/.cache/scanledger`; None where there is no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named and Path(named).is_absolute():  # a relative one is to be ignored, says the XDG base directory standard
        return Path(named) / "scanledger"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "scanledger" if home.is_absolute() else None


def _read(path: Path) -> bytes:
    """The file if it and its folder are this user's alone, else nothing: what another wrote could hide findings."""
    try:
        if not _is_own(path.parent.lstat()):
            return b""
        with open(os.open(path, _FILE), "rb") as file:  # noqa: PTH123 — a path cannot be opened without following links
            status = os.fstat(file.fileno())
            sound = stat.S_ISREG(status.st_mode) and _is_own(status) and status.st_size <= _LARGEST
            return file.read() if sound else b""
    except OSError:
        return b""


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS


def _prune(folder: Path) -> None:
    files = sorted(folder.glob(f"*{_ENDING}*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[_KEPT:]:
        path.unlink(missing_ok=True)
