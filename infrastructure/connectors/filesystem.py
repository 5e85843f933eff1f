"""Regular files below a folder, as objects. Links are never followed, so nothing outside the folder is ever read."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import (
    ObjectUnreadable,
    ScanledgerError,
    SourceDenied,
    SourceMisconfigured,
    SourceMissing,
    SourceUnavailable,
)
from domain.manifest import ObjectInfo
from infrastructure.connectors.filesystem_walk import (
    PAGE_SIZE,
    described,
    etag_of,
    names_in,
    opened_folder,
    steps,
)
from infrastructure.connectors.key_ranges import KeyRange, Level, dividing_prefixes

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not blocking: a pipe put where a file was listed must not hold the reader."""

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_REFUSED = {errno.EACCES, errno.EPERM}


def within_roots(root: Path, allowed: Sequence[Path]) -> bool:
    """Whether `root`, every link in it resolved, is one of `allowed` or lies below one of them."""
    real = Path(os.path.realpath(root))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in allowed)


class FilesystemSource:
    """A folder, listed in byte order of `/`-separated relative paths. See `ObjectSource`.

    Every folder is opened from `/` down, one step at a time and without following links, so that a folder swapped
    for a link during the walk counts as gone. No descriptor is held between calls. Names that are not UTF-8 become
    keys as `filesystem_names` says.
    """

    ordered = True

    def __init__(self, root: Path, *, allowed: Sequence[Path]) -> None:
        """Raises `SourceMisconfigured` if `root` is not within the `allowed` folders."""
        if not within_roots(root, allowed):
            raise SourceMisconfigured(f"{str(root)!r} is not below a folder that the operator allows.")
        self._root = [part for part in os.fsencode(os.path.realpath(root)).split(b"/") if part]

    def list_pages(self, prefix: str, after: str = "", until: str = "") -> Iterator[Sequence[ObjectInfo]]:
        """As `ObjectSource` says. A folder that may not be read ends the listing with `SourceDenied`: a listing
        that could not see everything must not look complete."""
        self.check()
        page: list[ObjectInfo] = []
        for folder_key, names in self._runs(KeyRange(prefix, after, until)):
            page += self._described(folder_key, names)
            if len(page) >= PAGE_SIZE:
                yield page[:PAGE_SIZE]
                page = page[PAGE_SIZE:]
        if page:
            yield page

    def prefixes(self, prefix: str, after: str = "", until: str = "") -> Sequence[str]:
        """As `ObjectSource` says: folders, which may be empty. One folder is read for each level."""
        self.check()
        asked = KeyRange(prefix, after, until)
        return dividing_prefixes(asked, lambda below: self._level(asked, below))

    @contextmanager
    def open_object(self, entry: ObjectInfo, *, start: int = 0, stop: int | None = None) -> Iterator[ByteStream]:
        path = steps(entry.key)
        if not path or entry.key.endswith("/"):
            raise ObjectUnreadable(FailReason.NOT_FOUND, "No file can have this name.")
        try:
            with opened_folder([*self._root, *path[:-1]]) as folder:
                file = os.open(path[-1], _FILE, dir_fd=folder)
        except OSError as error:
            raise _unreadable(error) from None
        try:
            _check_unchanged(file, entry)
            yield _FileStream(file, entry, start, entry.size if stop is None else min(stop, entry.size))
        finally:
            os.close(file)

    def check(self) -> None:
        try:
            with opened_folder(self._root, listing=True) as folder:
                os.stat(b".", dir_fd=folder)
        except OSError as error:
            raise self._root_error(error) from None

    def close(self) -> None:
        """Nothing is held."""

    def _runs(self, asked: KeyRange) -> Iterator[tuple[str, list[str]]]:
        """Folder by folder, in key order, the names of files to describe: at most a page at a time."""
        start = _folder_of(asked.prefix)
        stack = [(start, iter(self._names(start)))] if asked.meets(start) else []
        while stack:
            folder_key, names = stack[-1]
            run: list[str] = []
            inner = ""
            for name in names:
                key = folder_key + name
                if not name.endswith("/"):
                    if key in asked:
                        run.append(name)
                elif asked.meets(key):
                    inner = key
                if inner or len(run) == PAGE_SIZE:
                    break
            else:
                stack.pop()
            if run:
                yield folder_key, run
            if inner:
                stack.append((inner, iter(self._names(inner))))

    def _level(self, asked: KeyRange, below: str) -> Level:
        folder_key = _folder_of(below)
        names = self._names(folder_key) if asked.meets(folder_key) else []
        found = [key for key in (folder_key + name for name in names) if key.startswith(below)]
        return Level(
            [key for key in found if key.endswith("/") and asked.meets(key)],
            any(key in asked for key in found if not key.endswith("/")),
        )

    def _names(self, folder_key: str) -> list[str]:
        path = steps(folder_key)
        if path is None:
            return []
        try:
            with opened_folder([*self._root, *path], listing=True) as folder:
                return names_in(folder)
        except OSError as error:
            self._gone_or_raise(error, folder_key)
            return []

    def _described(self, folder_key: str, names: Sequence[str]) -> list[ObjectInfo]:
        try:
            with opened_folder([*self._root, *(steps(folder_key) or [])]) as folder:
                return list(described(folder, folder_key, names))
        except OSError as error:
            self._gone_or_raise(error, folder_key)
            return []

    def _gone_or_raise(self, error: OSError, folder_key: str) -> None:
        """A folder that vanished holds no objects, but if the root went with it nothing can be said."""
        if error.errno in _GONE:
            self.check()
        elif error.errno in _REFUSED:
            raise SourceDenied(
                f"The folder {folder_key!r} may not be read: grant the worker's user read and search."
            ) from None
        else:
            raise SourceUnavailable(f"The folder {folder_key!r} could not be read: {error.strerror}.") from None

    def _root_error(self, error: OSError) -> ScanledgerError:
        root = "/" + os.fsdecode(b"/".join(self._root))
        if error.errno == errno.ENOENT:
            return SourceMissing(f"There is no folder {root!r}.")
        if error.errno in _GONE:
            return SourceMisconfigured(f"{root!r} is not a folder.")
        if error.errno in _REFUSED:
            return SourceDenied(f"The folder {root!r} may not be read: grant the worker's user read and search.")
        return SourceUnavailable(f"The folder {root!r} could not be read: {error.strerror}.")


