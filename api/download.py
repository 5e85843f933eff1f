"""A file that is sent while it is made."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from api import answers
from api.frame import asks_for_head
from domain.errors import ServiceUnavailable

log = structlog.get_logger(__name__)


STALL_SECONDS: Final = 60.0
"""How long a client may take no more of a file before it is given up."""


@dataclass(frozen=True, slots=True)
class Download:
    """Sends `blocks` as they come, no faster than the client takes them, and stops when it goes away.

    Its length is not known before. So when something fails, the connection is closed without the chunk of length zero
    that ends a body (RFC 9112, 8): no client takes a part of the file for the whole.
    """

    blocks: AsyncGenerator[bytes, None]
    media_type: str
    headers: Mapping[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP
        headers = {"Content-Type": self.media_type, "Cache-Control": "no-store", **self.headers}
        encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        gone = asyncio.create_task(_disconnected(receive))
        try:
            if asks_for_head(scope) or await self._sent(send, gone):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (ServiceUnavailable, TimeoutError) as error:
            # Returning before the body has ended makes the server close the connection.
            why = str(error) or "The client took no more of it."
            log.warning("api.download_cut", request_id=answers.request_id(scope), error=why)
        finally:
            gone.cancel()

    async def _sent(self, send: Send, gone: "asyncio.Task[None]") -> bool:
        """Whether all of it was sent, as far as the server knows."""
        async with aclosing(self.blocks) as blocks:
            async for block in blocks:
                if gone.done():
                    return False
                if block:
                    async with asyncio.timeout(STALL_SECONDS):
                        await send({"type": "http.response.body", "body": block, "more_body": True})
        return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
