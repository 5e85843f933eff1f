"""The floor of the benchmark of live events: a server that writes ready-made bytes to all connections that asked."""

import asyncio
import sys

import uvloop

from benchmarks.events import BATCH

LINE = (
    b'data: {"event_id":"scan-0123456789abcdefghjkmnpqrs:12345","scan_id":"scan-0123456789abcdefghjkmnpqrs",'
    b'"connector_id":null,"version":12345,"position":12345,"kind":"scan.chunk-completed","schema":3,"occurred_at":'
    b'"2026-01-01T00:00:00.000000Z","actor":"worker:worker-12","data":{"chunk":1234,"attempt":1,"worker":"worker-12",'
    b'"files":4,"scanned":4,"started_at":"2026-01-01T00:00:00.000000Z","bytes_read":4000,"findings":0,"skipped":{},'
    b'"failed":{},"part_reason":"","allowed":0}}\n\n'
)
BODY = b"".join(b"id: %d\n%b" % (number, LINE) for number in range(12_345, 12_345 + BATCH))
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Fanout:
    def __init__(self) -> None:
        self._asked: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whoever asks gets all that comes. Whoever comes and asks nothing makes it come."""
        if not await reader.readline():
            for one in self._asked:
                one.write(CHUNK)
            writer.close()
            return
        writer.write(HEAD)
        self._asked.add(writer)


async def main() -> None:
    server = await asyncio.start_server(Fanout().serve, "127.0.0.1", int(sys.argv[1]), backlog=2_000)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
