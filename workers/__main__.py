"""`python -m workers ROLE…`: orchestrator, recorder, projector, scanner; several in one process, or each in its own."""

import argparse
import asyncio
import multiprocessing
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from domain.errors import Invalid
from infrastructure.wiring import (
    Broker,
    Settings,
    configure_logging,
    load_settings,
    open_broker,
    open_inventory,
    open_log,
    open_manifest,
    open_recorder,
    open_rulesets,
    run_until_signalled,
)
from workers import streams
from workers.commands import CommandBuilder
from workers.executor import ChildExecutor
from workers.orchestrator import OrchestratorProcess
from workers.projector import run_projector
from workers.recorder import run_recorder
from workers.scanner import Scanner

Run = Callable[[asyncio.Event], Awaitable[None]]


async def _orchestrator(settings: Settings, broker: Broker, stop: asyncio.Event) -> None:
    log = open_log(settings)
    commands = CommandBuilder(log, open_manifest(settings), open_rulesets(settings))
    await OrchestratorProcess(settings, broker, log, open_inventory(settings), commands).run(stop)


async def _recorder(settings: Settings, broker: Broker, stop: asyncio.Event) -> None:
    await run_recorder(open_recorder(settings), broker, stop, patience=2 * settings.ack_wait_seconds)


async def _scanner(settings: Settings, broker: Broker, stop: asyncio.Event) -> None:
    await Scanner(settings, broker, partial(ChildExecutor, settings)).run(stop)


async def _projector(settings: Settings, _: Broker, stop: asyncio.Event) -> None:
    await run_projector(settings, stop)


ROLES = {"orchestrator": _orchestrator, "recorder": _recorder, "projector": _projector, "scanner": _scanner}


async def run_roles(settings: Settings, roles: Sequence[str], stop: asyncio.Event) -> None:
    """Run `roles` until `stop` is set. If one of them fails, all end, so that a supervisor starts them anew."""
    scanner = list(roles) == ["scanner"]
    stopped = asyncio.create_task(stop.wait())
    connecting = asyncio.create_task(open_broker(settings, "scanner" if scanner else "coordinator"))
    await asyncio.wait([connecting, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        return
    broker = connecting.result()
    keeping = None if scanner else asyncio.create_task(streams.keep(settings, broker))
    prepared = None if scanner else asyncio.create_task(streams.prepare(settings, broker))
    running = [asyncio.create_task(_run(role, settings, broker, stop, prepared)) for role in roles]
    await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    broker.give_up()
    try:
        await asyncio.gather(*running)
    finally:
        if keeping is not None:
            keeping.cancel()
        await broker.close()


async def _run(
    role: str, settings: Settings, broker: Broker, stop: asyncio.Event, prepared: "asyncio.Task[None] | None"
) -> None:
    if prepared is not None:
        await prepared
    await ROLES[role](settings, broker, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM or SIGINT, 2 for unusable settings."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("roles", nargs="+", choices=sorted(ROLES), metavar="ROLE", help="any of %(choices)s")
    roles = list(dict.fromkeys(parser.parse_args(arguments).roles))
    if "scanner" in roles and len(roles) > 1:
        parser.error("a scanner runs in a process of its own: it has no database credentials")
    try:
        settings = load_settings()
        settings.require("scanner" if roles == ["scanner"] else "coordinator")
    except Invalid as error:
        for fault in error.faults:
            print(f"{fault.field}: {fault.message}", file=sys.stderr)  # noqa: T201 — this is the command line
        return 2
    configure_logging(settings)
    run_until_signalled(partial(run_roles, settings, roles))
    return 0


if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
