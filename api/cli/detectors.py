"""`scanledger detectors …`: what the service looks for, what is built in, and whether a rule does what it should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from api.cli.failures import ERROR, Misuse
from api.cli.options import data_options, json_option, output, settings_of, write_json_list
from api.cli.rule_files import read_rules, read_sample
from api.cli.text import cell, plural, printable
from domain.detectors.rulebook import is_id
from domain.errors import Invalid
from infrastructure import wiring

if TYPE_CHECKING:
    from application.trying import Explanation, Trial
    from domain.detectors import Detector


@click.group(invoke_without_command=True)
@json_option
@data_options
@click.pass_context
def detectors(ctx: click.Context, as_json: bool, data: Path | None, config: Path | None) -> None:
    """List and test detectors. Without a command: list those that scans of the service run."""
    if ctx.invoked_subcommand is not None:
        return
    from api.cli.connection import connected  # noqa: PLC0415 — the commands below need no service

    with connected(settings_of(data, config)) as service:
        found = service.client.get("/detectors")
        if as_json:
            write_json_list(found)
            return
        for one in found:
            click.echo(printable(f"{one['detector']:<28} {one.get('description') or one['category']}"))


@detectors.command("list")
@click.option("--category", metavar="NAME", help="Only detectors of this category.")
@json_option
def list_detectors(category: str | None, as_json: bool) -> None:
    """List the detectors that are built in. Needs no service."""
    from domain.detectors import detectors as built_in  # noqa: PLC0415 — reads every rule file

    known = sorted({detector.category for detector in built_in()})
    if category is not None and category not in known:
        raise Misuse(f"There is no category {category!r}: take {', '.join(known)}.")
    chosen = [detector for detector in built_in() if category in {None, detector.category}]
    if as_json:
        write_json_list(_document(detector) for detector in chosen)
    else:
        _show_list(chosen)


def _document(detector: Detector) -> dict[str, Any]:
    return {
        "id": detector.id,
        "name": detector.name,
        "category": detector.category,
        "severity": detector.severity,
        "confidence": detector.confidence,
        "validator": detector.validator,
        "keywords": _keywords(detector),
        "patterns": len(detector.patterns),
    }


def _keywords(detector: Detector) -> list[str]:
    return list(dict.fromkeys(word for pattern in detector.patterns for word in pattern.keywords))


def _show_list(chosen: Sequence[Detector]) -> None:
    from rich.table import Table  # noqa: PLC0415 — not for JSON

    table = Table("Detector", pad_edge=False, box=None, header_style="bold")
    table.add_column("Name", overflow="fold")
    for heading in ("Severity", "Confidence", "Validator"):
        table.add_column(heading)
    table.add_column("Keywords", overflow="fold")
    for one in chosen:
        about = (one.id, one.name, one.severity, f"{one.confidence:.2f}", one.validator or "")
        table.add_row(*map(cell, about), cell(", ".join(_keywords(one))))
    output().print(table)


@detectors.command()
@click.argument("file", metavar="FILE.toml")
@click.option("--dry-run", is_flag=True, help="Only have the service try them out.")
@data_options
def add(file: str, dry_run: bool, data: Path | None, config: Path | None) -> None:
    """Make the detectors of a rule file your own: scans that start from then on run them too.

    Each is tried out on its examples first; the first one that is refused ends it, and those before it stay.
    """
    from api.cli.connection import connected  # noqa: PLC0415 — some commands need no service
    from domain.detectors.rulebook import detectors_of, fields_of  # noqa: PLC0415 — reads how patterns are parsed

    try:
        rules = [fields_of(detector) for detector in detectors_of(read_rules(file), file)]
    except Invalid as invalid:
        faults = [f"{fault.field}: {fault.message}" for fault in invalid.faults]
        raise Misuse("The rule file is not right.", faults) from None
    with connected(settings_of(data, config)) as service:
        for rule in rules:
            made = service.client.post("/detectors", {**rule, "dry_run": dry_run}, creates=True)
            done = "passes" if dry_run else "is one of yours now"
            click.echo(printable(f"{made['id']} {done}: {plural(len(made['test']['matches']), 'example')} found"))


@detectors.command()
@click.argument("detector", metavar="ID")
@data_options
def remove(detector: str, data: Path | None, config: Path | None) -> None:
    """Delete one of your own detectors. Scans that were started with it keep it."""
    from api.cli.connection import connected  # noqa: PLC0415 — some commands need no service

    if not is_id(detector):
        raise Misuse(f"{detector!r} is no detector's id: that is <category>.<name>, as in acme.employee-no.")
    with connected(settings_of(data, config)) as service:
        service.client.delete(f"/detectors/{detector}")
    click.echo(f"Deleted {detector}.")


@detectors.command(epilog="Exits with 1 if an example or a near miss is not treated as it should be.")
@click.argument("rule", metavar="ID|FILE.toml")
@click.argument("files", nargs=-1, metavar="FILE…")
@click.option("--text", metavar="TEXT", help="Text to look into.")
@click.pass_context
def test(ctx: click.Context, rule: str, files: Sequence[str], text: str | None) -> None:
    """Test a detector, or those of a rule file, on their own examples and near misses, and on what you give.

    Of a text, it tells what is found in it and where, and why nothing else is. Needs no service.
    """
    samples = [("--text", text.encode("utf-8", "surrogateescape"))] if text is not None else []
    samples += [(name, read_sample(name)) for name in files]
    try:
        trials = wiring.try_detectors(rule, read_rules(rule) if rule.endswith(".toml") else None)
    except Invalid as invalid:
        faults = [f"{fault.field}: {fault.message}" for fault in invalid.faults]
        raise Misuse("The detector cannot be run.", faults) from None
    for trial in trials:
        _show_examples(trial)
        for name, sample in samples:
            _show_explanation(name, wiring.explain_detection(trial.detector, sample))
    ctx.exit(0 if all(trial.passed for trial in trials) else ERROR)


def _show_examples(trial: Trial) -> None:
    from rich.table import Table  # noqa: PLC0415 — many commands draw no table

    table = Table("", "", pad_edge=False, box=None, show_header=False)
    table.add_column("", justify="right")
    table.add_column("", overflow="fold")
    for example in trial.examples:
        verdict = cell("pass", "green") if example.passed else cell("FAIL", "bold red")
        wanted = "one hit wanted" if example.wanted else "near miss"
        table.add_row(verdict, wanted, plural(example.hits, "hit"), cell(example.text))
    passed = sum(example.passed for example in trial.examples)
    console = output()
    console.print(cell(f"{trial.detector.id}: {passed} of {len(trial.examples)} examples pass", "bold"))
    console.print(table)


def _show_explanation(name: str, explanation: Explanation) -> None:
    click.echo(printable(f"{explanation.detector} in {name}:"))
    for line in explanation.found:
        click.echo(printable(f"  found   {line}"))
    for line in explanation.missed:
        click.echo(printable(f"  missed  {line}"))
    if not explanation.found:
        click.echo("  Nothing is found.")
