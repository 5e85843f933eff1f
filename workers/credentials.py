"""Credentials for connectors: asked of the coordinator when needed, kept in memory for minutes, written nowhere."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from pydantic import ValidationError

from application.messages import CredentialsAnswer, Source
from infrastructure.wiring import Broker, credentials_subject

_ASK_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class Credentials:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._kept: dict[str, tuple[float, dict[str, str] | None]] = {}

    async def of(self, source: Source, wanted: Callable[[], bool]) -> dict[str, str] | None:
        """The connector's secrets, or None if it has none or they are refused: then the provider's answer tells.

        Waits for the coordinator for as long as `wanted()` holds.
        """
        if not source.needs_credentials:
            return None
        kept = self._kept.get(source.connector)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        answer = await self._ask(source.connector, wanted)
        if answer is None:
            return None
        if answer.refused:
            log.warning("credentials.refused", connector=source.connector, reason=answer.refused)
            return None
        self._kept[source.connector] = (time.monotonic() + answer.ttl_seconds, answer.credentials)
        return answer.credentials

    async def _ask(self, connector: str, wanted: Callable[[], bool]) -> CredentialsAnswer | None:
        while wanted():
            try:
                reply = await self._broker.client.request(credentials_subject(connector), b"", timeout=_ASK_SECONDS)
                return CredentialsAnswer.model_validate_json(reply.data)
            except ValidationError:
                raise
            except Exception as error:  # noqa: BLE001 — whatever keeps the coordinator away, ask again
                log.info("credentials.waiting", connector=connector, error=type(error).__name__)
                await asyncio.sleep(0.5)
        return None
