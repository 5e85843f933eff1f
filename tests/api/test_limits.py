"""The token bucket, by a clock of the test's own."""

from api.limits import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_has_its_requests_a_minute_and_then_waits_for_the_next_token():
    clock = Clock()
    limiter = RateLimiter(clock)
    assert [limiter.wait("key", 3) for _ in range(3)] == [0, 0, 0]
    assert limiter.wait("key", 3) == 20
    clock.now = 19.9
    assert limiter.wait("key", 3) > 0
    clock.now = 20.1
    assert limiter.wait("key", 3) == 0
    assert limiter.wait("key", 3) > 0


def test_one_key_does_not_spend_anothers_tokens():
    limiter = RateLimiter(Clock())
    limiter.wait("one", 1)
    assert limiter.wait("one", 1) > 0
    assert limiter.wait("two", 1) == 0


def test_a_rested_key_has_no_more_than_a_minutes_worth():
    clock = Clock()
    limiter = RateLimiter(clock)
    limiter.wait("key", 2)
    clock.now = 10_000
    assert [limiter.wait("key", 2) == 0 for _ in range(3)] == [True, True, False]
