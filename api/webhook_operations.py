"""The operations on webhooks."""

from collections.abc import Sequence
from typing import Final

from api import documents as d
from api import schemas as s
from api import webhook_documents as r
from api import webhook_schemas as w
from api.operation import Operation

WEBHOOKS: Final = "/api/v1/webhooks"
_SCOPE: Final = "connectors:write"

WEBHOOK_OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "post",
        WEBHOOKS,
        "createWebhook",
        "webhooks",
        "Have events sent to a URL",
        d.Success[r.CreatedWebhook],
        description="Each event that is logged from then on is POSTed as a CloudEvent in structured mode, signed as"
        " Standard Webhooks says, at least once; its webhook-id is its event_id. 409 WEBHOOK_LIMIT_REACHED.",
        scope=_SCOPE,
        body=w.CreateWebhook,
        success=201,
        errors=(400, 409, 413, 415, 422),
        idempotent=True,
    ),
    Operation(
        "get",
        WEBHOOKS,
        "listWebhooks",
        "webhooks",
        "Your webhooks, newest first",
        d.Listing[r.WebhookDocument],
        scope=_SCOPE,
        query=s.PageQuery,
        errors=(400,),
        conditional=True,
    ),
    Operation(
        "get",
        f"{WEBHOOKS}/{{webhook}}",
        "getWebhook",
        "webhooks",
        "One webhook",
        d.Success[r.WebhookDocument],
        scope=_SCOPE,
        errors=(400, 404),
        conditional=True,
    ),
    Operation(
        "patch",
        f"{WEBHOOKS}/{{webhook}}",
        "changeWebhook",
        "webhooks",
        "Change a webhook",
        d.Success[r.WebhookDocument],
        description="While it is disabled no events are queued for it; what was queued before waits.",
        scope=_SCOPE,
        body=w.ChangeWebhook,
        errors=(400, 404, 413, 415),
    ),
    Operation(
        "delete",
        f"{WEBHOOKS}/{{webhook}}",
        "deleteWebhook",
        "webhooks",
        "Delete a webhook, its secrets and its deliveries",
        d.Success[r.DeletedWebhook],
        scope=_SCOPE,
        errors=(400, 404),
    ),
    Operation(
        "post",
        f"{WEBHOOKS}/{{webhook}}/test",
        "testWebhook",
        "webhooks",
        "Send a ping now, and tell what came back",
        d.Success[r.WebhookTried],
        scope=_SCOPE,
        body=s.Nothing,
        body_required=False,
        errors=(400, 404, 413, 415),
    ),
    Operation(
        "post",
        f"{WEBHOOKS}/{{webhook}}/rotate-secret",
        "rotateWebhookSecret",
        "webhooks",
        "Give a webhook a new secret",
        d.Success[r.RotatedSecret],
        description="For overlap_hours each request carries the signatures of the former and of the new secret.",
        scope=_SCOPE,
        body=w.RotateSecret,
        body_required=False,
        errors=(400, 404, 413, 415),
    ),
    Operation(
        "get",
        f"{WEBHOOKS}/{{webhook}}/deliveries",
        "listWebhookDeliveries",
        "webhooks",
        "What was sent to a webhook, or is to be, by the events that were logged last",
        d.Listing[r.DeliveryDocument],
        scope=_SCOPE,
        query=w.DeliveriesQuery,
        errors=(400, 404),
        conditional=True,
    ),
    Operation(
        "post",
        f"{WEBHOOKS}/{{webhook}}/deliveries/{{delivery}}/resend",
        "resendWebhookDelivery",
        "webhooks",
        "Send something again",
        d.Success[r.DeliveryDocument],
        description="409 WEBHOOK_DISABLED.",
        scope=_SCOPE,
        body=s.Nothing,
        body_required=False,
        errors=(400, 404, 409, 413, 415),
    ),
)
