"""The stream EVENTS, as its publisher sees it."""

from collections.abc import Sequence
from typing import Final

from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import Error as JetStreamError

from application.history import event_line
from application.publishing import MESSAGE_ID, REFERENCE, Owned, Published, headers_of, place_of, reference_to
from domain.errors import ServiceUnavailable
from infrastructure.messaging.broker import HEADERS_ROOM, Broker
from infrastructure.messaging.pipeline import Outgoing, Pipeline
from infrastructure.messaging.streams import EVENTS, event_subject

_PATIENCE: Final = 2.0
"""Seconds for an answer about the stream: a request that a server took with it is soon made again."""


class EventStream:
    """`application.publishing.EventStream` on JetStream."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._jetstream = broker.client.jetstream(timeout=_PATIENCE)
        self._pipeline = Pipeline(broker)

    async def bounds(self) -> tuple[int, int]:
        """The first and the last sequence. Of an empty stream the last one is what it held last, and less than the
        first. Raises ServiceUnavailable."""
        if not self._broker.connected:
            raise ServiceUnavailable("The broker does not answer.")
        try:
            state = (await self._jetstream.stream_info(EVENTS)).state
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise ServiceUnavailable(f"The stream {EVENTS} is not there.") from error
        return (state.first_seq if state.messages else state.last_seq + 1), state.last_seq

    async def message(self, sequence: int) -> Published:
        """The publisher's message of that sequence, or if somebody else wrote that, the one before.

        Raises ServiceUnavailable, also when it is too old by now.
        """
        while True:
            try:
                found = await self._jetstream.get_msg(EVENTS, seq=sequence)
            except (NatsError, JetStreamError, TimeoutError, OSError) as error:
                raise ServiceUnavailable(f"Message {sequence} of {EVENTS} cannot be read.") from error
            if published := _published(sequence, found):
                return published
            sequence -= 1

    async def publish(self, batch: Sequence[Owned], *, generation: int, after: int) -> bool:
        """Store the events right behind sequence `after`; false if the stream ends elsewhere: look where.

        Raises StreamFull or ServiceUnavailable; some of the first may have been stored then.
        """
        most = self._broker.client.max_payload - HEADERS_ROOM
        return await self._pipeline.publish([_outgoing(owned, generation, most) for owned in batch], after=after)


def _published(sequence: int, found: RawStreamMsg) -> Published | None:
    headers = found.headers or {}
    place = place_of(headers.get(MESSAGE_ID, ""))
    if place is None:
        return None
    generation, position = place
    return Published(sequence, generation, position, headers, found.data or b"")


def _outgoing(owned: Owned, generation: int, most: int) -> Outgoing:
    event = owned.event
    subject = event_subject(owned.tenant, event.stream, event.kind)
    headers = headers_of(owned, generation)
    body = event_line(event)
    if len(body) <= most:
        return Outgoing(subject, headers, body)
    return Outgoing(subject, {**headers, REFERENCE: reference_to(event)}, b"")
