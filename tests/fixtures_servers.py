"""Real PostgreSQL and NATS for a whole test session, one of each per process; a fresh database for each module."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from infrastructure.embedded.folder import LOOPBACK, DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.postgres import DATABASE, SUPERUSER, EmbeddedPostgres
from infrastructure.messaging.rights import COORDINATOR, WORKER
from infrastructure.postgres.migrate import migrate

_numbers = itertools.count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A running server whose own database is migrated, and the pattern that every other one is copied from."""

    host: str
    port: int
    _superuser_password: str
    _password: str

    def url(self, database: str) -> str:
        """As the service's own role, which is no superuser."""
        return f"postgresql://{DATABASE}:{self._password}@{self.host}:{self.port}/{database}"

    @property
    def superuser_url(self) -> str:
        return f"postgresql://{SUPERUSER}:{self._superuser_password}@{self.host}:{self.port}/postgres"

    def create_database(self, pattern: str = DATABASE) -> str:
        """The name of a new database, a copy of `pattern`, to which nobody may be connected.

        By default it has the whole schema and nothing in it.
        """
        name = f"test_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
        self._execute(statement.format(*map(sql.Identifier, (name, pattern, DATABASE))))
        return name

    def drop_database(self, name: str) -> None:
        """Whoever is still connected to it is thrown out."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    folder = DataFolder(tmp_path_factory.mktemp("postgres"))
    with folder.locked():
        server = EmbeddedPostgres(folder)
        try:
            server.start()
            migrate(server.url)
            port = psycopg.conninfo.conninfo_to_dict(server.url)["port"]
            passwords = folder.secret("postgres_superuser"), folder.secret("postgres")
            yield PostgresServer(LOOPBACK, int(port or 0), *passwords)
        finally:
            server.stop()


@pytest.fixture(scope="module")
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated database of this module's own."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def new_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Makes migrated databases of this one test's own: each call gives another URL."""
    made: list[str] = []

    def create() -> str:
        made.append(postgres_server.create_database())
        return postgres_server.url(made[-1])

    yield create
    for name in made:
        postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    with folder.locked():
        server = EmbeddedNats(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _with_login(server: EmbeddedNats, user: str) -> str:
    name, password = server.login(user)
    return server.url.replace("nats://", f"nats://{name}:{password}@")


@pytest.fixture(scope="session")
def nats_url(nats_server: EmbeddedNats) -> str:
    """The coordinator's, with its login. The broker is shared: give streams and subjects names of your own."""
    return _with_login(nats_server, COORDINATOR)


@pytest.fixture(scope="session")
def worker_nats_url(nats_server: EmbeddedNats) -> str:
    """A worker's, with its login and few rights. Its inbox prefix must be the workers' one."""
    return _with_login(nats_server, WORKER)
