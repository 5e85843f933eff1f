"""Avro's values that hold no others: what of them is text, and how to step over the rest."""

import struct
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.extracted import ColumnBatch, Place

Step = Callable[[bytes, int], int]
"""Goes over the value that begins at a position of `data` to the end of it."""

_LONG_NUMBER: Final = 100_000
_LONGEST_VARINT: Final = 10
_WIDEST_DECIMAL: Final = 32
_DOUBLE: Final = struct.Struct("<d")
_EPOCH: Final = date(1970, 1, 1)
_DAYS: Final = {
    "date": 1,
    "timestamp-millis": 86_400_000,
    "timestamp-micros": 86_400_000_000,
    "local-timestamp-millis": 86_400_000,
    "local-timestamp-micros": 86_400_000_000,
}


def corrupt() -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.PARSE_ERROR, "the Avro file is corrupt or cut short")


def too_deep() -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the Avro file is nested too deep")


class Columns:
    """The text that was taken, by column. `record` is the record at hand, `items` how many items it has had."""

    def __init__(self) -> None:
        self.record = 0
        self.items = 0
        self._columns: dict[str, tuple[list[bytes | None], list[int]]] = {}

    def taker(self, name: str) -> Callable[[bytes], None]:
        """Takes values of this column."""
        values, rows = self._columns.setdefault(name, ([], []))

        def take(value: bytes) -> None:
            values.append(value)
            rows.append(self.record)

        return take

    def batches(self) -> Iterator[ColumnBatch]:
        for name, (values, rows) in self._columns.items():
            if values:
                batch = ColumnBatch.of(name, tuple(values), tuple(rows), _record)
                batch.records = self.record
                yield batch
                values.clear()
                rows.clear()


def _record(row: int) -> Place:
    return Place(record_index=row)


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A zigzag number and the position behind it. Raises IndexError at the end of the data, and parse_error."""
    number, shift = 0, 0
    for at in range(position, position + _LONGEST_VARINT):
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
    raise corrupt()


def leaf(kind: str, schema: dict[str, Any], name: str, columns: Columns) -> Step | None:
    """The step over one value; None if it takes no bytes."""
    if kind in ("string", "bytes"):
        return _bytes(_taker(schema, name, columns))
    if kind == "fixed":
        return _fixed(schema, _taker(schema, name, columns))
    if kind in ("int", "long"):
        return _number(columns.taker(name), _DAYS.get(_logical_type(schema)))
    if kind == "double":
        return _double(columns.taker(name))
    if kind == "enum":
        return _enum
    return {"boolean": _skip(1), "float": _skip(4)}.get(kind)


def _logical_type(schema: dict[str, Any]) -> str:
    kind = schema.get("logicalType")
    return kind if isinstance(kind, str) else ""


def _taker(schema: dict[str, Any], name: str, columns: Columns) -> Callable[[bytes], None]:
    """Takes bytes as they are; those of a whole decimal as its digits."""
    take = columns.taker(name)
    if _logical_type(schema) != "decimal" or schema.get("scale", 0) != 0:
        return take

    def take_decimal(value: bytes) -> None:
        if len(value) <= _WIDEST_DECIMAL:
            take(b"%d" % int.from_bytes(value, "big", signed=True))
        else:
            take(value)

    return take_decimal


def _bytes(take: Callable[[bytes], None]) -> Step:
    def step(data: bytes, position: int) -> int:
        length = data[position]
        position += 1
        if length & 0x81:
            length, position = varint(data, position - 1)
        else:
            length >>= 1
        end = position + length
        if length < 0 or end > len(data):
            raise corrupt()
        if length:
            take(data[position:end])
        return end

    return step


def _fixed(schema: dict[str, Any], take: Callable[[bytes], None]) -> Step | None:
    size = schema.get("size")
    if not isinstance(size, int) or size < 0:
        raise corrupt()
    if size == 0:
        return None

    def step(data: bytes, position: int) -> int:
        end = position + size
        if end > len(data):
            raise corrupt()
        take(data[position:end])
        return end

    return step


def _number(take: Callable[[bytes], None], units_a_day: int | None) -> Step:
    """Numbers of six digits or more, as card and social security numbers are; of times, those at midnight as dates."""

    def step(data: bytes, position: int) -> int:
        byte = data[position]
        if byte < 0x80 and units_a_day is None:
            return position + 1
        number, position = varint(data, position)
        if units_a_day is not None:
            day = _day(number, units_a_day)
            if day:
                take(day)
        elif number >= _LONG_NUMBER:
            take(b"%d" % number)
        return position

    return step


def _day(number: int, units_a_day: int) -> bytes:
    days, rest = divmod(number, units_a_day)
    try:
        return b"" if rest else (_EPOCH + timedelta(days=days)).isoformat().encode()
    except OverflowError:
        return b""


def _double(take: Callable[[bytes], None]) -> Step:
    def step(data: bytes, position: int) -> int:
        if position + 8 > len(data):
            raise corrupt()
        (number,) = _DOUBLE.unpack_from(data, position)
        if 1e8 < number < 2.0**63 and number.is_integer():
            take(b"%d" % int(number))
        return position + 8

    return step


def _enum(data: bytes, position: int) -> int:
    return varint(data, position)[1]


def _skip(size: int) -> Step:
    def step(data: bytes, position: int) -> int:
        if position + size > len(data):
            raise corrupt()
        return position + size

    return step
