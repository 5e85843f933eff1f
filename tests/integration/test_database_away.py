"""A database that was away is used again as soon as it is back, not as much later as it was away."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Final

import pytest

from domain.errors import ServiceUnavailable
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.manifest import PostgresManifestStore
from tests.fixtures_servers import PostgresServer
from tests.torture.chaos_proxy import ChaosProxy, Trouble

AWAY_SECONDS: Final = 8.0
"""A pause that doubles from one second would be over at about 15."""

SOON_SECONDS: Final = 4.0


def asked_until_answered(ask: Callable[[], object]) -> float:
    """Ask as the recorder does, again after every failure; gives the moment of the first answer."""
    pause = threading.Event()
    while True:
        try:
            ask()
        except ServiceUnavailable:
            pause.wait(0.5)
        else:
            return time.monotonic()


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> ChaosProxy:
    return ChaosProxy(postgres_server.port, Random(1))


def test_a_database_that_was_away_is_used_as_soon_as_it_is_back(
    postgres_server: PostgresServer, database_url: str, proxy: ChaosProxy
) -> None:
    with proxy, ThreadPoolExecutor() as pool:
        url = database_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        log, manifest = PostgresScanLog(url), PostgresManifestStore(url)
        proxy.begin(Trouble.REFUSE)
        asked: list[Callable[[], object]] = [
            log.open_scans,
            lambda: log.history("scan-none", 0, 1),
            lambda: manifest.pages("scan-none", 0, 0),
        ]
        answered = [pool.submit(asked_until_answered, ask) for ask in asked]
        # How long it was away is what this is about.
        threading.Event().wait(AWAY_SECONDS)
        assert not any(one.done() for one in answered)
        proxy.end(Trouble.REFUSE)
        back = time.monotonic()
        assert max(one.result() for one in answered) - back < SOON_SECONDS
        log.close()
        manifest.close()
