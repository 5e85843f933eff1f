"""A TCP proxy for any protocol whose connections can be troubled while they are in use."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Self

BLOCK = 64 * 1024
MOST_DELAY = 0.4


class Trouble(StrEnum):
    """What happens to the connections of a proxy: at once to those that are open, and to new ones while it lasts."""

    DELAY = "delay"
    """Every block is held back for up to MOST_DELAY seconds."""
    CUT = "cut"
    """Open connections are closed, with FIN."""
    RESET = "reset"
    """Open connections are closed, with RST."""
    REFUSE = "refuse"
    """Open connections are reset, and new ones as soon as they are made."""
    END_OF_CLIENT = "half-close towards the server"
    """The server reads the end of what the client says; the other direction stays open."""
    END_OF_SERVER = "half-close towards the client"
    """The client reads the end of what the server says; the other direction stays open."""
    DEAF_SERVER = "half-open, nothing reaches the server"
    """What clients say is lost while it lasts. Then the connection is reset: a gap must not be read over."""
    DEAF_CLIENT = "half-open, nothing reaches the client"
    """Likewise what servers say."""
    SILENCE = "silence for good"
    """What is said on open connections is lost from now on, both ways, and no end ever comes. New ones are whole."""


@dataclass(eq=False)
class _Link:
    """One connection through the proxy, as the two writers that lead out of it."""

    to_client: asyncio.StreamWriter
    to_server: asyncio.StreamWriter
    lost: set[asyncio.StreamWriter] = field(default_factory=set)
    """Bytes for these are thrown away."""

    def abort(self, *, reset: bool) -> None:
        for writer in (self.to_client, self.to_server):
            if reset and (connection := writer.get_extra_info("socket")) is not None:
                # It may have ended by itself a moment ago.
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def end(self, writer: asyncio.StreamWriter) -> None:
        self.lost.add(writer)
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


class ChaosProxy:
    """Forwards `127.0.0.1:port` to a port of the same host, as a context manager. Its own thread, any caller's."""

    def __init__(self, upstream_port: int, rng: Random) -> None:
        self._upstream_port = upstream_port
        self._rng = rng
        self._links: set[_Link] = set()
        self._delaying = self._refusing = False
        self._deaf: Trouble | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, trouble: Trouble) -> int:
        """Trouble starts now; gives how many connections were open. One trouble at a time."""
        open_connections: int = self._run(self._begin(trouble))
        return open_connections

    def end(self, trouble: Trouble) -> None:
        """New bytes and connections pass unharmed again."""
        self._run(self._end(trouble))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for link in list(self._links):
            link.abort(reset=True)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            # Not cancelled: the library's own callback would complain of that.
            await asyncio.wait(tasks, timeout=2)

    async def _begin(self, trouble: Trouble) -> int:
        links = list(self._links)
        self._delaying |= trouble is Trouble.DELAY
        self._refusing |= trouble is Trouble.REFUSE
        if trouble in {Trouble.DEAF_SERVER, Trouble.DEAF_CLIENT}:
            self._deaf = trouble
        for link in links:
            self._afflict(link, trouble)
        return len(links)

    def _afflict(self, link: _Link, trouble: Trouble) -> None:
        match trouble:
            case Trouble.CUT:
                link.abort(reset=False)
            case Trouble.RESET | Trouble.REFUSE:
                link.abort(reset=True)
            case Trouble.END_OF_CLIENT:
                link.end(link.to_server)
            case Trouble.END_OF_SERVER:
                link.end(link.to_client)
            case Trouble.DEAF_SERVER:
                link.lost.add(link.to_server)
            case Trouble.DEAF_CLIENT:
                link.lost.add(link.to_client)
            case Trouble.SILENCE:
                link.lost.update({link.to_server, link.to_client})
            case Trouble.DELAY:
                pass

    async def _end(self, trouble: Trouble) -> None:
        self._delaying = self._refusing = False
        self._deaf = None
        if trouble in {Trouble.DEAF_SERVER, Trouble.DEAF_CLIENT}:
            for link in list(self._links):
                if link.lost:
                    link.abort(reset=True)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self._refusing:
            to_client.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            to_client.transport.abort()
            return
        link = _Link(to_client, to_server)
        self._links.add(link)
        if self._deaf is not None:
            self._afflict(link, self._deaf)
        try:
            await asyncio.gather(self._pump(link, from_client, to_server), self._pump(link, from_server, to_client))
        except (OSError, RuntimeError):
            pass
        finally:
            self._links.discard(link)
            link.abort(reset=False)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(BLOCK):
            if self._delaying:
                await asyncio.sleep(self._rng.uniform(0, MOST_DELAY))
            if writer not in link.lost:
                writer.write(block)
                await writer.drain()
        if writer not in link.lost:
            link.end(writer)
