"""Local files and standard input as streams: opening one never waits, and follows no link."""

import errno
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from application.detecting import IO_ERROR, NO_FILE
from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not blocking: a pipe put where a file was listed must not hold the reader."""

_STANDARD_INPUT: Final = 0
_WAIT_MILLISECONDS: Final = 500
_GONE: Final = {errno.ENOENT, errno.ENOTDIR}
_REFUSED: Final = {errno.EACCES, errno.EPERM}
_KINDS: Final = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


class NoFile(Exception):
    """What was to be read is no regular file; nothing of it was read."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{NO_FILE}: {detail}")
        self.detail = detail


@contextmanager
def opened(path: str | None, beat: Callable[[], object]) -> Iterator[ByteStream]:
    """The bytes of a regular file, or of standard input if there is no path. `beat` is told while input is waited for.

    Raises `ObjectUnreadable` (access_denied, not_found, network) or `NoFile`.
    """
    if path is None:
        yield _StandardInput(beat)
        return
    try:
        file = os.open(path, _FILE)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NoFile("a link or a pipe has taken its place") from None
        raise unreadable(error) from None
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise NoFile(kind_of(mode))
        yield _File(file)
    finally:
        os.close(file)


def kind_of(mode: int) -> str:
    """What a thing in a folder that is no regular file is."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no file")


def unreadable(error: OSError) -> ObjectUnreadable:
    """Why a file or folder could not be opened or read on, with the reason it gets in a ledger."""
    if error.errno in _GONE:
        return ObjectUnreadable(FailReason.NOT_FOUND, "is gone")
    if error.errno in _REFUSED:
        return ObjectUnreadable(FailReason.ACCESS_DENIED, "this user may not read it")
    return ObjectUnreadable(FailReason.NETWORK, f"reading failed: {error.strerror}")


def reason_of(error: ObjectUnreadable) -> str:
    """The reason as it is told: between a local file and its reader there is no network."""
    return IO_ERROR if error.reason is FailReason.NETWORK else error.reason


class _File:
    def __init__(self, file: int) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return os.read(self._file, size)
        except OSError as error:
            raise unreadable(error) from None


class _StandardInput:
    """Whoever writes it may take any time: waiting for it is no standstill of the reader."""

    def __init__(self, beat: Callable[[], object]) -> None:
        self._beat = beat
        self._poll = select.poll()
        self._poll.register(_STANDARD_INPUT, select.POLLIN)

    def read(self, size: int, /) -> bytes:
        try:
            while not self._poll.poll(_WAIT_MILLISECONDS):
                self._beat()
            return os.read(_STANDARD_INPUT, size)
        except OSError as error:
            raise unreadable(error) from None
