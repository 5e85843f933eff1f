"""Who may do what on NATS: the one source of the logins' rights, for the embedded server and for any other.

Subscribers have an account for each tenant. Only by that can they do no harm with what they may do: in an account of
its own, the reply subject of a request leads nowhere else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from application.subscribing import CONSUMERS_A_TENANT, consumer_name
from infrastructure.messaging.streams import EVENTS, subscribe_subject

COORDINATOR: Final = "coordinator"
WORKER: Final = "worker"
SERVICE_ACCOUNT: Final = "SCANLEDGER"
INBOX_PREFIX: Final = "_INBOX"
WORKER_INBOX_PREFIX: Final = "_INBOX_WORKER"

WORKER_MAY_PUBLISH: Final = (
    "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.>",
    "$JS.API.CONSUMER.INFO.COMMANDS.>",
    "$JS.API.DIRECT.GET.CONTROL.>",
    "$JS.ACK.COMMANDS.>",
    "scan.report.>",
    "scan.progress.>",
    "scan.credentials.>",
)
"""Design §4: a worker pulls its consumer, acknowledges, reports, and reads CONTROL. Nothing else."""

WORKER_MAY_SUBSCRIBE: Final = (f"{WORKER_INBOX_PREFIX}.>", "scan.control.>")
"""Its replies come below a prefix of their own: it cannot read the coordinator's."""


@dataclass(frozen=True, slots=True)
class Login:
    """`password` may be its bcrypt hash, as far as the server is concerned."""

    user: str
    password: str


def subscriber(tenant: str) -> str:
    """The user name of a tenant's subscribers."""
    return f"subscriber-{tenant}"


def subscriber_account(tenant: str) -> str:
    return f"SUBSCRIBER_{tenant}"


def _services(tenant: str) -> Iterator[dict[str, Any]]:
    """All that a subscriber may send, as the service's account offers it to the tenant's."""
    yield {"service": subscribe_subject(tenant)}
    for number in range(1, CONSUMERS_A_TENANT + 1):
        name = consumer_name(tenant, number)
        yield {"service": f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{name}", "response": "stream"}
        yield {"service": f"$JS.ACK.{EVENTS}.{name}.>"}


def subscriber_may_publish(tenant: str) -> list[str]:
    return [service["service"] for service in _services(tenant)]


SUBSCRIBER_MAY_SUBSCRIBE: Final = (f"{INBOX_PREFIX}.>",)


def accounts(coordinator: Login, worker: Login, subscribers: Mapping[str, Login]) -> dict[str, Any]:
    """The `accounts` of a NATS server. `subscribers`: the login of each tenant's subscribers, by tenant."""
    exports = [
        {**service, "accounts": [subscriber_account(tenant)]} for tenant in subscribers for service in _services(tenant)
    ]
    service: dict[str, Any] = {
        "jetstream": "enabled",
        "users": [_user(coordinator), _user(worker, WORKER_MAY_PUBLISH, WORKER_MAY_SUBSCRIBE)],
        "exports": exports,
    }
    others = {subscriber_account(tenant): _account(tenant, login) for tenant, login in subscribers.items()}
    return {SERVICE_ACCOUNT: service, **others}


def _account(tenant: str, login: Login) -> dict[str, Any]:
    allowed = subscriber_may_publish(tenant)
    imports = [{"service": {"account": SERVICE_ACCOUNT, "subject": subject}} for subject in allowed]
    return {"users": [_user(login, allowed, SUBSCRIBER_MAY_SUBSCRIBE)], "imports": imports}


def _user(login: Login, publish: Any = None, subscribe: Any = None) -> dict[str, Any]:
    user: dict[str, Any] = {"user": login.user, "password": login.password}
    if publish is not None:
        user["permissions"] = {"publish": {"allow": list(publish)}, "subscribe": {"allow": list(subscribe)}}
    return user
