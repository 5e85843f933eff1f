"""Messages on their way, and what a worker makes of a command: the real listing and scanning, of planted objects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from application.listing import list_unit
from application.messages import (
    AnyReport,
    ChunkFailed,
    ChunkStarted,
    Command,
    ListingFailed,
    ListingStarted,
    ListUnit,
    Report,
    commands,
    reports,
)
from application.scanning import ChunkProgress, scan_chunk
from domain.scan import LostReason
from tests.application.planted import Died, PlantedDetection, PlantedSource

Key = tuple[str, str, int]
"""A scan, and its `chunk` or `unit` of that number."""


@dataclass(slots=True, eq=False)
class Sent:
    """A command in the stream, till it is acknowledged; a copy of it is another."""

    body: bytes
    deliveries: int = 0
    held: bool = False

    @property
    def command(self) -> Command:
        return commands.validate_json(self.body)


@dataclass(slots=True, eq=False)
class Told:
    """A report in the stream, till it is acknowledged. `early` is how often it came too early."""

    body: bytes
    early: int = 0

    @property
    def report(self) -> AnyReport:
        return reports.validate_json(self.body)


@dataclass(slots=True, eq=False)
class Work:
    """A command in a worker's hands, with what it is still to report. `dies_at` an object, after the last of that."""

    sent: Sent
    command: Command
    worker: str
    unsaid: list[Report]
    dies_at: int | None = None


def key_of(message: Any) -> Key:
    """What a command or report is about."""
    if hasattr(message, "chunk"):
        return message.scan, "chunk", message.chunk
    return message.scan, "unit", getattr(message, "unit", -1)


def begun(sent: Sent, worker: str, *, page: int, announced: bool, started_at: datetime) -> Work:
    """A worker's work on a command, done as far as it gets."""
    command = sent.command
    work = Work(sent, command, worker, [])
    if isinstance(command, ListUnit):
        source = PlantedSource(command.source.connector, page)
        work.unsaid.append(ListingStarted(scan=command.scan, worker=worker, unit=command.unit, attempt=command.attempt))
        list_unit(command, source, worker=worker, emit=work.unsaid.append, stopped=lambda: False)
        return work
    reading: list[int] = []
    announcement = ChunkStarted(
        scan=command.scan,
        worker=worker,
        chunk=command.chunk,
        attempt=command.attempt,
        plan=command.plan,
        started_at=started_at,
    )
    try:
        scan_chunk(
            command,
            PlantedSource(command.source.connector, page),
            PlantedDetection(),
            worker=worker,
            started_at=started_at,
            emit=work.unsaid.append,
            stopped=lambda: False,
            progress=ChunkProgress(begin=reading.append),
        )
    except Died:
        work.dies_at = reading[-1]
    if announced or work.dies_at is not None:
        work.unsaid.insert(0, announcement)
    return work


def lost(
    command: Command, worker: str, reason: LostReason, started_at: datetime | None = None, suspect: int | None = None
) -> Report:
    """That a command came to nothing."""
    if isinstance(command, ListUnit):
        return ListingFailed(
            scan=command.scan,
            worker=worker,
            unit=command.unit,
            attempt=command.attempt,
            reason=reason,
            detail="lost",
            permanent=False,
        )
    return ChunkFailed(
        scan=command.scan,
        worker=worker,
        chunk=command.chunk,
        attempt=command.attempt,
        plan=command.plan,
        reason=reason,
        started_at=started_at,
        suspect=suspect,
    )
