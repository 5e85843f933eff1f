"""The whole command line, and how any command ends."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import httpx
import rich_click as click

from api.cli.connectors import connectors, detectors
from api.cli.failures import ERROR, INTERRUPTED, TERMINATED, Failure, Terminated
from api.cli.scan import scan
from api.cli.scans import scans
from api.cli.service import api, coordinator, doctor, migrate, up, views, worker
from api.cli.steering import cancel, pause, redrive, resume
from api.cli.tenants import keys, tenants
from domain.errors import ScanledgerError


class ReaderGone(Exception):
    """Whoever read our output wants no more of it, as `head` does."""


class Commands(click.RichGroup):
    """The commands. A closed pipe is told apart before click takes it for an error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scanledger", prog_name="scanledger", message="%(prog)s %(version)s")
def cli() -> None:
    """Scan buckets and folders for sensitive data, and prove what was looked at."""


for steering in (cancel, pause, resume, redrive):
    scans.add_command(steering)
for command in (up, scan, scans, connectors, detectors, tenants, keys, doctor, migrate, views):
    cli.add_command(command)
for part in (api, worker, coordinator):
    cli.add_command(part)


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
    except (ScanledgerError, httpx.HTTPError, OSError) as error:
        first, *rest = (str(error) or type(error).__name__).splitlines()
        Failure(first, rest).show()
        return ERROR


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
