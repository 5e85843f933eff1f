"""`python -m workers ROLE…`: the parts of the service but for the api, several in one process or each in its own."""

import argparse
import asyncio
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from application.process_figures import ProcessFigures
from application.tracing import Tracing
from domain.errors import Invalid
from infrastructure.wiring import (
    Broker,
    Role,
    Settings,
    configure_logging,
    load_settings,
    open_broker,
    open_event_log,
    open_event_stream,
    open_inventory,
    open_log,
    open_manifest,
    open_recorder,
    open_rulesets,
    open_scan_traces,
    open_tracing,
    run_until_signalled,
    serve_figures,
)
from workers import streams
from workers.commands import CommandBuilder
from workers.executor import ChildExecutor
from workers.observation import Observation
from workers.orchestrator import OrchestratorProcess
from workers.projector import run_projector
from workers.publisher import EventPublisher
from workers.recorder import run_recorder
from workers.recording_spans import BatchObservation
from workers.scan_spans import ScanSpans
from workers.scanner import Scanner
from workers.seal import run_seal
from workers.subscriptions_desk import SubscriptionsDesk
from workers.webhooks import run_webhooks


@dataclass(frozen=True, slots=True)
class Process:
    """What all roles of one process share."""

    settings: Settings
    tracing: Tracing
    figures: ProcessFigures


async def _orchestrator(process: Process, broker: Broker, stop: asyncio.Event) -> None:
    settings = process.settings
    log = open_log(settings)
    commands = CommandBuilder(log, open_manifest(settings), open_rulesets(settings))
    spans = ScanSpans(process.tracing, open_scan_traces(settings))
    inventory = open_inventory(settings)
    await OrchestratorProcess(settings, broker, log, inventory, commands, spans=spans, figures=process.figures).run(
        stop
    )


async def _recorder(process: Process, broker: Broker, stop: asyncio.Event) -> None:
    observation = BatchObservation(process.tracing, process.figures)
    patience = 2 * process.settings.ack_wait_seconds
    await run_recorder(open_recorder(process.settings), broker, stop, observation, patience=patience)


async def _scanner(process: Process, broker: Broker, stop: asyncio.Event) -> None:
    observation = Observation(process.tracing, process.figures)
    await Scanner(process.settings, broker, partial(ChildExecutor, process.settings), observation).run(stop)


async def _projector(process: Process, _: Broker, stop: asyncio.Event) -> None:
    await run_projector(process.settings, stop)


async def _publisher(process: Process, broker: Broker, stop: asyncio.Event) -> None:
    settings = process.settings
    await SubscriptionsDesk(broker).start()
    keeps = timedelta(days=settings.events_days)
    await EventPublisher(open_event_log(settings), open_event_stream(broker), keeps=keeps).run(stop)


async def _seal(process: Process, _: Broker, stop: asyncio.Event) -> None:
    await run_seal(process.settings, stop)


async def _webhooks(process: Process, _: Broker, stop: asyncio.Event) -> None:
    await run_webhooks(process.settings, stop)


ROLES = {
    "orchestrator": _orchestrator,
    "recorder": _recorder,
    "projector": _projector,
    "publisher": _publisher,
    "scanner": _scanner,
    "seal": _seal,
    "webhooks": _webhooks,
}


async def run_roles(process: Process, roles: Sequence[str], stop: asyncio.Event) -> None:
    """Run `roles` until `stop` is set. If one of them fails, all end, so that a supervisor starts them anew."""
    settings = process.settings
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
    running = [asyncio.create_task(_run(role, process, broker, stop, prepared)) for role in roles]
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
    role: str, process: Process, broker: Broker, stop: asyncio.Event, prepared: "asyncio.Task[None] | None"
) -> None:
    if prepared is not None:
        await prepared
    await ROLES[role](process, broker, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM or SIGINT, 2 for unusable settings."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("roles", nargs="+", choices=sorted(ROLES), metavar="ROLE", help="any of %(choices)s")
    roles = list(dict.fromkeys(parser.parse_args(arguments).roles))
    if "scanner" in roles and len(roles) > 1:
        parser.error("a scanner runs in a process of its own: it has no database credentials")
    role: Role = "scanner" if roles == ["scanner"] else "coordinator"
    figures = ProcessFigures()
    figures.of_roles(*roles)
    try:
        settings = load_settings()
        settings.require(role)
        serve_figures(settings, figures)
    except Invalid as error:
        for fault in error.faults:
            print(f"{fault.field}: {fault.message}", file=sys.stderr)  # noqa: T201 — this is the command line
        return 2
    configure_logging(settings)
    tracing = open_tracing(settings, role)
    try:
        run_until_signalled(partial(run_roles, Process(settings, tracing, figures), roles))
    finally:
        tracing.close()
    return 0


if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
