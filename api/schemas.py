"""What clients may send: bodies and query strings, strict in every field."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)

from application.exporting import Format
from application.scans import UNKNOWN_DETECTOR, unreachable_target
from domain.coverage import CoverageStrategy, Disposition, FailReason, SkipReason
from domain.detectors import names
from domain.detectors.rule import Severity
from domain.errors import Fault
from domain.policy import DEFAULT_PRIORITY
from domain.scan import Status

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[ +-]\d\d:\d\d)", re.ASCII)

Value = TypeVar("Value")


def must(holds: Callable[[Any], bool], message: str) -> AfterValidator:
    def check(value: Value) -> Value:
        if not holds(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


Positive = Annotated[StrictInt, Field(ge=1)]
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1024)]
FileType = Annotated[
    Text,
    must(lambda v: not v.startswith("."), "is written without the dot: csv, not .csv"),
    must(lambda v: "/" not in v, "is an extension, which has no slash; folders go into options.prefixes"),
]


Name = Annotated[StrictStr, StringConstraints(min_length=1, max_length=200)]

DETECTORS: Final = "detectors"
"""In the context of a validation: the ids and categories that there are; without it, those that are built in."""


def _known(name: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get(DETECTORS) or names()
    if name not in known:
        raise ValueError(UNKNOWN_DETECTOR)
    return name


DetectorName = Annotated[
    StrictStr,
    AfterValidator(_known),
    Field(json_schema_extra={"pattern": r"^[a-z]{2,16}(\.[a-z0-9]+(-[a-z0-9]+)*)?$"}, examples=["payment.card"]),
]
ScanType = Literal["full", "incremental"]
Strategy = Literal["best_effort", "strict"]
Target = Annotated[StrictFloat, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[StrictInt, Field(ge=1, le=100)]


def left_out(description: str, example: Any) -> Any:
    """A field that is None when it was left out, and that no client can set to null."""

    def without_default(schema: dict[str, Any]) -> None:
        schema.pop("default", None)

    return Field(default=None, description=description, examples=[example], json_schema_extra=without_default)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ScanOptions(Body):
    """How to scan. Everything has a default; ceilings are the tenant's tier."""

    max_files: Positive = left_out("Most objects to plan. Default and ceiling: the tenant's tier.", 10_000)
    max_workers: Positive = left_out("Most chunks of this scan in work at once. Default and ceiling: the tier.", 8)
    file_types: Annotated[
        list[FileType],
        Field(max_length=100, description="Extensions to include, without the dot, in any case.", examples=[["csv"]]),
    ] = []
    prefixes: Annotated[
        list[Text],
        Field(max_length=100, description="Prefixes of object keys to include.", examples=[["exports/2026/"]]),
    ] = []
    llm_assist: Annotated[
        StrictBool, Field(description="Let a language model judge doubtful findings; 409 where none is set up.")
    ] = False
    timeout_minutes: Annotated[
        StrictInt, Field(ge=1, le=10_080, description="The scan ends as timed out after this.")
    ] = 120
    coverage_target: Annotated[Target, Field(description="Share of discovered objects that must be scanned.")] = 0.8
    coverage_strategy: Annotated[
        Strategy, Field(description="strict: a scan that ends below its target has failed.")
    ] = "best_effort"
    sample_percent: Annotated[
        Percent,
        Field(description="Scan a sample of the eligible objects, the same each time; not_sampled skips the rest."),
    ] = 100
    detectors: Annotated[
        list[DetectorName],
        Field(max_length=200, description="Ids or categories to run; none: all.", examples=[["payment", "pii.email"]]),
    ] = []
    priority: Annotated[
        StrictInt, Field(ge=0, le=9, description="A higher one gets free workers first; no scan starves.")
    ] = DEFAULT_PRIORITY


class _Reach(BaseModel):
    """What it depends on whether a scan can reach its target."""

    type: ScanType
    coverage_target: Target = 0.8
    coverage_strategy: Strategy = "best_effort"
    sample_percent: Percent = 100


