"""The child process of a slot: opens sources, reads, detects. It knows no broker, and ends with its parent."""

import hashlib
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final

import structlog

from application.listing import list_unit
from application.messages import ListUnit, Report, ScanChunk, Source, commands
from application.ports import Detection, ObjectSource, Stopped
from application.scanning import ChunkProgress, UnopenedSource, scan_chunk
from domain.errors import ScanledgerError
from infrastructure.wiring import (
    Settings,
    configure_logging,
    die_with_parent,
    limit_memory,
    open_detection,
    open_source,
)
from workers.sums import Sums
from workers.vitals import Vitals

_REPORTS_AHEAD: Final = 4
_KEPT_SOURCES: Final = 8
_KEPT_DETECTIONS: Final = 3
_TELL_SECONDS: Final = 0.2

log = structlog.get_logger(__name__)


def run_child(pipe: Connection, vitals: Vitals, settings: Settings) -> None:
    """Serve the parent until it closes its end of the pipe."""
    die_with_parent()
    limit_memory(settings.reader_memory_bytes)
    # Sent to the whole group, by a terminal or an init system: the parent decides what becomes of the work in hand.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logging(settings)
    try:
        _Child(pipe, vitals, settings).serve()
    except Exception:
        log.exception("child.crashed")
        raise


class _Child:
    def __init__(self, pipe: Connection, vitals: Vitals, settings: Settings) -> None:
        self._pipe = pipe
        self._vitals = vitals
        self._settings = settings
        self._work: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_REPORTS_AHEAD)
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._sources: dict[str, ObjectSource] = {}
        self._sums = Sums()
        self._detections: dict[tuple[str, ...], Detection] = {}
        """By a tenant's own rules and the ids of the detectors."""

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while (message := self._work.get()) is not None:
            _, body, worker, credentials, context = message
            self._sums = Sums()
            with structlog.contextvars.bound_contextvars(**context):
                completed = self._carry_out(commands.validate_json(body), worker, credentials)
            self._send(("done", completed, self._sums))

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
        try:
            scan_chunk(
                command,
                source,
                self._detection(command.rules, command.detectors),
                worker=worker,
                started_at=datetime.now(UTC),
                emit=self._emit,
                stopped=self._stopped,
                progress=ChunkProgress(tell=self._teller(), begin=self._vitals.begin),
            )
        finally:
            self._vitals.end()

    def _stopped(self) -> bool:
        # Asked with every block that is read or searched: a sign that the reading gets on.
        self._vitals.beat()
        return self._stop.is_set()

    def _detection(self, rules: str, detectors: Sequence[str]) -> Detection:
        """These detectors, compiled, under a tenant's own rules. The sets used last are kept."""
        wanted = rules, *detectors
        if wanted not in self._detections:
            while len(self._detections) >= _KEPT_DETECTIONS:
                del self._detections[next(iter(self._detections))]
            self._detections[wanted] = open_detection(detectors, rules)
        return self._detections[wanted]

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
        self._sums.add(report)
        self._room.acquire()
        if self._stop.is_set():
            raise Stopped
        self._send(("report", report.model_dump_json().encode()))

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            self._pipe.send(message)
