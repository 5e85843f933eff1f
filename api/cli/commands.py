"""The whole command line, and how any command ends."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

import rich_click as click

from api.cli.failures import ERROR, INTERRUPTED, TERMINATED, Failure, Terminated
from domain.errors import ScanledgerError

COMMANDS: Final = (
    "api",
    "audit",
    "connectors",
    "coordinator",
    "detect",
    "detectors",
    "doctor",
    "erase",
    "events",
    "findings",
    "followers",
    "keys",
    "migrate",
    "nats-config",
    "scan",
    "scans",
    "subscriber-login",
    "tenants",
    "up",
    "views",
    "webhooks",
    "worker",
)


class ReaderGone(Exception):
    """Whoever read our output wants no more of it, as `head` does."""


class Commands(click.RichGroup):
    """The commands, each loaded when it is asked for: what one needs, another need not wait for.

    A closed pipe is told apart before click takes it for an error.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click calls it so
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 — likewise
        return _loaded(cmd_name) if cmd_name in COMMANDS else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None


def _loaded(name: str) -> click.Command | None:
    match name:
        case "connectors":
            from api.cli.connectors import connectors

            return connectors
        case "detect":
            from api.cli.detect import detect

            return detect
        case "detectors":
            from api.cli.detectors import detectors

            return detectors
        case "nats-config" | "subscriber-login":
            from api.cli import nats_logins

            return nats_logins.nats_config if name == "nats-config" else nats_logins.subscriber_login
        case "scan":
            from api.cli.scan import scan

            return scan
        case "scans":
            from api.cli import steering

            return steering.scans
        case "webhooks":
            from api.cli.webhooks import webhooks

            return webhooks
        case "keys" | "tenants":
            from api.cli import tenants

            return {"keys": tenants.keys, "tenants": tenants.tenants}[name]
        case _:
            return _of_the_history(name) or _of_the_service(name)


def _of_the_history(name: str) -> click.Command | None:
    match name:
        case "audit":
            from api.cli.audit import audit

            return audit
        case "erase":
            from api.cli.erase import erase

            return erase
        case "events":
            from api.cli.events import events

            return events
        case "findings":
            from api.cli.findings import findings

            return findings
        case "views":
            from api.cli.views import views

            return views
        case _:
            return None


def _of_the_service(name: str) -> click.Command | None:
    from api.cli import service

    commands = (service.api, service.coordinator, service.doctor, service.followers, service.migrate, service.up)
    return {command.name: command for command in (*commands, service.worker)}.get(name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scanledger", prog_name="scanledger", message="%(prog)s %(version)s")
def cli() -> None:
    """Scan buckets and folders for sensitive data, and prove what was looked at."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and say why it failed, if it did; the exit code is one of `api.cli.failures`.

    A reader that has seen enough and closes the pipe is no failure.
    """
    try:
        return _run(arguments)
    except (ReaderGone, BrokenPipeError):
        _silence()
        return 0


def _run(arguments: Sequence[str]) -> int:
    try:
        answered = cli.main(arguments, prog_name="scanledger", standalone_mode=False)
        return answered if isinstance(answered, int) else 0
    except click.Abort as abort:
        return TERMINATED if isinstance(abort.__context__, Terminated) else INTERRUPTED
    except Failure as failure:
        failure.show()
        return failure.exit_code
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:
        if not _is_told(error):
            raise
        first, *rest = (str(error) or type(error).__name__).splitlines()
        Failure(first, rest).show()
        return ERROR


def _is_told(error: Exception) -> bool:
    """Whether it says what went wrong in the world, and is no fault of the program."""
    if isinstance(error, ScanledgerError | OSError):
        return True
    httpx = sys.modules.get("httpx")  # not loaded: then nobody can have raised an error of it
    return httpx is not None and isinstance(error, httpx.HTTPError)


def _silence() -> None:
    """Nobody reads on: the flush at exit must not fail for that."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())


def main() -> None:
    """Run the command line of this process and exit; SIGTERM ends it as orderly as Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
