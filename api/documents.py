"""What clients get, field by field, as OpenAPI describes it. The tests hold real answers against these."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from domain.coverage import CoverageStrategy, Disposition, EnumerationStatus
from domain.detectors.rule import Severity

Data = TypeVar("Data")
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

ScanStatus = Literal["queued", "running", "paused", "completed", "partial", "failed", "cancelled"]


class Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class Metadata(Document):
    request_id: Annotated[str, Field(examples=["req-a0326d70c1054b1d85f84ecc26f5e212"])]
    timestamp: datetime


class Pagination(Document):
    limit: int
    next_cursor: str | None
    has_more: bool


class Success(Document, Generic[Data]):
    status: Literal["success"]
    data: Data
    metadata: Metadata


class Listing(Document, Generic[Data]):
    status: Literal["success"]
    data: list[Data]
    pagination: Pagination
    metadata: Metadata


class FieldFault(Document):
    field: Annotated[str, Field(examples=["options.max_files"])]
    message: str


class ErrorBody(Document):
    code: Annotated[str, Field(examples=["SCAN_NOT_FOUND"])]
    message: Annotated[str, Field(description="One sentence a person can act on.")]
    details: Annotated[dict[str, Any], Field(description="For VALIDATION_ERROR: `fields`, every fault at once.")]


class Error(Document):
    status: Literal["error"]
    error: ErrorBody
    metadata: Metadata


class Problem(Document):
    """RFC 9457, for `Accept: application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    details: dict[str, Any]
    request_id: str
    timestamp: datetime


# Scans ----------------------------------------------------------------------------------------------------------------


class StartedScan(Document):
    scan_id: Annotated[str, Field(examples=["scan-52dp13p85xdybpcdhhv5k0ra3b"])]
    status: Literal["queued"]
    connectors: list[str]
    type: str
    workers_requested: int
    created_at: datetime


class RedrivenScan(StartedScan):
    redrive_of: Annotated[str, Field(description="The scan whose failed and remaining objects this one looks at.")]


class Options(Document):
    max_files: int
    max_workers: int
    file_types: list[str]
    prefixes: list[str]
    llm_assist: bool
    timeout_minutes: int
    coverage_target: Share
    coverage_strategy: CoverageStrategy
    sample_percent: Annotated[int, Field(ge=1, le=100)]
    detectors: Annotated[list[str], Field(description="Ids and categories as they were asked for; none: all.")]
    priority: Annotated[int, Field(ge=0, le=9)]


class Progress(Document):
    files_total: Count
    files_processed: Count
    files_failed: Count
    findings_count: Count
    hits_allowed: Annotated[int, Field(ge=0, description="Hits that the allow list kept out of the findings.")]
    percent_complete: Annotated[int, Field(ge=0, le=100, description="Whole number, floored.")]
    elapsed_seconds: Annotated[float, Field(description="Without the time that it was paused.")]
    estimated_remaining_seconds: Annotated[
        float | None, Field(description="Linear; null while nothing is processed; a lower bound while listing goes on.")
    ]
    bytes_total: Count
    bytes_processed: Count


class ListingUnit(Document):
    connector: str
    prefix: str
    status: str
    total_enumerated: Count
    detail: str | None


class CoverageDocument(Document):
    """`total_enumerated = total_scanned + total_skipped + total_failed + total_remaining`, at every version."""

    coverage_target: Share
    coverage_strategy: CoverageStrategy
    coverage_pct: Share
    target_met: bool
    completeness_score: Share
    enumeration_status: EnumerationStatus
    total_enumerated: Count
    total_scanned: Count
    total_skipped: Count
    total_failed: Count
    total_remaining: Count
    coverage_of_eligible: Share
    skipped_by_reason: dict[str, int]
    failed_by_reason: dict[str, int]
    listing: list[ListingUnit]


class WorkerSums(Document):
    total: Annotated[int, Field(description="That ever took part.")]
    active: Count
    completed: Count
    failed: Count


class ListedScan(Document):
    scan_id: str
    status: ScanStatus
    type: str
    connectors: list[str]
    redrive_of: Annotated[str | None, Field(description="The scan whose failed and remaining objects it looks at.")]
    options: Options
    progress: Progress
    coverage: CoverageDocument
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: Annotated[str | None, Field(description="Why it is partial or failed.")]
    data_erased_at: Annotated[datetime | None, Field(description="Since when its findings and objects are erased.")]
    version: Count


class Scan(ListedScan):
    workers: WorkerSums


class WorkerChunk(Document):
    chunk_id: Count
    connector: str
    start_index: Count
    end_index: Annotated[int, Field(description="Inclusive position in the scan's manifest.")]
    file_count: Count
    attempt: int


class ChunkProgress(Document):
    files_processed: Count
    findings_count: Count
    percent_complete: Annotated[int, Field(ge=0, le=100)]


class Worker(Document):
    worker_id: str
    status: Literal["running", "idle", "completed", "failed"]
    chunk: WorkerChunk | None
    progress: ChunkProgress | None
    chunks_completed: Count
    files_processed_total: Count
    findings_total: Count
    started_at: datetime | None
    completed_at: datetime | None
    last_seen_at: datetime | None


class PartialResults(Document):
    files_processed: Count
    findings_count: Count


class CancelledScan(Document):
    scan_id: str
    status: Literal["cancelled"]
    partial_results: PartialResults
    cancelled_at: datetime


class PausedScan(Document):
    scan_id: str
    status: Literal["paused"]
    paused_at: datetime


class ResumedScan(Document):
    scan_id: str
    status: Literal["queued", "running"]
    resumed_at: datetime


class FoundOccurrence(Document):
    """Where one hit stands; positions that do not apply are left out."""

    masked: Annotated[str, Field(examples=["****-****-****-1111"])]
    byte_offset: int | None = None
    length: int | None = None
    line: int | None = None
    column: int | None = None
    record_index: int | None = None
    field: str | None = None
    json_path: str | None = None
    confidence: Annotated[float | None, Field(ge=0, le=1, description="Of this hit alone.")] = None
    inner_path: Annotated[
        str | None, Field(description="The file in an archive that it stands in.", examples=["b/d.zip!/e.csv"])
    ] = None
    page: Annotated[int | None, Field(ge=1, description="Of a document; a slide's number, too.")] = None
    sheet: Annotated[str | None, Field(description="Of a workbook.")] = None
    cell: Annotated[str | None, Field(description="In the sheet.", examples=["C17"])] = None


class Finding(Document):
    finding_id: str
    connector: str
    object: Annotated[str, Field(description="The key, or the path relative to the connector's root.")]
    detector: Annotated[str, Field(examples=["payment.card"])]
    category: Annotated[str, Field(examples=["payment"])]
    severity: Annotated[Severity, Field(description="That of its detector.")]
    confidence: Share
    count: Annotated[int, Field(ge=1)]
    column: str | None
    first_seen_at: datetime
    gone_at: Annotated[
        datetime | None, Field(description="When a later scan of the connector no longer found the object.")
    ]
    occurrences: Annotated[list[FoundOccurrence], Field(max_length=15)]


class LedgerLine(Document):
    index: Annotated[int, Field(ge=0, description="Position in the scan's manifest.")]
    connector: str
    object: str
    size: Count
    etag: str | None
    last_modified: datetime | None
    storage_class: str | None
    disposition: Disposition
    reason: str | None
    scanned_by: Annotated[
        str | None, Field(description="For an `unchanged` object, the earlier scan that it counts as scanned by.")
    ]
    detail: Annotated[
        str | None, Field(description="More on the reason; of a scanned object, what is packed in it and was skipped.")
    ]
    chunk_id: int | None


class Event(Document):
    event_id: str
    scan_id: Annotated[str | None, Field(description="None for an event of a connector.")]
    connector_id: Annotated[str | None, Field(description="None for an event of a scan.")]
    version: Annotated[int, Field(ge=1)]
    position: Annotated[int, Field(ge=1, description="In the whole log.")]
    kind: Annotated[str, Field(examples=["scan.chunk-completed"])]
    schema_: Annotated[int, Field(alias="schema")]
    occurred_at: datetime
    actor: Annotated[str, Field(description="key:…, worker:… or system:…")]
    data: dict[str, Any]


# Connectors and service -----------------------------------------------------------------------------------------------


class ConnectorDocument(Document):
    connector_id: Annotated[str, Field(examples=["conn-0a145prv848kfn5gcz0xvkyk0j"])]
    name: str
    type: Literal["s3", "filesystem"]
    execution: Literal["managed", "byoc"]
    status: Literal["pending_test", "active", "error", "disabled"]
    config: Annotated[dict[str, Any], Field(description="Without secrets.")]
    has_credentials: bool
    detail: Annotated[str | None, Field(description="How the last test went.")]
    created_at: datetime
    version: int


class DeletedConnector(Document):
    connector_id: str
    deleted: Literal[True]


class TestedConnector(Document):
    connector_id: str
    status: Literal["active", "error", "disabled"]
    ok: bool
    detail: str
    tested_at: datetime


class Health(Document):
    status: Literal["ok"]
    version: str


class ReadinessCheck(Document):
    ok: bool
    detail: str


class Ready(Document):
    status: Literal["ready"]
    checks: dict[str, ReadinessCheck]
