"""Followers that want some kinds of events only, and databases that were made before a change of the schema."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import psycopg
import pytest
import zstandard
from psycopg import sql

from application.ports import Append, Recorded
from domain.scan_events import Cancelled
from infrastructure.postgres import follower as following
from infrastructure.postgres import migrate as migrating
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.follower import Follower
from infrastructure.postgres.manifest import PostgresManifestStore
from infrastructure.postgres.migrate import migrate, migrations
from tests.domain.given import KEY, LATER, NOON, running_history
from tests.fixtures_servers import PostgresServer

CANCELLED = Cancelled(at=LATER, actor=KEY)


class Applied:
    """A follower that keeps what it is given."""

    def __init__(self, url: str, name: str, kinds: Sequence[str]) -> None:
        self.records: list[Recorded] = []
        self._url = url
        self._name = name
        self._follower = Follower(url, name, lambda _, batch: self.records.extend(batch), kinds=kinds)

    def catch_up(self) -> list[int]:
        """How many events each call went over."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            return list(iter(lambda: self._follower.catch_up(connection), 0))

    @property
    def position(self) -> int:
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SELECT position FROM followers WHERE name = %s", (self._name,)).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def database(new_database: Callable[[], str]) -> Iterator[tuple[str, PostgresScanLog]]:
    url = new_database()
    log = PostgresScanLog(url)
    yield url, log
    log.close()


def test_a_follower_of_some_kinds_is_given_just_those_and_moves_past_all_others(
    database: tuple[str, PostgresScanLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, log = database
    for name in "ab":
        log.append([Append(name, 0, [*running_history(), CANCELLED])])
    log.append([Append("c", 0, running_history())])
    monkeypatch.setattr(following, "_PASSED_AT_ONCE", 6)
    applied = Applied(url, "endings", [CANCELLED.kind])
    assert sum(applied.catch_up()) == log.position()
    assert [(record.stream, record.event) for record in applied.records] == [("a", CANCELLED), ("b", CANCELLED)]
    assert applied.position == log.position()
    assert applied.catch_up() == []
    log.append_next("c", [CANCELLED], unless=[])
    assert applied.catch_up() == [1]
    assert [record.stream for record in applied.records] == ["a", "b", "c"]


def test_where_there_is_nothing_that_it_wants_a_follower_still_moves_on(database: tuple[str, PostgresScanLog]) -> None:
    url, log = database
    log.append([Append("a", 0, running_history())])
    applied = Applied(url, "none", ["scan.no-such-kind"])
    applied.catch_up()
    assert (applied.records, applied.position) == ([], log.position())


# Schema ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without any table."""
    name = sql.Identifier("empty_database")
    owner = sql.Identifier(str(psycopg.conninfo.conninfo_to_dict(postgres_server.url("x"))["user"]))

    def execute(statement: sql.Composed) -> None:
        with psycopg.connect(postgres_server.superuser_url, autocommit=True) as connection:
            connection.execute(statement)

    execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
    yield postgres_server.url("empty_database")
    execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_pages_written_before_units_were_known_are_told_theirs(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        older = [migration for migration in migrations() if migration.version < 5]
        patch.setattr(migrating, "migrations", lambda: older)
        migrate(empty_database)
    # The batches of two units, recorded in turns, and another scan with a page at the same place.
    with psycopg.connect(empty_database) as connection:
        for scan, batches in (("scan-1", [(0, 0), (2, 1), (4, 0)]), ("scan-2", [(0, 3)])):
            for version, (first_index, unit) in enumerate(batches, 1):
                _put_old_page(connection, scan, version, first_index, unit)
    assert migrate(empty_database) == [migration.name for migration in migrations() if migration.version >= 5]
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT scan_id, first_index, unit FROM manifest_pages ORDER BY 1, 2").fetchall()
    assert rows == [("scan-1", 0, 0), ("scan-1", 2, 1), ("scan-1", 4, 0), ("scan-2", 0, 3)]
    manifest = PostgresManifestStore(empty_database)
    (page,) = manifest.pages("scan-1", 2, 2)
    manifest.close()
    assert (page.unit, page.objects[0].key, list(page.scanned_by)) == (1, "a", [])


def _put_old_page(connection: psycopg.Connection[Any], scan: str, version: int, first_index: int, unit: int) -> None:
    # As they were then: an event of the first schema, and a block without earlier scans.
    event = {"at": NOON.isoformat(), "actor": "worker:w", "unit": unit, "first_index": first_index, "files": 1}
    connection.execute(
        "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
        " VALUES (%s, %s, 'scan.objects-listed', %s)",
        (scan, version, msgspec.json.encode(event)),
    )
    connection.execute(
        "INSERT INTO manifest_pages (scan_id, first_index, files, connector, first_chunk, chunk_starts, objects)"
        " VALUES (%s, %s, 1, 'c', 0, %s, %s)",
        (scan, first_index, [first_index], _OLD_BLOCK),
    )


_OLD_BLOCK = zstandard.compress(msgspec.msgpack.encode([["a"], [1], ["e"], [None], [""], [None]]))
