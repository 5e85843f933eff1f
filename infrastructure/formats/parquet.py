"""Parquet: every text column of every row group, in bounded batches. pyarrow is loaded on first use."""

import io
from collections.abc import Iterator
from itertools import accumulate, islice, pairwise
from typing import IO, TYPE_CHECKING, Any, Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from domain.parts import part_at
from infrastructure.formats.arrow_columns import BATCH_ROWS, columns_of, may_hold_text, unreadable
from infrastructure.formats.arrow_values import is_varied
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.limits import MIB, Budget, Limits
from infrastructure.formats.ranges import RangedFile
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC: Final = b"PAR1"
_FIRST_ROWS: Final = (256, 1024)
"""Where the first rows are cut: enough to know what a column holds, with 15 and with 1,000 occurrences to be kept."""

_ROWS_SAMPLED: Final = 64
_ROWS_WORTH_A_SAMPLE: Final = 8192
_TEXT_TYPES: Final = frozenset({"NONE", "STRING", "ENUM", "JSON"})


def read(content: PeekableStream, name: str, budget: Budget) -> Iterator[ColumnBatch]:  # noqa: ARG001 — a reader's signature
    """The text of a Parquet file. Reads the stream to its end into a temporary file first. See `extracted.Reader`."""
    with spooled(content, budget) as spool:
        for batch in _reading(spool, budget.limits, RowGroups(size=1, part=0, parts=1)):
            budget.produced(batch.size)
            yield batch


class RowGroups:
    """The row groups of one part: those whose first column chunk begins in its range of the file. Row groups keep
    their order, even where a file stores them in another: none begins in an earlier part than the one before it."""

    def __init__(self, *, size: int, part: int, parts: int) -> None:
        self._size = size
        self._part = part
        self._parts = parts
        self.rows = 0
        """The rows read so far."""

    def column_batches(self, file: RangedFile, limits: Limits) -> Iterator[ColumnBatch]:
        """As `column_batches`, for these row groups alone; record indices count from the first of them. Only they and
        the footer are read. Raises as well what a read of `file` raises."""
        try:
            yield from _reading(file, limits, self)
        except ObjectUnreadable:
            if file.fault is not None:
                raise file.fault from None
            raise

    def of(self, metadata: "pq.FileMetaData") -> list[int]:
        if self._parts == 1:
            # What a chunk's metadata tells is not asked for without need: pyarrow aborts on some that is corrupt.
            return list(range(metadata.num_row_groups))
        owners = accumulate(
            (part_at(self._size, _start(metadata.row_group(index)), self._parts)
             for index in range(metadata.num_row_groups)),
            max,
        )  # fmt: skip
        return [index for index, owner in enumerate(owners) if owner == self._part]


def _start(group: Any) -> int:
    """The offset of the row group's first page, 0 without columns."""
    if not group.num_columns:
        return 0
    chunk = group.column(0)
    offsets = [chunk.dictionary_page_offset] if chunk.has_dictionary_page else []
    return int(min([*offsets, chunk.data_page_offset]))


def _reading(file: "IO[bytes] | RangedFile", limits: Limits, groups: RowGroups) -> Iterator[ColumnBatch]:
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only columnar formats need

    batches = _record_batches(file, limits, groups)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            # A few rows first, from which to learn what the columns hold.
            for piece in [batch] if groups.rows else _pieces(batch):
                yield from columns_of(piece, groups.rows)
                groups.rows += piece.num_rows
        except (pa.ArrowException, OSError, ValueError, MemoryError, NotImplementedError) as error:
            raise unreadable(error, "Parquet") from error


def _pieces(batch: "pa.RecordBatch") -> "Iterator[pa.RecordBatch]":
    for start, stop in pairwise((0, *_FIRST_ROWS, max(batch.num_rows, *_FIRST_ROWS))):
        yield batch.slice(start, stop - start)


def _record_batches(file: "IO[bytes] | RangedFile", limits: Limits, groups: RowGroups) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.parquet as pq  # noqa: PLC0415 — see above

    plain = pq.ParquetFile(file, pre_buffer=False, memory_map=False)
    read = [field.name for field in plain.schema_arrow if may_hold_text(field.type)]
    own = groups.of(plain.metadata) if read else []
    packed, texts = file.seek(0, io.SEEK_END), _dictionary_leaves(plain)
    if texts and own and plain.metadata.row_group(own[0]).num_rows > _ROWS_WORTH_A_SAMPLE:
        rows = min(_batch_rows(plain.metadata.row_group(own[0]), packed, limits), _ROWS_SAMPLED)
        varied = _varied(plain, own[0], [name for name in read if name in texts], rows)
        texts = [path for path in texts if path not in varied]
    parquet = pq.ParquetFile(file, metadata=plain.metadata, read_dictionary=texts, pre_buffer=False, memory_map=False)
    for index in own:
        group = parquet.metadata.row_group(index)
        rows, left = _batch_rows(group, packed, limits), group.num_rows
        for batch in parquet.iter_batches(batch_size=rows, row_groups=[index], columns=read, use_threads=False):
            left -= batch.num_rows
            yield batch
        if left:
            raise ValueError("the row group does not have as many rows as it tells")
    pa.default_memory_pool().release_unused()


def _varied(parquet: "pq.ParquetFile", group: int, columns: list[str], rows: int) -> set[str]:
    """Those of these columns whose first values are hardly ever repeated: they are read faster as they are."""
    (batch,) = islice(parquet.iter_batches(rows, [group], columns, use_threads=False), 1)
    return {field.name for field, values in zip(batch.schema, batch.columns, strict=True) if is_varied(values)}


def _dictionary_leaves(plain: "pq.ParquetFile") -> list[str]:
    """The text leaves, nested ones too: as dictionaries, values that are repeated take memory once."""
    columns = (plain.schema.column(index) for index in range(len(plain.schema)))
    return [
        column.path for column in columns
        if column.physical_type == "BYTE_ARRAY" and column.logical_type.type in _TEXT_TYPES
    ]  # fmt: skip


def _batch_rows(group: Any, packed: int, limits: Limits) -> int:
    """Rows of a batch so that it decodes to about `parquet_batch_bytes`; the file is of `packed` bytes."""
    unpacked = group.total_byte_size
    if unpacked > limits.ratio_applies_above and unpacked > packed * limits.inflation_ratio:
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "decompresses at a higher ratio than allowed")
    if unpacked > 1024 * MIB and group.num_rows < unpacked // (64 * MIB):
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the Parquet file has values that are too large")
    width = max(unpacked // max(group.num_rows, 1), 1)
    return int(min(max(limits.parquet_batch_bytes // width, 1), BATCH_ROWS))
