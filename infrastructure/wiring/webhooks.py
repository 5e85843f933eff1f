"""Webhooks: who enters deliveries, who hands them out, and who sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infrastructure.wiring.process import utc_now

if TYPE_CHECKING:
    from infrastructure.postgres.follower import Follower
    from infrastructure.postgres.webhook_queue import PostgresWebhookQueue
    from infrastructure.settings import Settings
    from infrastructure.webhooks.http import WebhookHttp


def open_webhook_follower(settings: Settings) -> Follower:
    from infrastructure.postgres.webhook_queue import webhook_follower

    return webhook_follower(settings.database(), utc_now)


def open_webhook_queue(settings: Settings) -> PostgresWebhookQueue:
    from infrastructure.postgres.webhook_queue import PostgresWebhookQueue
    from infrastructure.secrets import EnvelopeVault
    from infrastructure.webhooks.secrets import SecretBox

    return PostgresWebhookQueue(settings.database(), SecretBox(EnvelopeVault(settings.encryption_key_bytes())))


def open_webhook_http(settings: Settings) -> WebhookHttp:
    from infrastructure.webhooks.http import WebhookHttp

    return WebhookHttp(settings.webhook_endpoints, utc_now)
