"""Subscribers' consumers. The service makes them, because who may make a consumer may have its messages sent anywhere.

JetStream delivers to whatever subject a consumer or a request names, in the account where the stream is, whether or not
who asks may publish there (nats-server issue 8274).
"""

from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from application.subscribing import Subscribe, Subscribed, consumer_name
from domain.errors import ServiceUnavailable
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.streams import EVENTS, tenant_subjects

_ACK_WAIT_SECONDS = 30
_UNACKNOWLEDGED = 1_000


class Subscriptions:
    """The durable consumers of tenants on EVENTS."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def ensure(self, tenant: str, wanted: Subscribe) -> Subscribed:
        """The consumer as it is wanted, begun anew if that is said. Raises ServiceUnavailable."""
        jetstream = self._broker.jetstream
        name = consumer_name(tenant, wanted.consumer)
        try:
            found = None if wanted.anew else await self._found(name)
            if found is None:
                if wanted.anew:
                    await self._removed(name)
                found = await jetstream.add_consumer(EVENTS, _config(name, tenant, wanted))
            elif _filters(found.config) != _wanted_filters(tenant, wanted):
                changed = found.config.evolve(filter_subject=None, filter_subjects=_wanted_filters(tenant, wanted))
                found = await jetstream.add_consumer(EVENTS, changed)
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise ServiceUnavailable(f"The stream {EVENTS} cannot be subscribed to now: {error}") from error
        return Subscribed(stream=EVENTS, consumer=name, pending=found.num_pending or 0)

    async def _found(self, name: str) -> api.ConsumerInfo | None:
        try:
            found: api.ConsumerInfo = await self._broker.jetstream.consumer_info(EVENTS, name)
        except NotFoundError:
            return None
        return found

    async def _removed(self, name: str) -> None:
        try:
            await self._broker.jetstream.delete_consumer(EVENTS, name)
        except NotFoundError:
            return


def _config(name: str, tenant: str, wanted: Subscribe) -> api.ConsumerConfig:
    begin = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.ALL)
    if wanted.sequence is not None:
        begin = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=wanted.sequence)
    elif wanted.time is not None:
        begin = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=wanted.time)
    elif wanted.new:
        begin = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.NEW)
    return begin.evolve(
        name=name,
        durable_name=name,
        filter_subjects=_wanted_filters(tenant, wanted),
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=_UNACKNOWLEDGED,
    )


def _wanted_filters(tenant: str, wanted: Subscribe) -> list[str]:
    return [tenant_subjects(tenant, kind) for kind in sorted(set(wanted.kinds))] or [tenant_subjects(tenant)]


def _filters(config: api.ConsumerConfig) -> list[str]:
    return config.filter_subjects or ([config.filter_subject] if config.filter_subject else [])
