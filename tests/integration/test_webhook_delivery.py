"""From the log to the receiver: each event once or more, under one id, in order, until it is accepted."""

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from application.history import cloud_event
from application.webhooks import Webhook, WebhookChange
from domain.errors import Conflict, NotFound
from domain.webhook import DEFAULT_KINDS, MOST_ATTEMPTS, MOST_WEBHOOKS, WAITS, DeliveryStatus
from infrastructure.postgres.webhook_queue import TURN
from tests.fixtures_webhooks import CANCELLED, PAUSED, RESUMED, Desk
from tests.webhook_receiver import Receiver, Reply


def test_an_event_is_sent_as_the_line_that_is_exported_signed_and_under_its_own_id(
    desk: Desk, receiver: Receiver
) -> None:
    webhook, secret = desk.webhook(receiver)
    scan = desk.scan()
    desk.send()
    [event], [received] = desk.stored(scan), receiver.received
    assert received.body == cloud_event(event, "acme")
    assert received.message_id == event.event_id == f"{scan}:1"
    assert received.verified_by(secret)["type"] == "scanledger.scan.queued"
    [delivery] = desk.deliveries(webhook)
    assert (delivery.status, delivery.attempts, delivery.last_status) == (DeliveryStatus.DELIVERED, 1, 204)
    assert (delivery.next_at, delivery.last_at, delivery.position) == (None, desk.now, event.position)
    desk.send(after=10**6)
    assert len(receiver.received) == 1


def test_events_come_in_the_order_of_the_log_and_only_the_kinds_that_are_wanted(
    desk: Desk, receiver: Receiver, others: Callable[[], Receiver]
) -> None:
    few, every = others(), others()
    desk.webhook(receiver)
    desk.webhook(few, "scan.resumed")
    desk.webhook(every, "*")
    first = desk.scan(PAUSED)
    second = desk.scan(*[PAUSED, RESUMED] * TURN)
    desk.happen(first, RESUMED, CANCELLED)
    desk.send()
    whole = [*(f"{first}:{n}" for n in (1, 2)), *(f"{second}:{n}" for n in range(1, 2 * TURN + 2))]
    whole += [f"{first}:3", f"{first}:4"]
    assert receiver.ids == every.ids == whole
    assert few.ids == [*(f"{second}:{n}" for n in range(3, 2 * TURN + 2, 2)), f"{first}:3"]


def test_what_was_logged_before_and_what_other_tenants_do_is_not_sent(desk: Desk, receiver: Receiver) -> None:
    earlier = desk.scan()
    webhook, _ = desk.webhook(receiver)
    desk.webhook(receiver, "*", tenant="other")
    later = desk.scan()
    with psycopg.connect(desk.url, autocommit=True) as connection:
        # The follower goes over all of it anew.
        connection.execute("DELETE FROM followers")
    desk.follow()
    desk.send()
    assert receiver.ids == [f"{later}:1"]
    desk.happen(earlier, CANCELLED)
    desk.send()
    assert receiver.ids == [f"{later}:1", f"{earlier}:2"]
    with pytest.raises(NotFound):
        desk.shelf.deliveries("other", webhook, None, None, 10)


def test_a_delivery_that_fails_is_tried_again_with_back_off_until_it_succeeds(desk: Desk, receiver: Receiver) -> None:
    webhook, _ = desk.webhook(receiver)
    scan = desk.scan()
    receiver.answer(500, 404, 302)
    desk.send()
    for tried, wait in enumerate(WAITS[:3], 1):
        [delivery] = desk.deliveries(webhook)
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.PENDING, tried)
        assert delivery.next_at == desk.now + timedelta(seconds=wait)
        desk.send(after=wait - 1)
        assert len(receiver.received) == tried
        desk.send(after=1)
    assert receiver.ids == [f"{scan}:1"] * 4
    assert desk.statuses(webhook) == ["delivered"]
    stamps = {received.headers["webhook-timestamp"] for received in receiver.received}
    assert len(stamps) == 4, "each attempt is signed anew"


def test_one_that_never_succeeds_is_dead_after_about_a_day_and_can_be_sent_again(
    desk: Desk, receiver: Receiver
) -> None:
    webhook, _ = desk.webhook(receiver)
    receiver.otherwise = Reply(500)
    scan = desk.scan()
    for wait in (0, *WAITS):
        desk.send(after=wait)
    [dead] = desk.deliveries(webhook, DeliveryStatus.DEAD)
    assert (dead.attempts, dead.last_status, dead.next_at) == (MOST_ATTEMPTS, 500, None)
    assert dead.last_detail == "The receiver answered 500."
    desk.send(after=10**7)
    assert len(receiver.received) == MOST_ATTEMPTS
    receiver.otherwise = Reply(200)
    sent = desk.book().resend(webhook, dead.position)
    assert (sent.status, sent.attempts) == (DeliveryStatus.PENDING, 0)
    desk.send()
    assert receiver.ids == [f"{scan}:1"] * (MOST_ATTEMPTS + 1)
    assert desk.statuses(webhook) == ["delivered"]
    desk.book().resend(webhook, dead.position)
    desk.send()
    assert len(receiver.received) == MOST_ATTEMPTS + 2, "what was delivered can be sent again, too"
    with pytest.raises(NotFound):
        desk.book().resend(webhook, 10**9)


