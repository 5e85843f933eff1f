"""Where a publisher goes on after a restore: behind the last event that stream and log have in common."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from application.history import LoggedEvent, event_line
from application.publishing import Owned, Published, agrees, headers_of, last_agreed, place_of

STATE = b'{"schema":1,"at":"2026-01-01T00:00:00Z","actor":"key:k1"}'
EVENT = Owned(LoggedEvent("scan-1", 3, 7, "scan.completed", STATE), "acme")


def published(owned: Owned, *, generation: int = 1, sequence: int = 1) -> Published:
    event = owned.event
    return Published(sequence, generation, event.position, headers_of(owned, generation), event_line(event))


@st.composite
def restores(draw: st.DrawFn) -> tuple[list[tuple[int, int, str]], dict[int, str]]:
    """What a stream holds (generation, position, event) after any number of restores, and the log as it is now."""
    timeline: list[str] = []
    stream: list[tuple[int, int, str]] = []
    number = 0
    for generation in range(1, draw(st.integers(1, 4)) + 1):
        added = draw(st.integers(1, 6))
        begin = len(timeline)
        timeline += [f"event-{number + at}" for at in range(added)]
        number += added
        stream += [(generation, at + 1, timeline[at]) for at in range(begin, len(timeline))]
        timeline = timeline[: draw(st.integers(0, len(timeline)))]
    timeline += [f"event-{number + at}" for at in range(draw(st.integers(0, 6)))]
    return stream, dict(enumerate(timeline, 1))


@given(restored=restores(), expired=st.integers(0, 5))
def test_the_last_event_that_both_have_is_found_after_any_number_of_restores(
    restored: tuple[list[tuple[int, int, str]], dict[int, str]], expired: int
) -> None:
    stream, log = restored
    first = min(expired, len(stream) - 1) + 1
    common = [at for at, (_, position, event) in enumerate(stream, 1) if at >= first and log.get(position) == event]

    async def message_at(sequence: int) -> Published:
        generation, position, event = stream[sequence - 1]
        return Published(sequence, generation, position, {}, event.encode())

    async def is_in_log(message: Published) -> bool:
        return log.get(message.position) == message.body.decode()

    found = asyncio.run(last_agreed(first, len(stream), message_at, is_in_log))
    expected = max(common, key=lambda at: stream[at - 1][1], default=None)
    assert (found.sequence if found else None) == expected


def test_a_log_agrees_with_just_the_event_that_was_published() -> None:
    message = published(EVENT)
    assert agrees(message, EVENT)
    assert not agrees(message, None)
    assert agrees(replace(message, headers={**message.headers, "Nats-Expected-Last-Sequence": "6"}), EVENT)
    for other in (
        replace(EVENT, tenant="globex"),
        replace(EVENT, event=replace(EVENT.event, version=4)),
        replace(EVENT, event=replace(EVENT.event, stream="scan-2")),
        replace(EVENT, event=replace(EVENT.event, position=8)),
        replace(EVENT, event=replace(EVENT.event, kind="scan.cancelled")),
        replace(EVENT, event=replace(EVENT.event, state=STATE.replace(b"k1", b"k2"))),
    ):
        assert not agrees(message, other)


def test_only_what_a_publisher_wrote_has_a_place() -> None:
    assert place_of(headers_of(EVENT, 2)["Nats-Msg-Id"]) == (2, 7)
    for strange in ("", "7", "1/", "/7", "1/7/2", "scan-1/0/1", "1/-7"):
        assert place_of(strange) is None
