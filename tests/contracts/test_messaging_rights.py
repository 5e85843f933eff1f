"""What the logins of workers and of subscribers may do on the broker: a matrix, against the real server."""

import asyncio
from collections.abc import Iterator

import nats
import pytest

from application.subscribing import CONSUMERS_A_TENANT
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.rights import (
    COORDINATOR,
    INBOX_PREFIX,
    WORKER,
    WORKER_INBOX_PREFIX,
    subscriber,
    subscriber_may_publish,
)
from infrastructure.messaging.streams import (
    COMMANDS,
    CONTROL,
    EVENTS,
    REPORTS,
    chunk_subject,
    control_subject,
    event_subject,
    report_subject,
    workers_consumer,
)
from tests.workers.brokers import login_refused, until

POOL = "default"
STREAM_CALLS = ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE")
CONSUMER_CALLS = ("INFO", "CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "RESET", "UNPIN")

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
    event_subject("acme", "scan-1", "scan.queued"),
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
    f"$JS.API.CONSUMER.CREATE.{EVENTS}.mine.scan.events.acme.>",
    f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.acme_1",
    f"$JS.API.STREAM.MSG.GET.{EVENTS}",
    f"$JS.API.DIRECT.GET.{EVENTS}.scan.events.acme.s.scan.queued",
    f"$JS.API.STREAM.INFO.{EVENTS}",
    f"$JS.ACK.{EVENTS}.acme_1.1.2.3.4.5",
    "scan.subscribe.acme",
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
    "scan.events.>",
    "scan.subscribe.*",
    "$JS.>",
]

OWN = [f"acme_{number}" for number in range(1, CONSUMERS_A_TENANT + 1)]
SUBSCRIBER_MAY_PUBLISH = [
    "scan.subscribe.acme",
    *(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{name}" for name in OWN),
    *(f"$JS.ACK.{EVENTS}.{name}.1.2.3.4.5" for name in OWN),
]
FOREIGN = ("globex_1", "acme_9", "acme-1", "acme", "globex", "*", ">")
SUBSCRIBER_MAY_NOT_PUBLISH = [
    "scan.subscribe.globex",
    "scan.subscribe.*",
    *(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{name}" for name in FOREIGN),
    *(f"$JS.ACK.{EVENTS}.{name}.1.2.3.4.5" for name in FOREIGN[:-1]),
    *(f"$JS.API.CONSUMER.{what}.{EVENTS}.{name}" for what in CONSUMER_CALLS for name in ("acme_1", "globex_1")),
    *(f"$JS.API.CONSUMER.CREATE.{EVENTS}.acme_1.scan.events.{tenant}.>" for tenant in ("acme", "globex", "*")),
    *(f"$JS.API.CONSUMER.{what}.{EVENTS}" for what in ("CREATE", "LIST", "NAMES")),
    *(f"$JS.API.STREAM.{what}.{stream}" for what in STREAM_CALLS for stream in (EVENTS, COMMANDS, REPORTS, CONTROL)),
    *(f"$JS.API.DIRECT.GET.{EVENTS}{which}" for which in ("", ".scan.events.acme.s.scan.queued")),
    *(f"$JS.API.{what}" for what in ("INFO", "STREAM.LIST", "STREAM.NAMES", "ACCOUNT.PURGE.SCANLEDGER")),
    event_subject("acme", "scan-1", "scan.queued"),
    event_subject("globex", "scan-1", "scan.queued"),
    chunk_subject(POOL, "scan-1"),
    report_subject(POOL, "scan-1"),
    control_subject("scan-1"),
    "scan.progress.worker-1",
    "scan.credentials.conn-1",
    f"{INBOX_PREFIX}.of.somebody",
    "$SYS.REQ.SERVER.PING",
    "anything",
]
SUBSCRIBER_MAY_NOT_SUBSCRIBE = [
    ">",
    "scan.>",
    "scan.events.>",
    "scan.events.acme.>",
    "scan.subscribe.*",
    f"{WORKER_INBOX_PREFIX}.>",
    "$JS.>",
    "$SYS.>",
    "_R_.>",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    with folder.locked():
        server = EmbeddedNats(folder, tenants=("acme", "globex"))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def test_a_worker_may_do_its_work_and_nothing_else(server: EmbeddedNats) -> None:
    async def test() -> None:
        assert await refused(server, WORKER, MAY_PUBLISH, MAY_SUBSCRIBE) == []
        assert await refused(server, WORKER, MAY_NOT_PUBLISH, []) == MAY_NOT_PUBLISH
        assert await refused(server, WORKER, [], MAY_NOT_SUBSCRIBE) == MAY_NOT_SUBSCRIBE

    asyncio.run(test())


def test_a_subscriber_may_pull_its_consumers_and_nothing_else(server: EmbeddedNats) -> None:
    user = subscriber("acme")

    async def test() -> None:
        assert await refused(server, user, SUBSCRIBER_MAY_PUBLISH, [f"{INBOX_PREFIX}.>"]) == []
        assert await refused(server, user, SUBSCRIBER_MAY_NOT_PUBLISH, []) == SUBSCRIBER_MAY_NOT_PUBLISH
        assert await refused(server, user, [], SUBSCRIBER_MAY_NOT_SUBSCRIBE) == SUBSCRIBER_MAY_NOT_SUBSCRIBE

    asyncio.run(test())


def test_the_matrix_is_of_all_that_subscribers_are_allowed() -> None:
    allowed = {subject.replace(">", "1.2.3.4.5") for subject in subscriber_may_publish("acme")}
    assert allowed == set(SUBSCRIBER_MAY_PUBLISH)


def test_nobody_comes_in_without_a_login_or_with_that_of_another(server: EmbeddedNats) -> None:
    user, password = server.login(subscriber("acme"))
    assert not login_refused(server.url, user=user, **{"pass": password})
    for other in (subscriber("globex"), WORKER, COORDINATOR, ""):
        assert login_refused(server.url, user=other, **{"pass": password})
    assert login_refused(server.url)


async def refused(server: EmbeddedNats, user: str, publish: list[str], subscribe: list[str]) -> list[str]:
    """Those subjects that the server does not let a user publish or subscribe to."""
    violations: list[str] = []

    async def on_error(error: Exception) -> None:
        violations.append(str(error).lower())

    prefix = WORKER_INBOX_PREFIX if user == WORKER else INBOX_PREFIX
    name, password = server.login(user)
    client = await nats.connect(server.url, user=name, password=password, error_cb=on_error, inbox_prefix=prefix)
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
