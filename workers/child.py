"""The child process of a slot: opens sources, reads, detects. It knows no broker, and ends with its parent."""

import hashlib
import queue
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final

import structlog

from application.messages import ListUnit, Report, ScanChunk, Source, commands
from application.ports import Detection, ObjectSource, Stopped
from application.scanning import ChunkProgress, UnopenedSource, list_unit, scan_chunk
from domain.errors import ScanledgerError
from infrastructure.wiring import Settings, configure_logging, die_with_parent, open_detection, open_source

_REPORTS_AHEAD: Final = 4
_KEPT_SOURCES: Final = 8
_TELL_SECONDS: Final = 0.2

log = structlog.get_logger(__name__)


def run_child(pipe: Connection, settings: Settings) -> None:
    """Serve the parent until it closes its end of the pipe."""
    die_with_parent()
    # Sent to the whole group, by a terminal or an init system: the parent decides what becomes of the work in hand.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logging(settings)
    try:
        _Child(pipe, settings).serve()
    except Exception:
        log.exception("child.crashed")
        raise


class _Child:
    def __init__(self, pipe: Connection, settings: Settings) -> None:
        self._pipe = pipe
        self._settings = settings
        self._work: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_REPORTS_AHEAD)
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._sources: dict[str, ObjectSource] = {}
        self._detection: Detection | None = None

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while (message := self._work.get()) is not None:
            _, body, worker, credentials = message
            self._send(("done", self._carry_out(commands.validate_json(body), worker, credentials)))

    def _listen(self) -> None:
        try:
            while True:
                match self._pipe.recv():
                    case ("work", *_) as message:
                        self._stop.clear()
                        self._room = threading.Semaphore(_REPORTS_AHEAD)
                        self._work.put(message)
                    case ("stop",):
                        self._stop.set()
                        self._room.release()
                    case ("stored",):
                        self._room.release()
        except (EOFError, OSError):
            self._stop.set()
            self._work.put(None)

    def _carry_out(self, command: ListUnit | ScanChunk, worker: str, credentials: dict[str, str] | None) -> bool:
        try:
            source = self._source(command.source, credentials)
            if isinstance(command, ListUnit):
                list_unit(command, source, worker=worker, emit=self._emit, stopped=self._stop.is_set)
            else:
                self._scan(command, source, worker)
        except Stopped:
            return False
        return True

    def _scan(self, command: ScanChunk, source: ObjectSource, worker: str) -> None:
        if self._detection is None:
            self._detection = open_detection()
        scan_chunk(
            command,
            source,
            self._detection,
            worker=worker,
            started_at=datetime.now(UTC),
            emit=self._emit,
            stopped=self._stop.is_set,
            progress=ChunkProgress(tell=self._teller()),
        )

    def _teller(self) -> Callable[[int, int], None]:
        last = 0.0

        def tell(files: int, findings: int) -> None:
            nonlocal last
            now = datetime.now(UTC).timestamp()
            if now - last >= _TELL_SECONDS:
                last = now
                self._send(("progress", files, findings))

        return tell

    def _source(self, wanted: Source, credentials: dict[str, str] | None) -> ObjectSource:
        """The source of a connector, kept open while its settings and credentials stay the same."""
        identity = wanted.model_dump_json() + repr(sorted((credentials or {}).items()))
        key = hashlib.sha256(identity.encode()).hexdigest()
        if key not in self._sources:
            try:
                source = open_source(self._settings, wanted.type, wanted.config, credentials)
            except ScanledgerError as error:
                return UnopenedSource(error)
            while len(self._sources) >= _KEPT_SOURCES:
                self._sources.pop(next(iter(self._sources))).close()
            self._sources[key] = source
        return self._sources[key]

    def _emit(self, report: Report) -> None:
        self._room.acquire()
        if self._stop.is_set():
            raise Stopped
        self._send(("report", report.model_dump_json().encode()))

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            self._pipe.send(message)
