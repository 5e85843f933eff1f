"""Identifiers planted in sentences, settings, JSON and tables, beside numbers that only look like them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from benchmarks.detection_quality.checked import valid_by, value_of
from benchmarks.detection_quality.scoring import Span
from benchmarks.detection_quality.shapes import made

_SENTENCES: Final = (
    "Please update the file: {label} {value} as of today.",
    "The applicant's {label} is {value} and was verified.",
    "{label}: {value}",
    "We have your {label} ({value}) on record.",
)
_SETTINGS: Final = (
    "{key}={value}",
    "{key}: {value}",
    '{key} = "{value}"',
    "2026-03-14T09:26:53 INFO form saved {key}={value} in 12 ms",
)
_JSON: Final = ('{{"id": {n}, "{key}": "{value}", "active": true}}', '{{"customer": {{"{key}": "{value}"}}, "n": {n}}}')
_DECOYS: Final = (
    "order {d9} shipped, invoice {d8}, {d3} items",
    "timestamp=17{d8} duration={d4} status=200",
    '"offset": {d11}, "size": {d9}, "crc": {d10}',
    "build {d4}.{d3}.{d5} took {d3} ms, pid {d5}",
    "tracking number {d12}, weight {d3}.{d2} kg",
    "sku {A3}{d6}, lot {d7}, batch {A2}{d4}",
    "row {d6}: checksum {h8} length {d7}",
    "ticket #{d6} closed, ref {A2}-{d7}",
)


class Identifier(NamedTuple):
    """A line of `identifiers.txt`: any of these detectors may find it; the first is its kind."""

    detectors: tuple[str, ...]
    entity: str | None
    check: str
    shapes: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.detectors[0]


@dataclass(frozen=True, slots=True)
class Planted:
    """A text with identifiers of one kind at these spans; none where all of it only looks like them."""

    text: str
    kind: str
    spans: tuple[Span, ...]
    name: str = "note.txt"


def identifiers() -> Iterator[Identifier]:
    """The lines of `identifiers.txt`."""
    for line in Path(__file__).with_name("identifiers.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            detectors, entity, check, shapes, labels = (cell.strip() for cell in line.split(" | "))
            known = None if entity == "-" else entity
            yield Identifier(
                tuple(detectors.split(",")), known, check, tuple(shapes.split("  ")), tuple(labels.split(", "))
            )


def planted(identifier: Identifier, seed: int, each: int) -> Iterator[Planted]:
    """Texts with valid values in each carrier, `each` a carrier, and as many decoys: values that fail their check
    under the same label, and numbers of everyday life under none."""
    random = Random(f"{seed}-{identifier.kind}")
    for templates, name in ((_SENTENCES, "note.txt"), (_SETTINGS, "app.log"), (_JSON, "events.ndjson")):
        for _ in range(each):
            yield _in_line(identifier, random.choice(templates), name, random)
    yield _in_table(identifier, each, random)
    yield from _wrong(identifier, each, random)
    for _ in range(each):
        yield Planted("\n".join(_decoy(random) for _ in range(4)), identifier.kind, ())


def _decoy(random: Random) -> str:
    return made(random.choice(_DECOYS), random)


def _in_line(identifier: Identifier, template: str, name: str, random: Random) -> Planted:
    value = value_of(random.choice(identifier.shapes), identifier.check, random)
    label = random.choice(identifier.labels)
    text = template.format(label=label, key=_key(label), value=value, n=random.randrange(10**6))
    start = text.index(value)
    return Planted(text, identifier.kind, ((start, start + len(value)),), name)


def _in_table(identifier: Identifier, rows: int, random: Random) -> Planted:
    text = f"id,{_key(random.choice(identifier.labels))},amount\n"
    spans = []
    for row in range(rows):
        value = value_of(random.choice(identifier.shapes), identifier.check, random)
        line = f"{1000 + row},{value},{random.randrange(10**4)}.{random.randrange(100):02}\n"
        spans.append((len(text) + 5, len(text) + 5 + len(value)))
        text += line
    return Planted(text, identifier.kind, tuple(spans), "export.csv")


def _wrong(identifier: Identifier, each: int, random: Random) -> Iterator[Planted]:
    if identifier.check in {"-", "bitcoin"}:
        return
    valid = valid_by(identifier.check)
    # A number without a check digit may stay valid.
    for _ in range(each):
        value = made_wrong(value_of(random.choice(identifier.shapes), identifier.check, random), random)
        if not valid(value):
            yield Planted(f"{random.choice(identifier.labels)}: {value}", identifier.kind, ())


def made_wrong(value: str, random: Random) -> str:
    """The value with another last digit."""
    place = max(at for at, character in enumerate(value) if character.isdigit())
    return value[:place] + random.choice("0123456789".replace(value[place], "")) + value[place + 1 :]


def _key(label: str) -> str:
    """The label as a name. What is not ASCII stays: some scripts write vowels as marks that are no letters."""
    return "_".join("".join(c if c.isalnum() or not c.isascii() else " " for c in label).split()).lower()
