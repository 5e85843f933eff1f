"""Senders side by side, killed ones among them, and receivers that are slow."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from application.ports import Append
from application.webhooks import WebhookChange
from infrastructure.postgres.webhook_queue import LEASE_SECONDS, webhook_follower
from infrastructure.webhooks.http import WebhookHttp
from tests.domain.given import queued
from tests.fixtures_api import eventually
from tests.fixtures_webhooks import PAUSED, RESUMED, VAULT_KEY, Desk
from tests.webhook_receiver import Receiver, Reply
from workers.webhooks import WebhookSender


def test_two_of_the_follower_enter_each_delivery_once(desk: Desk, receiver: Receiver) -> None:
    webhook, _ = desk.webhook(receiver, "*")
    for number in range(20):
        desk.log.append([Append(f"scan-both-{number}", 0, [queued(), PAUSED, RESUMED])])
    threads = [threading.Thread(target=desk.follow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(desk.deliveries(webhook)) == 60


def test_a_slow_receiver_holds_no_other_up(desk: Desk, receiver: Receiver, others: Callable[[], Receiver]) -> None:
    slow, gate = others(), threading.Event()
    slow.otherwise = Reply(204, gate=gate)
    desk.webhook(slow)
    desk.webhook(receiver)
    scan = desk.scan(PAUSED, RESUMED)
    sending = threading.Thread(target=desk.send)
    sending.start()
    try:
        assert eventually(lambda: len(receiver.received) == 3)
        assert slow.ids == [f"{scan}:1"], "and has one message at a time itself"
    finally:
        gate.set()
        sending.join()
    assert slow.ids == receiver.ids


def test_a_tenants_slow_receivers_leave_places_to_other_tenants(
    desk: Desk, receiver: Receiver, others: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.webhooks.PLACES", 3)
    monkeypatch.setattr("workers.webhooks.PLACES_A_TENANT", 2)
    slow, gate = [others() for _ in range(3)], threading.Event()
    for each in slow:
        each.otherwise = Reply(204, gate=gate)
        desk.webhook(each)
    desk.webhook(receiver, tenant="other")
    desk.scan()
    desk.log.append([Append("scan-other", 0, [replace(queued(), tenant="other")])])
    desk.follow()
    sending = threading.Thread(target=desk.send)
    sending.start()
    try:
        assert eventually(lambda: receiver.ids == ["scan-other:1"])
        assert eventually(lambda: sum(len(each.ids) for each in slow) == 2)
    finally:
        gate.set()
        sending.join()
    assert all(len(each.ids) == 1 for each in slow)


def test_several_senders_send_each_message_once_and_in_order(desk: Desk, others: Callable[[], Receiver]) -> None:
    receivers = [others() for _ in range(4)]
    for receiver in receivers:
        desk.webhook(receiver)
    scans = [desk.scan(*[PAUSED, RESUMED] * 10) for _ in range(3)]
    threads = [threading.Thread(target=desk.send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = [f"{scan}:{version}" for scan in scans for version in range(1, 22)]
    for receiver in receivers:
        assert receiver.ids == whole


DIES = """
import asyncio, datetime, os, signal, sys
from infrastructure.postgres.webhook_queue import PostgresWebhookQueue
from infrastructure.secrets import EnvelopeVault
from infrastructure.webhooks.http import WebhookHttp
from infrastructure.webhooks.secrets import SecretBox
from workers.webhooks import WebhookSender

async def main():
    clock = lambda: datetime.datetime.now(datetime.UTC)
    queue = PostgresWebhookQueue(sys.argv[1], SecretBox(EnvelopeVault(bytes.fromhex(sys.argv[2]))))
    queue.settle = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    http = WebhookHttp(("127.0.0.0/8",), clock)
    await WebhookSender(queue, http.post, clock, keep=datetime.timedelta(days=1)).drain()

asyncio.run(main())
"""


def test_a_sender_killed_between_the_answer_and_its_commit_is_followed_by_one_that_sends_again_under_the_same_id(
    desk: Desk, receiver: Receiver
) -> None:
    webhook, secret = desk.webhook(receiver)
    scan = desk.scan(PAUSED)
    killed = subprocess.run([sys.executable, "-c", DIES, desk.url, VAULT_KEY.hex()], check=False, timeout=60)
    assert (killed.returncode, receiver.ids) == (-9, [f"{scan}:1"])
    assert desk.statuses(webhook) == ["pending", "pending"]
    desk.send()
    assert receiver.ids == [f"{scan}:1"], "its lease holds"
    # The receiver's clock is the real one; the lease ends within a minute of it.
    desk.now = datetime.now(UTC)
    desk.send(after=LEASE_SECONDS)
    assert receiver.ids == [f"{scan}:1", f"{scan}:1", f"{scan}:2"]
    first, again, _ = receiver.received
    assert first.body == again.body
    assert first.verified_by(secret) == again.verified_by(secret)
    assert desk.statuses(webhook) == ["delivered", "delivered"]


def test_what_a_client_changes_holds_for_all_but_the_message_that_is_under_way(
    desk: Desk, receiver: Receiver, others: Callable[[], Receiver]
) -> None:
    elsewhere, gate = others(), threading.Event()
    receiver.otherwise = Reply(204, gate=gate)
    webhook, _ = desk.webhook(receiver)
    scan = desk.scan(PAUSED)
    sending = threading.Thread(target=desk.send)
    sending.start()
    assert eventually(lambda: len(receiver.received) == 1)
    desk.book().change(webhook, WebhookChange(url=elsewhere.url()))
    gate.set()
    sending.join()
    assert (receiver.ids, elsewhere.ids) == ([f"{scan}:1"], [f"{scan}:2"])


def test_the_process_sends_what_is_logged_while_it_runs(desk: Desk, receiver: Receiver) -> None:
    """The sender's own loop, with the follower beside it."""
    desk.webhook(receiver)
    halt = threading.Event()
    following = threading.Thread(target=webhook_follower(desk.url, desk.clock).run, args=(halt,))

    async def run() -> None:
        http = WebhookHttp(("127.0.0.0/8",), desk.clock)
        stop = asyncio.Event()
        sender = WebhookSender(desk.queue, http.post, desk.clock, keep=timedelta(days=7))
        sending = asyncio.create_task(sender.run(stop))
        desk.log.append([Append("scan-a", 0, [queued(), PAUSED])])
        assert await asyncio.to_thread(eventually, lambda: len(receiver.received) == 2)
        stop.set()
        await sending
        await http.close()

    following.start()
    asyncio.run(run())
    halt.set()
    following.join()
    assert receiver.ids == ["scan-a:1", "scan-a:2"]
