"""Detection on local files in child processes: what ruins its reader costs one file, and the next one is read."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from signal import Signals
from types import TracebackType
from typing import Final, Self

from application.detecting import LocalAccount, LocalFile, Wanted
from domain.coverage import Disposition, FailReason
from domain.errors import Invalid, ServiceUnavailable
from infrastructure.detection.local.reader import Place, Reader

STALL_SECONDS: Final = 120.0
MEMORY_BYTES: Final = 2 * 1024**3

_START_SECONDS: Final = 120.0
"""How long a process may take to load its detectors, on a machine that has much else to do."""

_LOOK_SECONDS: Final = 1.0
_PLACES: Final = 1024
_BUFFERED_BYTES: Final = 32 * 1024 * 1024


class LocalDetection:
    """At most `jobs` processes that read files and tell what they found.

    However many files there are, at most 1,024 of them are in mind and about 32 MiB of what is to be told. A process
    that dies, or says nothing for `stall_seconds` while it is listened to, costs the file that it was reading.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        jobs: int,
        stall_seconds: float = STALL_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        standard_input: int | None = None,
    ) -> None:
        self._wanted = wanted
        self._jobs = jobs
        self._stall_seconds = stall_seconds
        self._memory_bytes = memory_bytes
        self._standard_input = standard_input
        self._readers: list[Reader] = []
        self._places: deque[Place] = deque()
        self._next: LocalFile | LocalAccount | None = None
        self._buffered = 0

    def __enter__(self) -> Self:
        """Start the first process, which takes a while: there is something to do meanwhile."""
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._readers:
            self._readers.pop().end()

    @property
    def process_ids(self) -> list[int]:
        return [reader.pid for reader in self._readers]

    def accounts(self, candidates: Iterable[LocalFile | LocalAccount]) -> Iterator[str | LocalAccount]:
        """For each candidate, in order, the lines of what was found in it, some at a time, and then its account.

        Raises `Invalid` when the detectors or rules that are wanted are none, `ServiceUnavailable` when no process can
        be started.
        """
        source = iter(candidates)
        self._await_ready()
        while self._hand_out(source):
            head = self._places[0]
            while head.lines:
                lines = head.lines.popleft()
                self._buffered -= len(lines)
                yield lines
            if head.account is not None:
                self._places.popleft()
                yield head.account
            else:
                self._listen(head)

    def _start(self) -> Reader:
        reader = Reader(self._wanted, self._memory_bytes, self._standard_input)
        self._readers.append(reader)
        return reader

    def _await_ready(self) -> None:
        """Wrong detectors or rules are told before anything else is."""
        while self._readers and not self._readers[0].ready:
            self._listen_to(self._readers)

    def _hand_out(self, source: Iterator[LocalFile | LocalAccount]) -> bool:
        """Give readers all that they have room for; whether any place is still open."""
        while len(self._places) < _PLACES:
            if self._next is None:
                self._next = next(source, None)
            match self._next:
                case None:
                    break
                case LocalAccount() as account:
                    self._places.append(Place(account=account))
                case LocalFile() as file:
                    reader = self._with_room(file)
                    if reader is None:
                        break
                    place = Place(file)
                    reader.read(place, file)
                    self._places.append(place)
            self._next = None
        return bool(self._places)

    def _with_room(self, file: LocalFile) -> Reader | None:
        free = [reader for reader in self._readers if reader.has_room(file)]
        if free:
            return min(free, key=lambda reader: reader.bytes_ahead)
        return self._start() if len(self._readers) < self._jobs else None

    def _listen(self, head: Place) -> None:
        """Hear what the readers say; while too much of it waits to be told, only the one whose turn it is."""
        assert head.reader is not None
        full = self._buffered >= _BUFFERED_BYTES
        self._listen_to([head.reader] if full else [one for one in self._readers if one.pending or not one.ready])

    def _listen_to(self, readers: list[Reader]) -> None:
        began = time.monotonic()
        heard = wait([reader.pipe for reader in readers], _LOOK_SECONDS)
        waited = time.monotonic() - began
        for reader in readers:
            if reader.pipe in heard:
                reader.silent = 0.0
                self._hear(reader)
            else:
                # Only the time in which it was listened to counts: one that cannot send stands still by our fault.
                reader.silent += waited
                patience = self._stall_seconds if reader.ready else _START_SECONDS
                if reader.silent > patience:
                    reader.end()
                    detail = f"its reading got nowhere for {patience:g} s"
                    self._lost(reader, FailReason.TIMEOUT, detail)

    def _hear(self, reader: Reader) -> None:
        match reader.receive():
            case ("ready",):
                reader.ready = True
            case ("refused", faults):
                raise Invalid(faults)
            case ("lines", str(lines)):
                reader.pending[0].lines.append(lines)
                self._buffered += len(lines)
            case ("account", LocalAccount() as account):
                reader.done(account)
            case None:
                self._lost(reader, FailReason.WORKER_LOST, _told(reader.ended_as()))
            case _:
                pass  # it gets on

    def _lost(self, reader: Reader, reason: FailReason, detail: str) -> None:
        """The reader is gone: the file in work failed, and another reader takes over what waited behind it."""
        reader.pipe.close()
        self._readers.remove(reader)
        if not reader.ready:
            raise ServiceUnavailable(f"The process that reads files cannot start: {detail}.")
        if not reader.pending:
            return
        told_as = reader.pending[0].file
        assert told_as is not None
        reader.done(LocalAccount(told_as.object, Disposition.FAILED, reason, detail))
        if reader.pending:
            successor = self._start()
            for place in reader.pending:
                assert place.file is not None
                successor.read(place, place.file)


def _told(exit_code: int) -> str:
    if exit_code >= 0:
        return f"its reader ended with {exit_code}"
    try:
        return f"its reader was ended by {Signals(-exit_code).name}"
    except ValueError:
        return f"its reader was ended by signal {-exit_code}"
