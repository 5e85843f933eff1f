"""A database that was away is used again as soon as it is back, not as much later as it was away."""

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Final

import psycopg
import pytest
from pydantic import SecretStr

from domain.errors import ServiceUnavailable
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.manifest import PostgresManifestStore
from infrastructure.settings import Settings
from tests.fixtures_servers import PostgresServer
from tests.torture.chaos_proxy import ChaosProxy, Trouble

AWAY_SECONDS: Final = 8.0
"""A pause that doubles from one second would be over at about 15."""

SOON_SECONDS: Final = 4.0

CONNECTIONS: Final = 4
LESS_THAN_TWO_TRIES: Final = 0.9
"""The pool of the library waits a second between the second connection that it finds dropped and the next."""


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


@pytest.mark.torture
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


@pytest.mark.parametrize("kind", [PostgresScanLog, PostgresManifestStore])
def test_a_call_costs_one_try_however_many_connections_the_server_has_dropped(
    kind: type[PostgresScanLog | PostgresManifestStore], database_url: str
) -> None:
    store = kind(f"{database_url}?application_name=dropped", pool_size=CONNECTIONS, timeout=LESS_THAN_TWO_TRIES)
    at_once = threading.Barrier(CONNECTIONS)
    with ThreadPoolExecutor(CONNECTIONS) as threads, psycopg.connect(database_url, autocommit=True) as other:
        list(threads.map(lambda _: ask_of(store, at_once), range(CONNECTIONS)))
        dropped = other.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'dropped'"
        ).fetchall()
        assert dropped == [(True,)] * CONNECTIONS
    ask_of(store)
    store.close()


def ask_of(store: PostgresScanLog | PostgresManifestStore, at_once: threading.Barrier | None = None) -> None:
    """One statement, in the hands of whoever takes it when all of `at_once` hold a connection."""
    match store:
        case PostgresScanLog():
            held = store.ledger.recorder.connection()
        case PostgresManifestStore():
            held = store._pool.transaction()
    with held as connection:
        connection.execute("SELECT 1")
        if at_once is not None:
            at_once.wait()


def test_a_server_that_vanished_with_its_host_is_given_up_within_half_a_minute(database_url: str) -> None:
    settings = Settings(database_url=SecretStr(database_url))
    log = PostgresScanLog(settings.database())
    with log.ledger.recorder.datastore.get_connection() as pooled, psycopg.connect(settings.database()) as own:
        assert seconds_until_given_up(pooled) <= 30
        assert seconds_until_given_up(own) <= 30
    log.close()


def seconds_until_given_up(connection: psycopg.Connection[Any]) -> float:
    with socket.socket(fileno=os.dup(connection.fileno())) as open_socket:

        def option(name: int) -> int:
            return open_socket.getsockopt(socket.IPPROTO_TCP, name)

        assert open_socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        silent = option(socket.TCP_KEEPIDLE) + option(socket.TCP_KEEPINTVL) * option(socket.TCP_KEEPCNT)
        unanswered = option(socket.TCP_USER_TIMEOUT) / 1_000
        assert unanswered > 0
        return max(silent, unanswered)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:a?b@h/db", "postgresql://u:a?b@h/db?keepalives_idle=10&"),
        ("postgresql:///db?host=/run", "postgresql:///db?host=/run&keepalives_idle=10&"),
        ("postgresql://h/db?keepalives_idle=60", "postgresql://h/db?keepalives_idle=60&keepalives_interval=5&"),
    ],
)
def test_what_the_operator_says_of_it_is_kept(given: str, used: str) -> None:
    assert Settings(database_url=SecretStr(given)).database().startswith(used)
