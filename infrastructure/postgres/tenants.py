"""Tenants and their API keys. Only a keyed hash of a key's secret is stored."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from application.reading import Caller
from domain.errors import NotFound
from domain.tier import Tier
from infrastructure.api_scopes import SCOPES
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.refusals import refusals_told

DEFAULT_TENANT: Final = "default"

_TOKEN: Final = re.compile(r"sl_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_KEPT_SECONDS: Final = 10.0
_KEPT_KEYS: Final = 10_000
_SELECT = (
    "SELECT k.tenant_id, t.tier, k.secret_hash, k.scopes FROM api_keys k JOIN tenants t USING (tenant_id)"
    " WHERE k.key_id = %s AND k.revoked_at IS NULL"
)


class KeyHash:
    """HMAC-SHA256 of a key's secret, under a key derived from the installation's encryption key."""

    def __init__(self, encryption_key: bytes) -> None:
        self._key = hmac.digest(encryption_key, b"scanledger api keys v1", hashlib.sha256)

    def of(self, key_id: str, secret: str) -> bytes:
        return hmac.digest(self._key, f"{key_id}:{secret}".encode(), hashlib.sha256)

    def agrees(self, key_id: str, secret: str, stored: bytes) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.of(key_id, secret), stored)


class PostgresKeyRing:
    """`KeyRing`: a valid key is looked up once in ten seconds, so a revoked one works no longer than that."""

    def __init__(
        self,
        pool: ReadPool,
        hashing: KeyHash,
        tier: Callable[[str], Tier],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._hashing = hashing
        self._tier = tier
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, Caller]] = {}

    async def verify(self, token: str) -> Caller | None:
        kept = self._kept.get(token)
        if kept is not None and kept[0] > self._monotonic():
            return kept[1]
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return None
        caller = await self._look_up(*parts.groups())
        if caller is not None:
            self._keep(token, caller)
        return caller

    async def _look_up(self, key_id: str, secret: str) -> Caller | None:
        rows = await self._pool.rows(_SELECT, (key_id,))
        tenant, tier, stored, scopes = rows[0] if rows else ("", "", b"", [])
        # An unknown key costs the same comparison as a wrong secret.
        if not self._hashing.agrees(key_id, secret, bytes(stored)) or not rows:
            return None
        return Caller(key_id, tenant, self._tier(tier), frozenset(scopes))

    def _keep(self, token: str, caller: Caller) -> None:
        if len(self._kept) >= _KEPT_KEYS:
            self._kept.clear()
        self._kept[token] = (self._monotonic() + _KEPT_SECONDS, caller)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as an operator sees it."""

    tenant_id: str
    name: str
    tier: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as an operator sees it: everything but its secret."""

    key_id: str
    tenant_id: str
    scopes: Sequence[str]
    created_at: datetime
    revoked_at: datetime | None


def ensure_tenant(database_url: str, tenant: str, *, name: str, tier: str) -> bool:
    """Make the tenant unless it is there; whether it was made. An existing one keeps its name and tier."""
    statement = "INSERT INTO tenants (tenant_id, name, tier) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    with _connected(database_url) as connection:
        return connection.execute(statement, (tenant, name, tier)).rowcount == 1


def tenants(database_url: str) -> Sequence[Tenant]:
    """All tenants, oldest first."""
    statement = "SELECT tenant_id, name, tier, created_at FROM tenants ORDER BY created_at, tenant_id"
    with _connected(database_url) as connection:
        return connection.cursor(row_factory=class_row(Tenant)).execute(statement).fetchall()


def api_keys(database_url: str, tenant: str | None = None) -> Sequence[ApiKey]:
    """The API keys of a tenant, or of all, oldest first, revoked ones too. Raises NotFound for an unknown tenant."""
    statement = (
        "SELECT key_id, tenant_id, scopes, created_at, revoked_at FROM api_keys"
        " WHERE %(tenant)s::text IS NULL OR tenant_id = %(tenant)s ORDER BY created_at, key_id"
    )
    with _connected(database_url) as connection:
        if tenant is not None:
            _expect_tenant(connection, tenant)
        return connection.cursor(row_factory=class_row(ApiKey)).execute(statement, {"tenant": tenant}).fetchall()


def make_key(
    database_url: str, encryption_key: bytes, tenant: str = DEFAULT_TENANT, scopes: Sequence[str] = ("admin",)
) -> str:
    """A new API key of a tenant: `sl_<id>_<secret>`, shown this once.

    Raises ValueError for an unknown scope, NotFound for an unknown tenant.
    """
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise ValueError(f"no such scope: {', '.join(unknown)}; the scopes are {', '.join(SCOPES)}")
    key_id, secret = _random_id(), secrets.token_urlsafe(32)
    with _connected(database_url) as connection:
        _expect_tenant(connection, tenant)
        connection.execute(
            "INSERT INTO api_keys (key_id, tenant_id, secret_hash, scopes) VALUES (%s, %s, %s, %s)",
            (key_id, tenant, KeyHash(encryption_key).of(key_id, secret), list(scopes)),
        )
    return f"sl_{key_id}_{secret}"


def revoke_key(database_url: str, key_id: str) -> bool:
    """Revoke a key; whether there was one to revoke. Running processes follow within ten seconds."""
    with _connected(database_url) as connection:
        statement = "UPDATE api_keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL"
        return connection.execute(statement, (key_id,)).rowcount == 1


def works(database_url: str, encryption_key: bytes, token: str) -> bool:
    """Whether `token` is a valid key of this installation."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return False
    key_id, secret = parts.groups()
    with _connected(database_url) as connection:
        row = connection.execute(_SELECT, (key_id,)).fetchone()
    return row is not None and KeyHash(encryption_key).agrees(key_id, secret, bytes(row[2]))


def bootstrap(database_url: str, encryption_key: bytes, *, tier: str, kept: str | None = None) -> str:
    """A working admin key of the default tenant, which is made if needed: `kept` if that works, else a new one."""
    ensure_tenant(database_url, DEFAULT_TENANT, name="Default", tier=tier)
    if kept is not None and works(database_url, encryption_key, kept):
        return kept
    return make_key(database_url, encryption_key)


def _expect_tenant(connection: psycopg.Connection[Any], tenant: str) -> None:
    if connection.execute("SELECT FROM tenants WHERE tenant_id = %s", (tenant,)).rowcount != 1:
        raise NotFound("tenant", tenant)


def _random_id() -> str:
    return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(12))


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for one transaction. Raises ServiceUnavailable and DatabaseRefused."""
    with refusals_told(), psycopg.connect(database_url, connect_timeout=3) as connection:
        yield connection
