"""The webhooks' process: `python -m workers webhooks`."""

import asyncio
import base64
import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from application.ports import Append
from application.webhooks import WebhookBook
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.webhook_queue import PostgresWebhookQueue
from infrastructure.postgres.webhooks import PostgresWebhookShelf
from infrastructure.secrets import EnvelopeVault
from infrastructure.webhooks.http import WebhookHttp
from infrastructure.webhooks.secrets import SecretBox
from infrastructure.wiring import utc_now
from tests.domain.given import KEY, queued
from tests.fixtures_api import eventually, nats_settings
from tests.webhook_receiver import Receiver, Reply
from workers.webhooks import WebhookSender

VAULT_KEY = os.urandom(32)


@pytest.fixture
def environment(database_url: str, nats_server: EmbeddedNats) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SCANLEDGER_")},
        "SCANLEDGER_CONFIG": "",
        "SCANLEDGER_DATABASE_URL": database_url,
        "SCANLEDGER_ENCRYPTION_KEY": base64.b64encode(VAULT_KEY).decode(),
        "SCANLEDGER_WEBHOOK_ENDPOINTS": "127.0.0.1",
        **nats_settings(nats_server),
    }


def test_it_sends_what_is_logged_and_when_it_is_stopped_leaves_the_rest_to_the_next_one_at_once(
    database_url: str, environment: dict[str, str], receiver: Receiver
) -> None:
    shelf = PostgresWebhookShelf(database_url, SecretBox(EnvelopeVault(VAULT_KEY)))
    book = WebhookBook(shelf, "acme", KEY, utc_now)
    _, secret = book.create("whk-1", receiver.url(), "", ["scan.queued"])
    log, gate = PostgresScanLog(database_url), threading.Event()
    command = [sys.executable, "-m", "workers", "webhooks"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        log.append([Append("scan-a", 0, [queued()])])
        assert eventually(lambda: receiver.ids == ["scan-a:1"], seconds=20)
        receiver.received[0].verified_by(str(secret))
        receiver.otherwise = Reply(204, gate=gate)
        log.append([Append("scan-b", 0, [queued()])])
        assert eventually(lambda: receiver.ids[1:] == ["scan-b:1"])
        process.terminate()
        assert process.wait(10) == 0
    gate.set()
    receiver.otherwise = Reply()
    asyncio.run(_drain(database_url))
    assert receiver.ids[2:] == ["scan-b:1"]
    assert [one.status.value for one in shelf.deliveries("acme", "whk-1", None, None, 9)] == ["delivered"] * 2
    log.close()
    shelf.close()


async def _drain(database_url: str) -> None:
    queue = PostgresWebhookQueue(database_url, SecretBox(EnvelopeVault(VAULT_KEY)))
    http = WebhookHttp(("127.0.0.1",), utc_now)
    await WebhookSender(queue, http.post, utc_now, keep=timedelta(days=1)).drain()
    await http.close()
    queue.close()
