"""The broker, its streams, and who pulls from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infrastructure.messaging.broker import Broker
    from infrastructure.messaging.event_stream import EventStream
    from infrastructure.messaging.nats_config import NatsConfig
    from infrastructure.messaging.pulling import Pull
    from infrastructure.messaging.subscriptions import Subscriptions
    from infrastructure.settings import Role, Settings


async def open_broker(settings: Settings, role: Role, *, patience: float | None = None) -> Broker:
    """A connection with the rights of `role`. Raises ServiceUnavailable after `patience` seconds (None: never)."""
    from infrastructure.messaging.broker import Broker

    return await Broker(settings.broker(role), name=f"scanledger-{role}").connect(patience=patience)


async def prepare_streams(settings: Settings, broker: Broker) -> None:
    """Make the streams and consumers as they should be."""
    from infrastructure.messaging.streams import Limits, ensure_pool, ensure_streams

    await ensure_streams(broker.jetstream, ack_wait=settings.ack_wait_seconds, limits=Limits.of(settings))
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


def open_event_stream(broker: Broker) -> EventStream:
    """The stream of events, as its publisher sees it."""
    from infrastructure.messaging.event_stream import EventStream

    return EventStream(broker)


def open_subscriptions(broker: Broker) -> Subscriptions:
    """The consumers of tenants' subscribers."""
    from infrastructure.messaging.subscriptions import Subscriptions

    return Subscriptions(broker)


def nats_config(tenants: Sequence[str], hashes: Mapping[str, str]) -> NatsConfig:
    """Accounts, logins and rights for a NATS server; see `infrastructure.messaging.nats_config`. Raises Invalid."""
    from infrastructure.messaging.nats_config import nats_config

    return nats_config(tenants, hashes)


def subscriber_login(settings: Settings) -> Mapping[str, str]:
    """The login for subscribers of the embedded service's first tenant. Raises Invalid."""
    from infrastructure.embedded.folder import DataFolder
    from infrastructure.embedded.nats import subscriber_login

    return subscriber_login(DataFolder(settings.data))
