"""Running work in a child process, so that an object that crashes its reader costs a child and not a worker."""

import asyncio
import contextlib
import multiprocessing
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, Protocol

import structlog

from application.messages import Command
from infrastructure.wiring import Settings
from workers.child import run_child
from workers.sums import Sums
from workers.vitals import Vitals

_SILENT_SECONDS: Final = 600.0
"""A child that reads no object and says nothing for this long is killed."""

_LOOK_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class WorkLost(Exception):
    """The child died, or was killed because it `stalled`, before its work was done. `suspect` is the manifest position
    of the object that it was reading."""

    def __init__(self, *, suspect: int | None = None, stalled: bool = False) -> None:
        super().__init__("the child that did the work is gone")
        self.suspect = suspect
        self.stalled = stalled


@dataclass(frozen=True, slots=True)
class Work:
    """A command with what is needed to carry it out, and whom to tell: `report` stores, `progress` counts."""

    command: Command
    worker: str
    credentials: dict[str, str] | None
    report: Callable[[bytes], Awaitable[None]]
    progress: Callable[[int, int], None]
    ended: Callable[[bool, Sums], None] = lambda _completed, _sums: None
    """Told whether the work came to its end, or was called off, and to what it came."""


class Executor(Protocol):
    """One slot. Carries out one piece of work at a time."""

    async def run(self, work: Work) -> bool:
        """Do the work, reporting as it goes; false if it was called off. Raises WorkLost."""

    def stop(self) -> None:
        """Call off the work in hand: no object is opened any more, and `run` returns within a second or so."""

    async def close(self) -> None:
        """End for good, at once."""


class ChildExecutor:
    """Executor whose work is done in a spawned process, started with the first work and again after each loss."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._vitals = Vitals(multiprocessing.get_context("spawn"))
        self._messages: asyncio.Queue[tuple[Any, ...] | None] = asyncio.Queue()

    async def run(self, work: Work) -> bool:
        self._ensure_child()
        context = structlog.contextvars.get_contextvars()
        self._send(("work", work.command.model_dump_json(), work.worker, work.credentials, context))
        try:
            return await self._attend(work)
        except BaseException:
            # Whatever it still says would be taken for words about the next work.
            await self._bury()
            raise

    async def _attend(self, work: Work) -> bool:
        while True:
            message = await self._receive()
            match message:
                case ("report", body):
                    await work.report(body)
                    self._send(("stored",))
                case ("progress", files, findings):
                    work.progress(files, findings)
                case ("done", completed, sums):
                    work.ended(completed, sums)
                    return bool(completed)
                case _:
                    raise WorkLost(suspect=self._vitals.reading)

    def stop(self) -> None:
        self._send(("stop",))

    async def close(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.join)
        if pipe is not None:
            pipe.close()

    async def _bury(self) -> None:
        process = self._process
        await self.close()
        log.warning("child.lost", exit_code=process.exitcode if process else None)

    def _ensure_child(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._vitals = Vitals(context)
        process = context.Process(
            target=run_child, args=(theirs, self._vitals, self._settings), name="scanner-child", daemon=True
        )
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        self._messages = asyncio.Queue()
        # A thread, because the event loop would make the pipe non-blocking, and a long message come in pieces.
        threading.Thread(target=_forward, args=(ours, asyncio.get_running_loop(), self._messages), daemon=True).start()

    async def _receive(self) -> tuple[Any, ...] | None:
        """What the child says next, None when it is gone. Raises WorkLost when it gets nowhere."""
        waited = 0.0
        while True:
            try:
                return await asyncio.wait_for(self._messages.get(), _LOOK_SECONDS)
            except TimeoutError:
                waited += _LOOK_SECONDS
            # Read once: the child may go on between two looks.
            suspect, stalled_for = self._vitals.reading, self._vitals.stalled_for
            if stalled_for > self._settings.stall_seconds:
                log.warning("child.stalled", seconds=round(stalled_for))
                raise WorkLost(suspect=suspect, stalled=True)
            if suspect is None and waited >= _SILENT_SECONDS:
                log.warning("child.silent", seconds=_SILENT_SECONDS)
                raise WorkLost(stalled=True)

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._pipe is not None:
            # A child that is gone is noticed by its end of file.
            with contextlib.suppress(OSError):
                self._pipe.send(message)


def _forward(
    pipe: Connection, loop: asyncio.AbstractEventLoop, messages: "asyncio.Queue[tuple[Any, ...] | None]"
) -> None:
    """Pass on what the child says, and None when it is gone."""
    # The loop may be closed before its last child is.
    with contextlib.suppress(RuntimeError):
        try:
            while True:
                loop.call_soon_threadsafe(messages.put_nowait, pipe.recv())
        except (EOFError, OSError):
            loop.call_soon_threadsafe(messages.put_nowait, None)
