"""What each child process of `scanledger up` is told: what its role needs, and nothing more."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr

from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import server_url
from infrastructure.embedded.postgres import service_url
from infrastructure.messaging.rights import COORDINATOR, INBOX_PREFIX, WORKER, WORKER_INBOX_PREFIX
from infrastructure.settings import PREFIX, Role, Settings, variable

_WORK: Final = {
    "pool",
    "ack_wait_seconds",
    "grace_seconds",
    "stall_seconds",
    "reader_memory_bytes",
    "max_object_bytes",
    "filesystem_roots",
    "log_level",
    "log_format",
    "otlp_endpoint",
}
_BROKER: Final = {"nats_url", "nats_user", "nats_password", "nats_credentials", "nats_inbox_prefix"}
_STREAMS: Final = {"stream_bytes", "events_bytes", "events_days"}
_STORE: Final = {"database_url", "encryption_key", "tiers", "default_tier"}
_SEAL: Final = {"seal_key", "seal_folder", "seal_every_events", "seal_every_seconds", "seal_retention_days"}
_WEBHOOKS: Final = {"webhook_endpoints", "webhook_delivered_days"}
_OWN_METRICS: Final = {"host", "metrics_port"}
_ROLE_SETTINGS: Final[dict[Role, set[str]]] = {
    "api": _WORK | _BROKER | _STREAMS | _STORE | _WEBHOOKS | {"host", "port", "s3_endpoints"},
    "coordinator": _WORK | _BROKER | _STREAMS | _STORE | _SEAL | _WEBHOOKS | _OWN_METRICS,
    "scanner": _WORK | {"workers", "s3_endpoints"} | _OWN_METRICS,
}


EMBEDDED_DEFAULTS: Final[Mapping[str, object]] = {
    "ack_wait_seconds": 10.0,
    "grace_seconds": 4.0,
    "filesystem_roots": (Path.home(), Path("/tmp")),  # noqa: S108 — where a newcomer's files are
    "s3_endpoints": ("*",),  # the embedded api listens on loopback, for its own user
    "webhook_endpoints": ("localhost", "127.0.0.0/8", "::1"),
}


def embedded_settings(
    settings: Settings, folder: DataFolder, *, postgres_port: int | None, nats_port: int | None
) -> Settings:
    """The settings of the whole embedded service: what is not given takes the embedded defaults.

    With a port, the server embedded there is the one to use; None leaves the setting as it is. Makes the keys that
    are not given.
    """
    update = {name: value for name, value in EMBEDDED_DEFAULTS.items() if name not in settings.model_fields_set}
    update["data"] = folder.path
    if settings.encryption_key is None:
        update["encryption_key"] = SecretStr(folder.encryption_key())
    if settings.seal_key is None:
        update["seal_key"] = SecretStr(folder.seal_key())
    if settings.seal_folder is None:
        update["seal_folder"] = str(folder.checkpoints)
    if postgres_port is not None:
        update["database_url"] = SecretStr(service_url(folder, postgres_port))
    if nats_port is not None:
        for prefix, user, inbox in (("", COORDINATOR, INBOX_PREFIX), ("worker_", WORKER, WORKER_INBOX_PREFIX)):
            update[f"{prefix}nats_url"] = server_url(nats_port)
            update[f"{prefix}nats_user"] = user
            update[f"{prefix}nats_password"] = SecretStr(folder.secret(f"nats_{user}"))
            update[f"{prefix}nats_credentials"] = None
            update[f"{prefix}nats_inbox_prefix"] = inbox
    return settings.model_copy(update=update)


def attached_settings(settings: Settings) -> Settings:
    """The settings to use a running embedded service's servers from another process of the same user.

    Without one, the settings as they are.
    """
    folder = DataFolder(settings.data)
    if folder.holder() is None:
        return settings
    return embedded_settings(
        settings,
        folder,
        postgres_port=None if settings.database_url else folder.kept_port("postgres"),
        nats_port=None if settings.nats_url else folder.kept_port("nats"),
    )


def child_environment(role: Role, settings: Settings, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child process: `inherited` (default: ours) with the settings of its role alone.

    A scanner never gets the database URL, the encryption key or an API key, nor libpq's own variables; its broker
    identity is the workers' one where there is one. The child reads no TOML file. Raises `Invalid` when a scanner
    has no NATS URL.
    """
    environment = {
        name: value
        for name, value in (os.environ if inherited is None else inherited).items()
        if not name.upper().startswith(PREFIX) and not (role == "scanner" and _of_libpq(name))
    }
    environment[variable("config")] = ""
    environment.update(_written((name, getattr(settings, name)) for name in _ROLE_SETTINGS[role]))
    if role == "scanner":
        broker = settings.broker(role)
        environment.update(_written((f"worker_nats_{f.name}", getattr(broker, f.name)) for f in fields(broker)))
    return environment


def _of_libpq(name: str) -> bool:
    return name.startswith("PG") or name == "DATABASE_URL"


def _written(values: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    for name, value in values:
        match value:
            case None | ():
                continue
            case SecretStr():
                yield variable(name), value.get_secret_value()
            case tuple():
                separator = os.pathsep if isinstance(value[0], Path) else ","
                yield variable(name), separator.join(map(str, value))
            case BaseModel():
                yield variable(name), value.model_dump_json()
            case _:
                yield variable(name), str(value)
