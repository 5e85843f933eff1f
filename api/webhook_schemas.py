"""What clients may send of webhooks."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StrictInt, StrictStr, StringConstraints, ValidationInfo, WithJsonSchema

from api.schemas import Body, PageQuery, left_out
from domain.webhook import DEFAULT_KINDS, EVERY_KIND, KINDS, DeliveryStatus

URL_FAULT: Final = "url_fault"
"""In the context of a validation: what is wrong with a URL, or None."""


def _url(url: str, info: ValidationInfo) -> str:
    fault = (info.context or {}).get(URL_FAULT, lambda _: None)(url)
    if fault is not None:
        raise ValueError(fault)
    return url


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"is no kind of event; the kinds are: {', '.join(KINDS[:-1])}, and {EVERY_KIND} for all")
    return kind


def _distinct(kinds: list[str]) -> list[str]:
    if len(set(kinds)) < len(kinds):
        raise ValueError("names a kind twice; name each once")
    return kinds


Url = Annotated[
    StrictStr,
    StringConstraints(min_length=1),
    AfterValidator(_url),
    WithJsonSchema({"type": "string", "format": "uri", "minLength": 1}),
]
Kinds = Annotated[
    list[Annotated[StrictStr, AfterValidator(_kind)]],
    Field(min_length=1),
    AfterValidator(_distinct),
    WithJsonSchema({"type": "array", "items": {"enum": list(KINDS)}, "minItems": 1, "uniqueItems": True}),
]
Description = Annotated[StrictStr, StringConstraints(max_length=200)]


class CreateWebhook(Body):
    """POST /webhooks."""

    url: Annotated[
        Url,
        Field(
            description="https at a public address, or what the operator allows; no user, password or fragment.",
            examples=["https://hooks.example.com/scanledger"],
        ),
    ]
    description: Annotated[Description, Field(description="What people call it.", examples=["Ticketing"])] = ""
    kinds: Annotated[
        Kinds,
        Field(
            default_factory=lambda: list(DEFAULT_KINDS),
            description="Kinds of events to send, or * for all. Default: the course of scans, not their bulk.",
        ),
    ]


class ChangeWebhook(Body):
    """PATCH /webhooks/{id}: any of these."""

    url: Url = left_out("Where to send to.", "https://hooks.example.com/scanledger")
    description: Description = left_out("What people call it.", "Ticketing")
    kinds: Kinds = left_out("Kinds of events to send, or * for all.", ["scan.completed", "scan.failed"])
    status: Literal["enabled", "disabled"] = left_out("disabled: nothing is sent.", "disabled")


class RotateSecret(Body):
    """POST /webhooks/{id}/rotate-secret."""

    overlap_hours: Annotated[
        StrictInt, Field(ge=0, le=168, description="How long the former secret signs as well, beside the new one.")
    ] = 24


class DeliveriesQuery(PageQuery):
    status: Annotated[DeliveryStatus | None, Field(description="Only deliveries in this state.")] = None


def url_context(judge: Any) -> dict[str, Any]:
    """The context in which bodies with a URL are validated."""
    return {URL_FAULT: judge}
