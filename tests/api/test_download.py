"""A file that is sent while it is made ends well, or is seen not to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from api.download import Download
from domain.errors import ServiceUnavailable

Message = dict[str, Any]


@dataclass
class Exchange:
    """One request as a server has it. Its client goes away after `patience` blocks; a `stuck` one takes none."""

    patience: int = 1_000
    stuck: bool = False
    method: str = "GET"
    sent: list[Message] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False

    async def receive(self) -> Message:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.stuck and len(self.sent) > 1:
            await self.gone.wait()
        if len(self.sent) > self.patience:
            self.gone.set()
        await asyncio.sleep(0)

    async def run(self, blocks: AsyncGenerator[bytes, None]) -> None:
        state = {"request_id": "req-1", "asks_for_head": self.method == "HEAD"}
        scope: Any = {"type": "http", "method": "GET", "state": state}
        receive: Any = self.receive
        send: Any = self.send
        await Download(blocks, "text/plain", {"X-Told": "1"})(scope, receive, send)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def ended(self) -> bool:
        return self.sent[-1].get("more_body") is False


@dataclass
class Blocks:
    """A file of `most` blocks, or one that fails after them; how many were made, and whether it was closed."""

    most: int
    error: Exception | None = None
    made: int = 0
    closed: bool = False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            while self.made < self.most:
                self.made += 1
                yield b"" if self.made % 2 else b"block"
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def test_a_file_is_sent_to_its_end():
    exchange, blocks = Exchange(), Blocks(4)
    asyncio.run(exchange.run(blocks()))
    assert exchange.sent[0]["status"] == 200
    assert (b"x-told", b"1") in exchange.sent[0]["headers"]
    assert (exchange.body, exchange.ended, blocks.closed) == (b"blockblock", True, True)
    assert all(message["body"] for message in exchange.sent[1:-1])


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), ValueError("a fault of ours")])
def test_the_body_of_a_file_that_fails_has_no_end(error: Exception):
    exchange, blocks = Exchange(), Blocks(4, error)
    with suppress(ValueError):
        asyncio.run(exchange.run(blocks()))
    assert (exchange.body, exchange.ended, blocks.closed) == (b"blockblock", False, True)


def test_no_more_is_made_for_a_client_that_went_away():
    exchange, blocks = Exchange(patience=3), Blocks(1_000)
    asyncio.run(exchange.run(blocks()))
    assert blocks.made < 12
    assert blocks.closed
    assert not exchange.ended


def test_a_client_that_takes_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.download.STALL_SECONDS", 0.05)
    exchange, blocks = Exchange(stuck=True), Blocks(1_000)
    asyncio.run(exchange.run(blocks()))
    assert (exchange.ended, blocks.closed) == (False, True)


def test_nothing_is_made_for_head():
    exchange, blocks = Exchange(method="HEAD"), Blocks(4)
    asyncio.run(exchange.run(blocks()))
    assert (blocks.made, exchange.body, exchange.ended) == (0, b"", True)
