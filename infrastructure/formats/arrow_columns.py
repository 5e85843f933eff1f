"""The text of Arrow's columns, as Parquet, ORC and Arrow's own files give them. pyarrow is loaded on first use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.arrow_values import batch_of
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.names import shown_name

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS: Final = 16384
_MOST_VALUES: Final = 65_536
_MOST_REPEATED: Final = 1_000_000
_LONG_NUMBER: Final = 100_000


def columns_of(batch: "pa.RecordBatch", first: int) -> Iterator[ColumnBatch]:
    """The text of a batch whose first row is record `first`, column by column; of nested ones leaf by leaf.

    What is given at a time is at most 65,536 values. Raises what pyarrow raises; `unreadable` makes sense of it.
    """
    for field, array in zip(batch.schema, batch.columns, strict=True):
        for column in _texts(shown_name(field.name), array, range(first, first + batch.num_rows)):
            column.records = first + batch.num_rows
            yield column


def unreadable(error: BaseException, what: str) -> ObjectUnreadable:
    """What an error that pyarrow raised means for an object that is `what`."""
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only columnar formats need

    told = str(error).lower()
    if "encrypt" in told or "decrypt" in told:
        return ObjectUnreadable(FailReason.ENCRYPTED, f"encrypted ({what} columns)")
    if isinstance(error, MemoryError | pa.ArrowCapacityError) or "too deeply nested" in told:
        return ObjectUnreadable(FailReason.RESOURCE_LIMIT, f"the {what} file needs too much memory")
    return ObjectUnreadable(FailReason.PARSE_ERROR, f"the {what} file is corrupt or cut short")


def may_hold_text(kind: "pa.DataType") -> bool:
    """Whether a column of this type has a leaf that `columns_of` gives."""
    import pyarrow as pa  # noqa: PLC0415 — see above

    if isinstance(kind, pa.ExtensionType):
        kind = kind.storage_type
    if pa.types.is_nested(kind):
        return any(may_hold_text(kind.field(index).type) for index in range(kind.num_fields))
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return may_hold_text(kind.value_type)
    return _is_any_text(kind) or _is_number(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def _texts(name: str, array: "pa.Array", records: "range | pa.Array") -> Iterator[ColumnBatch]:
    """The text leaves of a column, nested ones by their path; `records` are the record indices of the array's items."""
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if not may_hold_text(kind):
        return
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            inner = f"{name}.{shown_name(kind.field(index).name)}"
            yield from _texts(inner, pc.struct_field(array, [index]), records)
    elif pa.types.is_union(kind):
        yield from _alternatives(name, array, records)
    elif _is_repeated(kind):
        items = _as_list(array) if pa.types.is_map(kind) else array
        parents = pc.list_parent_indices(items)
        yield from _texts(name, pc.list_flatten(items), _as_array(records).take(parents))
    elif pa.types.is_nested(kind) and not pa.types.is_run_end_encoded(kind):
        raise ObjectSkipped(SkipReason.UNSUPPORTED_FORMAT, f"columns of type {kind.id}")
    else:
        yield from _leaf(name, _plain(array), records)


def _leaf(name: str, array: "pa.Array", records: "range | pa.Array") -> Iterator[ColumnBatch]:
    for start in range(0, len(array), _MOST_VALUES):
        values = _as_text(array[start : start + _MOST_VALUES])
        if values is not None:
            own = records[start : start + _MOST_VALUES]
            yield batch_of(name, values, own if isinstance(own, range) else own.to_pylist())


def _alternatives(name: str, array: "pa.UnionArray", records: "range | pa.Array") -> Iterator[ColumnBatch]:
    """The values of a union, one alternative after the other."""
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    for index in range(array.type.num_fields):
        rows = pc.indices_nonzero(pc.equal(array.type_codes, array.type.type_codes[index]))
        places = array.offsets.take(rows) if array.type.mode == "dense" else rows
        yield from _texts(name, array.field(index).take(places), _as_array(records).take(rows))


def _as_array(records: "range | pa.Array") -> "pa.Array":
    import pyarrow as pa  # noqa: PLC0415 — see above

    return pa.array(records, pa.int64()) if isinstance(records, range) else records


def _plain(array: "pa.Array") -> "pa.Array":
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    if not pa.types.is_run_end_encoded(array.type):
        return array
    if len(array) > _MOST_REPEATED:  # a run tells any length in a few bytes
        raise MemoryError
    return pc.run_end_decode(array)


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


def _days(array: "pa.Array") -> "pa.DictionaryArray | None":
    """Dates as `1980-12-31`; None for points in time, of which some are not at midnight."""
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    days = array.cast(pa.date32(), safe=False)
    if pc.all(pc.equal(days.cast(array.type, safe=False), array)).as_py() is False:
        return None
    encoded = days.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))


def _has_long_numbers(array: "pa.Array") -> bool:
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    largest = pc.max(array).as_py()
    return largest is not None and largest >= _LONG_NUMBER


def _as_text(array: "pa.Array") -> "pa.Array | None":
    """The array as text, plain or as a dictionary; None if it can hold none. Integers, whole decimals, whole floats
    and days count as text, small numbers of 32 bits not: so are card numbers and dates of birth stored."""
    import pyarrow as pa  # noqa: PLC0415 — see above

    kind = array.type
    if pa.types.is_dictionary(kind):
        return array if _is_any_text(kind.value_type) else None
    if pa.types.is_decimal(kind):
        return array.cast(pa.string()) if kind.scale == 0 else None
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _days(array)
    if pa.types.is_float64(kind):
        array = _whole_numbers(array)
        kind = array.type
    if pa.types.is_int64(kind) or pa.types.is_uint64(kind):
        return array.cast(pa.string())
    if _is_number(kind):
        return array.cast(pa.string()) if _has_long_numbers(array) else None
    return array if _is_any_text(kind) else None


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa  # noqa: PLC0415 — see above

    return bool(
        pa.types.is_int64(kind)
        or pa.types.is_uint64(kind)
        or pa.types.is_int32(kind)
        or pa.types.is_uint32(kind)
        or pa.types.is_float64(kind)
        or (pa.types.is_decimal(kind) and kind.scale == 0)
    )


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
