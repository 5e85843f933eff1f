"""What the database and the broker tell operators."""

from collections.abc import Mapping

from application.operating import DatabaseFigures, StreamFigures
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.figures import stream_figures
from infrastructure.postgres.figures import PostgresFigures
from infrastructure.postgres.read_pool import ReadPool


class ServiceFigures:
    """`Figures` of this service's servers."""

    def __init__(self, pool: ReadPool, broker: Broker) -> None:
        self._database = PostgresFigures(pool)
        self._broker = broker

    async def database(self) -> DatabaseFigures:
        return await self._database.read()

    async def broker(self) -> Mapping[str, StreamFigures]:
        return await stream_figures(self._broker)
