"""Idempotency keys: the answer of a POST that creates, kept for a day so that it is given again.

The row is committed before the work begins and locked while it goes on. A crash frees the lock and leaves the row: who
claims the key next gets the same seed, so what the crashed request had made is found instead of made twice.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg

from application.reading import Answer, Claim, KeyInProgress, KeyReused
from domain.errors import Permanent
from infrastructure.postgres.read_pool import ReadPool

_WAIT_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.03

_FORGET = "DELETE FROM idempotency_keys WHERE tenant_id = %s AND key = %s AND created_at < now() - interval '24 hours'"
_SWEEP = (
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys"
    " WHERE created_at < now() - interval '24 hours' ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED))"
)
_RESERVE = "INSERT INTO idempotency_keys (tenant_id, key, request_hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_LOCK = (
    "SELECT request_hash, status_code, body, extract(epoch FROM created_at)::text FROM idempotency_keys"
    " WHERE tenant_id = %s AND key = %s FOR UPDATE SKIP LOCKED"
)
_KEEP = "UPDATE idempotency_keys SET status_code = %s, body = %s WHERE tenant_id = %s AND key = %s"
_FREE = "DELETE FROM idempotency_keys WHERE tenant_id = %s AND key = %s"

Connection = psycopg.AsyncConnection[Any]


class PostgresIdempotencyKeys:
    """`IdempotencyKeys`. The pool must be its own: a claim holds a connection for as long as the work takes."""

    def __init__(self, pool: ReadPool, encryption_key: bytes) -> None:
        self._pool = pool
        self._hash_key = hmac.digest(encryption_key, b"scanledger idempotency v1", hashlib.sha256)

    @asynccontextmanager
    async def claim(self, tenant: str, key: str, route: str, body: bytes) -> AsyncIterator[Claim]:
        """As `IdempotencyKeys.claim` says. The body is only kept as a keyed hash: it may hold secrets."""
        digest = hmac.digest(self._hash_key, route.encode() + b"\0" + body, hashlib.sha256)
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while True:
            async with self._pool.connection() as connection:
                await self._reserve(connection, tenant, key, digest)
                refusal: Permanent | None = None
                async with _locked(connection, tenant, key) as row:
                    if row is not None:
                        claim = self._claimed(tenant, key, digest, row)
                        try:
                            yield claim
                        except Permanent as error:
                            refusal = error
                        await _settle(connection, tenant, key, claim, refused=refusal is not None)
                if refusal is not None:
                    raise refusal
                if row is not None:
                    return
            # Whoever waits gives its connection back, so that waiting can never use them all up.
            if asyncio.get_running_loop().time() > deadline:
                raise KeyInProgress
            await asyncio.sleep(_POLL_SECONDS)

    async def _reserve(self, connection: Connection, tenant: str, key: str, digest: bytes) -> None:
        await connection.execute(_FORGET, (tenant, key))
        await connection.execute(_SWEEP)
        await connection.execute(_RESERVE, (tenant, key, digest))

    def _claimed(self, tenant: str, key: str, digest: bytes, row: tuple[Any, ...]) -> Claim:
        request_hash, status, body, created_at = row
        if not hmac.compare_digest(bytes(request_hash), digest):
            raise KeyReused
        # The row's age is in it, so that the same key makes something new when a day is over.
        made_from = f"{tenant}\0{key}\0{created_at}\0".encode() + digest
        seed = hmac.digest(self._hash_key, made_from, hashlib.sha256)
        return Claim(seed, None if status is None else Answer(status, bytes(body)))


@asynccontextmanager
async def _locked(connection: Connection, tenant: str, key: str) -> AsyncIterator[tuple[Any, ...] | None]:
    """The row, locked until the context is left; None if it is locked elsewhere or gone."""
    async with connection.transaction():
        cursor = await connection.execute(_LOCK, (tenant, key))
        yield await cursor.fetchone()


async def _settle(connection: Connection, tenant: str, key: str, claim: Claim, *, refused: bool) -> None:
    if claim.answer is not None:
        await connection.execute(_KEEP, (claim.answer.status, claim.answer.body, tenant, key))
    elif refused:
        await connection.execute(_FREE, (tenant, key))
