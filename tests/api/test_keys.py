"""`scanledger tenants` and `scanledger keys` on a real PostgreSQL."""

import base64
import json
import re
import secrets
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from infrastructure.postgres.tenants import works
from tests.api.cli_documents import Cli, Ran

pytest_plugins = ["tests.api.cli_fixtures"]

KEY = secrets.token_bytes(32)


@pytest.fixture
def database(clean_environment: None, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrated database that the environment names, with the installation's key, and nothing more."""
    url = new_database()
    monkeypatch.setenv("SCANLEDGER_DATABASE_URL", url)
    monkeypatch.setenv("SCANLEDGER_ENCRYPTION_KEY", base64.b64encode(KEY).decode())
    return url


def document(ran: Ran) -> Any:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def stored(database: str) -> tuple[int, int]:
    """How many tenants and keys there are."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM api_keys)").fetchone()
    assert row is not None
    return row[0], row[1]


def test_the_first_key_of_a_database_of_ones_own_is_made_printed_once_and_works(scanledger: Cli, database: str) -> None:
    assert scanledger("tenants", "create", "acme", "--tier", "team").code == 0
    ran = scanledger("keys", "create", "--tenant", "acme")
    token = ran.out.removesuffix("\n")
    assert (ran.code, works(database, KEY, token)) == (0, True)
    [listed] = document(scanledger("keys", "list", "--json"))
    assert listed["key_id"] == token.split("_")[1]
    assert listed["scopes"] == ["scans:read", "scans:write", "connectors:write", "audit:read"]
    secret = token.split("_", 2)[2]
    assert secret not in ran.err + scanledger("keys", "list").out + json.dumps(listed)


def test_a_key_has_the_scopes_it_was_given_and_no_other(scanledger: Cli, database: str) -> None:
    scanledger("tenants", "create", "acme")
    scopes = ("--scope", "scans:read", "--scope", "audit:read", "--scope", "scans:read")
    made = document(scanledger("keys", "create", "--tenant", "acme", *scopes, "--json"))
    assert made["scopes"] == ["scans:read", "audit:read"]
    assert works(database, KEY, made["api_key"])


def test_a_revoked_key_works_no_more_and_stays_listed_as_revoked(scanledger: Cli, database: str) -> None:
    scanledger("tenants", "create", "acme")
    kept, lost = (document(scanledger("keys", "create", "--tenant", "acme", "--json")) for _ in range(2))
    assert document(scanledger("keys", "revoke", lost["key_id"], "--json")) == {
        "key_id": lost["key_id"],
        "revoked": True,
    }
    assert (works(database, KEY, kept["api_key"]), works(database, KEY, lost["api_key"])) == (True, False)
    listed = {one["key_id"]: one["revoked_at"] for one in document(scanledger("keys", "list", "--json"))}
    assert listed[kept["key_id"]] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", listed[lost["key_id"]])
    again = scanledger("keys", "revoke", lost["key_id"])
    assert (again.code, again.out) == (1, "")


def test_keys_are_listed_by_tenant(scanledger: Cli, database: str) -> None:
    for tenant in ("acme", "other"):
        scanledger("tenants", "create", tenant)
        scanledger("keys", "create", "--tenant", tenant)
    assert len(document(scanledger("keys", "list", "--json"))) == 2
    [own] = document(scanledger("keys", "list", "--tenant", "other", "--json"))
    assert own["tenant_id"] == "other"
    assert own["key_id"] in scanledger("keys", "list", "--tenant", "other").out


def test_tenants_are_listed_with_their_tiers_oldest_first(scanledger: Cli, database: str) -> None:
    scanledger("tenants", "create", "zoo", "--tier", "free")
    scanledger("tenants", "create", "acme", "--json")
    listed = document(scanledger("tenants", "list", "--json"))
    assert [(one["tenant_id"], one["tier"]) for one in listed] == [("zoo", "free"), ("acme", "enterprise")]
    assert [line.split()[:2] for line in scanledger("tenants", "list").out.splitlines()[1:]] == [
        ["zoo", "free"],
        ["acme", "enterprise"],
    ]


def test_a_tenant_that_exists_keeps_its_tier(scanledger: Cli, database: str) -> None:
    scanledger("tenants", "create", "acme", "--tier", "free")
    ran = scanledger("tenants", "create", "acme", "--tier", "enterprise")
    assert (ran.code, ran.out) == (1, "")
    assert "'acme' already" in ran.err
    assert document(scanledger("tenants", "list", "--json"))[0]["tier"] == "free"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["keys", "create", "--tenant", "nobody"], 1, "no tenant 'nobody'"),
        (["keys", "list", "--tenant", "nobody"], 1, "no tenant 'nobody'"),
        (["keys", "create", "--tenant", "acme", "--scope", "root"], 2, "'root' is not one of"),
        (["keys", "create"], 2, "--tenant"),
        (["keys", "revoke", "abcdefghijkm"], 1, "no valid key 'abcdefghijkm'"),
        (["tenants", "create", "Acme Inc."], 2, "is not a tenant's name"),
        (["tenants", "create", "other", "--tier", "gold"], 2, "'gold' is not one of"),
    ],
)
def test_what_is_unknown_is_refused_and_nothing_is_made(
    scanledger: Cli, database: str, arguments: list[str], code: int, told: str
) -> None:
    scanledger("tenants", "create", "acme")
    before = stored(database)
    ran = scanledger(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert stored(database) == before == (1, 0)


def test_a_whole_key_given_for_its_id_is_not_repeated(scanledger: Cli, database: str) -> None:
    scanledger("tenants", "create", "acme")
    token = scanledger("keys", "create", "--tenant", "acme").out.strip()
    ran = scanledger("keys", "revoke", token)
    assert ran.code == 2
    assert token not in ran.out + ran.err
    assert works(database, KEY, token)


def test_only_making_a_key_needs_the_encryption_key(
    scanledger: Cli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCANLEDGER_ENCRYPTION_KEY")
    assert scanledger("tenants", "create", "acme").code == 0
    assert scanledger("keys", "list").code == 0
    ran = scanledger("keys", "create", "--tenant", "acme")
    assert (ran.code, ran.out) == (2, "")
    assert "needs SCANLEDGER_ENCRYPTION_KEY" in ran.err
    assert stored(database) == (1, 0)


@pytest.mark.parametrize(("command", "told"), [(["migrate"], "nothing to apply"), (["views", "rebuild"], "0 rows")])
def test_the_schema_and_the_views_need_no_more_than_the_database(
    scanledger: Cli, database: str, monkeypatch: pytest.MonkeyPatch, command: list[str], told: str
) -> None:
    monkeypatch.delenv("SCANLEDGER_ENCRYPTION_KEY")
    ran = scanledger(*command)
    assert ran.code == 0, ran.err
    assert told in ran.out


COMMANDS = [
    ["migrate"],
    ["views", "rebuild"],
    ["tenants", "create", "acme"],
    ["tenants", "list"],
    ["keys", "create", "--tenant", "acme"],
    ["keys", "list"],
    ["keys", "revoke", "abcdefghijkm"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_database_the_missing_setting_is_named(
    scanledger: Cli, clean_environment: None, command: list[str]
) -> None:
    ran = scanledger(*command)
    assert (ran.code, ran.out) == (2, "")
    assert "SCANLEDGER_DATABASE_URL" in ran.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_is_away_is_a_sentence(
    scanledger: Cli, database: str, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("SCANLEDGER_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/db")
    ran = scanledger(*command)
    assert (ran.code, ran.out, ran.err) == (1, "", "Error: The database does not answer.\n")


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_a_database_without_the_schema_is_told_to_be_migrated(
    scanledger: Cli, database: str, command: list[str]
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("ALTER SCHEMA public RENAME TO elsewhere")
        connection.execute("CREATE SCHEMA public")
    ran = scanledger(*command)
    assert (ran.code, ran.out) == (1, "")
    assert "scanledger migrate" in ran.err
