"""What clients may ask of the history: query strings."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from api.schemas import Moment, PageQuery, WholeNumber
from domain.connector import CONNECTOR_EVENTS
from domain.scan_events import SCAN_EVENTS

KINDS: Final = sorted(event.kind for event in (*SCAN_EVENTS, *CONNECTOR_EVENTS))


def _kind(value: str) -> str:
    if value not in KINDS:
        raise ValueError(f"must be one of: {', '.join(KINDS)}")
    return value


def _alone(at: datetime | None, info: ValidationInfo) -> datetime | None:
    if at is not None and info.data.get("version") is not None:
        raise ValueError("goes with no version: ask for one or the other")
    return at


def _with_version(wait: int | None, info: ValidationInfo) -> int | None:
    if wait is not None and info.data.get("version") is None:
        raise ValueError("needs version: the one you have, which you wait for the next of")
    return wait


class ScanQuery(BaseModel):
    """Of one scan: as it is, as it was, or as it will be in a moment."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    version: Annotated[
        WholeNumber | None,
        Field(description="The scan as it stood after this event of its history; with `wait`, the version you have."),
    ] = None
    at: Annotated[
        Moment | None, Field(description="The scan as it stood at this moment (RFC 3339)."), AfterValidator(_alone)
    ] = None
    wait: Annotated[
        WholeNumber | None,
        Field(le=60, description="Wait up to this many seconds until the scan is beyond `version`."),
        AfterValidator(_with_version),
    ] = None


class EventsQuery(PageQuery):
    kind: list[Annotated[str, AfterValidator(_kind), Field(json_schema_extra={"enum": list(KINDS)})]] = Field(
        default=[], description="One or more, repeated or separated by commas."
    )
    connector: Annotated[str | None, Field(description="Events of this connector, and of scans that read it.")] = None
    since: Annotated[Moment | None, Field(description="What occurred from this moment on (RFC 3339).")] = None
    until: Annotated[Moment | None, Field(description="What occurred before this moment (RFC 3339).")] = None


class LiveQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    after: Annotated[
        WholeNumber | None,
        Field(description="Where to begin: after this event. The header Last-Event-ID, which is the same, goes first."),
    ] = None
