"""What clients get of webhooks, as OpenAPI describes it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.documents import Count, Document
from domain.webhook import DeliveryStatus


class WebhookDocument(Document):
    webhook_id: Annotated[str, Field(examples=["whk-52dp13p85xdybpcdhhv5k0ra3b"])]
    url: str
    description: str
    kinds: Annotated[list[str], Field(description="Kinds of events that are sent; `*`: all.")]
    status: Literal["enabled", "disabled"]
    disabled_reason: Annotated[
        Literal["gone", "by_client"] | None, Field(description="gone: the receiver answered 410.")
    ]
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str


class CreatedWebhook(WebhookDocument):
    secret: Annotated[
        str | None,
        Field(
            description="What verifies signatures, shown this once. Null where a repeated request comes after it was"
            " rotated or deleted.",
            examples=["whsec_…"],
        ),
    ]


class RotatedSecret(Document):
    webhook_id: str
    secret: Annotated[str, Field(description="The new one, shown this once.")]
    former_valid_until: Annotated[datetime, Field(description="Until then requests carry both signatures.")]


class WebhookTried(Document):
    webhook_id: str
    message_id: str
    ok: Annotated[bool, Field(description="Whether the receiver answered 2xx.")]
    status_code: Annotated[int | None, Field(description="What the receiver answered; null: nothing.")]
    detail: str
    milliseconds: Count


class DeliveryDocument(Document):
    delivery_id: Annotated[str, Field(examples=["dlv-1042"])]
    webhook_id: str
    event_id: Annotated[str, Field(description="The message's webhook-id.")]
    kind: str
    position: Count
    status: DeliveryStatus
    attempts: Annotated[int, Field(ge=0, description="Since it was entered or sent again.")]
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status_code: Annotated[int | None, Field(description="What the receiver answered; null: nothing yet.")]
    last_detail: str | None
    created_at: datetime


class DeletedWebhook(Document):
    webhook_id: str
    deleted: Literal[True]
