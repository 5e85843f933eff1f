"""The adapters of the API, opened together and closed together."""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from application.messages import Control, Telemetry
from application.ports import Clock
from application.reading import ApiPorts, Check, Presence
from domain.detectors import detectors
from domain.errors import ServiceUnavailable
from infrastructure.connectors import registry
from infrastructure.detection.digest import ruleset_digest
from infrastructure.detection.trial import try_out, unfit_pattern
from infrastructure.findings_parquet import ParquetExport
from infrastructure.formats.limits import Limits
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.streams import control_id, control_subject, telemetry_subject
from infrastructure.postgres.access import PostgresAccessRecords
from infrastructure.postgres.bounded import PATIENCE, until
from infrastructure.postgres.credentials import PostgresCredentials
from infrastructure.postgres.erasure import PostgresErasures
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.history import PostgresHistory
from infrastructure.postgres.idempotency import PostgresIdempotencyKeys
from infrastructure.postgres.inventory import PostgresInventory
from infrastructure.postgres.live_log import PostgresLiveLog
from infrastructure.postgres.migrate import SchemaMismatch, pending
from infrastructure.postgres.own_rules import PostgresRuleShelf
from infrastructure.postgres.queries import PostgresReadModel
from infrastructure.postgres.read_pool import TIMEOUT, ReadPool
from infrastructure.postgres.scan_traces import PostgresScanTraces
from infrastructure.postgres.sealed_log import PostgresSealedLog
from infrastructure.postgres.tenants import KeyHash, PostgresKeyRing
from infrastructure.postgres.webhooks import PostgresWebhookShelf
from infrastructure.secrets import EnvelopeVault
from infrastructure.service_figures import ServiceFigures
from infrastructure.settings import Settings
from infrastructure.source_tests import SourceTrials
from infrastructure.webhooks.addresses import url_fault
from infrastructure.webhooks.secrets import SecretBox
from infrastructure.webhooks.trials import WebhookTrials

Result = TypeVar("Result")


