"""Events are published once and in order, with real processes that are killed: publishers, and the NATS server."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infrastructure.embedded.environment import child_environment
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.process import launch
from infrastructure.messaging.rights import COORDINATOR, INBOX_PREFIX
from infrastructure.settings import Settings
from tests.integration.publishing import Bench, expected, with_bench
from tests.workers.brokers import until

SOURCES = Path(__file__).parents[2]


class Publishers:
    """Processes of `python -m workers publisher`, each started anew at once when it is killed."""

    def __init__(self, environment: dict[str, str], count: int, log: Path) -> None:
        self._environment = environment
        self._log = log
        self._processes = [self._started() for _ in range(count)]

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            argv = [sys.executable, "-P", "-m", "workers", "publisher"]
            return launch(argv, env=self._environment, output=output)

    def kill(self, which: int) -> None:
        self._processes[which].kill()
        self._processes[which].wait()
        self._processes[which] = self._started()

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(10)


@contextmanager
def publishers(server: EmbeddedNats, url: str, folder: Path, count: int) -> Iterator[Publishers]:
    user, password = server.login(COORDINATOR)
    settings = Settings(
        data=folder,
        database_url=url,  # type: ignore[arg-type]  # pydantic makes it a secret
        nats_url=server.url,
        nats_user=user,
        nats_password=password,  # type: ignore[arg-type]  # likewise
        nats_inbox_prefix=INBOX_PREFIX,
        encryption_key="A" * 43 + "=",  # type: ignore[arg-type]  # likewise
    )
    environment = {**child_environment("coordinator", settings, os.environ), "PYTHONPATH": str(SOURCES)}
    running = Publishers(environment, count, folder / "publishers.log")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    folder = DataFolder(tmp_path / "nats")
    with folder.locked():
        server = EmbeddedNats(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


async def complete(bench: Bench) -> None:
    """Wait until as many events are published as are recorded, and see that they are just those."""
    wanted = expected(bench.positions())
    await until(lambda: _holds(bench, len(wanted)), within=60)
    assert await bench.published() == wanted


async def _holds(bench: Bench, count: int) -> bool:
    return await bench.last_sequence() >= count


def test_publishers_and_server_that_are_killed_lose_and_repeat_nothing(
    server: EmbeddedNats, new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()

    async def test(bench: Bench) -> None:
        bench.record(2_000)
        with publishers(server, url, tmp_path, 2) as running:
            await until(lambda: _holds(bench, 1), within=30)
            for which in (0, 1):
                bench.record(400)
                running.kill(which)
                server.stop(within=0)
                bench.record(400)
                server.start()
            await complete(bench)

    with_bench(server, url, test)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_sixty_deaths_lose_and_repeat_nothing(
    server: EmbeddedNats, new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    seed = int(os.environ.get("STORM_SEED", random.randrange(10**6)))
    print(f"\nSTORM_SEED={seed}")
    chance = random.Random(seed)

    async def test(bench: Bench) -> None:
        halt = threading.Event()

        def record() -> None:
            while not halt.wait(0.05):
                bench.record(chance.randrange(1, 100))

        recording = threading.Thread(target=record)
        recording.start()
        try:
            with publishers(server, url, tmp_path, 3) as running:
                for _ in range(60):
                    await asyncio.sleep(chance.uniform(0, 2))
                    if chance.random() < 0.4:
                        server.stop(within=0)
                        await asyncio.sleep(chance.uniform(0, 0.5))
                        server.start()
                    else:
                        running.kill(chance.randrange(3))
                halt.set()
                recording.join()
                await complete(bench)
                print(f"{len(bench.positions()):,} events")
        finally:
            halt.set()
            recording.join()

    with_bench(server, url, test)
