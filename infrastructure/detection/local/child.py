"""The process that opens and reads local files, so that a file that ruins its reader costs that file alone."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Final

from application.detecting import NO_FILE, LocalAccount, LocalFile, LocalFinding, Wanted, line_of, told_confidences
from application.ports import ByteStream
from domain.coverage import Disposition, FailReason, SkipReason
from domain.errors import Invalid, ObjectSkipped, ObjectUnreadable
from domain.finding import Finding
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.detection.local.chosen import chosen_detectors
from infrastructure.detection.local.opening import NoFile, opened, reason_of
from infrastructure.processes import die_with_parent, limit_memory

_BEAT_SECONDS: Final = 0.5
_LINES_BYTES: Final = 48 * 1024
_KEPT: Final = 1_000
"""Occurrences of a finding looked at one by one, where not all of them are told."""

_MOST_KEPT: Final = 1_000_000
_LONGEST_DETAIL: Final = 500


def main() -> None:
    """Serve the process that holds the other end of the pipe, whose number is the last argument, until it closes it."""
    die_with_parent()
    # Ctrl-C and its like are sent to the whole group: the parent decides what becomes of the work in hand.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[-1]))
    try:
        _serve(pipe)
    except (EOFError, OSError):
        return  # the parent is gone


def _serve(pipe: Connection) -> None:
    wanted, memory = pipe.recv()
    limit_memory(memory)
    try:
        reader = _Reader(pipe, wanted)
    except Invalid as invalid:
        pipe.send(("refused", invalid.faults))
        return
    pipe.send(("ready",))
    while True:
        reader.read(pipe.recv())


class _Reader:
    def __init__(self, pipe: Connection, wanted: Wanted) -> None:
        """Raises `Invalid` for detectors or rules that are none."""
        self._pipe = pipe
        self._wanted = wanted
        chosen = chosen_detectors(wanted)
        self._severities = {detector.id: detector.severity for detector in chosen}
        kept = _MOST_KEPT if wanted.most is None else max(wanted.most, _KEPT)
        self._detection = HyperscanDetection(chosen, occurrences=kept)
        self._last_beat = 0.0

    def read(self, file: LocalFile) -> None:
        """Read one file; send the lines of its findings, then its account."""
        account, findings = self._accounted(file)
        told = tuple(self._tell(file, finding) for finding in findings if finding.confidence >= self._wanted.least)
        self._pipe.send(("account", replace(account, findings=told)))

    def _accounted(self, file: LocalFile) -> tuple[LocalAccount, Sequence[Finding]]:
        counted = _Counted()
        try:
            return self._inspected(file, counted)
        except NoFile as error:
            return LocalAccount(file.object, Disposition.SKIPPED, NO_FILE, error.detail), ()
        except ObjectSkipped as error:
            return _account(file, Disposition.SKIPPED, error, counted), ()
        except ObjectUnreadable as error:
            return _account(file, Disposition.FAILED, error, counted), error.findings
        except MemoryError:
            fault = ObjectUnreadable(FailReason.RESOURCE_LIMIT, "needs more memory than a reader may have")
        except Exception as error:  # noqa: BLE001 — a reader's own fault must not take the other files with it
            fault = ObjectUnreadable(FailReason.PARSE_ERROR, f"its reader failed: {type(error).__name__}")
        return _account(file, Disposition.FAILED, fault, counted), ()

    def _inspected(self, file: LocalFile, counted: "_Counted") -> tuple[LocalAccount, Sequence[Finding]]:
        with opened(file.path, self._going_on) as stream:
            counted.stream = stream
            if not counted.has_any():
                return LocalAccount(file.object, Disposition.SKIPPED, SkipReason.EMPTY), ()
            found = self._detection.inspect(counted, name=file.object, size=file.size, stopped=self._going_on)
        account = LocalAccount(
            file.object, Disposition.SCANNED, remark=found.remark[:_LONGEST_DETAIL], bytes_read=counted.bytes_read
        )
        return account, found.findings

    def _going_on(self) -> bool:
        """Called with every block that is read or searched: a sign that the reading gets on. Nobody stops it."""
        now = time.monotonic()
        if now - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = now
            self._pipe.send(("beat",))
        return False

    def _tell(self, file: LocalFile, finding: Finding) -> LocalFinding:
        """Send the lines of a finding; its sums."""
        confidences = told_confidences(finding)
        doubtful = sum(confidence < self._wanted.least for confidence in confidences)
        left = finding.count - len(confidences)
        found = LocalFinding(
            finding.detector,
            finding.category,
            self._severities[finding.detector],
            finding.column,
            finding.confidence,
            hits=finding.count - doubtful,
            at_most=left > 0 and doubtful > 0,
        )
        sure = len(confidences) - doubtful
        told = sure if self._wanted.most is None else min(sure, self._wanted.most)
        for run in _runs(_lines(file.object, found, finding, confidences, self._wanted.least), told):
            self._pipe.send(("lines", run))
        return replace(found, told=told, cut=self._wanted.most is None and left > 0)


class _Counted:
    """A stream that counts its bytes, and of which the first were read to see if there are any."""

    def __init__(self) -> None:
        self.stream: ByteStream | None = None
        self.bytes_read = 0
        self._ahead = b""

    def has_any(self) -> bool:
        self._ahead = self.read(64 * 1024)
        return bool(self._ahead)

    def read(self, size: int, /) -> bytes:
        assert self.stream is not None
        if self._ahead:
            chunk, self._ahead = self._ahead[:size], self._ahead[size:]
            return chunk
        chunk = self.stream.read(size)
        self.bytes_read += len(chunk)
        return chunk


def _account(
    file: LocalFile, disposition: Disposition, error: ObjectSkipped | ObjectUnreadable, counted: _Counted
) -> LocalAccount:
    return LocalAccount(
        file.object,
        disposition,  # type: ignore[arg-type]  # the callers give one of the two
        reason_of(error) if isinstance(error, ObjectUnreadable) else error.reason,
        error.detail[:_LONGEST_DETAIL],
        bytes_read=counted.bytes_read,
    )


def _lines(
    told_as: str, found: LocalFinding, finding: Finding, confidences: Sequence[float], least: float
) -> Iterator[str]:
    for confidence, occurrence in zip(confidences, finding.occurrences, strict=True):
        if confidence >= least:
            yield line_of(told_as, found, confidence, occurrence)


def _runs(lines: Iterator[str], most: int) -> Iterator[str]:
    """The first `most` lines, joined to runs that are no longer than a message should be."""
    run: list[str] = []
    size = 0
    for _, line in zip(range(most), lines, strict=False):
        run.append(line)
        size += len(line)
        if size >= _LINES_BYTES:
            yield "".join(run)
            run, size = [], 0
    if run:
        yield "".join(run)
