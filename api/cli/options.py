"""Options several commands share, and the settings and consoles that follow from them."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import rich_click as click
from rich.console import Console

from api.cli.failures import Misuse
from domain.errors import Invalid
from infrastructure import wiring

Command = TypeVar("Command", bound=Callable[..., Any])

PLAIN_WIDTH: Final = 160
"""Columns of output that goes into a file or a pipe."""


def data_options(command: Command) -> Command:
    """`--data` and `--config`, as `data` and `config`."""
    for option in (
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="TOML file with settings; default: scanledger.toml, if there is one.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Folder of the embedded service, its data and credentials; default: .scanledger.",
        ),
    ):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """`--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, and nothing else.")(command)


def limit_option(command: Command) -> Command:
    """`--limit`, as `limit`."""
    return click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N items; default: all of them."
    )(command)


def settings_of(data: Path | None, config: Path | None, **flags: object) -> wiring.Settings:
    """The settings of this run. Raises `Misuse` with every fault."""
    try:
        return wiring.load_settings({"data": data, **flags}, config=config)
    except Invalid as invalid:
        faults = [f"{fault.field}: {fault.message}" for fault in invalid.faults]
        raise Misuse("The settings cannot work.", faults) from None


def output() -> Console:
    """Where results go: stdout, with colours only on a terminal, and never cut to a width that is not there."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def diagnostics() -> Console:
    """Where progress goes that must not mix with results: stderr."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def write_json(document: object) -> None:
    """`document` on stdout, ASCII only, so that no terminal takes a key's characters as its own."""
    sys.stdout.write(_encoded(document, indent=2) + "\n")
    sys.stdout.flush()


def write_json_list(items: Iterable[object]) -> None:
    """`items` as one JSON array, an item a line, written while they come."""
    sys.stdout.write("[")
    separator = "\n"
    for item in items:
        sys.stdout.write(separator + _encoded(item))
        separator = ",\n"
    sys.stdout.write("\n]\n" if separator != "\n" else "]\n")
    sys.stdout.flush()


def _encoded(document: object, indent: int | None = None) -> str:
    return json.dumps(document, indent=indent).replace("\x7f", "\\u007f")
