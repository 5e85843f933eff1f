"""`scanledger detect`: what is sensitive in local files, without any service."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import rich_click as click

from api.cli.detected import JsonLines, Sums, Tables, Teller
from api.cli.failures import ERROR, FOUND, Misuse
from api.cli.rule_files import read_rules
from application.detecting import LocalAccount, Wanted
from domain.errors import Invalid
from infrastructure import wiring

STANDARD_INPUT: Final = "-"


@click.command(
    epilog="Exits with 0 nothing found, 10 findings, 1 something could not be read, 2 usage. What could not be read is "
    "told on stderr, in any case."
)
@click.argument("targets", nargs=-1, required=True, metavar="FILE|DIR|-…")
@click.option("--json", "as_json", is_flag=True, help="Write a line of JSON for each occurrence, and nothing else.")
@click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Files read at once; default: cores.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.5,
    metavar="SHARE",
    help="Tell only what is at least so sure; 0 tells all that is doubtful, too; default: 0.5.",
)
@click.option("--detectors", metavar="NAME,…", help="Detectors to run, by id or category; default: all.")
@click.option(
    "--rules", "rule_files", multiple=True, metavar="FILE.toml", help="Rule file with more detectors; repeatable."
)
@click.option(
    "--max-occurrences",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tell at most N occurrences of each finding; default: the first one, with --json all.",
)
@click.option(
    "--exclude", "excluded", multiple=True, metavar="GLOB", help="Leave out files and folders so named; repeatable."
)
@click.option("--name", metavar="NAME", help="What standard input is to be called, for its format and its findings.")
@click.option("--quiet", is_flag=True, help="Tell neither sums nor what was skipped.")
@click.pass_context
def detect(ctx: click.Context, /, targets: Sequence[str], **given: Any) -> None:
    """Find what is sensitive in files, in folders with all below them, or in standard input (-).

    Needs no service. Links below a folder are not followed, and devices and pipes not opened.
    """
    _check_targets(targets, given["name"])
    wanted = Wanted(
        detectors=_names(given["detectors"]),
        rules=tuple((name, read_rules(name)) for name in given["rule_files"]),
        most=given["max_occurrences"] or (None if given["as_json"] else 1),
        least=given["min_confidence"],
    )
    jobs = given["jobs"] or wiring.cores()
    standard_input = 0 if STANDARD_INPUT in targets else None
    with wiring.open_local_detection(wanted, jobs=jobs, standard_input=standard_input) as detection:
        teller: Teller = (JsonLines if given["as_json"] else Tables)(quiet=given["quiet"])
        sums = Sums()
        try:
            for told in detection.accounts(wiring.local_files(targets, given["excluded"], given["name"])):
                if isinstance(told, LocalAccount):
                    sums.add(told)
                    teller.account(told)
                else:
                    teller.lines(told)
        except Invalid as invalid:
            raise Misuse(
                "The detectors cannot be run.", [f"{one.field}: {one.message}" for one in invalid.faults]
            ) from None
    teller.end(sums)
    ctx.exit(FOUND if sums.findings else ERROR if sums.failed else 0)


def _check_targets(targets: Sequence[str], name: str | None) -> None:
    """Raise `Misuse` with everything that is wrong with the targets."""
    faults = [
        f"{target!r} does not exist." for target in targets if target != STANDARD_INPUT and not os.path.lexists(target)
    ]
    if targets.count(STANDARD_INPUT) > 1:
        faults.append("Standard input (-) can be read only once.")
    if STANDARD_INPUT in targets and sys.stdin is None:
        faults.append("Standard input (-) is closed.")
    if name is not None and STANDARD_INPUT not in targets:
        faults.append("--name is for standard input, and - is not among what is to be read.")
    if faults:
        raise Misuse("This cannot be read.", faults)


def _names(detectors: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in detectors.split(",")) if detectors is not None else ()
