"""`scanledger nats-config`: accounts, logins and rights of a NATS server, as a file that its configuration includes."""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import Fault, Invalid
from infrastructure.messaging.rights import COORDINATOR, WORKER, WORKER_INBOX_PREFIX, Login, accounts, subscriber

_BCRYPT: Final = re.compile(r"\$2[abxy]?\$\d{2}\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True, slots=True)
class NatsConfig:
    """What goes into the file, and the passwords that were made for it, by user."""

    text: str
    made: Mapping[str, str]


def nats_config(
    tenants: Sequence[str],
    hashes: Mapping[str, str],
    make: Callable[[], str] = lambda: secrets.token_urlsafe(24),
) -> NatsConfig:
    """Logins of the coordinator, the workers and the subscribers of `tenants`. `hashes`: bcrypt hashes of passwords, by
    user; all others are made. Raises Invalid."""
    users = (COORDINATOR, WORKER, *map(subscriber, tenants))
    if faults := [*_faults(users, hashes)]:
        raise Invalid(faults)
    made = {user: make() for user in users if user not in hashes}
    logins = {user: Login(user, hashes.get(user) or made[user]) for user in users}
    named = {tenant: logins[subscriber(tenant)] for tenant in tenants}
    block = json.dumps(accounts(logins[COORDINATOR], logins[WORKER], named), indent=2)
    return NatsConfig(f"{_HEAD}accounts: {block}\n", made)


def _faults(users: Sequence[str], hashes: Mapping[str, str]) -> list[Fault]:
    unknown = [Fault(user, f"is no login here: these are {', '.join(users)}") for user in hashes if user not in users]
    wrong = [
        Fault(user, "is not a bcrypt hash: make one with `htpasswd -bnBC 11 '' PASSWORD` or `nats server passwd`")
        for user, hashed in hashes.items()
        if not _BCRYPT.fullmatch(hashed)
    ]
    return unknown + wrong


_HEAD: Final = f"""\
# Accounts, logins and rights of Scanledger, made by `scanledger nats-config`. In the server's configuration:
#     jetstream {{ store_dir: /var/lib/nats }}
#     include scanledger-accounts.conf
# The coordinator's login is for api, coordinator and followers: SCANLEDGER_NATS_USER and SCANLEDGER_NATS_PASSWORD.
# That of workers: SCANLEDGER_WORKER_NATS_USER and _PASSWORD; its inbox prefix is {WORKER_INBOX_PREFIX}, as usual.
"""
