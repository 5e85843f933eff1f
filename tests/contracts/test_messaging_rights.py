"""What a worker's login may do on the broker: a matrix, against the real server."""

import asyncio
from collections.abc import Iterator

import nats
import pytest

from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import INBOX_PREFIX, WORKER, WORKER_INBOX_PREFIX, EmbeddedNats
from infrastructure.messaging.streams import (
    COMMANDS,
    CONTROL,
    REPORTS,
    chunk_subject,
    control_subject,
    report_subject,
    workers_consumer,
)
from tests.workers.brokers import until

POOL = "default"

MAY_PUBLISH = [
    f"$JS.API.CONSUMER.MSG.NEXT.{COMMANDS}.{workers_consumer(POOL)}",
    f"$JS.ACK.{COMMANDS}.{workers_consumer(POOL)}.1.2.3.4.5",
    f"$JS.API.DIRECT.GET.{CONTROL}.{control_subject('scan-1')}",
    report_subject(POOL, "scan-1"),
    "scan.progress.worker-1",
    "scan.credentials.conn-1",
]
MAY_NOT_PUBLISH = [
    chunk_subject(POOL, "scan-1"),
    "scan.list.default.scan-1",
    control_subject("scan-1"),
    "scan.events.tenant.scan-1.kind",
    f"$JS.API.STREAM.CREATE.{COMMANDS}",
    f"$JS.API.STREAM.UPDATE.{COMMANDS}",
    f"$JS.API.STREAM.DELETE.{COMMANDS}",
    f"$JS.API.STREAM.PURGE.{COMMANDS}",
    f"$JS.API.STREAM.MSG.GET.{REPORTS}",
    f"$JS.API.STREAM.MSG.DELETE.{REPORTS}",
    f"$JS.API.CONSUMER.CREATE.{COMMANDS}.mine",
    f"$JS.API.CONSUMER.DELETE.{COMMANDS}.{workers_consumer(POOL)}",
    f"$JS.API.CONSUMER.MSG.NEXT.{REPORTS}.recorder",
    f"$JS.API.DIRECT.GET.{COMMANDS}",
    f"$JS.ACK.{REPORTS}.recorder.1.2.3.4.5",
    f"{INBOX_PREFIX}.of.somebody",
    "anything",
]
MAY_SUBSCRIBE = [f"{WORKER_INBOX_PREFIX}.>", control_subject("*")]
MAY_NOT_SUBSCRIBE = [
    ">",
    f"{INBOX_PREFIX}.>",
    "scan.>",
    "scan.cmd.>",
    report_subject("*", "*"),
    "scan.credentials.*",
    "scan.progress.*",
    "$JS.>",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    with folder.locked():
        server = EmbeddedNats(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def test_a_worker_may_do_its_work_and_nothing_else(server: EmbeddedNats) -> None:
    async def test() -> None:
        assert await refused(server, MAY_PUBLISH, []) == []
        assert await refused(server, [], MAY_SUBSCRIBE) == []
        assert await refused(server, MAY_NOT_PUBLISH, []) == MAY_NOT_PUBLISH
        assert await refused(server, [], MAY_NOT_SUBSCRIBE) == MAY_NOT_SUBSCRIBE

    asyncio.run(test())


async def refused(server: EmbeddedNats, publish: list[str], subscribe: list[str]) -> list[str]:
    """Those subjects that the server does not let a worker publish or subscribe to."""
    violations: list[str] = []

    async def on_error(error: Exception) -> None:
        violations.append(str(error).lower())

    user, password = server.login(WORKER)
    client = await nats.connect(
        server.url, user=user, password=password, error_cb=on_error, inbox_prefix=WORKER_INBOX_PREFIX
    )
    for subject in publish:
        await client.publish(subject, b"{}")
    for subject in subscribe:
        await client.subscribe(subject)
    # The server answers in order: when this one is refused, all others have been judged.
    await client.publish("the.end", b"")

    def is_refused(subject: str) -> bool:
        return any(f'"{subject}"'.lower() in violation for violation in violations)

    await until(lambda: is_refused("the.end"))
    await client.close()
    return [subject for subject in (*publish, *subscribe) if is_refused(subject)]
