"""Parquet: every text column of every row group, in bounded batches. pyarrow is loaded on first use."""

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any, Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from domain.parts import part_at
from infrastructure.formats.limits import MIB, Limits
from infrastructure.formats.names import shown_name
from infrastructure.formats.ranges import RangedFile
from infrastructure.formats.streams import PeekableStream

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC: Final = b"PAR1"
_MAX_BATCH_ROWS: Final = 8192
_SEPARATOR: Final = b"\n"


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """Some rows of one column. `text` holds their distinct values, each with a newline; `ends` is where each ends."""

    column: str
    text: bytes
    ends: tuple[int, ...]
    _records: Sequence[int]
    _values: Sequence[int | None]
    _order: Mapping[int, int]

    def value_of(self, start: int, end: int) -> int | None:
        """The value that holds `text[start:end]`; None if that crosses values."""
        index = bisect_right(self.ends, start)
        return index if index < len(self.ends) and end < self.ends[index] else None

    def rows(self) -> Iterator[tuple[int, int]]:
        """Each row's record index and value, in order. In nested columns a record may have several, or none."""
        for record, value in zip(self._records, self._values, strict=True):
            if value is not None:
                yield record, self._order[value]


def column_batches(stream: PeekableStream, limits: Limits) -> Iterator[ColumnBatch]:
    """The text of a Parquet file. Reads the stream to its end into a temporary file first.

    Raises `ObjectUnreadable`: parse_error when it is corrupt, encrypted when its columns are, resource_limit.
    """
    with tempfile.TemporaryFile() as spool:
        _spool(stream, spool, limits)
        yield from _reading(spool, limits, RowGroups(size=1, part=0, parts=1))


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


def _spool(stream: PeekableStream, spool: IO[bytes], limits: Limits) -> None:
    written = 0
    while chunk := stream.read(limits.block_bytes):
        written += len(chunk)
        if written > limits.parquet_spool_bytes:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the Parquet file is too large to spool")
        spool.write(chunk)
    spool.seek(0)


def _reading(file: "IO[bytes] | RangedFile", limits: Limits, groups: RowGroups) -> Iterator[ColumnBatch]:
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only Parquet needs

    batches = _record_batches(file, limits, groups)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            columns = [
                column for name, array in zip(batch.schema.names, batch.columns, strict=True)
                for column in _texts(shown_name(name), array, range(groups.rows, groups.rows + batch.num_rows))
            ]  # fmt: skip
        except (pa.ArrowException, OSError, ValueError, MemoryError, NotImplementedError) as error:
            raise _unreadable(error) from error
        yield from columns
        groups.rows += batch.num_rows


def _unreadable(error: BaseException) -> ObjectUnreadable:
    if "encrypt" in str(error).lower() or "decrypt" in str(error).lower():
        return ObjectUnreadable(FailReason.ENCRYPTED, "encrypted (Parquet columns)")
    if isinstance(error, MemoryError):
        return ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the Parquet file needs too much memory")
    return ObjectUnreadable(FailReason.PARSE_ERROR, "the Parquet file is corrupt or cut short")


def _record_batches(file: "IO[bytes] | RangedFile", limits: Limits, groups: RowGroups) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.parquet as pq  # noqa: PLC0415 — see above

    plain = pq.ParquetFile(file, pre_buffer=False, memory_map=False)
    texts = [field.name for field in plain.schema_arrow if _is_text(field.type)]
    parquet = pq.ParquetFile(file, metadata=plain.metadata, read_dictionary=texts, pre_buffer=False, memory_map=False)
    for index in groups.of(parquet.metadata):
        rows = _batch_rows(parquet.metadata.row_group(index), limits)
        yield from parquet.iter_batches(batch_size=rows, row_groups=[index], use_threads=False)
    pa.default_memory_pool().release_unused()


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa  # noqa: PLC0415 — see above

    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _batch_rows(group: Any, limits: Limits) -> int:
    """Rows of a batch so that it decodes to about `parquet_batch_bytes`."""
    packed = sum(group.column(index).total_compressed_size for index in range(group.num_columns))
    unpacked = group.total_byte_size
    if unpacked > limits.ratio_applies_above and unpacked > packed * limits.inflation_ratio:
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "decompresses at a higher ratio than allowed")
    if unpacked > 1024 * MIB and group.num_rows < unpacked // (64 * MIB):
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the Parquet file has values that are too large")
    width = max(unpacked // max(group.num_rows, 1), 1)
    return int(min(max(limits.parquet_batch_bytes // width, 1), _MAX_BATCH_ROWS))


def _texts(name: str, array: "pa.Array", records: Sequence[int]) -> Iterator[ColumnBatch]:
    """The text leaves of a column, nested ones by their path; `records` are the record indices of the array's items."""
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            inner = f"{name}.{shown_name(kind.field(index).name)}"
            yield from _texts(inner, pc.struct_field(array, [index]), records)
    elif _is_repeated(kind):
        items = _as_list(array) if pa.types.is_map(kind) else array
        parents = pc.list_parent_indices(items).to_pylist()
        yield from _texts(name, pc.list_flatten(items), [records[parent] for parent in parents])
    else:
        values = _as_dictionary(array)
        if values is not None:
            yield _column_batch(name, values, records)


def _is_repeated(kind: "pa.DataType") -> bool:
    import pyarrow as pa  # noqa: PLC0415 — see above

    return bool(
        pa.types.is_map(kind)
        or pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _as_list(array: "pa.Array") -> "pa.Array":
    """A map column as a list of its entries."""
    import pyarrow as pa  # noqa: PLC0415 — see above

    return array.cast(pa.list_(pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])))


def _whole_numbers(array: "pa.Array") -> "pa.Array":
    """The floats that are whole numbers, exactly held and long enough to be a card's, as integers; the rest null."""
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    fits = pc.and_(pc.equal(pc.floor(array), array), pc.and_(pc.greater(array, 1e8), pc.less(array, 2.0**63)))
    return pc.if_else(fits, array, None).cast(pa.int64())


def _as_dictionary(array: "pa.Array") -> "pa.DictionaryArray | None":
    """The array with its distinct values as binary; None if its type can hold no text. 64-bit integers, whole decimals
    and whole floats count as text: card numbers are stored so."""
    import pyarrow as pa  # noqa: PLC0415 — see above

    kind = array.type
    if pa.types.is_dictionary(kind):
        return array if _is_any_text(kind.value_type) else None
    if pa.types.is_decimal(kind) and kind.scale == 0:
        array = array.cast(pa.string())
        kind = array.type
    elif pa.types.is_float64(kind):
        array = _whole_numbers(array)
        kind = array.type
    if pa.types.is_int64(kind) or pa.types.is_uint64(kind):
        return array.cast(pa.string()).dictionary_encode()
    return array.cast(pa.large_binary()).dictionary_encode() if _is_any_text(kind) else None


def _is_any_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa  # noqa: PLC0415 — see above

    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary_view(kind)
    )


def _column_batch(name: str, values: "pa.DictionaryArray", records: Sequence[int]) -> ColumnBatch:
    import pyarrow as pa  # noqa: PLC0415 — see above

    used = values.indices.drop_null().unique()
    distinct = [value or b"" for value in values.dictionary.take(used).cast(pa.large_binary()).to_pylist()]
    ends = tuple(accumulate(len(value) + len(_SEPARATOR) for value in distinct))
    text = b"".join(value + _SEPARATOR for value in distinct)
    order = {value: position for position, value in enumerate(used.to_pylist())}
    return ColumnBatch(name, text, ends, records, values.indices.to_pylist(), order)
