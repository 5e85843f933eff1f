"""The regular files below a folder, in key order, with nothing that a link or a swapped folder could smuggle in."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from domain.manifest import ObjectInfo
from infrastructure.connectors.filesystem_names import key_of, name_of

PAGE_SIZE = 1000

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened_folder(path: Sequence[bytes], *, listing: bool = False) -> Iterator[int]:
    """A descriptor of the folder that `path` leads to from `/`, step by step and following no link.

    Raises `OSError`. To search a folder takes less right than to list it: `listing` asks for both.
    """
    folder = os.open(b"/", _STEP)
    try:
        for step in path:
            inner = os.open(step, _STEP, dir_fd=folder)
            os.close(folder)
            folder = inner
        if listing:
            inner = os.open(b".", _READ, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def steps(key: str) -> list[bytes] | None:
    """The path that a key or a folder's key names, or None if no file can have it."""
    if not key:
        return []
    try:
        parts = name_of(key.removesuffix("/")).split(b"/")
    except UnicodeEncodeError:
        return None
    return None if any(part in {b"", b".", b".."} or b"\0" in part for part in parts) else parts


def names_in(folder: int) -> list[str]:
    """The regular files of an opened folder, and its folders with a `/` behind, sorted as their keys are.

    Links, pipes, sockets and devices are left out. Raises `OSError`.
    """
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                names.append(key_of(os.fsencode(entry.name)) + "/")
            elif entry.is_file(follow_symlinks=False):
                names.append(key_of(os.fsencode(entry.name)))
    names.sort()  # code points sort as UTF-8 does
    return names


def described(folder: int, folder_key: str, names: Sequence[str]) -> Iterator[ObjectInfo]:
    """Each of `names` that is still a regular file of the opened folder. Raises `OSError` but for vanished ones."""
    for name in names:
        try:
            status = os.stat(name_of(name), dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield ObjectInfo(
                folder_key + name, status.st_size, etag_of(status), _moment(status.st_mtime_ns), "STANDARD"
            )


def etag_of(status: os.stat_result) -> str:
    """Another one after every change of content that moved the file's size or modification time."""
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return None
