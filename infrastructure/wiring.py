"""The composition root: where ports get their adapters. Importing it has no effect and loads no database driver,
no provider's SDK and no detection engine; each process loads what its role needs, when it asks for it here.
"""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from nats.aio.msg import Msg as Message

from application.ports import Detection, Inventory, ManifestStore, ObjectSource, Recorded, ScanLog
from application.recording import Recorder
from domain.errors import Conflict, NotFound
from infrastructure.api_scopes import SCOPES, USUAL_SCOPES
from infrastructure.messaging.broker import Broker, MessageTooLarge
from infrastructure.messaging.pulling import Pull
from infrastructure.messaging.streams import (
    COMMANDS,
    CONTROL,
    RECORDER,
    REPORTS,
    anything_missing,
    chunk_subject,
    control_id,
    control_subject,
    credentials_subject,
    ensure_pool,
    ensure_streams,
    listers_consumer,
    listing_subject,
    report_subject,
    telemetry_subject,
    workers_consumer,
)
from infrastructure.settings import Role, Settings, TierName, load_settings, variable

if TYPE_CHECKING:
    from application.reading import ApiPorts
    from infrastructure.postgres.credentials import PostgresCredentials
    from infrastructure.postgres.follower import Follower

__all__ = [
    "COMMANDS",
    "CONTROL",
    "REPORTS",
    "SCOPES",
    "USUAL_SCOPES",
    "Broker",
    "Message",
    "MessageTooLarge",
    "Pull",
    "Role",
    "Settings",
    "TierName",
    "chunk_subject",
    "control_id",
    "control_subject",
    "credentials_subject",
    "listing_subject",
    "load_settings",
    "report_subject",
    "telemetry_subject",
    "variable",
]


def utc_now() -> datetime:
    return datetime.now(UTC)


# Processes ------------------------------------------------------------------------------------------------------------


