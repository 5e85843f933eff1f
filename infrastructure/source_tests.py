"""Connectors' settings judged, and tried out against the real source."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from application.ports import ObjectSource
from domain.connector import Connector
from domain.errors import Fault, Invalid, ScanledgerError, ServiceUnavailable
from infrastructure.connectors.endpoints import endpoint_allowed, not_allowed
from infrastructure.connectors.filesystem import within_roots
from infrastructure.connectors.registry import SourcePolicy
from infrastructure.connectors.settings import CONFIGS, SECRET_FIELDS, S3Credentials, check_config

log = structlog.get_logger(__name__)

SECONDS: Final = 15.0
_AT_ONCE: Final = 8

Open = Callable[[str, Mapping[str, Any], Mapping[str, str] | None], ObjectSource]
Credentials = Callable[[Connector], dict[str, str]]


class SourceTrials:
    """`SourceTests`: at most eight trials at once, each in a thread that a dead file server may keep for ever."""

    def __init__(self, policy: SourcePolicy, open_source: Open, credentials: Credentials) -> None:
        self._policy = policy
        self._open = open_source
        self._credentials = credentials
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def check(self, kind: str, config: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, str] | None]:
        checked = check_config(kind, config)
        if kind == "filesystem" and not within_roots(Path(checked.settings["root"]), self._policy.filesystem_roots):
            raise Invalid([Fault("config.root", self._outside())])
        endpoints = self._policy.s3_endpoints
        if kind == "s3" and not endpoint_allowed(checked.settings.get("endpoint_url"), endpoints):
            raise Invalid([Fault("config.endpoint_url", not_allowed(endpoints))])
        return checked.settings, checked.credentials

    def _outside(self) -> str:
        if not self._policy.filesystem_roots:
            return "no folder may be scanned here; the operator allows some with SCANLEDGER_FILESYSTEM_ROOTS"
        allowed = ", ".join(map(str, self._policy.filesystem_roots))
        return f"must lie inside {allowed}; the operator allows more with SCANLEDGER_FILESYSTEM_ROOTS"

    def secret_fields(self, kind: str) -> frozenset[str]:
        return SECRET_FIELDS[kind]

    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        schemas = {kind: model.model_json_schema() for kind, model in CONFIGS.items()}
        pair = S3Credentials.model_json_schema()["properties"]
        secret = {name: {**field, "writeOnly": True} for name, field in pair.items()}
        schemas["s3"]["properties"] |= secret
        return schemas

    async def try_out(self, connector: Connector) -> tuple[bool, str]:
        """As `SourceTests.try_out` says. Raises ServiceUnavailable while too many trials are under way."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[tuple[bool, str]] = loop.create_future()
        if not self._free.acquire(blocking=False):
            raise ServiceUnavailable("Too many connectors are being tested just now; try again in a moment.")

        def tell(result: tuple[bool, str]) -> None:
            if not outcome.done():
                outcome.set_result(result)

        def run() -> None:
            try:
                result = self._try(connector)
            finally:
                self._free.release()
            # The loop may be gone when a stuck trial ends at last.
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, result)

        threading.Thread(target=run, name=f"test-{connector.connector_id}", daemon=True).start()
        try:
            return await asyncio.wait_for(outcome, SECONDS)
        except TimeoutError:
            return False, f"The source did not answer within {SECONDS:.0f} s."

    def _try(self, connector: Connector) -> tuple[bool, str]:
        try:
            credentials = self._credentials(connector) if connector.has_credentials else None
            source = self._open(connector.type.value, connector.config, credentials)
            try:
                source.check()
            finally:
                source.close()
        except ScanledgerError as error:
            return False, str(error)[:500]
        except Exception as error:  # noqa: BLE001 — a trial always has an outcome
            log.warning("connector.trial", connector=connector.connector_id, error=type(error).__name__)
            return False, f"The source could not be listed ({type(error).__name__})."
        return True, "The source can be listed."
