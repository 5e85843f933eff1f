"""Webhooks, their sealed secrets and their deliveries, as clients see them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import psycopg

from application.webhooks import Delivery, Webhook, no_webhook
from domain.errors import Conflict, NotFound
from domain.webhook import MOST_WEBHOOKS, DeliveryStatus
from infrastructure.postgres.store_pool import StorePool
from infrastructure.webhooks.secrets import SecretBox, new_secret

MOST_SECRETS: Final = 4
"""That sign at once: the newest, and those that a rotation left valid for a while."""

_COLUMNS: Final = (
    "webhook_id, tenant_id, url, description, kinds, disabled_reason, created_at, created_by, changed_at, changed_by"
)
_WEBHOOKS: Final = (
    f"SELECT {_COLUMNS} FROM webhooks WHERE tenant_id = %(tenant)s"
    " AND (%(webhook)s::text IS NULL OR webhook_id = %(webhook)s) ORDER BY created_at DESC, webhook_id DESC"
)
_ADD: Final = (
    f"INSERT INTO webhooks ({_COLUMNS}, since) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
    " (SELECT coalesce(max(notification_id), 0) FROM stored_events))"
)
_CHANGE: Final = (
    "UPDATE webhooks SET url = %s, description = %s, kinds = %s, disabled_reason = %s, changed_at = %s,"
    " changed_by = %s WHERE webhook_id = %s"
)
# Whoever sends to it as it was stops after the delivery that is under way.
_END_TURN: Final = "UPDATE webhooks SET lease = NULL, leased_until = NULL WHERE webhook_id = %s"
LIVE_SECRETS: Final = (
    "SELECT webhook_id, field, key_id, wrapped_key, ciphertext FROM webhook_secrets"
    " WHERE webhook_id = %s AND (until IS NULL OR until > %s) ORDER BY generation DESC LIMIT %s"
)
_FIRST: Final = (
    "SELECT webhook_id, field, key_id, wrapped_key, ciphertext FROM webhook_secrets JOIN webhooks USING (webhook_id)"
    " WHERE webhook_id = %s AND tenant_id = %s AND generation = 1"
)
_SEAL_IN: Final = (
    "INSERT INTO webhook_secrets (webhook_id, generation, field, key_id, wrapped_key, ciphertext)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
_DELIVERIES: Final = (
    "SELECT d.position, e.originator_id, e.originator_version, e.topic, d.status, d.attempts, d.next_at, d.last_at,"
    " d.last_status, d.last_detail, d.created_at FROM webhook_deliveries d"
    " JOIN stored_events e ON e.notification_id = d.position WHERE d.webhook_id = %(webhook)s"
    " AND (%(status)s::text IS NULL OR d.status = %(status)s) AND (%(at)s::bigint IS NULL OR d.position = %(at)s)"
    " AND (%(before)s::bigint IS NULL OR d.position < %(before)s) ORDER BY d.position DESC LIMIT %(limit)s"
)
_END_REST: Final = "UPDATE webhooks SET leased_until = NULL WHERE webhook_id = %s AND lease IS NULL"
_RESEND: Final = (
    "UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_at = %s"
    " WHERE webhook_id = %s AND position = %s"
)

_Connection = psycopg.Connection[Any]


class PostgresWebhookShelf:
    """`WebhookShelf` on PostgreSQL. A tenant's changes come one after the other, so that its limit holds."""

    def __init__(self, database_url: str, box: SecretBox, *, pool_size: int = 2, timeout: float = 5.0) -> None:
        self._pool = StorePool(database_url, size=pool_size, timeout=timeout)
        self._box = box

    def close(self) -> None:
        self._pool.close()

    def webhooks(self, tenant: str) -> list[Webhook]:
        return [_webhook(row) for row in self._pool.rows(_WEBHOOKS, {"tenant": tenant, "webhook": None})]

    def webhook(self, tenant: str, webhook_id: str) -> Webhook:
        rows = self._pool.rows(_WEBHOOKS, {"tenant": tenant, "webhook": webhook_id})
        if not rows:
            raise no_webhook(webhook_id)
        return _webhook(rows[0])

    def add(self, webhook: Webhook) -> tuple[Webhook, str | None]:
        with self._changing(webhook.tenant) as connection:
            found = _all(connection, webhook.tenant)
            if same := [kept for kept in found if kept.webhook_id == webhook.webhook_id]:
                rows = connection.execute(_FIRST, (webhook.webhook_id, webhook.tenant)).fetchall()
                return same[0], next(iter(self._box.open(webhook.tenant, rows)), None)
            if len(found) >= MOST_WEBHOOKS:
                message = f"A tenant has {MOST_WEBHOOKS} webhooks at most; delete one that is not needed."
                raise Conflict("WEBHOOK_LIMIT_REACHED", message, limit=MOST_WEBHOOKS)
            made = webhook
            about = (made.webhook_id, made.tenant, made.url, made.description, list(made.kinds), made.disabled_reason)
            connection.execute(_ADD, (*about, made.created_at, made.created_by, made.changed_at, made.changed_by))
            return webhook, self._put_secret(connection, webhook.tenant, webhook.webhook_id)

    def first_secret(self, tenant: str, webhook_id: str) -> str | None:
        rows = self._pool.rows(_FIRST, (webhook_id, tenant))
        return next(iter(self._box.open(tenant, rows)), None)

    def change(self, tenant: str, webhook_id: str, changed: Callable[[Webhook], Webhook]) -> Webhook:
        with self._changing(tenant) as connection:
            after = changed(_one(connection, tenant, webhook_id))
            about = (after.url, after.description, list(after.kinds), after.disabled_reason)
            connection.execute(_CHANGE, (*about, after.changed_at, after.changed_by, webhook_id))
            connection.execute(_END_TURN, (webhook_id,))
        return after

    def drop(self, tenant: str, webhook_id: str) -> None:
        with self._changing(tenant) as connection:
            _one(connection, tenant, webhook_id)
            connection.execute("DELETE FROM webhooks WHERE webhook_id = %s", (webhook_id,))

    def rotate(self, tenant: str, webhook_id: str, now: datetime, until: datetime) -> str:
        with self._changing(tenant) as connection:
            _one(connection, tenant, webhook_id)
            connection.execute("DELETE FROM webhook_secrets WHERE webhook_id = %s AND until <= %s", (webhook_id, now))
            connection.execute(
                "UPDATE webhook_secrets SET until = least(until, %s) WHERE webhook_id = %s", (until, webhook_id)
            )
            connection.execute(_END_TURN, (webhook_id,))
            return self._put_secret(connection, tenant, webhook_id)

    def secrets(self, tenant: str, webhook_id: str, now: datetime) -> list[str]:
        rows = self._pool.rows(LIVE_SECRETS, (webhook_id, now, MOST_SECRETS))
        return self._box.open(tenant, rows)

    def deliveries(
        self, tenant: str, webhook_id: str, status: DeliveryStatus | None, before: int | None, limit: int
    ) -> list[Delivery]:
        self.webhook(tenant, webhook_id)
        values = {"webhook": webhook_id, "status": status, "at": None, "before": before, "limit": limit}
        return [_delivery(row) for row in self._pool.rows(_DELIVERIES, values)]

    def resend(self, tenant: str, webhook_id: str, position: int, now: datetime) -> Delivery:
        with self._changing(tenant) as connection:
            _one(connection, tenant, webhook_id)
            if connection.execute(_RESEND, (now, webhook_id, position)).rowcount == 0:
                raise NotFound("delivery", f"dlv-{position}")
            connection.execute(_END_REST, (webhook_id,))
            values = {"webhook": webhook_id, "status": None, "at": position, "before": None, "limit": 1}
            return _delivery(connection.execute(_DELIVERIES, values).fetchone())

    def _put_secret(self, connection: _Connection, tenant: str, webhook_id: str) -> str:
        query = "SELECT coalesce(max(generation), 0) + 1 FROM webhook_secrets WHERE webhook_id = %s"
        row = connection.execute(query, (webhook_id,)).fetchone()
        secret, generation = new_secret(), int((row or (1,))[0])
        sealed = self._box.seal(tenant, webhook_id, generation, secret)
        values = (sealed.field, sealed.key_id, sealed.wrapped_key, sealed.ciphertext)
        connection.execute(_SEAL_IN, (webhook_id, generation, *values))
        return secret

    @contextmanager
    def _changing(self, tenant: str) -> Iterator[_Connection]:
        with self._pool.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"webhooks of {tenant}",))
            yield connection


def _all(connection: _Connection, tenant: str) -> list[Webhook]:
    return [_webhook(row) for row in connection.execute(_WEBHOOKS, {"tenant": tenant, "webhook": None})]


def _one(connection: _Connection, tenant: str, webhook_id: str) -> Webhook:
    row = connection.execute(_WEBHOOKS, {"tenant": tenant, "webhook": webhook_id}).fetchone()
    if row is None:
        raise no_webhook(webhook_id)
    return _webhook(row)


def _webhook(row: Any) -> Webhook:
    made = Webhook(*row)
    return replace(made, kinds=tuple(made.kinds))


def _delivery(row: Any) -> Delivery:
    made = Delivery(*row)
    return replace(made, status=DeliveryStatus(made.status))
