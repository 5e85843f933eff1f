"""A tenant's webhooks on a real database, with time in the test's hands."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from application.history import LoggedEvent
from application.ports import Append
from application.webhooks import Delivery, WebhookBook
from domain.scan_events import Cancelled, Paused, Resumed
from domain.webhook import DEFAULT_KINDS, DeliveryStatus
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.follower import Follower
from infrastructure.postgres.webhook_queue import PostgresWebhookQueue, webhook_follower
from infrastructure.postgres.webhooks import PostgresWebhookShelf
from infrastructure.secrets import EnvelopeVault
from infrastructure.webhooks.http import WebhookHttp
from infrastructure.webhooks.secrets import SecretBox
from tests.domain.given import KEY, LATER, queued
from tests.webhook_receiver import Receiver, receiving
from workers.webhooks import WebhookSender

VAULT_KEY = os.urandom(32)
PAUSED, RESUMED, CANCELLED = (kind(at=LATER, actor=KEY) for kind in (Paused, Resumed, Cancelled))

_numbers = itertools.count(1)


@dataclass
class Desk:
    """A tenant's webhooks, which no test before has left any of, a clock that stands still, and senders to run."""

    url: str
    log: PostgresScanLog
    shelf: PostgresWebhookShelf
    queue: PostgresWebhookQueue
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    made: int = 0

    def clock(self) -> datetime:
        return self.now

    def book(self, tenant: str = "acme") -> WebhookBook:
        return WebhookBook(self.shelf, tenant, KEY, self.clock)

    def webhook(self, receiver: Receiver, *kinds: str, tenant: str = "acme") -> tuple[str, str]:
        """The id and the secret of a new webhook."""
        self.made += 1
        made, secret = self.book(tenant).create(f"whk-{self.made}", receiver.url(), "", kinds or DEFAULT_KINDS)
        assert secret is not None
        return made.webhook_id, secret

    def scan(self, *events: Any) -> str:
        """A new scan of the tenant acme that these have happened to, once all of it is entered."""
        scan = f"scan-{next(_numbers)}"
        self.log.append([Append(scan, 0, [queued(), *events])])
        self.follow()
        return scan

    def happen(self, scan: str, *events: Any) -> None:
        self.log.append_next(scan, list(events), unless=[])
        self.follow()

    def follow(self, follower: Follower | None = None) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            while (follower or webhook_follower(self.url, self.clock)).catch_up(connection):
                pass

    def send(self, *, after: float = 0.0) -> None:
        """Send all that is due, so many seconds from now."""
        self.now += timedelta(seconds=after)
        asyncio.run(self._send())

    async def _send(self) -> None:
        http = WebhookHttp(("127.0.0.0/8",), self.clock)
        sender = WebhookSender(self.queue, http.post, self.clock, keep=timedelta(days=7), jitter=lambda: 0.5)
        await sender.drain()
        await http.close()

    def deliveries(self, webhook: str, status: DeliveryStatus | None = None) -> Sequence[Delivery]:
        return self.shelf.deliveries("acme", webhook, status, None, 100)

    def statuses(self, webhook: str) -> list[str]:
        """In the order of the log."""
        return [delivery.status.value for delivery in reversed(self.deliveries(webhook))]

    def stored(self, scan: str) -> Sequence[LoggedEvent]:
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events"
                " WHERE originator_id = %s ORDER BY originator_version",
                (scan,),
            ).fetchall()
        return [LoggedEvent(*row) for row in rows]


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    url = database_url
    box = SecretBox(EnvelopeVault(VAULT_KEY))
    log, shelf, queue = PostgresScanLog(url), PostgresWebhookShelf(url, box), PostgresWebhookQueue(url, box)
    yield Desk(url, log, shelf, queue)
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM webhooks")
    for each in (log, shelf, queue):
        each.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def others() -> Iterator[Callable[[], Receiver]]:
    """Makes more receivers."""
    with ExitStack() as closing:
        yield lambda: closing.enter_context(receiving())
