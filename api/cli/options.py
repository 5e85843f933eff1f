"""Options several commands share, and the settings and consoles that follow from them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
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


def database_settings(data: Path | None, config: Path | None, *, also: Sequence[str] = ()) -> wiring.Settings:
    """The settings of a command that works on the database, be it the embedded service's that runs on `data`.

    Raises `Misuse` when they lack the database's URL or one of `also`.
    """
    settings = wiring.attached_settings(settings_of(data, config))
    needed = ("database_url", *also)
    if missing := [wiring.variable(name) for name in needed if getattr(settings, name) is None]:
        raise Misuse(
            f"This command needs {' and '.join(missing)}.",
            [f"Set them, or start `scanledger up`: its own are used while it runs on {settings.data}."],
        )
    return settings


def repeated_flags(settings: wiring.Settings, config: Path | None) -> str:
    """What a command we suggest needs to reach the same service, like ` --data DIR`; often nothing."""
    flags = [] if config is None else ["--config", str(config)]
    if settings.url is None and settings.data != wiring.Settings.model_fields["data"].default:
        flags += ["--data", str(settings.data)]
    return f" {shlex.join(flags)}" if flags else ""


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # which rich would make an exit code of 1


def output() -> Console:
    """Where results go: stdout, with colours only on a terminal, and never cut to a width that is not there."""
    console = _Output(highlight=False, markup=False, emoji=False)
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
