"""What clients get of detectors and allow lists, as OpenAPI describes it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.documents import Count, Document, Metadata, Share
from domain.detectors.rule import Severity


class DetectorDocument(Document):
    detector: str
    category: str
    name: str
    confidence: Share
    id: Annotated[str, Field(description="The same as `detector`.", examples=["payment.card"])]
    severity: Severity
    validator: str | None
    keywords: Annotated[list[str], Field(description="One of them must stand before a value; none: nothing must.")]
    custom: Annotated[bool, Field(description="Whether it is your own.")]
    patterns: Annotated[list[str | dict[str, Any]] | None, Field(description="Of your own.")]


class DetectorDetail(DetectorDocument):
    context: list[str]
    denial: list[str]
    yields: bool
    matches: Annotated[list[str] | None, Field(description="Of your own.")]
    near_misses: Annotated[list[str] | None, Field(description="Of your own.")]
    created_at: datetime | None
    changed_at: datetime | None
    changed_by: str | None


class ExampleTried(Document):
    ok: bool
    hits: Count


class SampleHit(Document):
    byte_offset: int | None
    length: int | None
    line: int | None
    column: int | None
    masked: str
    confidence: float | None


class SampleTried(Document):
    count: Count
    hits: Annotated[list[SampleHit], Field(max_length=200)]


class DetectorTest(Document):
    matches: list[ExampleTried]
    near_misses: list[ExampleTried]
    sample: SampleTried


class TriedDetector(DetectorDetail):
    dry_run: bool
    test: DetectorTest


class DeletedDetector(Document):
    detector: str
    deleted: Literal[True]


class AllowanceDocument(Document):
    allowance_id: Annotated[str, Field(examples=["alw-52dp13p85xdybpcdhhv5k0ra3b"])]
    detector: Annotated[str | None, Field(description="The detector or category whose hits it is about; null: all.")]
    value_sha256: Annotated[str | None, Field(description="Of the value: the value itself is not kept.")]
    pattern: str | None
    object_prefix: str | None
    reason: str
    created_at: datetime
    created_by: str


class DeletedAllowance(Document):
    allowance_id: str
    deleted: Literal[True]


class Detectors(Document):
    status: Literal["success"]
    data: list[DetectorDocument]
    ruleset: Annotated[
        str, Field(description="Digest of all rules and validators, and of your own detectors and allow list.")
    ]
    metadata: Metadata
