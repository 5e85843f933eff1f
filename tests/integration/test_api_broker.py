"""What the API hears from scanners and tells them, over the real broker."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from application.messages import Control, ControlState, Telemetry, WorkInHand
from domain.manifest import ObjectInfo
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.rights import COORDINATOR
from infrastructure.messaging.streams import CONTROL, control_subject, telemetry_subject
from infrastructure.settings import Settings
from tests.fixtures_api import WORKER, Api, eventually


def over(server: EmbeddedNats, act: Callable[[Broker], Awaitable[Any]]) -> Any:
    """What `act` gives with a connection of the coordinator's."""

    async def run() -> Any:
        user, password = server.login(COORDINATOR)
        settings = Settings(nats_url=server.url, nats_user=user, nats_password=password)  # type: ignore[call-arg, arg-type]  # pydantic makes secrets of strings
        broker = await Broker(settings.broker("api"), name="test").connect(patience=5)
        try:
            return await act(broker)
        finally:
            await broker.close()

    return asyncio.run(run())


def test_a_worker_shows_the_progress_that_it_told_of_its_chunk(api: Api, nats_server: EmbeddedNats):
    scan = api.scan()
    api.fleet.list(scan, [ObjectInfo(f"k{i}", 100) for i in range(40)])
    api.fleet.start(scan, 0)
    api.settled(scan)
    work = WorkInHand(worker=WORKER, scan=scan, chunk=0, attempt=1, files_processed=10, findings_count=3)
    told = Telemetry(scanner="scanner-1", pool="default", slots=1, work=[work]).model_dump_json().encode()
    client = api.client()

    def shown() -> bool:
        over(nats_server, lambda broker: broker.client.publish(telemetry_subject("scanner-1"), told))
        [worker] = client.get(f"/api/v1/scans/{scan}/workers").json()["data"]
        progress = {"files_processed": 10, "findings_count": 3, "percent_complete": 25}
        return bool(worker["progress"] == progress and worker["last_seen_at"] > worker["started_at"])

    assert eventually(shown)


def test_workers_are_told_to_stop_before_cancel_is_answered(api: Api, nats_server: EmbeddedNats):
    scan = api.scan()
    assert api.client().post(f"/api/v1/scans/{scan}/cancel").status_code == 200
    told = over(nats_server, lambda broker: broker.latest(CONTROL, control_subject(scan)))
    assert Control.model_validate_json(told) == Control(scan=scan, state=ControlState.STOP)
