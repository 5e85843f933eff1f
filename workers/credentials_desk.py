"""Where scanners ask for a connector's credentials: given out only while a scan of it is open."""

import asyncio
from collections.abc import Callable

import structlog

from application.messages import CredentialsAnswer
from application.orchestration import Orchestrator
from application.ports import ScanLog
from domain.errors import ScanledgerError
from infrastructure.wiring import Broker, Message, Settings, credentials_subject, open_credentials

log = structlog.get_logger(__name__)


class CredentialsDesk:
    def __init__(
        self, broker: Broker, settings: Settings, scan_log: ScanLog, orchestrator: Callable[[], Orchestrator]
    ) -> None:
        self._broker = broker
        self._log = scan_log
        self._secrets = open_credentials(settings)
        self._orchestrator = orchestrator

    async def start(self) -> None:
        await self._broker.client.subscribe(credentials_subject("*"), cb=self._on_request)

    async def _on_request(self, message: Message) -> None:
        connector_id = message.subject.rpartition(".")[2]
        if not self._has_open_scan(connector_id):
            # Silence, not refusal: the log may not have been read this far. Who still has work to do asks again.
            return
        try:
            credentials = await asyncio.to_thread(self._open, connector_id)
        except ScanledgerError as error:
            log.warning("credentials.unavailable", connector=connector_id, error=str(error))
            if error.permanent:
                await self._answer(message, CredentialsAnswer(refused=str(error)))
            return
        await self._answer(message, CredentialsAnswer(credentials=credentials))

    def _has_open_scan(self, connector_id: str) -> bool:
        open_scans = self._orchestrator().open.values()
        return any(unit.unit.connector == connector_id for kept in open_scans for unit in kept.scan.units.values())

    def _open(self, connector_id: str) -> dict[str, str]:
        return self._secrets.of(self._log.connector(connector_id))

    @staticmethod
    async def _answer(message: Message, answer: CredentialsAnswer) -> None:
        await message.respond(answer.model_dump_json().encode())
