"""Where subscribers ask for their consumers. Each tenant has a subject of its own, which only its login reaches."""

import msgspec
import structlog

from application.subscribing import Subscribed, subscription
from domain.errors import Invalid, ServiceUnavailable
from infrastructure.wiring import Broker, Message, open_subscriptions, subscribe_subject

log = structlog.get_logger(__name__)


class SubscriptionsDesk:
    """Answers each request once, however many desks there are."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._subscriptions = open_subscriptions(broker)

    async def start(self) -> None:
        await self._broker.client.subscribe(subscribe_subject("*"), queue="subscriptions", cb=self._on_request)

    async def _on_request(self, message: Message) -> None:
        tenant = message.subject.rpartition(".")[2]
        try:
            answer = await self._subscriptions.ensure(tenant, subscription(message.data))
        except Invalid as invalid:
            answer = Subscribed(error="; ".join(fault.message for fault in invalid.faults))
        except ServiceUnavailable as error:
            answer = Subscribed(error=str(error))
        log.info("events.subscribed", tenant=tenant, consumer=answer.consumer, error=answer.error)
        await message.respond(msgspec.json.encode(answer))
