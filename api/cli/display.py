"""How watched scans look while they go on: live bars on a terminal, lines elsewhere, nothing for programs."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.cli.client import Document
from api.cli.text import byte_size, cell, duration, number, percent, plural
from api.cli.watching import Display, Watched

LINE_SECONDS: Final = 1.0
"""Least time between two lines about a scan that only goes on."""

STYLE_OF_STATUS: Final = {
    "queued": "dim",
    "running": "cyan",
    "paused": "blue",
    "completed": "green",
    "partial": "yellow",
    "failed": "red",
    "cancelled": "magenta",
}


def display_for(console: Console, *, silent: bool = False) -> Display:
    """Bars if `console` is a terminal, else lines; nothing if `silent`."""
    if silent:
        return Silence()
    return Bars(console) if console.is_terminal else Lines(console)


def facts(scan: Watched) -> list[str]:
    """What there is to say about a scan: how far it has come, how fast, and what it found."""
    if scan.document is None:
        return ["waiting for the first answer"]
    progress, coverage = scan.document["progress"], scan.document["coverage"]
    files, volume = scan.rates
    listing = coverage["enumeration_status"] == "in_progress" and not scan.ended
    said = [
        f"{number(progress['files_processed'])}/{number(progress['files_total'])}{'+' if listing else ''} files",
        f"{number(files)} files/s",
        f"{byte_size(volume)}/s",
        plural(progress["findings_count"], "finding"),
        f"coverage {percent(coverage['coverage_pct'])}",
    ]
    if scan.ended:
        return [*said, f"took {duration(progress['elapsed_seconds'])}"]
    left = progress["estimated_remaining_seconds"]
    at_least = "≥ " if listing and left is not None else ""
    return [*said, f"ETA {at_least}{duration(left)}", plural(scan.document["workers"]["active"], "worker")]


class Silence(Display):
    def show(self, scans: Sequence[Watched]) -> None:
        """Nothing."""

    def __exit__(self, *_: object) -> None:
        return None


class Lines(Display):
    """One line when a scan's status changed, else at most one a second while something changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[str, object, float]] = {}

    def show(self, scans: Sequence[Watched]) -> None:
        for scan in scans:
            if scan.document is not None and self._is_news(scan, scan.document):
                status = scan.document["status"]
                line = cell(f"{scan.label}: {status} · {' · '.join(facts(scan))}")
                self._console.print(line, soft_wrap=True)
                self._said[scan.scan_id] = (status, scan.document["version"], time.monotonic())

    def _is_news(self, scan: Watched, document: Document) -> bool:
        status, version, at = self._said.get(scan.scan_id, ("", None, 0.0))
        if status != document["status"]:
            return True
        return version != document["version"] and time.monotonic() - at >= LINE_SECONDS

    def __exit__(self, *_: object) -> None:
        return None


class Bars(Display):
    """Two lines a scan: its name, bar and status; below them its facts."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, scans: Sequence[Watched]) -> None:
        self._live.update(Group(*(_bar(scan) for scan in scans)), refresh=True)


def _bar(scan: Watched) -> RenderableType:
    status = scan.document["status"] if scan.document else "queued"
    done, total = _extent(scan)
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
    head.add_column(ratio=3)
    head.add_column(justify="right", width=6, no_wrap=True)
    head.add_column(width=9, no_wrap=True)
    head.add_row(
        cell(scan.label, "bold"),
        ProgressBar(total=total, completed=done, pulse=total is None),
        Text(f"{100 * done // total} %" if total else ""),
        Text(status, STYLE_OF_STATUS.get(status, "")),
    )
    return Group(head, Text("  " + " · ".join(facts(scan)), "dim"))


def _extent(scan: Watched) -> tuple[int, int | None]:
    """Files done and known; no known number while nothing is listed. An ended scan of nothing is done."""
    if scan.document is None:
        return 0, None
    progress = scan.document["progress"]
    if progress["files_total"]:
        return progress["files_processed"], progress["files_total"]
    return (1, 1) if scan.ended else (0, None)
