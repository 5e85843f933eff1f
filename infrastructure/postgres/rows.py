"""The rows that are committed together with the events that count them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg import Cursor

from application import object_columns
from application.erasure import data_erased
from application.ports import Claimed, FindingRow, ManifestPage, Rows
from domain.scan_events import ENDINGS


def write(cursor: Cursor[Any], rows: Rows) -> None:
    """Insert everything in `rows`, inside the caller's transaction."""
    _copy(cursor, "manifest_pages", _PAGE, (_page(page) for page in rows.pages))
    exceptions = ((r.scan, r.index, r.disposition.value, r.reason, _text(r.detail)) for r in rows.exceptions)
    _copy(cursor, "object_exceptions", _EXCEPTION, exceptions)
    _copy(cursor, "findings", _FINDING, (_finding(row) for row in rows.findings))
    if rows.parts:
        cursor.executemany(
            "INSERT INTO report_parts (scan_id, chunk, attempt, part, body) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (scan_id, chunk, attempt, part) DO UPDATE SET body = excluded.body",
            [(p.scan, p.chunk, p.attempt, p.part, p.body) for p in rows.parts],
        )
    if rows.parts_done:
        cursor.executemany(
            "DELETE FROM report_parts WHERE scan_id = %s AND chunk = %s AND attempt <= %s", rows.parts_done
        )

    _write_object_parts(cursor, rows)
    for scan in rows.sources:
        _require_kept(cursor, scan)
    for connector, scan in rows.claims:
        _claim(cursor, connector, scan)
    if rows.rulesets:
        cursor.executemany(
            "INSERT INTO rulesets (tenant_id, digest, body) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [(r.tenant, r.digest, r.body) for r in rows.rulesets],
        )
    _write_secrets(cursor, rows)


def _write_object_parts(cursor: Cursor[Any], rows: Rows) -> None:
    done = set(rows.object_parts_done)
    parts = [part for part in rows.object_parts if (part.scan, part.index) not in done]
    values = ((p.scan, p.index, p.part, p.lines, p.records, p.findings, _text(p.remark)) for p in parts)
    _copy(cursor, "object_parts", _OBJECT_PART, values)
    if done:
        cursor.executemany("DELETE FROM object_parts WHERE scan_id = %s AND object_index = %s", list(done))


def _claim(cursor: Cursor[Any], connector: str, scan: str) -> None:
    """Raises Claimed while another open scan has it."""
    row = cursor.execute(
        "INSERT INTO incremental_claims AS c VALUES (%s, %s) ON CONFLICT (connector_id) DO UPDATE SET scan_id = CASE"
        " WHEN EXISTS (SELECT FROM stored_events e WHERE e.originator_id = c.scan_id AND e.topic = ANY (%s)"
        f" AND e.{COURSE}) THEN excluded.scan_id ELSE c.scan_id END RETURNING scan_id AS held_by",
        (connector, scan, [ending.kind for ending in ENDINGS]),
    ).fetchone()
    held_by = None if row is None else row["held_by"]
    if held_by is not None and held_by != scan:
        raise Claimed(connector, str(held_by))


def data_lock(scan: str, *, exclusive: bool = False) -> tuple[bytes, tuple[str]]:
    """The statement that holds off, to the end of the transaction, that a scan's data is promised to be erased; or, if
    `exclusive`, that anything is begun which needs it."""
    shared = "" if exclusive else "_shared"
    return f"SELECT pg_advisory_xact_lock{shared}(hashtextextended(%s, 0))".encode(), (scan,)


def _require_kept(cursor: Cursor[Any], scan: str) -> None:
    """Raises Conflict DATA_ERASED."""
    cursor.execute(*data_lock(scan))
    if cursor.execute("SELECT FROM erasures WHERE stream = %s", (scan,)).rowcount:
        raise data_erased(scan)


def _write_secrets(cursor: Cursor[Any], rows: Rows) -> None:
    if rows.secrets_dropped:
        cursor.execute("DELETE FROM connector_secrets WHERE connector_id = ANY (%s)", (rows.secrets_dropped,))
    if rows.secrets:
        cursor.executemany(
            "INSERT INTO connector_secrets (connector_id, field, key_id, wrapped_key, ciphertext)"
            " VALUES (%s, %s, %s, %s, %s)",
            [(s.connector, s.field, s.key_id, s.wrapped_key, s.ciphertext) for s in rows.secrets],
        )


# The condition of the index stored_events_lifecycle_idx, word for word.
COURSE = "topic NOT IN ('scan.objects-listed', 'scan.chunk-started', 'scan.chunk-completed', 'scan.chunk-failed')"
_PAGE = ("scan_id", "first_index", "files", "unit", "connector", "first_chunk", "chunk_starts", "objects")
_OBJECT_PART = ("scan_id", "object_index", "part", "lines", "records", "findings", "remark")
_EXCEPTION = ("scan_id", "object_index", "disposition", "reason", "detail")
_FINDING = (
    "scan_id",
    "finding_id",
    "connector",
    "object",
    "object_index",
    "detector",
    "category",
    "confidence",
    "count",
    '"column"',
    "first_seen_at",
    "occurrences",
)


def _copy(cursor: Cursor[Any], table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    rows = list(rows)
    if not rows:
        return
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _page(page: ManifestPage) -> Sequence[Any]:
    return (
        page.scan,
        page.first_index,
        len(page.objects),
        page.unit,
        page.connector,
        page.first_chunk,
        [chunk.start for chunk in page.chunks],
        object_columns.encode(page.objects, page.skips, page.scanned_by),
    )


def _finding(row: FindingRow) -> Sequence[Any]:
    finding = row.finding
    occurrences = [o.model_dump(exclude_none=True, exclude={"v"}) for o in finding.occurrences]
    return (
        row.scan,
        row.finding_id,
        row.connector,
        _text(row.object),
        row.index,
        finding.detector,
        finding.category,
        finding.confidence,
        finding.count,
        finding.column if finding.column is None else _text(finding.column),
        row.seen_at,
        msgspec.json.encode(occurrences).decode().replace("\\u0000", "\\ufffd"),
    )


def _text(value: str) -> str:
    # PostgreSQL's text holds no NUL.
    return value.replace("\0", "\ufffd")
