"""What a process sets up before it begins: its log, its collector, its loop."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from application.tracing import current

if TYPE_CHECKING:
    import asyncio

    from infrastructure.settings import Settings


def utc_now() -> datetime:
    return datetime.now(UTC)


def configure_logging(settings: Settings) -> None:
    """Entries on stderr, a line each: an event name, its fields, never a secret or object content.

    Those of libraries, from warnings up, take the same form.
    """
    import structlog

    level = getattr(logging, settings.log_level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        structlog.processors.format_exc_info,
    ]
    render: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if settings.log_format == "text":
        render = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    of_libraries = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(of_libraries)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _add_trace(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What is said while a span is open is found by its trace."""
    traceparent = current()
    if traceparent is not None:
        entry["trace_id"] = traceparent.split("-")[1]
    return entry


def tune_collector() -> None:
    """Have the garbage collector leave alone what is there by now, and look at the rest less often.

    A coordinator keeps a hundred thousand chunks of a long scan in memory, none of them garbage.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def run_until_signalled(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stop)` on uvloop where it exists; SIGTERM and SIGINT set `stop`."""
    import asyncio

    tune_collector()

    async def body() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await main(stop)

    if sys.platform == "win32":
        asyncio.run(body())
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())
