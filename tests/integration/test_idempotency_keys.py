"""Idempotency keys on the real database: a crash neither blocks a key nor makes a thing twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from application.reading import Answer, Claim, KeyReused
from domain.errors import Conflict
from infrastructure.postgres.idempotency import PostgresIdempotencyKeys
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.tenants import ensure_tenant

ROUTE, BODY = "POST /things", b'{"a":1}'
DONE = Answer(201, b'{"made":1}')


class Crash(Exception):
    """Anything that is not a refusal."""


@pytest.fixture
def keys(database_url: str) -> Callable[[Callable[[PostgresIdempotencyKeys], Awaitable[Any]]], Any]:
    ensure_tenant(database_url, "t", name="t", tier="free")

    def run(act: Callable[[PostgresIdempotencyKeys], Awaitable[Any]]) -> Any:
        async def body() -> Any:
            pool = ReadPool(database_url, size=2)
            await pool.open()
            try:
                return await act(PostgresIdempotencyKeys(pool, b"k" * 32))
            finally:
                await pool.close()

        return asyncio.run(body())

    return run


async def claimed(
    store: PostgresIdempotencyKeys,
    key: str,
    *,
    body: bytes = BODY,
    answer: Answer | None = None,
    error: Exception | None = None,
) -> Claim:
    async with store.claim("t", key, ROUTE, body) as claim:
        if error is not None:
            raise error
        claim.answer = answer
    return claim


def test_an_answer_is_kept_and_given_again(keys):
    keys(lambda store: claimed(store, "kept", answer=DONE))
    assert keys(lambda store: claimed(store, "kept")).kept == DONE


def test_after_a_crash_the_same_request_gets_the_same_seed_and_another_none(keys):
    async def crash_and_come_back(store: PostgresIdempotencyKeys) -> tuple[Claim, Claim]:
        seen = await claimed(store, "crashed")
        with pytest.raises(Crash):
            await claimed(store, "crashed", error=Crash())
        return seen, await claimed(store, "crashed")

    before, after = keys(crash_and_come_back)
    assert after.seed == before.seed
    assert after.kept is None
    with pytest.raises(KeyReused):
        keys(lambda store: claimed(store, "crashed", body=b'{"a":2}'))


def test_a_refusal_frees_the_key_for_another_request(keys):
    with pytest.raises(Conflict):
        keys(lambda store: claimed(store, "freed", error=Conflict("NO", "No.")))
    assert keys(lambda store: claimed(store, "freed", body=b'{"a":2}')).kept is None


def test_after_a_day_the_key_is_new(keys, database_url: str):
    first = keys(lambda store: claimed(store, "old", answer=DONE))
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")
    later = keys(lambda store: claimed(store, "old"))
    assert (later.kept, later.seed == first.seed) == (None, False)


def test_waiting_requests_never_use_up_the_connections(keys):
    """Ten at once on a pool of two: one does the work, the others get its answer."""

    async def crowd(store: PostgresIdempotencyKeys) -> list[Claim]:
        return await asyncio.gather(*(claimed(store, "crowd", answer=DONE) for _ in range(10)))

    claims = keys(crowd)
    assert len({claim.seed for claim in claims}) == 1
    assert [claim.kept for claim in claims].count(None) == 1