class BrokerControl:
    """`ControlChannel` on JetStream."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def publish(self, control: Control, *, timeout: float) -> bool:
        payload = control.model_dump_json().encode()
        subject, message_id = control_subject(control.scan), control_id(control)
        try:
            await self._broker.publish_once(subject, payload, message_id=message_id, timeout=timeout)
        except ServiceUnavailable:
            return False
        return True

    async def check(self, *, timeout: float) -> None:
        away = "The broker does not answer; try again in a moment."
        if not self._broker.connected:
            raise ServiceUnavailable(away)
        try:
            await self._broker.client.request("$JS.API.INFO", b"", timeout=timeout)
        except (NatsError, TimeoutError, OSError) as error:
            raise ServiceUnavailable(away) from error


class LogThreads:
    """`InTime`, with a bounded number of threads. What a full house keeps waiting for too long is never begun."""

    def __init__(self, most: int, seconds: float = PATIENCE) -> None:
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="log")

    async def __call__(self, function: Callable[..., Result], /, *args: Any) -> Result:
        deadline = time.monotonic() + self._seconds

        def run() -> Result:
            with until(deadline):
                return function(*args)

        # A little more than the deadline: the thread itself knows best how it ended.
        running = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            return await asyncio.wait_for(running, self._seconds + 0.3)
        except TimeoutError as error:
            raise ServiceUnavailable("The database does not answer; try again in a moment.") from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_api_ports(settings: Settings, clock: Clock) -> AsyncIterator[ApiPorts]:
    """Everything the API needs. Opens although database or broker are away, and finds them when they come back."""
    settings.require("api")
    assert settings.database_url is not None
    url, key = settings.database_url.get_secret_value(), settings.encryption_key_bytes()
    pool, claims = ReadPool(url, size=8), ReadPool(url, size=4)
    stores, threads = _opened_stores(url, key), LogThreads(8)
    broker = Broker(settings.broker("api"), name="scanledger-api")
    history, presence = PostgresHistory(pool), Presence(time.monotonic)
    live = PostgresLiveLog(url, history)
    await pool.open()
    await claims.open()
    async with AsyncExitStack() as closing:
        for each in (*stores, threads):
            closing.callback(each.close)
        for connection in (claims, pool, broker):
            closing.push_async_callback(connection.close)
        for following in (_listen(broker, presence), live.run()):
            closing.push_async_callback(_ended, asyncio.create_task(following))
        closing.callback(live.end)
        yield ApiPorts(
            **stores._asdict(),
            reads=PostgresReadModel(pool),
            access=PostgresAccessRecords(pool),
            history=history,
            sealed=PostgresSealedLog(pool),
            live=live,
            keys=PostgresKeyRing(pool, KeyHash(key), settings.tier),
            idempotency=PostgresIdempotencyKeys(claims, key),
            vault=EnvelopeVault(key),
            sources=_trials(settings, url, key),
            try_out=try_out,
            unfit=unfit_pattern,
            url_fault=partial(url_fault, allowed=settings.webhook_endpoints),
            ping=WebhookTrials(settings.webhook_endpoints, clock),
            control=BrokerControl(broker),
            presence=presence,
            figures=ServiceFigures(pool, broker),
            traces=PostgresScanTraces(url),
            readiness=partial(_readiness, url, BrokerControl(broker)),
            in_time=threads,
            parquet=ParquetExport,
            clock=clock,
            new_id=partial(os.urandom, 16),
            cursor_key=hmac.digest(key, b"scanledger cursors v1", hashlib.sha256),
            ruleset=ruleset_digest(detectors(), Limits()),
            max_object_bytes=settings.max_object_bytes,
        )


class _Stores(NamedTuple):
    """What is asked in threads."""

    log: PostgresScanLog
    inventory: PostgresInventory
    shelf: PostgresRuleShelf
    webhooks: PostgresWebhookShelf
    erasures: PostgresErasures


def _opened_stores(url: str, key: bytes) -> _Stores:
    return _Stores(
        PostgresScanLog(url, pool_size=8, timeout=TIMEOUT, bounded=True),
        PostgresInventory(url, pool_size=4, timeout=TIMEOUT),
        PostgresRuleShelf(url, pool_size=4, timeout=TIMEOUT),
        PostgresWebhookShelf(url, SecretBox(EnvelopeVault(key)), pool_size=4, timeout=TIMEOUT),
        PostgresErasures(url, timeout=TIMEOUT),
    )


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _trials(settings: Settings, url: str, key: bytes) -> SourceTrials:
    policy = registry.SourcePolicy(settings.filesystem_roots, settings.s3_endpoints)
    credentials = PostgresCredentials(url, EnvelopeVault(key))
    return SourceTrials(policy, partial(registry.open_source, policy=policy), credentials.of)


async def _listen(broker: Broker, presence: Presence) -> None:
    """Connect, however long that takes, and hear what the scanners say of themselves."""

    async def heard(message: Msg) -> None:
        with suppress(ValidationError):
            presence.hear(Telemetry.model_validate_json(message.data))

    await broker.connect()
    await broker.client.subscribe(telemetry_subject("*"), cb=heard)


async def _readiness(database_url: str, control: BrokerControl) -> Mapping[str, Check]:
    try:
        checks = await asyncio.wait_for(asyncio.to_thread(_database_checks, database_url), PATIENCE)
    except TimeoutError:
        checks = _unreachable("PostgreSQL does not answer.")
    try:
        await control.check(timeout=1.0)
    except ServiceUnavailable:
        return {**checks, "broker": Check(False, "NATS does not answer, or has JetStream switched off.")}
    return {**checks, "broker": Check(True, "JetStream answers.")}


def _database_checks(database_url: str) -> dict[str, Check]:
    reachable = Check(True, "PostgreSQL answers.")
    try:
        missing = pending(database_url)
    except ServiceUnavailable as error:
        return _unreachable(str(error))
    except SchemaMismatch as error:
        return {"database": reachable, "migrations": Check(False, f"{error}.")}
    if missing:
        detail = f"Missing: {', '.join(missing)}; run `scanledger migrate`."
        return {"database": reachable, "migrations": Check(False, detail)}
    return {"database": reachable, "migrations": Check(True, "The schema is current.")}


def _unreachable(detail: str) -> dict[str, Check]:
    return {"database": Check(False, detail), "migrations": Check(False, "Cannot be told without a database.")}
