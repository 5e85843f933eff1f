"""The secrets that sign what webhooks are sent, sealed as connectors' are, and the signatures themselves.

Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body, in base64; several signatures are parted by blanks.
"""

import base64
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook as Signer

from application.ports import SecretRow
from infrastructure.secrets import EnvelopeVault, SecretUnreadable

_SECRET_BYTES = 32
"""The specification wants 24 to 64."""


def new_secret() -> str:
    return f"whsec_{base64.b64encode(os.urandom(_SECRET_BYTES)).decode()}"


def signed_headers(message_id: str, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The headers by which a receiver that has any of `secrets` knows a message as ours. `at` is aware, in UTC."""
    signatures = [Signer(secret).sign(message_id, at, body.decode()) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class SecretBox:
    """Seals a webhook's secrets, each bound to the tenant, the webhook and its generation."""

    def __init__(self, vault: EnvelopeVault) -> None:
        self._vault = vault

    def seal(self, tenant: str, webhook_id: str, generation: int, secret: str) -> SecretRow:
        [row] = self._vault.seal(tenant, webhook_id, {_field(generation): secret})
        return row

    def open(self, tenant: str, rows: Sequence[Any]) -> list[str]:
        """The secrets of sealed rows of one webhook, in their order.

        None at all where one does not open: what is sent must carry every signature that its receiver may look for.
        """
        try:
            return [self._opened(tenant, SecretRow(*row)) for row in rows]
        except SecretUnreadable:
            return []

    def _opened(self, tenant: str, sealed: SecretRow) -> str:
        return self._vault.open(tenant, sealed.connector, [sealed])[sealed.field]


def _field(generation: int) -> str:
    return f"signing-{generation}"
