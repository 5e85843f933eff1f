"""`scanledger views rebuild`: the views anew from the log, compared with those in use, on the database itself."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import rich_click as click

from api.cli.failures import DIFFERENT
from api.cli.options import data_options, database_settings, json_option, write_json
from api.cli.text import number, printable
from application.replay import Replayed, RowDifference
from infrastructure import wiring

_ONE_SIDED: Final = {"missing": "is missing", "surplus": "should not be there"}


class Moment(click.ParamType[datetime]):
    """A moment in RFC 3339; without an offset it is UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{str(value)!r} is not a moment: write it as 2026-01-31T12:00:00Z.", param, ctx)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@click.group()
def views() -> None:
    """Look after the views that clients read."""


@views.command(epilog="Exits with 0 if nothing differed, 1 on an error, 2 on wrong usage, 10 if rows differed.")
@click.option("--until", type=Moment(), metavar="TIME", help="Build them as they stood then, in a schema of their own.")
@click.option("--dry-run", is_flag=True, help="Only compare; change nothing.")
@json_option
@data_options
@click.pass_context
def rebuild(
    ctx: click.Context,
    *,
    until: datetime | None,
    dry_run: bool,
    as_json: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Make the views again from the event log, say what differed, and put it right. The service goes on meanwhile."""
    if until is not None and dry_run:
        raise click.UsageError("--until changes nothing in use, so there is no --dry-run of it; leave one of them out.")
    settings = database_settings(data, config)
    if until is not None:
        replayed = wiring.rebuild_views_until(settings, until)
    else:
        replayed = wiring.rebuild_views(settings, dry_run=dry_run)
    if as_json:
        write_json(_document(replayed))
    elif replayed.schema is not None:
        _show_schema(replayed)
    else:
        _show_differences(replayed)
    ctx.exit(DIFFERENT if replayed.differing else 0)


def _show_schema(replayed: Replayed) -> None:
    schema = replayed.schema
    click.echo(f"The views as {number(replayed.events)} events made them by then are in the schema {schema}:")
    click.echo(f"  SELECT * FROM {schema}.scan_views;")
    click.echo(f"  DROP SCHEMA {schema} CASCADE;    -- when you have seen them")


def _show_differences(replayed: Replayed) -> None:
    for table in replayed.tables:
        click.echo(f"{table.table}: {number(table.rows)} rows, {number(table.differing)} differed")
        for row in table.shown:
            click.echo(printable(f"  {row.key} {_told(row)}"))
        if table.differing > len(table.shown):
            click.echo(f"  … and {number(table.differing - len(table.shown))} more")
    done = "The rebuilt views are in use." if replayed.switched else "Nothing was changed."
    click.echo(f"{number(replayed.events)} events, up to position {replayed.position}. {done}")


def _told(row: RowDifference) -> str:
    if row.kind in _ONE_SIDED:
        return _ONE_SIDED[row.kind]
    fields = (f"{name} is {was} and should be {should}" for name, (was, should) in row.fields.items())
    return f"differs: {'; '.join(fields)}"


def _document(replayed: Replayed) -> dict[str, Any]:
    return {
        "events": replayed.events,
        "position": replayed.position,
        "differing": replayed.differing,
        "switched": replayed.switched,
        "schema": replayed.schema,
        "tables": [
            {
                "table": table.table,
                "rows": table.rows,
                "differing": table.differing,
                "shown": [
                    {
                        "key": row.key,
                        "difference": row.kind,
                        "fields": {
                            name: {"was": was, "should_be": should} for name, (was, should) in row.fields.items()
                        },
                    }
                    for row in table.shown
                ],
            }
            for table in replayed.tables
        ],
    }
