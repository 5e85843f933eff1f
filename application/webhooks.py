"""A tenant's webhooks: made, changed, tried, and what was delivered to them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from application.history import LoggedEvent
from application.ports import Clock
from domain.errors import Conflict, NotFound
from domain.webhook import Answered, DeliveryStatus, Verdict

GONE = "gone"
BY_CLIENT = "by_client"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a tenant's events are sent to, and which. `disabled_reason` is `gone` when the receiver answered 410,
    `by_client` when somebody asked for it, None while it is enabled."""

    webhook_id: str
    tenant: str
    url: str
    description: str
    kinds: tuple[str, ...]
    disabled_reason: str | None
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str

    @property
    def enabled(self) -> bool:
        return self.disabled_reason is None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook. `position` is the event's in the log."""

    position: int
    stream: str
    version: int
    kind: str
    status: DeliveryStatus
    attempts: int
    next_at: datetime | None
    last_at: datetime | None
    last_status: int | None
    last_detail: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What is to change; None stays."""

    url: str | None = None
    description: str | None = None
    kinds: tuple[str, ...] | None = None
    enabled: bool | None = None

    def applied(self, before: Webhook, actor: str, at: datetime) -> Webhook:
        reason = before.disabled_reason
        if self.enabled is not None:
            reason = None if self.enabled else reason or BY_CLIENT
        return replace(
            before,
            url=before.url if self.url is None else self.url,
            description=before.description if self.description is None else self.description,
            kinds=before.kinds if self.kinds is None else self.kinds,
            disabled_reason=reason,
            changed_at=at,
            changed_by=actor,
        )


Post = Callable[[str, bytes, str, Sequence[str]], Awaitable[Answered]]
"""POSTs to a URL, now, once: the body, the message's id, and the secrets that sign it."""


class WebhookShelf(Protocol):
    """Where webhooks, their sealed secrets and their deliveries are kept. Methods raise ServiceUnavailable.

    Everything is of one tenant: another's webhook raises NotFound, as one that is not there does.
    """

    def webhooks(self, tenant: str) -> Sequence[Webhook]:
        """Newest first."""

    def webhook(self, tenant: str, webhook_id: str) -> Webhook: ...

    def add(self, webhook: Webhook) -> tuple[Webhook, str | None]:
        """Keep it, with a new secret, which is given. One of the same id that is there stays, and its `first_secret`
        is given.

        Events that are logged from then on are delivered. Raises Conflict past the limit of a tenant.
        """

    def first_secret(self, tenant: str, webhook_id: str) -> str | None:
        """That `add` gave; None where it has been replaced for good or does not open, or the webhook is gone."""

    def change(self, tenant: str, webhook_id: str, changed: Callable[[Webhook], Webhook]) -> Webhook: ...

    def drop(self, tenant: str, webhook_id: str) -> None: ...

    def rotate(self, tenant: str, webhook_id: str, now: datetime, until: datetime) -> str:
        """A new secret. Those before sign as well until `until`."""

    def secrets(self, tenant: str, webhook_id: str, now: datetime) -> Sequence[str]:
        """The secrets that sign now, the newest first; none where one of them does not open."""

    def deliveries(
        self, tenant: str, webhook_id: str, status: DeliveryStatus | None, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """The newest first, those of events before the position `before`."""

    def resend(self, tenant: str, webhook_id: str, position: int, now: datetime) -> Delivery:
        """Make a delivery due now, with all its attempts anew. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class WebhookBook:
    """One tenant's webhooks, changed in the name of `actor`."""

    shelf: WebhookShelf
    tenant: str
    actor: str
    clock: Clock

    def create(self, webhook_id: str, url: str, description: str, kinds: Sequence[str]) -> tuple[Webhook, str | None]:
        """The webhook and its secret. Raises Conflict WEBHOOK_LIMIT_REACHED."""
        now = self.clock()
        made = Webhook(webhook_id, self.tenant, url, description, tuple(kinds), None, now, self.actor, now, self.actor)
        return self.shelf.add(made)

    def first_secret(self, webhook_id: str) -> str | None:
        """The secret that the webhook was made with; None where it is no longer known."""
        return self.shelf.first_secret(self.tenant, webhook_id)

    def change(self, webhook_id: str, change: WebhookChange) -> Webhook:
        """Raises NotFound."""
        now = self.clock()
        return self.shelf.change(self.tenant, webhook_id, lambda before: change.applied(before, self.actor, now))

    def rotate(self, webhook_id: str, overlap: timedelta) -> tuple[str, datetime]:
        """A new secret, and until when the former ones sign as well. Raises NotFound."""
        now = self.clock()
        return self.shelf.rotate(self.tenant, webhook_id, now, now + overlap), now + overlap

    def resend(self, webhook_id: str, position: int) -> Delivery:
        """Raises NotFound, and Conflict WEBHOOK_DISABLED."""
        if not self.shelf.webhook(self.tenant, webhook_id).enabled:
            message = f"Webhook {webhook_id} is disabled, and nothing is sent to it; enable it first."
            raise Conflict("WEBHOOK_DISABLED", message, webhook_id=webhook_id)
        return self.shelf.resend(self.tenant, webhook_id, position, self.clock())

    def trial(self, webhook_id: str, message_id: str) -> tuple[Webhook, bytes, Sequence[str]]:
        """A webhook, a ping to it, and the secrets that sign it. Raises NotFound."""
        now = self.clock()
        webhook = self.shelf.webhook(self.tenant, webhook_id)
        ping = ping_event(self.tenant, webhook_id, message_id, now)
        return webhook, ping, self.shelf.secrets(self.tenant, webhook_id, now)


def ping_event(tenant: str, webhook_id: str, message_id: str, now: datetime) -> bytes:
    """A CloudEvent that stands in no log."""
    document: Mapping[str, Any] = {
        "specversion": "1.0",
        "id": message_id,
        "source": f"/tenants/{tenant}",
        "type": "scanledger.webhook.ping",
        "subject": webhook_id,
        "time": now,
        "datacontenttype": "application/json",
        "data": {"webhook_id": webhook_id},
    }
    return msgspec.json.encode(document)


def no_webhook(webhook_id: str) -> NotFound:
    return NotFound("webhook", webhook_id)


# Sending --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be attempted now, after `attempts` that failed."""

    event: LoggedEvent
    attempts: int


@dataclass(frozen=True, slots=True)
class Turn:
    """The sole right to send to one webhook, for as long as the lease under `token` is renewed."""

    token: str
    webhook_id: str
    tenant: str
    url: str
    secrets: Sequence[str] = field(repr=False)
    due: Sequence[Due] = ()


class WebhookQueue(Protocol):
    """What is due, handed out webhook by webhook to any number of senders. Methods raise ServiceUnavailable."""

    def claim(self, now: datetime, without: Sequence[str]) -> Turn | None:
        """The webhook that has waited longest for a turn, with its due deliveries in the order of the log.

        `without`: no webhook of these tenants.
        """

    def settle(self, turn: Turn, due: Due, answered: Answered, verdict: Verdict, now: datetime, *, last: bool) -> bool:
        """Note how an attempt went, and renew the lease; whether it was still held.

        The `last` attempt of a turn ends the lease, and so does one that was not accepted: then nobody sends to the
        webhook for a while (`domain.webhook.rest`). One whose receiver is gone is disabled.
        """

    def release(self, turn: Turn) -> None:
        """End the lease, if it is still held."""

    def prune(self, before: datetime) -> int:
        """Forget deliveries that were accepted before a moment; how many."""
