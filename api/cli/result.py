"""A scan for a person: coverage with its reasons, findings with masked samples, what failed, what to do next."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.client import Client, Document
from api.cli.display import STYLE_OF_STATUS
from api.cli.failures import EXIT_OF_STATUS
from api.cli.summary import DetectorSum, summed
from api.cli.text import byte_size, cell, duration, moment, number, percent, plural, shortened

FAILURES_SHOWN: Final = 5


def print_result(console: Console, client: Client, scan: Document, label: str = "", *, flags: str = "") -> None:
    """Everything a person asks first about an ended (or running) scan. Raises `ApiFailure`.

    `flags` go with every command it suggests.
    """
    print_heading(console, scan, label)
    print_coverage(console, scan)
    if scan.get("data_erased_at"):
        # Said instead: nothing shown would look as if nothing had been found.
        told = f"What it found and looked at was erased at {moment(scan['data_erased_at'])}; its history stays."
        console.print(cell(told), soft_wrap=True)
        return
    if scan["progress"]["findings_count"]:
        print_findings(console, summed(client, scan["scan_id"]))
    if scan["progress"]["files_failed"]:
        print_failures(console, client, scan)
    print_hints(console, scan, flags)


def print_heading(console: Console, scan: Document, label: str = "") -> None:
    progress = scan["progress"]
    line = cell(f"Scan {scan['scan_id']}{f' of {label}' if label else ''}: ")
    line.append(scan["status"], STYLE_OF_STATUS.get(scan["status"], ""))
    if scan["reason"]:
        line.append_text(cell(f" ({scan['reason']})"))
    if scan.get("redrive_of"):
        line.append(f" · redrive of {scan['redrive_of']}")
    line.append(
        f" · {plural(progress['files_processed'], 'file')}, {byte_size(progress['bytes_processed'])}, "
        f"{plural(progress['findings_count'], 'finding')} in {duration(progress['elapsed_seconds'])}"
    )
    console.print()
    console.print(line, soft_wrap=True)


def print_coverage(console: Console, scan: Document) -> None:
    coverage = scan["coverage"]
    table = Table("Coverage", "Reason", title=None, pad_edge=False, box=None, header_style="bold")
    table.add_column("Objects", justify="right")
    table.add_column("Share", justify="right")
    total = coverage["total_enumerated"]
    for name, reason, count in _coverage_rows(coverage):
        table.add_row(cell(name), cell(reason), number(count), percent(count / total) if total else "–")
    console.print(table)
    met = "met" if coverage["target_met"] else "missed"
    console.print(
        f"Target {percent(coverage['coverage_target'])} ({coverage['coverage_strategy']}) {met}: covered "
        f"{percent(coverage['coverage_pct'])}, of eligible {percent(coverage['coverage_of_eligible'])}, "
        f"completeness {coverage['completeness_score']:.4f}; enumeration {coverage['enumeration_status']}.",
        soft_wrap=True,
    )
    for unit in coverage.get("listing", []):
        if unit["detail"]:
            console.print(cell(f"Listing {unit['connector']} {unit['prefix']!r}: {unit['detail']}"), soft_wrap=True)


def _coverage_rows(coverage: Document) -> Iterator[tuple[str, str, int]]:
    yield "scanned", "", coverage["total_scanned"]
    for name in ("skipped", "failed"):
        for reason, count in coverage[f"{name}_by_reason"].items():
            yield name, reason, count
    yield "remaining", "", coverage["total_remaining"]
    yield "enumerated", "", coverage["total_enumerated"]


def print_findings(console: Console, sums: Sequence[DetectorSum]) -> None:
    table = Table("Findings", "Detector", pad_edge=False, box=None, header_style="bold")
    table.add_column("Hits", justify="right")
    table.add_column("Objects", justify="right")
    table.add_column("Masked samples", overflow="fold")
    before = ""
    for one in sums:
        mark = "" if one.complete else "≥ "
        table.add_row(
            cell("" if one.category == before else one.category),
            cell(one.detector.removeprefix(f"{one.category}.")),
            f"{mark}{number(one.hits)}",
            f"{mark}{number(len(one.keys))}",
            Text("\n").join(cell(sample(finding)) for finding in one.samples),
        )
        before = one.category
    console.print()
    console.print(table)


def sample(finding: Document) -> str:
    """One finding's first hit, masked, and where it stands."""
    first = (finding["occurrences"] or [{}])[0]
    return f"{shortened(first.get('masked', '…'))}  {finding['object']}{position(first)}"


def position(occurrence: Document) -> str:
    """` record 3 email`, ` record 3 $.user.email`, ` $.user.email` or `:12:7` (line and column), as far as known."""
    name = occurrence.get("field") or occurrence.get("json_path")
    if occurrence.get("record_index") is not None:
        return f" record {occurrence['record_index']}" + (f" {name}" if name else "")
    if name:
        return f" {name}"
    places = [str(occurrence[name]) for name in ("line", "column") if occurrence.get(name) is not None]
    return "".join(f":{place}" for place in places)


def print_failures(console: Console, client: Client, scan: Document) -> None:
    table = Table("Failed", pad_edge=False, box=None, header_style="bold")
    table.add_column("Object", overflow="fold")
    table.add_column("Detail", overflow="fold")
    for entry in client.items(f"/scans/{scan['scan_id']}/objects", {"disposition": "failed"}, FAILURES_SHOWN):
        table.add_row(cell(entry["reason"]), cell(entry["object"]), cell(entry.get("detail") or ""))
    console.print()
    console.print(table)
    if (more := scan["progress"]["files_failed"] - FAILURES_SHOWN) > 0:
        console.print(f"… and {number(more)} more.")


def print_hints(console: Console, scan: Document, flags: str) -> None:
    scan_id, progress = scan["scan_id"], scan["progress"]
    more = [f"scanledger scans events {scan_id}{flags}"]
    if progress["files_failed"]:
        more.insert(0, f"scanledger scans objects {scan_id} --disposition failed{flags}")
    if progress["findings_count"]:
        more.insert(0, f"scanledger scans findings {scan_id}{flags}")
    if scan["status"] == "paused":
        more.insert(0, f"scanledger scans resume {scan_id}{flags}")
    elif scan["status"] in EXIT_OF_STATUS and (progress["files_failed"] or scan["coverage"]["total_remaining"]):
        more.append(f"scanledger scans redrive {scan_id}{flags}")
    console.print()
    console.print(cell(f"More: {' · '.join(more)}", "dim"), soft_wrap=True)