class _FileStream:
    """The bytes `start..stop` of an opened file, which must still be the listed one when they end."""

    def __init__(self, file: int, entry: ObjectInfo, start: int, stop: int) -> None:
        self._file = file
        self._entry = entry
        self._at = start
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._stop - self._at)
        if wanted <= 0:
            return b""
        try:
            data = os.pread(self._file, wanted, self._at)
        except OSError as error:
            raise _unreadable(error) from None
        if not data:
            raise _changed()
        self._at += len(data)
        if self._at >= self._stop:
            _check_unchanged(self._file, self._entry)
        return data


def _folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def _check_unchanged(file: int, entry: ObjectInfo) -> None:
    status = os.fstat(file)
    same = stat.S_ISREG(status.st_mode) and status.st_size == entry.size
    if not same or (entry.etag and etag_of(status) != entry.etag):
        raise _changed()


def _changed() -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.CHANGED_DURING_READ, "The file is another than when it was listed.")


def _unreadable(error: OSError) -> ObjectUnreadable:
    if error.errno in {errno.ELOOP, errno.ENXIO}:
        return _changed()
    if error.errno in _GONE:
        return ObjectUnreadable(FailReason.NOT_FOUND, "The file is gone.")
    if error.errno in _REFUSED:
        return ObjectUnreadable(FailReason.ACCESS_DENIED, "The worker's user may not read the file.")
    return ObjectUnreadable(FailReason.NETWORK, f"Reading failed: {error.strerror}.")
