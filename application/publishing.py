"""Publishing the log to subscribers: what a message is, and where to go on.

The stream's own last message says where: nothing else is trusted, so that any number of publishers may run, and any of
them may die at any moment.

A message belongs to a *generation* of the log. Should the database come back from a backup that lacks events which had
been published, the events after that point did not come to pass, and other ones take their positions. What is in the
stream stays, for it was read; what the log holds instead follows, as the next generation.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from application.history import LoggedEvent, cloud_event_headers, event_line

MESSAGE_ID: Final = "Nats-Msg-Id"
GENERATION: Final = "ce-generation"
REFERENCE: Final = "ce-dataref"


@dataclass(frozen=True, slots=True)
class Owned:
    """An event of the log, and the tenant whose it is."""

    event: LoggedEvent
    tenant: str


@dataclass(frozen=True, slots=True)
class Published:
    """A message in the stream: the event at `position` of the log, as it was in this generation of it."""

    sequence: int
    generation: int
    position: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: behind `sequence` in the stream, behind `position` in the log."""

    sequence: int
    generation: int
    position: int

    def after(self, count: int, position: int) -> "Place":
        return replace(self, sequence=self.sequence + count, position=position)


class EventLog(Protocol):
    """The log as the publisher reads it. All methods block, and raise ServiceUnavailable.

    After any such error the log may be another one, restored from a backup: what was learned of it must be asked anew.
    """

    def after(self, position: int, limit: int) -> list[Owned]: ...
    def at(self, position: int) -> Owned | None: ...

    def since(self, moment: datetime) -> int:
        """The position behind which the first event lies that is not older than `moment`."""
        ...

    def kept(self) -> int | None:
        """How far the log had been published when that was last noted; None if it never was."""
        ...

    def keep(self, position: int) -> None: ...
    def wait(self, seconds: float) -> None:
        """Return as soon as there may be more events."""
        ...


def headers_of(owned: Owned, generation: int) -> dict[str, str]:
    """The CloudEvent's attributes, and the message id, by which the stream recognises what it has."""
    headers = cloud_event_headers(owned.event, owned.tenant)
    return {**headers, GENERATION: str(generation), MESSAGE_ID: f"{generation}/{owned.event.position}"}


def place_of(message_id: str) -> tuple[int, int] | None:
    """Generation and position of a message by its id; None for what no publisher wrote."""
    generation, _, position = message_id.partition("/")
    return (int(generation), int(position)) if generation.isdecimal() and position.isdecimal() else None


def reference_to(event: LoggedEvent) -> str:
    """Where the API has an event that is too large for a message."""
    return f"/api/v1/scans/{event.stream}/events" if event.of_scan else "/api/v1/events"


def agrees(message: Published, owned: Owned | None) -> bool:
    """Whether the log holds the very event that was published at its position."""
    if owned is None:
        return False
    if headers_of(owned, message.generation).items() - message.headers.items():
        return False
    return REFERENCE in message.headers or message.body == event_line(owned.event)


async def last_agreed(
    first: int,
    last: int,
    message_at: Callable[[int], Awaitable[Published]],
    is_in_log: Callable[[Published], Awaitable[bool]],
) -> Published | None:
    """The last message, of the sequences `first` to `last`, that the log holds as well; None if it holds none.

    Generations follow one another in the stream, and within one the log agrees up to some point and not beyond. So two
    searches by halves for each generation find it, from the last generation back.
    """

    async def since(low: int, high: int, holds: Callable[[Published], Awaitable[bool]]) -> int:
        """The first of `low`…`high` - 1 for which it holds, as it then does for all later ones; else `high`."""
        while low < high:
            middle = (low + high) // 2
            if await holds(await message_at(middle)):
                high = middle
            else:
                low = middle + 1
        return low

    async def is_lost(message: Published) -> bool:
        return not await is_in_log(message)

    while last >= first:
        generation = (await message_at(last)).generation

        async def is_of_it(message: Published, generation: int = generation) -> bool:
            return message.generation >= generation

        begin = await since(first, last, is_of_it)
        lost = await since(begin, last + 1, is_lost)
        if lost > begin:
            return await message_at(lost - 1)
        last = begin - 1
    return None
