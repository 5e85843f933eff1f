"""The checks of `scanledger doctor` that ask the database and the broker."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from domain.errors import Invalid
from infrastructure.doctor import Check, machine_checks, ok, servers_in_use
from infrastructure.messaging.streams import Limits, stream_configs
from infrastructure.postgres.migrate import SchemaMismatch, pending
from infrastructure.settings import Role, Settings, variable

LEAST_VERSION: Final = 14
MOST_SKEW_SECONDS: Final = 5.0
_AWAY: Final = (NatsError, JetStreamError, TimeoutError, OSError)

Pending = Callable[[str], Sequence[str]]
"""The migrations a database at a URL lacks."""


def diagnose(settings: Settings, *, missing: Pending = pending) -> list[Check]:
    """Every check, in the order a reader wants them. Changes nothing."""
    in_use = servers_in_use(settings)
    return [*machine_checks(settings), *_database(in_use, missing), *_broker(in_use)]


def _database(settings: Settings, missing: Pending) -> Iterator[Check]:
    if settings.database_url is None:
        yield ok("database", "embedded; starts with `scanledger up`")
        return
    url = settings.database_url.get_secret_value()
    try:
        with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
            yield _version(connection)
            yield _rights(connection)
            yield _clock(connection)
    except psycopg.OperationalError as error:
        # Only the first line, and of libpq's own words: it never quotes the password.
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = f"Start the server, or correct {variable('database_url')}."
        yield Check("database", "problem", told, remedy)
        return
    yield _schema(url, missing)


def _version(connection: psycopg.Connection[Any]) -> Check:
    version = connection.info.server_version // 10_000
    if version < LEAST_VERSION:
        return Check("database", "problem", f"PostgreSQL {version}", f"Use PostgreSQL {LEAST_VERSION} or later.")
    return ok("database", f"PostgreSQL {version} answers")


def _rights(connection: psycopg.Connection[Any]) -> Check:
    row = connection.execute("SELECT current_user, has_schema_privilege(current_schema(), 'CREATE')").fetchone()
    user, may_create = row or ("?", False)
    if not may_create:
        remedy = f"GRANT CREATE ON SCHEMA public TO {user}, or migrate as the schema's owner."
        return Check("database rights", "warning", f"{user} may not make tables", remedy)
    return ok("database rights", f"{user} may make tables")


def _clock(connection: psycopg.Connection[Any]) -> Check:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    skew = abs((datetime.now(UTC) - row[0]).total_seconds()) if row else 0.0
    if skew > MOST_SKEW_SECONDS:
        return Check("clock", "warning", f"{skew:.0f} s apart from the database's", "Synchronise both with NTP.")
    return ok("clock", f"{skew:.1f} s apart from the database's")


def _schema(url: str, missing: Pending) -> Check:
    try:
        names = missing(url)
    except SchemaMismatch as mismatch:
        return Check("schema", "problem", str(mismatch), "Install the version that made it, or restore a copy.")
    if names:
        return Check("schema", "problem", f"lacks {', '.join(names)}", "Run `scanledger migrate`.")
    return ok("schema", "up to date")


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.nats_url is None and settings.worker_nats_url is None:
        yield ok("broker", "embedded; starts with `scanledger up`")
        return
    if settings.nats_url is not None:
        yield from asyncio.run(_login(settings, "coordinator"))
    yield from asyncio.run(_login(settings, "scanner"))


async def _login(settings: Settings, role: Role) -> list[Check]:
    name = "broker" if role == "coordinator" else "broker, as a scanner"
    try:
        client, refusals = await _connected(settings, role)
    except Invalid as invalid:
        return [Check(name, "problem", "is not configured", invalid.faults[0].message)]
    except _AWAY as error:
        told = str(error).removeprefix("nats: ") or type(error).__name__
        setting = "nats_url" if role == "coordinator" else "worker_nats_url"
        remedy = f"Start the server, or correct {variable(setting)} and the login that goes with it."
        return [Check(name, "problem", told, remedy)]
    try:
        version = client.connected_server_version
        checks = [ok(name, f"answers, version {version.major}.{version.minor}.{version.patch}")]
        if role == "coordinator":
            checks.append(await _jetstream(client, Limits.of(settings)))
        return checks + [Check(name, "problem", told, "Give the login its rights.") for told in refusals]
    finally:
        await client.close()


async def _connected(settings: Settings, role: Role) -> tuple[Client, list[str]]:
    broker = settings.broker(role)
    refusals: list[str] = []

    async def refused(error: Exception) -> None:
        refusals.append(str(error) or type(error).__name__)

    client = Client()
    await client.connect(
        servers=broker.url.split(","),
        user=broker.user,
        password=broker.password.get_secret_value() if broker.password else None,
        user_credentials=str(broker.credentials) if broker.credentials else None,
        inbox_prefix=broker.inbox_prefix,
        connect_timeout=3,
        # Otherwise the first connection is tried again for two minutes.
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        allow_reconnect=False,
        error_cb=refused,
    )
    return client, refusals


async def _jetstream(client: Client, limits: Limits) -> Check:
    name = "streams"
    context = client.jetstream(timeout=5)
    try:
        await context.account_info()
        absent, different = await _stream_faults(context, limits)
    except _AWAY as error:
        remedy = "Enable JetStream on the server, and let this login use it."
        return Check(name, "problem", f"JetStream does not answer ({type(error).__name__})", remedy)
    if different:
        remedy = "Start the coordinator, which sets them right; a storage or retention that differs: remake the stream."
        return Check(name, "warning", "; ".join(different), remedy)
    if absent:
        return Check(name, "warning", f"{', '.join(absent)} missing", "Start the coordinator, which makes them.")
    return ok(name, "as they should be")


async def _stream_faults(context: JetStreamContext, limits: Limits) -> tuple[list[str], list[str]]:
    absent: list[str] = []
    different: list[str] = []
    for wanted in stream_configs(limits):
        name = str(wanted.name)
        try:
            found = (await context.stream_info(name)).config.as_dict()
        except NotFoundError:
            absent.append(name)
            continue
        different += [
            f"{name}.{key} is {found.get(key)}, not {value}"
            for key, value in wanted.as_dict().items()
            if value is not None and key != "name" and found.get(key) != value
        ]
    return absent, different
