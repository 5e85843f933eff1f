"""Findings as CSV (RFC 4180, UTF-8) that a spreadsheet may open: no cell can become a formula.

Keys of objects are chosen by whoever fills a bucket. So a cell that begins as a formula does gets an apostrophe before
it (https://owasp.org/www-community/attacks/CSV_Injection), behind whatever a spreadsheet may skip, too; and so does
one that begins with an apostrophe of its own, so that taking one away again gives back just what was there.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from application.exporting import ExportedScan, Finding, shown, to_json, well_formed

COLUMNS: Final = (
    "scan_id",
    "finding_id",
    "connector",
    "object",
    "detector",
    "category",
    "severity",
    "confidence",
    "count",
    "column",
    "first_seen_at",
    "gone_at",
    "occurrences",
)

# After the signs of a formula, their full-width forms, which some spreadsheets take for the same.
_AS_FORMULA: Final = re.compile(
    r"['\t\r\n]|[\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]"
)


class CsvExport:
    """A line for each finding below one of names, every cell quoted; `occurrences` is a cell of JSON."""

    def __init__(self, scan: ExportedScan) -> None:
        self._scan_id = scan.scan_id

    def begin(self) -> bytes:
        return _line(COLUMNS)

    def page(self, findings: Sequence[Finding]) -> bytes:
        return b"".join(map(self._row, findings))

    def end(self) -> bytes:
        return b""

    def _row(self, finding: Finding) -> bytes:
        occurrences = to_json(finding["occurrences"]).decode()
        row: dict[str, Any] = {**shown(finding), "scan_id": self._scan_id, "occurrences": occurrences}
        return _line(["" if row[name] is None else str(row[name]) for name in COLUMNS])


def _line(cells: Sequence[str]) -> bytes:
    line = ",".join(['"' + guarded(cell).replace('"', '""') + '"' for cell in cells]) + "\r\n"
    try:
        return line.encode()
    except UnicodeEncodeError:
        return well_formed(line).encode()


def guarded(text: str) -> str:
    """`text` as no spreadsheet takes it for a formula. NUL, at which many readers stop, becomes U+FFFD."""
    plain = text.replace("\0", "\ufffd")
    return f"'{plain}" if _AS_FORMULA.match(plain) else plain
