"""`python -m api`: the REST API on the host and port of the settings, until SIGTERM or SIGINT."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from api.app import create_app
from domain.errors import Invalid
from infrastructure.wiring import configure_logging, load_settings, open_api_ports, open_tracing, run_until_signalled

_DRAIN_SECONDS = 5


def main() -> int:
    try:
        settings = load_settings()
        settings.require("api")
    except Invalid as error:
        sys.stderr.write("".join(f"{fault.field}: {fault.message}\n" for fault in error.faults))
        return 2
    configure_logging(settings)
    stopping = asyncio.Event()
    tracing = open_tracing(settings, "api")
    config = uvicorn.Config(
        create_app(partial(open_api_ports, settings), stopping, tracing),
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        lifespan="on",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config, stopping)
    try:
        run_until_signalled(server.serve_until)
    finally:
        tracing.close()
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Ends with 0 after a signal: what it had to do is done."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then let running requests end."""
        serving = asyncio.create_task(self.serve())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._stopping.set()
        self.should_exit = True
        await serving


if __name__ == "__main__":
    sys.exit(main())
