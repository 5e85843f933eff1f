"""The wire between coordinator and workers: commands, reports, telemetry, control. JSON, version 1.

Subjects: commands on `scan.cmd.<pool>.<scan>` (chunks) and `scan.list.<pool>.<scan>` (listings), reports on
`scan.report.<pool>.<scan>`, control on `scan.control.<scan>`, telemetry on `scan.progress.<worker>`, credentials by
request on `scan.credentials.<connector>`. A reader refuses another version and ignores fields it does not know.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from domain.connector import ConnectorType
from domain.coverage import Disposition, FailReason, SkipReason
from domain.scan import LostReason


class Message(BaseModel):
    """Base of all messages: immutable, of wire version 1."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")

    v: Literal[1] = 1


class Source(Message):
    """Where to read, without any secret. `needs_credentials`: ask for them on `scan.credentials.<connector>`."""

    connector: str
    type: ConnectorType
    config: dict[str, Any]
    needs_credentials: bool = False


class ListUnit(Message):
    """List all keys below `prefix` that sort after `resume_after`; number the batches from `next_batch`."""

    kind: Literal["list"] = "list"
    scan: str
    pool: str
    unit: int
    attempt: int
    source: Source
    prefix: str
    resume_after: str = ""
    next_batch: int = 1


class ScanChunk(Message):
    """Read these objects. `objects` is a block of `object_columns`, `indexes` their places in the manifest.

    `plan` is the token of the planning that cut the chunk; the reports about it carry it back.
    """

    kind: Literal["scan"] = "scan"
    scan: str
    pool: str
    chunk: int
    attempt: int
    plan: str
    source: Source
    start_index: int
    end_index: int
    indexes: list[int]
    objects: str


Command = ListUnit | ScanChunk


class Report(Message):
    scan: str
    worker: str


class ListingStarted(Report):
    kind: Literal["listing-started"] = "listing-started"
    unit: int
    attempt: int


class ObjectsListed(Report):
    """Batch `batch` of a unit; `objects` is a block of `object_columns` in key order, what follows the key `after`."""

    kind: Literal["objects-listed"] = "objects-listed"
    unit: int
    attempt: int
    batch: int = Field(ge=1)
    after: str
    objects: str


class ListingCompleted(Report):
    """The unit was listed to its end: nothing follows `after`. `batches` counts those of earlier attempts too."""

    kind: Literal["listing-completed"] = "listing-completed"
    unit: int
    attempt: int
    batches: int = Field(ge=0)
    after: str


class ListingFailed(Report):
    kind: Literal["listing-failed"] = "listing-failed"
    unit: int
    attempt: int
    reason: str
    detail: str
    permanent: bool


class ReportedOccurrence(Message):
    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    masked: str
    byte_offset: int | None = None
    length: int | None = None
    line: int | None = None
    column: int | None = None
    record_index: int | None = None
    field: str | None = None
    json_path: str | None = None


class ReportedFinding(Message):
    """A finding in the object at manifest position `index`."""

    index: int
    object: str
    detector: str
    category: str
    confidence: float = Field(ge=0, le=1)
    count: int = Field(ge=1)
    column: str | None = None
    occurrences: list[ReportedOccurrence] = Field(max_length=15)


class ReportedException(Message):
    """An object that was skipped or failed while reading. `detail` holds no object content."""

    index: int
    disposition: Literal[Disposition.SKIPPED, Disposition.FAILED]
    reason: SkipReason | FailReason
    detail: str = ""


class ChunkStarted(Report):
    kind: Literal["chunk-started"] = "chunk-started"
    chunk: int
    attempt: int
    plan: str
    started_at: datetime


class ChunkFindings(Report):
    """Part `part` (from 1) of the findings of a chunk whose report would be too large for one message."""

    kind: Literal["chunk-findings"] = "chunk-findings"
    chunk: int
    attempt: int
    plan: str
    part: int = Field(ge=1)
    findings: list[ReportedFinding]


class ChunkCompleted(Report):
    """The result of a chunk: `scanned` objects read to their end, and the exceptions. `parts` parts came before it."""

    kind: Literal["chunk-completed"] = "chunk-completed"
    chunk: int
    attempt: int
    plan: str
    started_at: datetime
    scanned: int = Field(ge=0)
    bytes_read: int = Field(ge=0)
    exceptions: list[ReportedException]
    findings: list[ReportedFinding]
    parts: int = Field(default=0, ge=0)


class ChunkFailed(Report):
    """An attempt that came to nothing. `started_at` is set if its work had begun."""

    kind: Literal["chunk-failed"] = "chunk-failed"
    chunk: int
    attempt: int
    plan: str
    reason: LostReason
    started_at: datetime | None = None


class TimeIsUp(Report):
    """From the orchestrator's timer: the recorder decides, so that the log has one writer."""

    kind: Literal["time-is-up"] = "time-is-up"


AnyReport = (
    ListingStarted
    | ObjectsListed
    | ListingCompleted
    | ListingFailed
    | ChunkStarted
    | ChunkFindings
    | ChunkCompleted
    | ChunkFailed
    | TimeIsUp
)

commands: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])
reports: TypeAdapter[AnyReport] = TypeAdapter(Annotated[AnyReport, Field(discriminator="kind")])
found: TypeAdapter[list[ReportedFinding]] = TypeAdapter(list[ReportedFinding])


class ControlState(StrEnum):
    RUN = "run"
    STOP_LISTING = "stop_listing"
    STOP = "stop"


class Control(Message):
    """What the workers of a scan must heed, at once and before each piece of work. `run`: nothing is called off."""

    scan: str
    state: ControlState


class WorkInHand(Message):
    """What one slot is doing. Counts are of this piece of work."""

    worker: str
    scan: str
    unit: int | None = None
    chunk: int | None = None
    attempt: int
    files_processed: int = 0
    findings_count: int = 0


class Telemetry(Message):
    """Presence of a scanner, once a second: its slots for chunks, and what they are doing."""

    scanner: str
    pool: str
    slots: int
    stopping: bool = False
    work: list[WorkInHand] = []


class CredentialsAnswer(Message):
    """Secrets for a connector with an open scan, kept in memory for `ttl_seconds`; or why there are none."""

    credentials: dict[str, str] | None = None
    ttl_seconds: int = 300
    refused: str | None = None


def schemas() -> dict[str, Any]:
    """The JSON Schemas of everything on the wire, by family."""
    families: dict[str, TypeAdapter[Any]] = {
        "commands": commands,
        "reports": reports,
        "control": TypeAdapter(Control),
        "telemetry": TypeAdapter(Telemetry),
        "credentials": TypeAdapter(CredentialsAnswer),
    }
    return {name: adapter.json_schema() for name, adapter in families.items()}


if __name__ == "__main__":
    print(json.dumps(schemas(), indent=2))  # noqa: T201 — that is what it is run for