def test_a_receiver_that_asks_to_be_left_alone_is_and_so_is_all_that_is_queued_for_it(
    desk: Desk, receiver: Receiver
) -> None:
    webhook, _ = desk.webhook(receiver)
    receiver.answer(503, Retry_After="900")
    scan = desk.scan(PAUSED)
    desk.send()
    desk.send(after=899)
    assert receiver.ids == [f"{scan}:1"]
    desk.send(after=1)
    assert receiver.ids == [f"{scan}:1", f"{scan}:1", f"{scan}:2"]
    receiver.answer(503, Retry_After="900")
    desk.happen(scan, RESUMED)
    desk.send()
    [pending] = desk.deliveries(webhook, DeliveryStatus.PENDING)
    desk.book().resend(webhook, pending.position)
    desk.send()
    assert desk.statuses(webhook) == ["delivered"] * 3, "a client may be less patient"


def test_a_failure_lets_later_events_pass(desk: Desk, receiver: Receiver) -> None:
    desk.webhook(receiver)
    receiver.answer(500, 500)
    scan = desk.scan(PAUSED)
    desk.send()
    desk.send(after=5)
    assert receiver.ids == [f"{scan}:1", f"{scan}:1"]
    desk.send(after=5)
    assert receiver.ids[2:] == [f"{scan}:2"]
    desk.send(after=30)
    assert receiver.ids[3:] == [f"{scan}:1"]


def test_a_receiver_that_is_gone_gets_nothing_more_until_its_webhook_is_enabled(desk: Desk, receiver: Receiver) -> None:
    webhook, _ = desk.webhook(receiver)
    receiver.answer(410)
    scan = desk.scan(PAUSED)
    desk.send()
    stored = desk.shelf.webhook("acme", webhook)
    assert (stored.enabled, stored.disabled_reason, stored.changed_by) == (False, "gone", "system:webhooks")
    assert desk.statuses(webhook) == ["dead", "pending"]
    desk.happen(scan, RESUMED)
    desk.send(after=10**6)
    assert receiver.ids == [f"{scan}:1"]
    with pytest.raises(Conflict, match="enable it first"):
        desk.book().resend(webhook, desk.deliveries(webhook)[0].position)
    desk.book().change(webhook, WebhookChange(enabled=True))
    desk.happen(scan, CANCELLED)
    desk.send()
    assert receiver.ids == [f"{scan}:{n}" for n in (1, 2, 4)], "what happened while it was disabled is not sent"


def test_while_it_is_rotated_a_message_carries_both_signatures_and_then_only_the_new_one(
    desk: Desk, receiver: Receiver
) -> None:
    webhook, first = desk.webhook(receiver)
    second, until = desk.book().rotate(webhook, timedelta(minutes=2))
    assert until == desk.now + timedelta(minutes=2)
    third, _ = desk.book().rotate(webhook, timedelta(minutes=3))
    scan = desk.scan()
    desk.send()
    for secret in (first, second, third):
        receiver.received[-1].verified_by(secret)
    desk.happen(scan, PAUSED)
    desk.send(after=119)
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 3
    desk.happen(scan, RESUMED)
    desk.send(after=1)
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 2
    desk.happen(scan, CANCELLED)
    desk.send(after=120)
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 1
    receiver.received[-1].verified_by(third)


def test_secrets_are_sealed_at_rest_and_open_only_in_their_place(desk: Desk, receiver: Receiver) -> None:
    webhook, secret = desk.webhook(receiver)
    other, _ = desk.webhook(receiver)
    with psycopg.connect(desk.url, autocommit=True) as connection:
        tables = ("webhooks", "webhook_secrets", "webhook_deliveries")
        rows = [repr(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]
        assert secret.removeprefix("whsec_") not in "".join(rows)
        connection.execute(
            "UPDATE webhook_secrets a SET ciphertext = b.ciphertext, wrapped_key = b.wrapped_key"
            " FROM webhook_secrets b WHERE a.webhook_id = %s AND b.webhook_id = %s",
            (other, webhook),
        )
    assert (desk.shelf.secrets("acme", other, desk.now), desk.shelf.first_secret("acme", other)) == ([], None)
    desk.scan()
    desk.send()
    assert len(receiver.received) == 1
    assert desk.statuses(webhook) == ["delivered"]
    [delivery] = desk.deliveries(other)
    assert (delivery.status, delivery.last_status) == (DeliveryStatus.PENDING, None)
    assert "rotate it" in str(delivery.last_detail)


def test_a_webhook_that_is_deleted_takes_its_deliveries_and_secrets_along(desk: Desk, receiver: Receiver) -> None:
    webhook, _ = desk.webhook(receiver)
    desk.scan()
    desk.shelf.drop("acme", webhook)
    desk.send()
    assert receiver.received == []
    with psycopg.connect(desk.url) as connection:
        for table in ("webhooks", "webhook_secrets", "webhook_deliveries"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_what_was_delivered_is_forgotten_in_time_and_what_is_dead_is_not(desk: Desk, receiver: Receiver) -> None:
    webhook, _ = desk.webhook(receiver)
    receiver.answer(204, 410)
    desk.scan(PAUSED, RESUMED)
    desk.send()
    assert desk.queue.prune(desk.now) == 0
    assert desk.queue.prune(desk.now + timedelta(seconds=1)) == 1
    assert desk.statuses(webhook) == ["dead", "pending"]


def test_a_tenant_has_so_many_webhooks_at_most(desk: Desk, receiver: Receiver) -> None:
    for _ in range(MOST_WEBHOOKS):
        desk.webhook(receiver)
    with pytest.raises(Conflict, match="at most"):
        desk.webhook(receiver)
    again, _ = desk.book().create("whk-1", "https://other.example", "", DEFAULT_KINDS)
    assert isinstance(again, Webhook)
    assert again.url == receiver.url(), "one that is there already stays as it is"
    desk.webhook(receiver, tenant="other")
