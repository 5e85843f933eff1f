"""The broker, its streams, and who pulls from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infrastructure.messaging.broker import Broker
    from infrastructure.messaging.pulling import Pull
    from infrastructure.settings import Role, Settings


async def open_broker(settings: Settings, role: Role, *, patience: float | None = None) -> Broker:
    """A connection with the rights of `role`. Raises ServiceUnavailable after `patience` seconds (None: never)."""
    from infrastructure.messaging.broker import Broker

    return await Broker(settings.broker(role), name=f"scanledger-{role}").connect(patience=patience)


async def prepare_streams(settings: Settings, broker: Broker) -> None:
    """Make the streams and consumers as they should be."""
    from infrastructure.messaging.streams import ensure_pool, ensure_streams

    await ensure_streams(broker.jetstream, ack_wait=settings.ack_wait_seconds, max_bytes=settings.stream_bytes)
    await ensure_pool(broker.jetstream, settings.pool, ack_wait=settings.ack_wait_seconds)


async def restore_streams(settings: Settings, broker: Broker) -> bool:
    """Make streams and consumers anew if the server has lost any; whether it had."""
    from infrastructure.messaging.streams import anything_missing

    lost = await anything_missing(broker.jetstream, settings.pool)
    if lost:
        await prepare_streams(settings, broker)
    return lost


def workers_pull(broker: Broker, pool: str) -> Pull:
    from infrastructure.messaging.pulling import Pull
    from infrastructure.messaging.streams import COMMANDS, workers_consumer

    return Pull(broker, COMMANDS, workers_consumer(pool))


def listers_pull(broker: Broker, pool: str) -> Pull:
    from infrastructure.messaging.pulling import Pull
    from infrastructure.messaging.streams import COMMANDS, listers_consumer

    return Pull(broker, COMMANDS, listers_consumer(pool))


def recorder_pull(broker: Broker) -> Pull:
    from infrastructure.messaging.pulling import Pull
    from infrastructure.messaging.streams import RECORDER, REPORTS

    return Pull(broker, REPORTS, RECORDER)
