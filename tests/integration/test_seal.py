"""The seal on a real database: what it makes of the log, and when it signs."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import tamperlog
from psycopg.conninfo import make_conninfo

from api.cli.commands import run
from application.ports import Append
from domain.checkpoint import read
from domain.merkle import Frontier
from infrastructure.postgres import sealing, tree
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.sealing import Sealer
from tests.domain.given import NOON
from tests.fixtures_servers import PostgresServer
from tests.seal_by_hand import CANCELLED, Seal, history, lines


@pytest.fixture
def database(new_database: Callable[[], str]) -> Iterator[tuple[str, PostgresScanLog]]:
    url = new_database()
    log = PostgresScanLog(url)
    yield url, log
    log.close()


def sealed(url: str, tenant: str) -> list[tuple[int, int, datetime, bytes]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT leaf, position, occurred_at, hash FROM sealed_events WHERE tenant_id = %s ORDER BY leaf", (tenant,)
        ).fetchall()


def seal_all(url: str, sealer: Sealer | None = None) -> list[sealing.Sealed]:
    with psycopg.connect(url, autocommit=True) as connection:
        sealer = sealer or Sealer()
        return list(iter(lambda: sealer.catch_up(connection), sealing.Sealed()))


@pytest.fixture
def seal(database: tuple[str, PostgresScanLog], postgres_server: PostgresServer, tmp_path: Path) -> Seal:
    url, log = database
    superuser = make_conninfo(postgres_server.superuser_url, dbname=url.rpartition("/")[2])
    return Seal(url, log, tmp_path / "outside", superuser)


def frontier(connection: psycopg.Connection[Any], tenant: str) -> Frontier:
    row = connection.execute("SELECT size, frontier FROM sealed_logs WHERE tenant_id = %s", (tenant,)).fetchone()
    assert row is not None
    return Frontier(row[0], sealing.cut(row[1]))


def test_every_event_becomes_a_leaf_of_its_tenants_tree_in_the_order_of_the_log(
    database: tuple[str, PostgresScanLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, log = database
    monkeypatch.setattr(sealing, "BATCH", 7)
    for number in range(8):
        log.append([Append(f"scan-{number}", 0, history("ab"[number % 2]))])
    first = seal_all(url)
    log.append_next("scan-1", [CANCELLED], unless=[])
    second = seal_all(url)
    assert sum(batch.count for batch in (*first, *second)) == log.position()
    assert [batch.ended for batch in first if batch.ended] == []
    assert second == [sealing.Sealed({"b": 1}, frozenset("b"))]
    for tenant in "ab":
        told, leaves = lines(url, tenant), sealed(url, tenant)
        assert [leaf for leaf, *_ in leaves] == list(range(len(told)))
        assert [position for _, position, *_ in leaves] == [position for position, _ in told]
        assert [hash_ for *_, hash_ in leaves] == [tamperlog.hash_leaf(line) for _, line in told]
        assert leaves[0][2] == NOON
        with psycopg.connect(url) as connection:
            assert frontier(connection, tenant).root() == tamperlog.merkle_root([hash_ for *_, hash_ in leaves])


def test_a_log_is_signed_when_a_scan_has_ended_and_after_so_many_events_or_seconds(seal: Seal) -> None:
    assert len(history("t")) == 4
    seal.scan("scan-1", ended=False)
    seal.step()
    assert seal.sizes() == []
    seal.wait(60)
    assert seal.sizes() == [4]
    for number in range(2, 5):
        assert seal.sizes() == [4]
        seal.scan(f"scan-{number}", ended=False)
        seal.step()
    assert seal.sizes() == [4, 16]
    seal.scan("scan-5")
    seal.scan("scan-6", "other", ended=False)
    seal.step()
    assert (seal.sizes(), seal.sizes("other"), seal.trouble()) == ([4, 16, 21], [], None)
    seal.restart()
    seal.step()
    assert (seal.sizes(), seal.sizes("other")) == ([4, 16, 21], [4])


def test_every_checkpoint_tells_of_the_tree_that_another_implementation_makes_of_the_lines(seal: Seal) -> None:
    for number in range(5):
        seal.scan(f"scan-{number}")
        seal.step()
    told = [tamperlog.hash_leaf(line) for _, line in lines(seal.url, "t")]
    with psycopg.connect(seal.url) as connection, connection.cursor() as cursor:
        notes = cursor.execute("SELECT note FROM checkpoints ORDER BY size").fetchall()
        assert len(notes) == 5
        for (note,) in notes:
            checkpoint = read(note)
            assert checkpoint.root == tamperlog.merkle_root(told[: checkpoint.size])
            assert tree.root(cursor, "t", checkpoint.size) == checkpoint.root


def test_what_could_not_be_written_outside_is_written_when_that_is_back(seal: Seal) -> None:
    seal.folder.touch()  # where the folder should be there is a file
    seal.scan("scan-1")
    seal.step()
    assert "does not answer" in str(seal.trouble())
    seal.scan("scan-2")
    seal.wait(6)
    assert "does not answer" in str(seal.trouble())
    seal.folder.unlink()
    seal.wait(6)
    assert (seal.sizes(), seal.trouble()) == ([10], None)
    seal.scan("scan-3")
    seal.step()
    shutil.move(seal.folder, seal.folder.with_name("taken-away"))
    seal.folder.touch()
    seal.scan("scan-4")
    seal.step()
    assert "does not answer" in str(seal.trouble())
    seal.folder.unlink()
    seal.restart()
    seal.step()
    assert (seal.sizes(), seal.trouble()) == ([10, 15, 20], None)


def test_without_a_key_or_a_place_outside_that_is_said(seal: Seal) -> None:
    seal.restart(key=None)
    seal.scan("scan-1")
    seal.step()
    assert "SCANLEDGER_SEAL_KEY" in str(seal.trouble())
    seal.outside = None
    seal.restart()
    seal.step()
    assert "SCANLEDGER_SEAL_FOLDER" in str(seal.trouble())
    with psycopg.connect(seal.url) as connection:
        assert connection.execute("SELECT size FROM checkpoints").fetchall() == [(5,)]


def restored_to(seal: Seal, position: int) -> None:
    """The database as it was when it had just the first events: as a superuser restores it."""
    with seal.rewrite() as connection:
        connection.execute("DELETE FROM sealed_events WHERE position > %s", (position,))
        leaves = connection.execute("SELECT hash FROM sealed_events ORDER BY leaf").fetchall()
        kept = Frontier()
        for (leaf,) in leaves:
            kept.append(leaf)
        connection.execute("DELETE FROM stored_events WHERE notification_id > %s", (position,))
        connection.execute("DELETE FROM checkpoints WHERE size > %s", (kept.size,))
        connection.execute("UPDATE followers SET position = %s", (position,))
        connection.execute(
            "UPDATE sealed_logs SET size = %s, frontier = %s, signed_size = (SELECT max(size) FROM checkpoints),"
            " published_size = (SELECT max(size) FROM checkpoints)",
            (kept.size, b"".join(kept.hashes)),
        )
    seal.log.close()
    seal.log = PostgresScanLog(seal.url)


def test_nothing_is_signed_over_a_restored_older_database_until_that_is_accepted(
    seal: Seal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seal.scan("scan-1")
    seal.step()
    seal.scan("scan-2")
    seal.step()
    assert seal.sizes() == [5, 10]
    restored_to(seal, 5)
    seal.restart()
    seal.step()
    assert seal.trouble() == "a checkpoint outside tells of 10 events, and the database has 5"
    for name in ("scan-3", "scan-4"):
        seal.scan(name)
        seal.wait(61)
    assert seal.trouble() == "the first 10 events in the database are not those of the checkpoint outside"
    assert seal.sizes() == [5]
    assert seal.outside is not None
    monkeypatch.setenv("SCANLEDGER_DATABASE_URL", seal.url)
    monkeypatch.setenv("SCANLEDGER_SEAL_FOLDER", str(seal.folder))
    capsys.readouterr()
    assert run(["audit", "accept-restore"]) == 0
    assert re.fullmatch(
        r"t: goes on as scanledger/[0-9a-f-]+/t/2 with 15 events; 10 events were told of outside.\n",
        capsys.readouterr().out,
    )
    assert run(["audit", "accept-restore"]) == 0
    assert capsys.readouterr().out.startswith("Every log continues")
    seal.wait(6)
    assert (seal.sizes(), seal.trouble()) == ([5, 15], None)
    newest = seal.outside.newest("t", (0, 0))
    assert newest is not None
    assert newest[0] == 2
    assert newest[1].origin.endswith("/t/2")
    assert newest[1].notes[0].startswith(f"restored {newest[1].origin[:-2]} 10 ")


def test_a_log_that_is_sealed_anew_gets_the_same_leaves_and_is_no_fork(seal: Seal) -> None:
    seal.scan("scan-1")
    seal.scan("scan-2")
    seal.step()
    before = sealed(seal.url, "t")
    with seal.rewrite() as connection:
        for table in ("sealed_events", "sealed_nodes", "sealed_logs"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE followers SET position = 0")
    seal.restart()
    seal.step()
    assert (seal.sizes(), seal.trouble()) == ([10], None)
    seal.scan("scan-3")
    seal.step()
    assert sealed(seal.url, "t")[: len(before)] == before
    assert (seal.sizes(), seal.trouble()) == ([10, 15], None)