def configure_logging(settings: Settings) -> None:
    """JSON lines on stderr: an event name, its fields, never a secret or object content."""
    level = getattr(logging, settings.log_level.upper())
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone (Linux; elsewhere a closed pipe must do)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def limit_memory(most: int) -> None:
    """Have allocations fail (MemoryError) once this process holds `most` bytes of data (Linux; elsewhere no limit)."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        # Arrow's own allocator gives no addresses back: what one object took, all that follow would go without.
        os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"


def tune_collector() -> None:
    """Have the garbage collector leave alone what is there by now, and look at the rest less often.

    A coordinator keeps a hundred thousand chunks of a long scan in memory, none of them garbage.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def run_until_signalled(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stop)` on uvloop where it exists; SIGTERM and SIGINT set `stop`."""
    tune_collector()

    async def body() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await main(stop)

    if sys.platform == "win32":
        asyncio.run(body())
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


# Broker ---------------------------------------------------------------------------------------------------------------


async def open_broker(settings: Settings, role: Role, *, patience: float | None = None) -> Broker:
    """A connection with the rights of `role`. Raises ServiceUnavailable after `patience` seconds (None: never)."""
    return await Broker(settings.broker(role), name=f"scanledger-{role}").connect(patience=patience)


async def prepare_streams(settings: Settings, broker: Broker) -> None:
    """Make the streams and consumers as they should be."""
    await ensure_streams(broker.jetstream, ack_wait=settings.ack_wait_seconds, max_bytes=settings.stream_bytes)
    await ensure_pool(broker.jetstream, settings.pool, ack_wait=settings.ack_wait_seconds)


async def restore_streams(settings: Settings, broker: Broker) -> bool:
    """Make streams and consumers anew if the server has lost any; whether it had."""
    lost = await anything_missing(broker.jetstream, settings.pool)
    if lost:
        await prepare_streams(settings, broker)
    return lost


def workers_pull(broker: Broker, pool: str) -> Pull:
    return Pull(broker, COMMANDS, workers_consumer(pool))


def listers_pull(broker: Broker, pool: str) -> Pull:
    return Pull(broker, COMMANDS, listers_consumer(pool))


def recorder_pull(broker: Broker) -> Pull:
    return Pull(broker, REPORTS, RECORDER)


# Database -------------------------------------------------------------------------------------------------------------


def migrate_database(settings: Settings) -> Sequence[str]:
    """Apply the migrations that are missing; gives their names. Needs the database URL and nothing else."""
    from infrastructure.postgres.migrate import migrate
    from infrastructure.postgres.refusals import refusals_told

    with refusals_told():
        return migrate(settings.database())


def open_log(settings: Settings, *, pool_size: int = 4, timeout: float = 5.0, watchful: bool = False) -> ScanLog:
    from infrastructure.postgres.event_log import PostgresScanLog

    return PostgresScanLog(settings.database(), pool_size=pool_size, timeout=timeout, watchful=watchful)


def open_manifest(settings: Settings) -> ManifestStore:
    from infrastructure.postgres.manifest import PostgresManifestStore

    return PostgresManifestStore(settings.database())


def open_recorder(settings: Settings) -> Recorder:
    log = open_log(settings, watchful=True)
    return Recorder(log, open_manifest(settings), open_inventory(settings), utc_now)


def open_inventory(settings: Settings) -> Inventory:
    from infrastructure.postgres.inventory import PostgresInventory

    return PostgresInventory(settings.database())


def open_projector(settings: Settings) -> "Follower":
    from infrastructure.postgres.projector import projector

    return projector(settings.database())


def open_inventories(settings: Settings) -> "Follower":
    from infrastructure.postgres.acceptance import inventories

    return inventories(settings.database())


def rebuild_views(settings: Settings) -> Sequence[str]:
    """Fold the views anew from the log; gives a line for each row that differed. Needs only the database URL."""
    from infrastructure.postgres.projector import rebuild
    from infrastructure.postgres.refusals import refusals_told

    with refusals_told():
        return rebuild(settings.database())


def lead_log(
    settings: Settings,
    begin: Callable[[], int],
    deliver: Callable[[Sequence[Recorded]], None],
    stop: threading.Event,
) -> None:
    """Be the leader and tail the log; see `infrastructure.postgres.follower.lead`. Raises LeadLost."""
    import psycopg

    from infrastructure.postgres.follower import lead

    try:
        lead(settings.database(), begin, deliver, stop)
    except psycopg.Error as error:
        raise LeadLost(type(error).__name__) from error


class LeadLost(Exception):
    """The leader's connection is gone, and with it the lead."""


def open_credentials(settings: Settings) -> "PostgresCredentials":
    """Connectors' secrets, opened with the installation's key."""
    from infrastructure.postgres.credentials import PostgresCredentials
    from infrastructure.secrets import EnvelopeVault

    return PostgresCredentials(settings.database(), EnvelopeVault(settings.encryption_key_bytes()))


# Sources and detection ------------------------------------------------------------------------------------------------


def open_source(
    settings: Settings, kind: str, config: Mapping[str, Any], credentials: Mapping[str, str] | None
) -> ObjectSource:
    """The source of a connector. Raises SourceMisconfigured."""
    from infrastructure.connectors import registry

    policy = registry.SourcePolicy(settings.filesystem_roots, settings.s3_endpoints)
    return registry.open_source(kind, config, credentials, policy)


def open_detection(detectors: Sequence[str] = ()) -> Detection:
    """The detectors with these ids, compiled; all of them if none is named."""
    from domain.detectors import select
    from infrastructure.detection.engine import HyperscanDetection

    return HyperscanDetection(select(detectors))


# The API --------------------------------------------------------------------------------------------------------------


def open_api_ports(settings: Settings) -> AbstractAsyncContextManager["ApiPorts"]:
    """Everything the API works with, open for as long as the context lasts."""
    from infrastructure import api_ports

    return api_ports.open_api_ports(settings, utc_now)


# Tenants and their API keys -------------------------------------------------------------------------------------------


def create_tenant(settings: Settings, tenant: str, tier: str) -> Mapping[str, Any]:
    """Make a tenant. Raises Conflict when there is one of that name."""
    from infrastructure.postgres import tenants

    if not tenants.ensure_tenant(settings.database(), tenant, name=tenant, tier=tier):
        raise Conflict("TENANT_EXISTS", f"There is a tenant {tenant!r} already; nothing was changed.")
    return {"tenant_id": tenant, "name": tenant, "tier": tier}


def list_tenants(settings: Settings) -> Sequence[Mapping[str, Any]]:
    from infrastructure.postgres import tenants

    return [asdict(tenant) for tenant in tenants.tenants(settings.database())]


def create_key(settings: Settings, tenant: str, scopes: Sequence[str]) -> Mapping[str, Any]:
    """Make an API key, whose secret is in the answer and nowhere else. Raises NotFound for an unknown tenant."""
    from infrastructure.postgres import tenants

    token = tenants.make_key(settings.database(), settings.encryption_key_bytes(), tenant, scopes)
    return {"key_id": token.split("_")[1], "tenant_id": tenant, "scopes": list(scopes), "api_key": token}


def list_keys(settings: Settings, tenant: str | None = None) -> Sequence[Mapping[str, Any]]:
    """The API keys of a tenant, or of all, without their secrets. Raises NotFound for an unknown tenant."""
    from infrastructure.postgres import tenants

    return [asdict(key) for key in tenants.api_keys(settings.database(), tenant)]


def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke an API key; running processes follow within ten seconds. Raises NotFound when no valid one has the id."""
    from infrastructure.postgres import tenants

    if not tenants.revoke_key(settings.database(), key_id):
        raise NotFound("valid key", key_id)


# The command line -----------------------------------------------------------------------------------------------------


def _bootstrap(settings: Settings, kept: str | None) -> str:
    from infrastructure.postgres.tenants import bootstrap

    key = settings.encryption_key_bytes()
    return bootstrap(settings.database(), key, tier=settings.default_tier, kept=kept)


def serve(settings: Settings, on_ready: Callable[[str, str], None], notify: Callable[[str], None]) -> None:
    """The embedded service in the foreground, until a signal; see `infrastructure.supervisor.serve`.

    `on_ready` gets its URL and API key, `notify` what a person may want to know meanwhile.
    """
    from infrastructure import supervisor
    from infrastructure.postgres.migrate import migrate

    whole = supervisor.Supervisor(settings, migrate=migrate, bootstrap=_bootstrap, notify=notify)
    supervisor.serve(whole, lambda running: on_ready(running.url, running.api_key))


def running_service(settings: Settings) -> AbstractContextManager[object]:
    """The embedded service for as long as a context lasts; see `infrastructure.supervisor.running_service`."""
    from infrastructure import supervisor
    from infrastructure.postgres.migrate import migrate

    return supervisor.running_service(settings, migrate=migrate, bootstrap=_bootstrap)


def attached_settings(settings: Settings) -> Settings:
    """`settings`, completed by the embedded service that runs on their data folder, if one does."""
    from infrastructure.embedded.environment import attached_settings

    return attached_settings(settings)


def child_environment(role: Role, settings: Settings) -> dict[str, str]:
    """The environment of a process that is told only what `role` needs. Raises Invalid."""
    from infrastructure.embedded.environment import child_environment

    return child_environment(role, settings)


def diagnose(settings: Settings) -> Sequence[Mapping[str, str]]:
    """What `scanledger doctor` looks at: name, state (ok, warning, problem), found and remedy of each check."""
    from infrastructure.doctor_servers import diagnose

    return [check.as_dict() for check in diagnose(settings)]
