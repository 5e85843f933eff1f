"""Batches of values in Arrow's memory: no Python object is made of a value that nobody asks for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from infrastructure.formats.extracted import SEPARATOR, Accepts, ColumnBatch, DistinctValues, Place

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLED: Final = 256
_REPEATED: Final = 0.75
"""Values are looked at once each if fewer than this part of the first ones is distinct."""


def batch_of(name: str, values: "pa.Array", records: Sequence[int]) -> ColumnBatch:
    """The batch of this text, plain or as a dictionary, that stands in these records."""
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only columnar formats need

    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.large_binary())
        if is_varied(values):
            return _batch(name, *_present(values), records)
        values = values.dictionary_encode()
    return _batch(name, *_distinct(values), records)


def is_varied(values: "pa.Array") -> bool:
    """Whether hardly any of the first values is repeated."""
    sample = values[:_SAMPLED]
    return len(sample.unique()) >= _REPEATED * len(sample)


def _present(values: "pa.Array") -> tuple["pa.Array", Any]:
    """The values without the nulls, and the number of each row's; -1 for none."""
    import numpy as np  # noqa: PLC0415 — 20 MB that only columnar formats need

    if not values.null_count:
        return values, np.arange(len(values))
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    return values.drop_null(), np.where(valid, np.cumsum(valid) - 1, -1)


def _distinct(values: "pa.DictionaryArray") -> tuple["pa.Array", Any]:
    """The distinct values in use, and the number of each row's; -1 for none."""
    import numpy as np  # noqa: PLC0415 — see above
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    used = values.indices.drop_null().unique()
    taken = pc.fill_null(values.dictionary.take(used).cast(pa.large_binary()), pa.scalar(b"", pa.large_binary()))
    order = np.full(len(values.dictionary) + 1, -1, np.int64)
    order[used.to_numpy()] = np.arange(len(used))
    return taken, order[pc.fill_null(values.indices.cast(pa.int64()), len(values.dictionary)).to_numpy()]


def _batch(name: str, values: "pa.Array", numbers: Any, records: Sequence[int]) -> ColumnBatch:
    """The batch of these values, of which none is null; `numbers` tells for each row which it has, -1 for none."""
    import numpy as np  # noqa: PLC0415 — see above

    offsets = np.zeros(1, np.int64)
    if len(values):  # else there may be no buffer
        offsets = np.frombuffer(values.buffers()[1], np.int64, len(values) + 1, 8 * values.offset)
    content = values.buffers()[2]

    def listed() -> DistinctValues:
        ends = offsets[1:] - offsets[0] + np.arange(1, len(offsets)) * len(SEPARATOR)
        return DistinctValues(_separated(values), ends, numbers)

    def without(accepts: Accepts) -> tuple[int, ColumnBatch | None]:
        if not size:
            return 0, batch
        accepted = accepts(np.frombuffer(content, np.uint8), offsets[:-1], offsets[1:])
        counted = np.append(accepted, False)[numbers]
        left = np.flatnonzero(~counted & (numbers >= 0))
        if not len(left):
            return int(counted.sum()), None
        used, own = np.unique(numbers[left], return_inverse=True)
        return int(counted.sum()), _batch(name, values.take(_indices(used)), own, [records[at] for at in left.tolist()])

    size = int(offsets[-1] - offsets[0])
    total = size + len(values) * len(SEPARATOR)
    batch = ColumnBatch(name, records, _record, 0, size=total, values=listed, without=without)
    return batch


def _indices(places: Any) -> "pa.Array":
    import pyarrow as pa  # noqa: PLC0415 — see above

    return pa.array(places)


def _separated(values: "pa.Array") -> bytes:
    """The values, each with a separator behind it."""
    import pyarrow as pa  # noqa: PLC0415 — see above
    import pyarrow.compute as pc  # noqa: PLC0415 — see above

    nothing, separator = (pa.scalar(end, pa.large_binary()) for end in (b"", SEPARATOR))
    text = pc.binary_join_element_wise(values, nothing, separator)
    if not len(text):
        return b""
    ends, content = memoryview(text.buffers()[1]).cast("q"), text.buffers()[2]
    return bytes(content[ends[text.offset] : ends[text.offset + len(text)]].to_pybytes())


def _record(row: int) -> Place:
    return Place(record_index=row)
