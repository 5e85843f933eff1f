"""What subscribers get when the database comes back from a backup that lacks events they had."""

from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.postgres.event_log import PostgresScanLog
from tests.fixtures_servers import PostgresServer
from tests.integration.publishing import Bench, expected, with_bench
from tests.workers.brokers import until


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


def restore(bench: Bench, postgres: PostgresServer, backup: str) -> str:
    """Put a copy of the backup in the log's place; gives its name."""
    bench.log.close()
    name = postgres.create_database(backup)
    bench.url = postgres.url(name)
    bench.log = PostgresScanLog(bench.url)
    return name


def back_up(bench: Bench, postgres: PostgresServer) -> str:
    """The name of a copy of the log as it is now."""
    bench.log.close()
    name = postgres.create_database(bench.url.rpartition("/")[2])
    bench.log = PostgresScanLog(bench.url)
    return name


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


async def published(bench: Bench, ids: list[str]) -> None:
    async def complete() -> bool:
        return await bench.published() == ids

    await until(complete)


def test_what_the_restored_log_holds_instead_follows_as_the_next_generation(
    server: EmbeddedNats, url: str, postgres_server: PostgresServer
) -> None:
    made: list[str] = []

    async def test(bench: Bench) -> None:
        bench.record(3)
        common = bench.positions()
        made.append(back_up(bench, postgres_server))
        bench.record(2)
        ids = expected(bench.positions())
        lost = bench.positions()[len(common) :]
        async with bench.publishing():
            await published(bench, ids)
        for generation in (2, 3):
            bench.forget_connections()
            made.append(restore(bench, postgres_server, made[0]))
            bench.record(4)
            assert set(lost) < set(bench.positions()), "the positions of what was lost are taken again"
            ids += expected(bench.positions()[len(common) :], generation)
            with capture_logs() as told:
                async with bench.publishing():
                    await published(bench, ids)
            [rewound] = [entry for entry in told if entry["event"] == "publisher.log_rewound"]
            assert (rewound["log_level"], rewound["generation"]) == ("error", generation)
            assert rewound["beyond_position"] == common[-1]
            async with bench.publishing(bench.publisher(), bench.publisher()):
                bench.record(1)
                ids += expected(bench.positions()[-1:], generation)
                await published(bench, ids)
        bench.forget_connections()

    try:
        with_bench(server, url, test)
    finally:
        for name in made:
            postgres_server.drop_database(name)


def test_a_log_that_knows_nothing_of_the_stream_follows_from_its_beginning(
    server: EmbeddedNats, url: str, new_database: Callable[[], str]
) -> None:
    async def test(bench: Bench) -> None:
        bench.record(3)
        ids = expected(bench.positions())
        async with bench.publishing():
            await published(bench, ids)
        bench.log.close()
        bench.url = new_database()
        bench.log = PostgresScanLog(bench.url)
        bench.record(2)
        async with bench.publishing():
            await published(bench, ids + expected(bench.positions(), 2))

    with_bench(server, url, test)
