"""No stored kind changes its shape under the same schema number.

A shape that changes needs a new `schema` in the class, an upcast from the one before, a sample, and two files of the
new number: an event as it is stored, and its shape. Files that are there are never edited.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields, make_dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from application.event_schemas import KINDS, shape
from domain.scan_events import ChunkCompleted, ListingUnit, Queued
from infrastructure.postgres.event_codec import CLASSES, UPCASTS

SHAPES = Path(__file__).parent / "events" / "shapes"


def kept(kind: str, schema: int) -> Any:
    return json.loads((SHAPES / f"{kind}.{schema}.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_every_kind_has_the_shape_that_is_kept_of_its_schema(kind: str) -> None:
    assert shape(CLASSES[kind]) == kept(kind, CLASSES[kind].schema)


def test_no_kind_that_was_stored_once_is_renamed_or_dropped() -> None:
    of_files = {path.stem.rpartition(".")[0] for path in SHAPES.glob("*.json")}
    assert of_files == set(CLASSES) == set(KINDS)


def test_every_earlier_schema_of_a_kind_has_an_upcast() -> None:
    wanted = {(kind, schema) for kind, event in CLASSES.items() for schema in range(1, event.schema)}
    assert set(UPCASTS) == wanted


def remade(cls: type, **changes: tuple[Any, Any] | None) -> type:
    """The class with fields changed, added (type and default, MISSING for none) or left out (None)."""
    now: dict[str, tuple[Any, Any]] = {}
    for one in fields(cls):
        made = field(default_factory=one.default_factory) if one.default_factory is not MISSING else one.default
        now[one.name] = (one.type, made)
    every = {name: change for name, change in {**now, **changes}.items() if change is not None}
    made_of = [(name, of, default) if default is not MISSING else (name, of) for name, (of, default) in every.items()]
    return make_dataclass(cls.__name__, made_of, kw_only=True, frozen=True)


def test_a_class_made_again_as_it_is_has_the_same_shape() -> None:
    assert shape(remade(ChunkCompleted)) == kept("scan.chunk-completed", 3)


CHANGES: Mapping[str, Callable[[], type]] = {
    "a required field is added": lambda: remade(ChunkCompleted, region=(str, MISSING)),
    "an optional field is added": lambda: remade(ChunkCompleted, region=(str, "")),
    "a field is removed": lambda: remade(ChunkCompleted, allowed=None),
    "a required field is removed": lambda: remade(ChunkCompleted, bytes_read=None),
    "a field is renamed": lambda: remade(ChunkCompleted, bytes_read=None, bytes_scanned=(int, MISSING)),
    "a type is widened": lambda: remade(ChunkCompleted, bytes_read=(float, MISSING)),
    "a type is changed": lambda: remade(ChunkCompleted, worker=(int, MISSING)),
    "what may be missing becomes required": lambda: remade(ChunkCompleted, allowed=(int, MISSING)),
    "a moment becomes a text": lambda: remade(ChunkCompleted, started_at=(str, MISSING)),
    "a default is changed": lambda: remade(ChunkCompleted, allowed=(int, 1)),
    "null is allowed": lambda: remade(ChunkCompleted, worker=(str | None, MISSING)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_shape_tells_that(change: Callable[[], type]) -> None:
    changed = change()
    assert shape(changed) != kept("scan.chunk-completed", 3)


def test_the_shape_tells_that_something_within_a_field_has_changed() -> None:
    unit = remade(ListingUnit, owner=(str, ""))
    changed = remade(Queued, units=(tuple[unit, ...], MISSING))  # type: ignore[valid-type]  # made just now
    assert shape(changed) != kept("scan.queued", 3)


def test_what_is_stored_is_what_the_shape_tells() -> None:
    """The shape is derived as the encoder sees the class, not as somebody wrote it down."""
    told = shape(ListingUnit)["$defs"]["ListingUnit"]["properties"]
    assert set(told) == set(msgspec.to_builtins(ListingUnit("conn-1")))
