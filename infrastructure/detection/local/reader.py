"""The parent's end of a process that reads local files."""

import contextlib
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any, Final

from application.detecting import LocalAccount, LocalFile, Wanted

_PROGRAM: Final = "import sys; sys.path.append(sys.argv[1]); import infrastructure.detection.local.child as c; c.main()"
_HERE: Final = str(Path(__file__).parents[3])
_MOST_AHEAD: Final = 16
_BYTES_AHEAD: Final = 256 * 1024
_WEIGHT_OF_LETTER: Final = 64
_HELD_BACK: Final = {signal.SIGINT, signal.SIGTERM}


@dataclass(slots=True)
class Place:
    """An object's place in the order of what is told, with what is known of it by now."""

    file: LocalFile | None = None
    lines: deque[str] = field(default_factory=deque)
    account: LocalAccount | None = None
    reader: "Reader | None" = None


class Reader:
    """One process, which reads the files it is given in their order.

    It loads nothing from the folder that it works in, inherits no open file but its standard input, and can be told
    from this process by no signal of a terminal.
    """

    def __init__(self, wanted: Wanted, memory_bytes: int, standard_input: int | None) -> None:
        self.pending: deque[Place] = deque()
        self.ready = False
        self.silent = 0.0
        self._bytes = 0
        self.pipe, theirs = Pipe()
        # -P: what lies about in a folder that is looked into must not be taken for a module of ours.
        command = [sys.executable, "-P", "-c", _PROGRAM, _HERE, str(theirs.fileno())]
        with _held_back_signals():
            self._process = subprocess.Popen(  # noqa: S603 — ourselves
                command,
                stdin=subprocess.DEVNULL if standard_input is None else standard_input,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        theirs.close()
        self._send((wanted, memory_bytes))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def bytes_ahead(self) -> int:
        return self._bytes

    def has_room(self, file: LocalFile) -> bool:
        """Whether `file` may wait for it: nothing waits behind what is large, and what is large waits for nothing."""
        if not self.pending:
            return True
        return len(self.pending) < _MOST_AHEAD and self._bytes + _weight(file) <= _BYTES_AHEAD

    def read(self, place: Place, file: LocalFile) -> None:
        place.reader = self
        if not self.pending:
            self.silent = 0.0
        self.pending.append(place)
        self._bytes += _weight(file)
        self._send(file)

    def done(self, account: LocalAccount) -> Place:
        """The file in work has its account: its place."""
        place = self.pending.popleft()
        place.account, place.reader = account, None
        assert place.file is not None
        self._bytes -= _weight(place.file)
        return place

    def receive(self) -> tuple[Any, ...] | None:
        """What it says next, None when it is gone."""
        try:
            message: tuple[Any, ...] = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return message

    def end(self) -> int:
        """End it at once; its exit code, which is negative for a signal."""
        self.pipe.close()
        self._process.kill()
        return self._process.wait()

    def ended_as(self) -> int:
        """The exit code of one that is gone by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=1.0)
        return self.end()

    def _send(self, message: object) -> None:
        # One that is gone is noticed by its end of file.
        with contextlib.suppress(OSError):
            self.pipe.send(message)


def _weight(file: LocalFile) -> int:
    """How much it counts among what waits: what takes time to read, and what fills the pipe until it is read."""
    if file.path is None:
        return _BYTES_AHEAD  # it may take any time
    return file.size + _WEIGHT_OF_LETTER * len(file.path) + 1


@contextmanager
def _held_back_signals() -> Iterator[None]:
    """A process that is started meanwhile never gets these signals, not even while it still loads."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
