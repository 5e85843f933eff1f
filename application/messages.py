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
from domain.finding import Finding, Occurrence
from domain.scan import LostReason


class Message(BaseModel):
    """Base of all messages: immutable, of wire version 1."""

    # An error is logged; what it is about may hold secrets.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", hide_input_in_errors=True)

    v: Literal[1] = 1


class Source(Message):
    """Where to read, without any secret. `needs_credentials`: ask for them on `scan.credentials.<connector>`."""

    connector: str
    type: ConnectorType
    config: dict[str, Any]
    needs_credentials: bool = False


class ListUnit(Message):
    """List all keys below `prefix` that sort after `resume_after` and, unless `until` is empty, not after `until`;
    number the batches from `next_batch`.

    `fan_out`: a long listing may be parted. With `only`, a block of `object_columns`, just these objects are looked up;
    `more` says that others follow in the next attempt.
    """

    kind: Literal["list"] = "list"
    scan: str
    pool: str
    unit: int
    attempt: int
    source: Source
    prefix: str
    resume_after: str = ""
    until: str = ""
    next_batch: int = 1
    fan_out: bool = False
    only: str | None = None
    more: bool = False


class ScanChunk(Message):
    """Read these objects. `objects` is a block of `object_columns`, `indexes` their places in the manifest.

    Of a huge object it may be just part `part` of `parts`. `detectors` are the ids of those to run (none: all), `rules`
    the tenant's own, as `application.pinned_rules` writes them (empty: it has none). `plan` is the token of the
    planning that cut the chunk; the reports about it carry it back.
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
    part: int = 0
    parts: int = 1
    detectors: list[str] = []
    rules: str = ""


Command = ListUnit | ScanChunk


class Report(Message):
    scan: str
    worker: str


class ListingStarted(Report):
    kind: Literal["listing-started"] = "listing-started"
    unit: int
    attempt: int


class ObjectsListed(Report):
    """Batch `batch` of a unit; `objects` is a block of `object_columns` in key order, what follows the key `after`.

    `continues`: it is the last of the command's, and more are to come in the next attempt.
    """

    kind: Literal["objects-listed"] = "objects-listed"
    unit: int
    attempt: int
    batch: int = Field(ge=1)
    after: str
    objects: str
    continues: bool = False


class ListingSplit(Report):
    """What the unit has left is large: it is listed as far as the first of `bounds`; the rest is to be parted there."""

    kind: Literal["listing-split"] = "listing-split"
    unit: int
    attempt: int
    bounds: list[str] = Field(min_length=1)


class ListingCompleted(Report):
    """The unit was listed to its end, which is `until`: nothing follows `after`. `batches` counts those of earlier
    attempts too."""

    kind: Literal["listing-completed"] = "listing-completed"
    unit: int
    attempt: int
    batches: int = Field(ge=0)
    until: str = ""
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
    confidence: float | None = None
    inner_path: str | None = None
    page: int | None = None
    sheet: str | None = None
    cell: str | None = None


class ReportedFinding(Message):
    """A finding in the object at manifest position `index`."""

    index: int
    object: str
    detector: str
    category: str
    confidence: float = Field(ge=0, le=1)
    count: int = Field(ge=1)
    column: str | None = None
    rejected: int = 0
    occurrences: list[ReportedOccurrence] = Field(max_length=15)

    @classmethod
    def of(cls, index: int, key: str, finding: Finding) -> "ReportedFinding":
        return cls(
            index=index,
            object=key,
            detector=finding.detector,
            category=finding.category,
            confidence=finding.confidence,
            count=finding.count,
            column=finding.column,
            rejected=finding.rejected,
            occurrences=[ReportedOccurrence.model_validate(occurrence) for occurrence in finding.occurrences],
        )

    def as_finding(self) -> Finding:
        occurrences = tuple(Occurrence(**occurrence.model_dump(exclude={"v"})) for occurrence in self.occurrences)
        return Finding(
            self.detector,
            self.category,
            self.confidence,
            self.count,
            occurrences,
            self.column,
            self.rejected,
        )


class ReportedException(Message):
    """An object that was skipped or failed while reading. `detail` holds no object content."""

    index: int
    disposition: Literal[Disposition.SKIPPED, Disposition.FAILED]
    reason: SkipReason | FailReason
    detail: str = ""


class ReportedRemark(Message):
    """What is to be known of an object that was scanned: that something packed in it was skipped."""

    index: int
    detail: str


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
    """The result of a chunk: `scanned` objects read to their end (some with a remark), and the exceptions. `parts`
    parts came before it. `allowed` counts the hits that the tenant's allow list kept out of the findings.

    For a part of a huge object `lines` and `records` count those in it, and its findings are placed relative to it.
    """

    kind: Literal["chunk-completed"] = "chunk-completed"
    chunk: int
    attempt: int
    plan: str
    started_at: datetime
    scanned: int = Field(ge=0)
    bytes_read: int = Field(ge=0)
    exceptions: list[ReportedException]
    remarks: list[ReportedRemark] = []
    findings: list[ReportedFinding]
    allowed: int = Field(default=0, ge=0)
    parts: int = Field(default=0, ge=0)
    lines: int = Field(default=0, ge=0)
    records: int = Field(default=0, ge=0)


class ChunkFailed(Report):
    """An attempt that came to nothing. `started_at` is set if its work had begun; `suspect` is the manifest position of
    the object that was being read when the worker was lost, if that is known."""

    kind: Literal["chunk-failed"] = "chunk-failed"
    chunk: int
    attempt: int
    plan: str
    reason: LostReason
    started_at: datetime | None = None
    suspect: int | None = None


class TimeIsUp(Report):
    """From the orchestrator's timer: the recorder decides, so that the log has one writer."""

    kind: Literal["time-is-up"] = "time-is-up"


AnyReport = (
    ListingStarted
    | ObjectsListed
    | ListingSplit
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
    """`run`: nothing is called off. `pause`: listings end, and no chunk begins; those in work finish."""

    RUN = "run"
    PAUSE = "pause"
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
