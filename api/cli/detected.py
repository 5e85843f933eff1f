"""What `scanledger detect` tells: JSON Lines for programs, tables for people, and sums in which everything is."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Protocol

import rich_click as click

from api.cli.text import byte_size, cell, number, plural, printable, shortened
from application.detecting import LocalAccount, LocalFinding
from domain.coverage import Disposition

_STYLE_OF_SEVERITY: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": ""}


class Sums:
    """Everything that was looked at, counted by what became of it."""

    def __init__(self) -> None:
        self.scanned = 0
        self.bytes_read = 0
        self.findings = 0
        self._skipped: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def add(self, account: LocalAccount) -> None:
        self.findings += sum(finding.hits for finding in account.findings)
        match account.disposition:
            case Disposition.SCANNED:
                self.scanned += 1
                self.bytes_read += account.bytes_read
            case Disposition.SKIPPED:
                self._skipped[account.reason] += 1
            case Disposition.FAILED:
                self._failed[account.reason] += 1

    @property
    def failed(self) -> int:
        return self._failed.total()

    def sentence(self) -> str:
        """One line that leaves nothing out."""
        parts = [
            f"{plural(self.scanned, 'object')} scanned ({byte_size(self.bytes_read)})",
            _by_reason(self._skipped, "skipped"),
            _by_reason(self._failed, "failed"),
            plural(self.findings, "finding"),
        ]
        return " · ".join(parts)


def _by_reason(counts: Counter[str], what: str) -> str:
    reasons = ", ".join(f"{number(count)} {reason}" for reason, count in sorted(counts.items()))
    return f"{number(counts.total())} {what}" + (f" ({reasons})" if reasons else "")


class Teller(Protocol):
    """Is told, object by object, the lines of its findings and then its account; at the end, the sums."""

    def lines(self, lines: str) -> None: ...
    def account(self, account: LocalAccount) -> None: ...
    def end(self, sums: Sums) -> None: ...


class JsonLines:
    """Findings on stdout as they come; what was not read, and the sums, on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def lines(self, lines: str) -> None:
        sys.stdout.write(lines)

    def account(self, account: LocalAccount) -> None:
        if account.findings:
            sys.stdout.flush()
        if not self._quiet or account.disposition is not Disposition.SKIPPED:
            _tell_exception(account)

    def end(self, sums: Sums) -> None:
        sys.stdout.flush()
        if not self._quiet:
            click.echo(sums.sentence(), err=True)


class Tables:
    """A table for each object in which something was found; failures on stderr; at last the sums."""

    def __init__(self, *, quiet: bool) -> None:
        from api.cli.options import output  # noqa: PLC0415 — takes time to load, while the first file is read

        self._quiet = quiet
        self._console = output()
        self._lines: list[dict[str, Any]] = []

    def lines(self, lines: str) -> None:
        self._lines += map(json.loads, lines.splitlines())

    def account(self, account: LocalAccount) -> None:
        lines, self._lines = iter(self._lines), []
        if account.disposition is not Disposition.SKIPPED:
            _tell_exception(account)
        if account.findings:
            self._show(account, lines)

    def _show(self, account: LocalAccount, lines: Iterator[dict[str, Any]]) -> None:
        from rich.table import Table  # noqa: PLC0415 — likewise

        table = Table("Detector", "Confidence", "Severity", pad_edge=False, box=None, header_style="bold")
        table.add_column("Hits", justify="right")
        table.add_column("Where", overflow="fold")
        table.add_column("Value", overflow="fold")
        for finding in account.findings:
            self._add(table, finding, [next(lines) for _ in range(finding.told)])
        self._console.print(cell(account.object, "bold"), soft_wrap=True)
        self._console.print(table)
        self._console.print()

    def _add(self, table: Any, finding: LocalFinding, told: list[dict[str, Any]]) -> None:
        severity = cell(finding.severity, _STYLE_OF_SEVERITY.get(finding.severity, ""))
        hits = f"{'≤ ' if finding.at_most else ''}{number(finding.hits)}"
        first, *others = told or [{}]
        shown = [cell(finding.detector), f"{finding.confidence:.2f}", severity, hits]
        table.add_row(*shown, cell(where(first)), cell(shortened(first.get("masked", "…"))))
        for one in others:
            table.add_row("", f"{one['confidence']:.2f}", "", "", cell(where(one)), cell(shortened(one["masked"])))

    def end(self, sums: Sums) -> None:
        if not self._quiet:
            self._console.print(cell(sums.sentence()), soft_wrap=True)


def where(line: dict[str, Any]) -> str:
    """The place of an occurrence: file in an archive, sheet and cell or page, record and column, line and column."""
    told = [line["inner_path"]] if line.get("inner_path") else []
    if line.get("sheet") is not None:
        told.append(f"{line['sheet']}!{line.get('cell') or ''}")
    if line.get("page") is not None:
        told.append(f"page {line['page']}")
    if line.get("line") is not None:
        told.append(":".join(str(line[name]) for name in ("line", "column") if line[name] is not None))
    elif line.get("record_index") is not None:
        told.append(f"record {line['record_index']}")
    told += [line[name] for name in ("field", "json_path") if line.get(name)]
    return " ".join(told)


def _tell_exception(account: LocalAccount) -> None:
    """On stderr: why the object was not read, or what in it was not, or not told."""
    detail = f": {account.detail}" if account.detail else ""
    if account.disposition is not Disposition.SCANNED:
        _say(f"{account.disposition}: {account.object}: {account.reason}{detail}")
    if account.remark:
        _say(f"note: {account.object}: {account.remark}")
    for one in account.findings:
        if one.cut:
            column = f" in {one.column}" if one.column else ""
            hits = number(one.hits)
            _say(f"note: {account.object}: {one.detector}{column}: {number(one.told)} of {hits} occurrences are told")


def _say(sentence: str) -> None:
    click.echo(printable(sentence), err=True)
