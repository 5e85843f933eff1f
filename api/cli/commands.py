"""The whole command line, and how any command ends."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import httpx
import rich_click as click

from api.cli.connectors import connectors, detectors
from api.cli.failures import ERROR, INTERRUPTED, TERMINATED, Failure, Terminated
from api.cli.scan import scan
from api.cli.scans import scans
from api.cli.service import api, coordinator, doctor, migrate, up, views, worker
from domain.errors import ScanledgerError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scanledger", prog_name="scanledger", message="%(prog)s %(version)s")
def cli() -> None:
    """Scan buckets and folders for sensitive data, and prove what was looked at."""


for command in (up, scan, scans, connectors, detectors, doctor, migrate, views, api, worker, coordinator):
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and say why it failed, if it did; the exit code is one of `api.cli.failures`."""
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
    except (ScanledgerError, httpx.HTTPError, OSError) as error:
        return _told(error)


def _told(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        # Nobody reads on: the flush at exit must not fail for that.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    first, *rest = (str(error) or type(error).__name__).splitlines()
    Failure(first, rest).show()
    return ERROR


def main() -> None:
    """Run the command line of this process and exit; SIGTERM ends it as orderly as Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
