"""The schema, as plain SQL files applied forward, each once, in one transaction under a lock."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg

from domain.errors import Permanent, ServiceUnavailable

_LOCK = 0x5CA91ED6


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


class SchemaMismatch(Permanent):
    """The database holds a migration that this installation does not have, or another text of one it has."""


def migrations() -> Sequence[Migration]:
    """All migrations this installation has, in order."""
    folder = files("infrastructure.postgres") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names]


def migrate(database_url: str) -> Sequence[str]:
    """Apply what is missing; gives the names of what was applied. Several at once are safe.

    Raises SchemaMismatch if the database is ahead of or apart from this installation, ServiceUnavailable if away.
    """
    applied: list[str] = []
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
                " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            for migration in _missing(connection):
                connection.execute(migration.sql.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (version, name, digest) VALUES (%s, %s, %s)",
                    (migration.version, migration.name, migration.digest),
                )
                applied.append(migration.name)
    except psycopg.OperationalError as error:
        raise ServiceUnavailable("The database does not answer.") from error
    return applied


def pending(database_url: str) -> Sequence[str]:
    """Names of the migrations that `migrate` would apply. Raises as `migrate` does."""
    try:
        with psycopg.connect(database_url, connect_timeout=3) as connection:
            known = connection.execute("SELECT to_regclass('schema_migrations')").fetchone()
            if known is None or known[0] is None:
                return [migration.name for migration in migrations()]
            return [migration.name for migration in _missing(connection)]
    except psycopg.OperationalError as error:
        raise ServiceUnavailable("The database does not answer.") from error


def _missing(connection: psycopg.Connection[Any]) -> Sequence[Migration]:
    rows = connection.execute("SELECT version, name, digest FROM schema_migrations ORDER BY version").fetchall()
    ours = {migration.version: migration for migration in migrations()}
    for version, name, digest in rows:
        if version not in ours:
            raise SchemaMismatch(f"the database has migration {name}, which this installation is too old to know")
        if ours[version].digest != digest:
            raise SchemaMismatch(f"migration {name} was applied with another text; restore the file or the database")
    done = {version for version, _, _ in rows}
    return [migration for version, migration in sorted(ours.items()) if version not in done]
