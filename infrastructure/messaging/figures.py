"""Figures of the streams, for operators."""

from collections.abc import Mapping
from typing import Final

from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from application.operating import ConsumerFigures, StreamFigures
from domain.errors import ServiceUnavailable
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.streams import COMMANDS, EVENTS, REPORTS

_STREAMS: Final = (COMMANDS, REPORTS, EVENTS)
_WITH_CONSUMERS: Final = (COMMANDS, REPORTS)
"""Those of EVENTS are the subscribers' own, as many as they like."""


async def stream_figures(broker: Broker) -> Mapping[str, StreamFigures]:
    """By stream, of those that exist. Raises ServiceUnavailable."""
    if not broker.connected:
        raise ServiceUnavailable("The broker does not answer.")
    jetstream = broker.client.jetstream(timeout=2.0)
    figures: dict[str, StreamFigures] = {}
    try:
        for name in _STREAMS:
            try:
                state = (await jetstream.stream_info(name)).state
                told = await jetstream.consumers_info(name) if name in _WITH_CONSUMERS else []
            except NotFoundError:
                continue
            consumers = {each.name: _consumer(each) for each in told}
            figures[name] = StreamFigures(state.messages, state.bytes, consumers)
    except (NatsError, JetStreamError, TimeoutError, OSError) as error:
        raise ServiceUnavailable("The broker does not answer.") from error
    return figures


def _consumer(told: ConsumerInfo) -> ConsumerFigures:
    return ConsumerFigures(told.num_pending or 0, told.num_ack_pending or 0, told.num_redelivered or 0)
