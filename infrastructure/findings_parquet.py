"""Findings as a Parquet file that is handed on while it is written. pyarrow is loaded on first use."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from application.exporting import ExportedScan, Finding, well_formed_document

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_BYTES: Final = 8 * 1024 * 1024
"""Rows are kept, as Arrow, until they come to this; then they are a row group."""

_OCCURRENCE: Final = {
    "masked": "string",
    "confidence": "float64",
    "byte_offset": "int64",
    "length": "int64",
    "line": "int64",
    "column": "int64",
    "record_index": "int64",
    "field": "string",
    "json_path": "string",
    "inner_path": "string",
    "page": "int64",
    "sheet": "string",
    "cell": "string",
}
_TEXTS: Final = ("scan_id", "finding_id", "connector", "object", "detector", "category", "severity")


class ParquetExport:
    """A row for each finding. The scan's id, version and status are in the file's key-value metadata."""

    def __init__(self, scan: ExportedScan) -> None:
        import pyarrow as pa  # noqa: PLC0415 — takes long to load, and most processes write no Parquet
        import pyarrow.parquet as pq  # noqa: PLC0415

        told = {"scan_id": scan.scan_id, "scan_version": str(scan.version), "scan_status": scan.status}
        self._scan_id = scan.scan_id
        self._schema = schema().with_metadata({f"scanledger.{name}": value for name, value in told.items()})
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._kept = 0

    def begin(self) -> bytes:
        return self._sink.taken()

    def page(self, findings: Sequence[Finding]) -> bytes:
        batch = self._batch(findings)
        self._batches.append(batch)
        self._kept += batch.nbytes
        if self._kept >= GROUP_BYTES:
            self._write_group()
        return self._sink.taken()

    def end(self) -> bytes:
        self._write_group()
        self._writer.close()
        return self._sink.taken()

    def _batch(self, findings: Sequence[Finding]) -> "pa.RecordBatch":
        rows = [{**finding, "scan_id": self._scan_id} for finding in findings]
        try:
            return _arrow(rows, self._schema)
        except UnicodeEncodeError:
            return _arrow(well_formed_document(rows), self._schema)

    def _write_group(self) -> None:
        import pyarrow as pa  # noqa: PLC0415

        if self._batches:
            table = pa.Table.from_batches(self._batches)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
            self._batches, self._kept = [], 0


@cache
def schema() -> "pa.Schema":
    """The columns of the file."""
    import pyarrow as pa  # noqa: PLC0415

    moment = pa.timestamp("us", tz="UTC")
    occurrence = pa.struct([(name, pa.type_for_alias(kind)) for name, kind in _OCCURRENCE.items()])
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in _TEXTS),
            pa.field("confidence", pa.float64(), nullable=False),
            pa.field("count", pa.int64(), nullable=False),
            pa.field("column", pa.string()),
            pa.field("first_seen_at", moment, nullable=False),
            pa.field("gone_at", moment),
            pa.field("occurrences", pa.list_(occurrence), nullable=False),
        ]
    )


def _arrow(rows: Sequence[Mapping[str, Any]], fields: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa  # noqa: PLC0415

    columns = [pa.array([row[field.name] for row in rows], type=field.type) for field in fields]
    return pa.RecordBatch.from_arrays(columns, schema=fields)


class _Sink:
    """What a writer writes to: its bytes are taken away as they come."""

    closed = False

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._written = 0

    def write(self, block: Any) -> int:
        # The writer uses its memory again.
        self._blocks.append(bytes(block))
        self._written += len(self._blocks[-1])
        return len(self._blocks[-1])

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """There is nothing to close."""

    def taken(self) -> bytes:
        """What has come since this was last asked."""
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)
