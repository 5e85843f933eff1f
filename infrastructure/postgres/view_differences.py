"""Which rows of a view are not what the log says, and in which fields."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from application.progress import ScanView, WorkerView
from application.replay import RowDifference, TableDifferences
from domain.connector import Connector

KEYS: Final[Mapping[str, Sequence[str]]] = {
    "scan_views": ("scan_id",),
    "scan_worker_views": ("scan_id", "worker_id"),
    "connector_views": ("connector_id",),
    "scan_totals": ("name", "label"),
    "scan_loads": ("scan_id",),
}
SHOWN: Final = 20
"""Rows of a table that are told; all are counted."""

_LONGEST: Final = 80
_MODELS: Final[Mapping[str, Any]] = {
    "scan_views": ScanView,
    "scan_worker_views": WorkerView,
    "connector_views": Connector,
}

_Row = Mapping[str, Any]


def differences(cursor: psycopg.Cursor[Any], shadow: str, table: str) -> TableDifferences:
    """Those of a view in `public` from the one in `shadow`. A row that an earlier version wrote, without fields that
    have come since, is none as long as it means the same."""
    rows = cursor.execute(f"SELECT count(*) FROM {shadow}.{table}".encode()).fetchall()[0][0]
    differing = 0
    shown: list[RowDifference] = []
    for is_row, should_row in cursor.connection.cursor().stream(_query(shadow, table).encode()):
        found = _difference(table, is_row, should_row)
        differing += found is not None
        if found is not None and len(shown) < SHOWN:
            shown.append(found)
    return TableDifferences(table, rows, differing, shown)


def _query(shadow: str, table: str) -> str:
    """Both rows of each key at which they differ, as JSON."""
    keys = ", ".join(KEYS[table])
    live = f"SELECT * FROM public.{table} EXCEPT SELECT * FROM {shadow}.{table}"
    made = f"SELECT * FROM {shadow}.{table} EXCEPT SELECT * FROM public.{table}"
    return f"SELECT to_json(l), to_json(r) FROM ({live}) l FULL JOIN ({made}) r USING ({keys}) ORDER BY {keys}"


def _difference(table: str, is_row: _Row | None, should_row: _Row | None) -> RowDifference | None:
    before, after = _normal(table, is_row), _normal(table, should_row)
    if before == after:
        return None
    key = "/".join(str((is_row or should_row or {})[column]) for column in KEYS[table])
    if before is None or after is None:
        return RowDifference(key, "missing" if before is None else "surplus", {})
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    return RowDifference(key, "changed", {name: (_told(before, name), _told(after, name)) for name in names})


def _normal(table: str, row: _Row | None) -> dict[str, Any] | None:
    """A row's columns and the fields of its view, with what was left out."""
    if row is None:
        return None
    if table not in _MODELS:
        return dict(row)
    view = row["view"]
    columns = {name: value for name, value in row.items() if name != "view"}
    try:
        whole = msgspec.to_builtins(msgspec.convert(view, _MODELS[table]))
    except (msgspec.ValidationError, TypeError):
        return {**columns, "view": view}
    return {**columns, **{f"view.{name}": value for name, value in {**view, **whole}.items()}}


def _told(row: _Row, name: str) -> str:
    text = msgspec.json.encode(row[name]).decode() if name in row else "nothing"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