class StartScan(Body):
    """POST /scans/parallel."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "connectors": ["conn-01h8xgjwbwbaq4k5s0n3v5z7ty"],
                    "type": "full",
                    "options": {"file_types": ["csv", "json"], "max_workers": 8, "coverage_target": 0.95},
                }
            ]
        }
    )

    connectors: Annotated[
        list[Text],
        Field(min_length=1, max_length=100, json_schema_extra={"uniqueItems": True}, description="What to scan."),
    ]
    type: Annotated[
        ScanType,
        Field(
            description="full reads everything; incremental only what is new or changed, or was scanned with other"
            " detectors, since the scans of each connector that ended before."
        ),
    ]
    options: ScanOptions = ScanOptions()

    @staticmethod
    def further_faults(value: Mapping[str, Any]) -> Iterator[Fault]:
        """Connectors named twice, and a target out of reach, whatever else is wrong."""
        given = value.get("connectors")
        names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
        if len(set(names)) < len(names):
            yield Fault("connectors", "names a connector twice; name each once")
        options = value.get("options", {})
        try:
            asked = _Reach.model_validate({**options, "type": value.get("type")} if isinstance(options, dict) else {})
        except ValidationError:
            return
        strategy = CoverageStrategy(asked.coverage_strategy)
        if fault := unreachable_target(asked.type, strategy, asked.sample_percent, asked.coverage_target):
            yield fault


class CreateConnector(Body):
    """POST /connectors. `config` depends on `type`; secrets in it are sealed and never come back."""

    name: Annotated[Name, Field(examples=["Exports"])]
    type: Literal["s3", "filesystem"]
    execution: Annotated[
        Literal["managed", "byoc"],
        must(lambda v: v == "managed", "byoc is not available yet; use managed"),
        Field(description="Where it is read: managed, by the service's own workers."),
    ] = "managed"
    config: dict[str, Any]


class ChangeConnector(Body):
    """PATCH /connectors/{id}: any of these. `config` is merged (RFC 7396): null removes a setting."""

    name: Name = left_out("What people call it.", "Exports")
    config: dict[str, Any] = left_out("The settings to change.", {"prefixes": ["exports/"]})
    status: Literal["disabled", "active"] = left_out(
        "disabled: not to be scanned. active: enabled again, pending_test until it is tested.", "disabled"
    )


class Nothing(Body):
    """A request without a body, or with an empty object."""


# Query strings --------------------------------------------------------------------------------------------------------


def _whole(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal() and len(value) <= 10):
        raise ValueError("must be a whole number")
    return value


def _moment(value: object) -> object:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be a time as RFC 3339 has it, such as 2026-01-31T12:00:00Z")
    # An unescaped + of an offset arrives as a space.
    text = value[:19].replace(" ", "T") + value[19:].replace(" ", "+")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("is no moment of the calendar") from error


WholeNumber = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Moment = Annotated[datetime, BeforeValidator(_moment)]

_REASONS: Final = sorted({*map(str, SkipReason), *map(str, FailReason)})
_STATUSES: Final = [status.value for status in Status if status is not Status.NEW]

Reason = Annotated[
    str,
    must(lambda v: v in _REASONS, f"must be one of: {', '.join(_REASONS)}"),
    Field(json_schema_extra={"enum": list(_REASONS)}),
]
ScanStatus = Annotated[
    str,
    must(lambda v: v in _STATUSES, f"must be one of: {', '.join(_STATUSES)}"),
    Field(json_schema_extra={"enum": list(_STATUSES)}),
]


class PageQuery(BaseModel):
    """Of every list."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    limit: Annotated[int, Field(ge=1, le=100, description="Items a page."), BeforeValidator(_whole)] = 20
    cursor: Annotated[str | None, Field(description="next_cursor of the page before, with the same filters.")] = None

    @property
    def filters(self) -> dict[str, Any]:
        """What a cursor is bound to."""
        return self.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)


class NoQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScansQuery(PageQuery):
    connector: Annotated[str | None, Field(description="Scans that read this connector.")] = None
    status: Annotated[list[ScanStatus], Field(description="One or more, repeated or separated by commas.")] = []
    since: Annotated[Moment | None, Field(description="Created after this moment (RFC 3339).")] = None
    type: Annotated[ScanType | None, Field(description="Scans of this type.")] = None


class FindingsFilter(BaseModel):
    """Which findings of a scan."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    category: Annotated[str | None, Field(description="Such as pii, payment, secret.")] = None
    detector: Annotated[str | None, Field(description="A detector's id, such as payment.card.")] = None
    severity: Annotated[Severity | None, Field(description="How grave its detector is.")] = None
    min_confidence: Annotated[
        float | None, Field(ge=0, le=1, allow_inf_nan=False, description="Confidence of at least this, 0 to 1.")
    ] = None
    connector: Annotated[str | None, Field(description="Findings in this connector.")] = None
    object: Annotated[str | None, Field(description="Findings in this object: its whole key or path.")] = None


class FindingsQuery(FindingsFilter, PageQuery):
    pass


class ExportQuery(FindingsFilter):
    format: Annotated[Format, Field(description="Of the file. ocsf is NDJSON, an event a line.")]


class ObjectsQuery(PageQuery):
    disposition: Annotated[Disposition | None, Field(description="What became of the object.")] = None
    reason: Annotated[Reason | None, Field(description="Why it was skipped or failed.")] = None
