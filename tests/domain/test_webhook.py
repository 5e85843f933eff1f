"""What becomes of a delivery."""

from datetime import timedelta

import pytest

from domain.webhook import (
    DEFAULT_KINDS,
    KINDS,
    MOST_ATTEMPTS,
    WAITS,
    Answered,
    DeliveryStatus,
    Verdict,
    rest,
    verdict,
)
from tests.domain.given import NOON


def waited(answered: Answered, attempts: int, jitter: float = 0.5) -> float:
    judged = verdict(answered, attempts, NOON, jitter)
    assert judged.status is DeliveryStatus.PENDING
    assert judged.next_at is not None
    return (judged.next_at - NOON).total_seconds()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_the_receiver_accepted_is_delivered(status: int) -> None:
    assert verdict(Answered(status, ""), 1, NOON, 0.5) == Verdict(DeliveryStatus.DELIVERED)


@pytest.mark.parametrize("status", [None, 301, 400, 404, 429, 500, 503])
def test_anything_else_is_tried_again_ever_later_for_about_a_day_and_then_is_dead(status: int | None) -> None:
    answered = Answered(status, "")
    waits = [waited(answered, attempts) for attempts in range(1, MOST_ATTEMPTS)]
    assert waits == list(WAITS)
    assert waits == sorted(waits)
    assert timedelta(hours=20) < timedelta(seconds=sum(waits)) < timedelta(hours=28)
    assert verdict(answered, MOST_ATTEMPTS, NOON, 0.5) == Verdict(DeliveryStatus.DEAD)


def test_a_wait_varies_by_a_quarter() -> None:
    assert [waited(Answered(500, ""), 2, jitter) for jitter in (0.0, 1.0)] == [22.5, 37.5]


def test_a_wait_is_never_shorter_than_what_the_receiver_asked_for_nor_longer_than_a_day_for_that() -> None:
    assert waited(Answered(503, "", retry_after=90), 1) == 90
    assert waited(Answered(503, "", retry_after=1), 1) == 5
    assert waited(Answered(429, "", retry_after=10**9), 1) == 86_400
    assert rest(Answered(503, "", retry_after=90)) == timedelta(seconds=90)
    assert rest(Answered(None, "")) == timedelta(seconds=5)


def test_where_the_receiver_is_gone_nothing_is_tried_again() -> None:
    gone = Answered(410, "", retry_after=5)
    assert (gone.gone, verdict(gone, 1, NOON, 0.5)) == (True, Verdict(DeliveryStatus.DEAD))


def test_by_default_the_course_of_scans_is_told_without_their_bulk() -> None:
    assert set(DEFAULT_KINDS) < set(KINDS)
    assert DEFAULT_KINDS[0] == "scan.queued"
    assert not any("chunk" in kind or "list" in kind for kind in DEFAULT_KINDS)
