"""The floor of the read benchmark: a Litestar handler with one SELECT, on the same server, loop and pool as the API."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import uvicorn
from litestar import Litestar, get
from psycopg_pool import AsyncConnectionPool

from infrastructure.wiring import load_settings

Pool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[dict[str, object]]]]


def create_app(pool: Pool) -> Litestar:
    @get("/api/v1/scans/{scan_id:str}")
    async def read(scan_id: str) -> dict[str, object]:
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT view FROM scan_views WHERE scan_id = %s", (scan_id,), prepare=True
            )
            row = await cursor.fetchone()
        assert row is not None
        return row[0]

    @asynccontextmanager
    async def opened(_: Litestar) -> AsyncIterator[None]:
        async with pool:
            yield

    return Litestar([read], lifespan=[opened], openapi_config=None)


def main() -> None:
    settings = load_settings()
    assert settings.database_url is not None
    pool: Pool = AsyncConnectionPool(
        settings.database_url.get_secret_value(), min_size=1, max_size=8, open=False, kwargs={"autocommit": True}
    )
    config = uvicorn.Config(
        create_app(pool),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
