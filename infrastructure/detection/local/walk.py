"""What the arguments of a command line name: files, folders with all below them, standard input."""

import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from application.detecting import EXCLUDED, IO_ERROR, LINK, NO_FILE, LocalAccount, LocalFile
from domain.coverage import Disposition
from infrastructure.connectors.filesystem_names import key_of
from infrastructure.detection.local.opening import kind_of, reason_of, unreadable

STANDARD_INPUT: Final = "-"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK

Candidate = LocalFile | LocalAccount
"""A file to be read, or what became of one that will not be."""


class Walk:
    """Everything that `targets` name, in their order; below a folder in byte order of the paths.

    Links below a folder are never followed, and what is no regular file is not opened. What is passed over has an
    account as well. The names of one folder at each level are in memory, and nothing else.
    """

    def __init__(self, targets: Sequence[str], *, excluded: Sequence[str] = (), input_name: str | None = None) -> None:
        self._targets = targets
        self._excluded = excluded
        self._input_name = input_name

    def __iter__(self) -> Iterator[Candidate]:
        for target in self._targets:
            if target == STANDARD_INPUT:
                yield LocalFile(None, self._input_name or STANDARD_INPUT)
            else:
                yield from self._target(target)

    def _target(self, target: str) -> Iterator[Candidate]:
        # One that was named is followed, if it is a link, as `find -H` and `grep -r` do.
        real = os.path.realpath(target)
        if self._leaves_out(target, target.rstrip("/").rpartition("/")[2]):
            yield _skipped(target, EXCLUDED)
            return
        try:
            mode = Path(real).stat().st_mode
        except OSError as error:
            yield _behind_no_path(target) if Path(target).exists() else _failed(target, error)
            return
        if stat.S_ISDIR(mode):
            yield from self._below(target, real)
        else:
            yield _file(real, target)

    def _below(self, target: str, real: str) -> Iterator[Candidate]:
        """Depth first, with the open levels on a stack of our own: no depth is too deep for it."""
        stack = [("", self._names(target, real, ""))]
        while stack:
            inside, names = stack[-1]
            name = next(names, None)
            if name is None:
                stack.pop()
                continue
            if isinstance(name, LocalAccount):
                yield name
                continue
            relative = inside + name
            told_as = _joined(target, relative)
            if self._leaves_out(told_as, relative.removesuffix("/")):
                yield _skipped(told_as, EXCLUDED)
            elif name.endswith("/"):
                stack.append((relative, self._names(told_as, _joined(real, relative), relative)))
            else:
                yield _file(_joined(real, relative), told_as)

    def _names(self, told_as: str, folder: str, relative: str) -> Iterator[str | LocalAccount]:
        """The names in a folder in byte order, those of folders with a slash behind them."""
        try:
            # The one that was named may be a link; one below it must still be the folder it was.
            opened = os.open(folder.rstrip("/") or "/", _FOLDER | (os.O_NOFOLLOW if relative else 0))
            try:
                with os.scandir(opened) as entries:
                    names = [f"{one.name}/" if one.is_dir(follow_symlinks=False) else one.name for one in entries]
            finally:
                os.close(opened)
        except OSError as error:
            yield _failed(told_as, error)
            return
        names.sort(key=os.fsencode, reverse=True)
        while names:
            yield names.pop()

    def _leaves_out(self, path: str, relative: str) -> bool:
        """Whether a glob fits the path as it is told, the one below the folder that was named, or the bare name."""
        tried = {path.rstrip("/"), relative, relative.rpartition("/")[2]}
        return any(fnmatchcase(one, glob.rstrip("/")) for glob in self._excluded for one in tried)


def _joined(folder: str, name: str) -> str:
    return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"


def _file(path: str, told_as: str) -> Candidate:
    try:
        status = os.lstat(path)
    except OSError as error:
        return _failed(told_as, error)
    if stat.S_ISREG(status.st_mode):
        return LocalFile(path, _key(told_as), status.st_size)
    reason = LINK if stat.S_ISLNK(status.st_mode) else NO_FILE
    return _skipped(told_as, reason, "" if reason == LINK else kind_of(status.st_mode))


def _behind_no_path(told_as: str) -> LocalAccount:
    """What became of `/dev/stdin` or `<(…)`: there is something that was named, and no path leads to it."""
    detail = f"is no file in a folder; give {STANDARD_INPUT} for standard input"
    return LocalAccount(_key(told_as), Disposition.FAILED, IO_ERROR, detail)


def _skipped(told_as: str, reason: str, detail: str = "") -> LocalAccount:
    return LocalAccount(_key(told_as), Disposition.SKIPPED, reason, detail)


def _failed(told_as: str, error: OSError) -> LocalAccount:
    fault = unreadable(error)
    return LocalAccount(_key(told_as), Disposition.FAILED, reason_of(fault), fault.detail)


def _key(path: str) -> str:
    return key_of(os.fsencode(path))
