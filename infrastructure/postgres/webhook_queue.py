"""What webhooks are to be sent: entered by a follower of the log, handed out to senders on lease, and settled.

One webhook is served by one sender at a time, so what is due to it is sent in the order of the log. A sender that dies
leaves a lease that ends by itself; then what it had not settled is sent again.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from application.history import LoggedEvent
from application.ports import Clock
from application.webhooks import GONE, Due, Turn
from domain.webhook import EVERY_KIND, Answered, Verdict, rest
from infrastructure.postgres.follower import Follower
from infrastructure.postgres.store_pool import StorePool
from infrastructure.postgres.stream_tenants import StreamTenants
from infrastructure.postgres.webhooks import LIVE_SECRETS, MOST_SECRETS
from infrastructure.webhooks.secrets import SecretBox

NAME: Final = "webhooks"
LEASE_SECONDS: Final = 60
"""Longer than any attempt takes; each that is settled renews it."""

TURN: Final = 16
"""Deliveries of a webhook that are sent before others have their turn."""

_PRUNED_AT_ONCE: Final = 5_000

_ENTER: Final = (
    "INSERT INTO webhook_deliveries (webhook_id, position, status, attempts, next_at, created_at)"
    " SELECT w.webhook_id, e.position, 'pending', 0, %(now)s, %(now)s"
    " FROM unnest(%(positions)s::bigint[], %(tenants)s::text[], %(kinds)s::text[]) AS e (position, tenant, kind)"
    " JOIN webhooks w ON w.tenant_id = e.tenant AND w.disabled_reason IS NULL AND w.since < e.position"
    " AND (e.kind = ANY (w.kinds) OR %(every)s = ANY (w.kinds)) ON CONFLICT DO NOTHING"
)
# Not FOR UPDATE: that would pass over webhooks to which the follower is just now entering deliveries.
_CLAIM: Final = (
    "UPDATE webhooks SET lease = %(token)s, leased_until = %(until)s, served_at = %(now)s WHERE webhook_id ="
    " (SELECT w.webhook_id FROM webhooks w WHERE w.disabled_reason IS NULL"
    " AND (w.leased_until IS NULL OR w.leased_until <= %(now)s) AND NOT w.tenant_id = ANY (%(without)s)"
    " AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.status = 'pending'"
    " AND d.next_at <= %(now)s)"
    " ORDER BY w.served_at NULLS FIRST, w.webhook_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)"
    " RETURNING webhook_id, tenant_id, url"
)
_DUE: Final = (
    "SELECT e.originator_id, e.originator_version, d.position, e.topic, e.state, d.attempts"
    " FROM webhook_deliveries d JOIN stored_events e ON e.notification_id = d.position"
    " WHERE d.webhook_id = %s AND d.status = 'pending' AND d.next_at <= %s ORDER BY d.position LIMIT %s"
)
_SETTLE: Final = (
    "UPDATE webhook_deliveries SET status = %s, attempts = attempts + 1, next_at = %s, last_at = %s, last_status = %s,"
    " last_detail = %s WHERE webhook_id = %s AND position = %s AND status = 'pending'"
)
_RENEW: Final = "UPDATE webhooks SET leased_until = %s WHERE webhook_id = %s AND lease = %s"
# With a moment: whoever sends to it next waits until then.
_RELEASE: Final = "UPDATE webhooks SET lease = NULL, leased_until = %s WHERE webhook_id = %s AND lease = %s"
_DISABLE: Final = (
    "UPDATE webhooks SET disabled_reason = %s, changed_at = %s, changed_by = 'system:webhooks'"
    " WHERE webhook_id = %s AND disabled_reason IS NULL"
)
_PRUNE: Final = (
    "DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(SELECT ctid FROM webhook_deliveries"
    " WHERE status = 'delivered' AND last_at < %s ORDER BY last_at LIMIT %s FOR UPDATE SKIP LOCKED))"
)


class DeliveryEntries:
    """Enters, for each event, a delivery to every webhook of its tenant that wants it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants = StreamTenants()

    def forget(self) -> None:
        self._tenants.forget()

    def apply(self, cursor: psycopg.Cursor[Any], batch: Sequence[LoggedEvent]) -> None:
        tenants = self._tenants.of(cursor, [event.stream for event in batch])
        values = {
            "now": self._clock(),
            "every": EVERY_KIND,
            "positions": [event.position for event in batch],
            "tenants": [tenants[event.stream] for event in batch],
            "kinds": [event.kind for event in batch],
        }
        cursor.execute(_ENTER, values)


def webhook_follower(database_url: str, clock: Clock) -> Follower:
    """The follower that enters deliveries, each once, with its position."""
    entries = DeliveryEntries(clock)
    return Follower(database_url, NAME, entries.apply, forget=entries.forget, read=_logged)


def _logged(rows: Iterable[tuple[int, str, int, str, bytes, bytes | None]]) -> Sequence[LoggedEvent]:
    # As it is stored, with object keys hidden: what is delivered is out of reach when they are erased.
    return [LoggedEvent(stream, version, position, kind, state) for position, stream, version, kind, state, _ in rows]


class PostgresWebhookQueue:
    """`WebhookQueue` on PostgreSQL."""

    def __init__(self, database_url: str, box: SecretBox, *, pool_size: int = 4, timeout: float = 5.0) -> None:
        self._pool = StorePool(database_url, size=pool_size, timeout=timeout)
        self._box = box

    def close(self) -> None:
        self._pool.close()

    def claim(self, now: datetime, without: Sequence[str]) -> Turn | None:
        token = uuid.uuid4().hex
        values = {"token": token, "until": _leased_until(now), "now": now, "without": list(without)}
        with self._pool.transaction() as connection:
            row = connection.execute(_CLAIM, values).fetchone()
            if row is None:
                return None
            webhook_id, tenant, url = row
            due = [_due(found) for found in connection.execute(_DUE, (webhook_id, now, TURN))]
            sealed = connection.execute(LIVE_SECRETS, (webhook_id, now, MOST_SECRETS)).fetchall()
        return Turn(token, webhook_id, tenant, url, self._box.open(tenant, sealed), due)

    def settle(self, turn: Turn, due: Due, answered: Answered, verdict: Verdict, now: datetime, *, last: bool) -> bool:
        webhook, token = turn.webhook_id, turn.token
        about = (verdict.status, verdict.next_at, now, answered.status, answered.detail)
        with self._pool.transaction() as connection:
            connection.execute(_SETTLE, (*about, webhook, due.event.position))
            if answered.gone:
                connection.execute(_DISABLE, (GONE, now, webhook))
            if not answered.accepted:
                return connection.execute(_RELEASE, (now + rest(answered), webhook, token)).rowcount == 1
            if last:
                return connection.execute(_RELEASE, (None, webhook, token)).rowcount == 1
            return connection.execute(_RENEW, (_leased_until(now), webhook, token)).rowcount == 1

    def release(self, turn: Turn) -> None:
        with self._pool.transaction() as connection:
            connection.execute(_RELEASE, (None, turn.webhook_id, turn.token))

    def prune(self, before: datetime) -> int:
        with self._pool.transaction() as connection:
            return connection.execute(_PRUNE, (before, _PRUNED_AT_ONCE)).rowcount


def _leased_until(now: datetime) -> datetime:
    return now + timedelta(seconds=LEASE_SECONDS)


def _due(row: Any) -> Due:
    stream, version, position, kind, state, attempts = row
    return Due(LoggedEvent(stream, version, position, kind, bytes(state)), attempts)
