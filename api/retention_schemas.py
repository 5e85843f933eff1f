"""What clients ask of erasure and of the record of accesses, and what they get."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.documents import Count, Document
from api.schemas import Moment, PageQuery
from application.access import Operation


class AccessQuery(PageQuery):
    since: Annotated[Moment | None, Field(description="Accesses from this moment on (RFC 3339).")] = None
    until: Annotated[Moment | None, Field(description="Accesses before this moment (RFC 3339).")] = None
    key: Annotated[str | None, Field(description="By the API key of this id.")] = None
    scan: Annotated[str | None, Field(description="To this scan's data.")] = None
    operation: Annotated[Operation | None, Field(description="Of this kind.")] = None


class AccessDocument(Document):
    number: int
    at: datetime
    actor: Annotated[str, Field(examples=["key:3f9a0c5e7d21"])]
    operation: Operation
    scan_id: str | None
    connector_id: str | None
    filters: Annotated[dict[str, Any], Field(description="As they were given; an object's key as a keyed hash.")]
    rows: Annotated[int | None, Field(ge=0, description="How many were shown; null for a stream.")]
    request_id: str


class Erased(Document):
    state: Annotated[
        Literal["erasing", "erased"], Field(description="Whether rows are still there, which none can read.")
    ]
    erased_at: datetime
    erased_by: Annotated[str, Field(examples=["key:3f9a0c5e7d21"])]
    erased: Annotated[dict[str, Count], Field(description="What there was, in rows by table.")]


class ErasedScan(Erased):
    scan_id: str


class ErasedConnector(Erased):
    connector_id: str
    scans: Annotated[int, Field(ge=0, description="Scans whose data goes with it.")]
