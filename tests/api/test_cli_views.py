"""`scanledger views rebuild` on a real database: what it tells, and what it exits with."""

import json
from collections.abc import Callable

import psycopg
import pytest

from api.cli.commands import run
from application.ports import Append
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.projector import projector
from tests.domain.given import running_history

REBUILD = ("views", "rebuild")


@pytest.fixture
def url(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> str:
    """A database with one scan that is projected; the environment names it."""
    url = new_database()
    log = PostgresScanLog(url)
    log.append([Append("scan-1", 0, running_history())])
    log.close()
    with psycopg.connect(url, autocommit=True) as connection:
        while projector(url).catch_up(connection):
            pass
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("SCANLEDGER_DATABASE_URL", url)
    return url


def test_it_exits_with_0_where_nothing_differs_and_10_where_a_row_does(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(REBUILD) == 0
    assert "scan_views: 1 rows, 0 differed" in capsys.readouterr().out
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE scan_views SET view = jsonb_set(view, '{findings}', '9')")
    assert run([*REBUILD, "--dry-run", "--json"]) == 10
    told = json.loads(capsys.readouterr().out)
    assert (told["differing"], told["switched"]) == (1, False)
    assert told["tables"][0]["shown"] == [
        {"key": "scan-1", "difference": "changed", "fields": {"view.findings": {"was": "9", "should_be": "0"}}}
    ]
    assert run(REBUILD) == 10
    assert "scan-1 differs: view.findings is 9 and should be 0" in capsys.readouterr().out
    assert run(REBUILD) == 0


def test_the_views_of_a_moment_are_named_with_how_to_drop_them(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*REBUILD, "--until", "2030-01-31T12:00:00+01:00"]) == 0
    schema = "views_20300131t110000000000z"
    told = capsys.readouterr().out
    with psycopg.connect(url) as connection:
        for statement in (f"SELECT * FROM {schema}.scan_views", f"DROP SCHEMA {schema} CASCADE"):
            assert f"{statement};" in told
            connection.execute(statement.encode())


@pytest.mark.parametrize("flags", [("--until", "noon"), ("--until", "2026-01-31", "--dry-run")])
def test_what_makes_no_sense_is_wrong_usage(url: str, flags: tuple[str, ...]) -> None:
    assert run([*REBUILD, *flags]) == 2
