"""Avro's binary encoding by its schema: of each record, the text is taken, the rest is stepped over."""

from collections.abc import Iterator
from typing import Any, Final

from infrastructure.formats.avro_leaves import Columns, Step, corrupt, leaf, too_deep, varint
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.limits import BudgetSpent
from infrastructure.formats.names import shown_name

_MOST_NODES: Final = 100_000
_MOST_ITEMS: Final = 1_000_000
_RECORD_COST: Final = 512
_PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


class Records:
    """Reads records of one schema. Time and memory are bounded by the bytes that records take: what takes none (an
    array of nulls tells any length in a few bytes) is not read at all."""

    def __init__(self, schema: Any) -> None:
        self.columns: Final = Columns()
        self.pending = 0
        """About how many bytes of memory hold what was taken and not yet given."""
        try:
            self._step = _Compiler(self.columns).step(schema, "", "", {})
        except RecursionError:
            raise too_deep() from None
        self.takes_bytes: Final = self._step is not None

    def read(self, data: bytes, position: int) -> int:
        """Take one record that begins here. Where the next one does. Raises parse_error and `BudgetSpent`."""
        if self._step is None:
            return position
        try:
            end = self._step(data, position)
        except IndexError:
            raise corrupt() from None
        except RecursionError:
            raise too_deep() from None
        self.columns.record += 1
        self.columns.items = 0
        self.pending += end - position + _RECORD_COST
        return end

    def batches(self) -> Iterator[ColumnBatch]:
        """What was taken since the last call."""
        self.pending = 0
        return self.columns.batches()


class _Compiler:
    """Makes the steps of a schema, a column for each path to a leaf. A type within itself has the outer one's columns.

    `named` are the types around a place, whose steps may still be in the making.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._types: dict[str, tuple[dict[str, Any], str]] = {}
        self._nodes = 0

    def step(self, schema: Any, path: str, space: str, named: dict[str, "_Later"]) -> Step | None:
        """The step over a value of this type; None if it takes no bytes."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise BudgetSpent("the Avro file has too many columns")
        if isinstance(schema, list):
            return _union([self.step(branch, path, space, named) for branch in schema])
        if isinstance(schema, str):
            return self._by_name(schema, path, space, named)
        if not isinstance(schema, dict):
            raise corrupt()
        kind = schema.get("type")
        if kind == "array":
            return _blocks(self._columns, self.step(schema.get("items"), path, space, named))
        if kind == "map":
            return self._map(schema, path, space, named)
        if kind in ("record", "error", "fixed", "enum"):
            name = _full_name(schema, space)
            self._types[name] = (schema, name.rpartition(".")[0])
            return self._named(name, path, named)
        if isinstance(kind, str) and kind in _PRIMITIVES:
            return leaf(kind, schema, path or "value", self._columns)
        return self.step(kind, path, space, named)

    def _by_name(self, name: str, path: str, space: str, named: dict[str, "_Later"]) -> Step | None:
        if name in _PRIMITIVES:
            return leaf(name, {}, path or "value", self._columns)
        full = f"{space}.{name}" if space and "." not in name else name
        known = full if full in self._types else name
        if known not in self._types:
            raise corrupt()
        return self._named(known, path, named)

    def _named(self, name: str, path: str, named: dict[str, "_Later"]) -> Step | None:
        schema, space = self._types[name]
        if schema["type"] in ("fixed", "enum"):
            return leaf(schema["type"], schema, path or "value", self._columns)
        if name in named:
            return named[name]
        later = _Later()
        steps = self._fields(schema, path, space, {**named, name: later})
        later.target = _sequence(steps)
        return later.target

    def _fields(self, schema: dict[str, Any], path: str, space: str, named: dict[str, "_Later"]) -> Iterator[Step]:
        fields = schema.get("fields")
        if not isinstance(fields, list):
            raise corrupt()
        for field in fields:
            if not isinstance(field, dict) or not isinstance(field.get("name"), str):
                raise corrupt()
            name = shown_name(field["name"])
            step = self.step(field.get("type"), f"{path}.{name}" if path else name, space, named)
            if step is not None:
                yield step

    def _map(self, schema: dict[str, Any], path: str, space: str, named: dict[str, "_Later"]) -> Step:
        key = leaf("string", {}, f"{path}.key" if path else "key", self._columns)
        value = self.step(schema.get("values"), f"{path}.value" if path else "value", space, named)
        steps = [step for step in (key, value) if step is not None]
        return _blocks(self._columns, _sequence(iter(steps)))


class _Later:
    """The step of a type within itself."""

    target: Step | None = None

    def __call__(self, data: bytes, position: int) -> int:
        # A type that holds itself and takes no bytes would never end.
        return self.target(data, position) if self.target is not None else position


def _full_name(schema: dict[str, Any], space: str) -> str:
    name, own = schema.get("name"), schema.get("namespace", space)
    if not isinstance(name, str) or not isinstance(own, str):
        raise corrupt()
    return f"{own}.{name}" if own and "." not in name else name


def _sequence(steps: Iterator[Step]) -> Step | None:
    one_by_one = tuple(steps)
    if len(one_by_one) < 2:
        return one_by_one[0] if one_by_one else None

    def step(data: bytes, position: int) -> int:
        for member in one_by_one:
            position = member(data, position)
        return position

    return step


def _union(branches: list[Step | None]) -> Step:
    def step(data: bytes, position: int) -> int:
        index = data[position]
        position += 1
        if index & 0x81:
            index, position = varint(data, position - 1)
            index *= 2
        branch = branches[index >> 1] if index >= 0 else _no_branch()
        return position if branch is None else branch(data, position)

    return step


def _no_branch() -> Step:
    raise corrupt()


def _blocks(columns: Columns, item: Step | None) -> Step:
    """The items of an array or a map: blocks, each with its number of items, up to an empty one."""

    def step(data: bytes, position: int) -> int:
        while True:
            count, position = varint(data, position)
            if count == 0:
                return position
            if count < 0:
                count = -count
                _, position = varint(data, position)
            if item is None:
                continue
            for _ in range(count):
                position = item(data, position)
                columns.items += 1
                if columns.items > _MOST_ITEMS:
                    raise BudgetSpent("the Avro file has records with too many items")

    return step
