"""Files with secrets in them, made from the documented formats of `tokens.txt`, never from our rules."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from benchmarks.detection_quality.carriers import BARE, NAMED, Case, placed
from benchmarks.detection_quality.makers import MAKERS
from benchmarks.detection_quality.shapes import begins_with, made

_HERE: Final = Path(__file__).parent
_TELLS_ITSELF: Final = 3
"""A literal beginning of so many characters tells what a value is without a name."""


class Format(NamedTuple):
    """A kind with its variables' names and a shape of its value."""

    kind: str
    names: tuple[str, ...]
    shape: str


def formats() -> Iterator[Format]:
    """The lines of `tokens.txt`, a shape at a time."""
    for kind, names, shapes in _rows("tokens.txt"):
        for shape in shapes.split("  "):
            yield Format(kind, tuple(names.split()), shape.strip())


def own_lines() -> Iterator[tuple[str, str]]:
    """Kinds and whole lines of `token_lines.txt`."""
    for kind, line in _rows("token_lines.txt"):
        yield kind, line.replace("\\n", "\n")


def _rows(name: str) -> Iterator[list[str]]:
    for line in (_HERE / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield [cell.strip() for cell in line.split(" | ")]


def cases(seed: int, each: int) -> Iterator[Case]:
    """Every shape in `each` files with a name, and two without if its value tells what it is; the same for a seed."""
    random = Random(seed)
    for number, form in enumerate(formats()):
        for name in random.sample(sorted(NAMED), each):
            variable = random.choice(form.names)
            line = NAMED[name](variable, made(form.shape, random, MAKERS))
            yield placed(name, line, form.kind, f"{number:04}-{len(line):03}-{random.randrange(10**6)}", random)
        if len(begins_with(form.shape)) >= _TELLS_ITSELF and "://" not in form.shape:
            for name in random.sample(sorted(BARE), 2):
                line = BARE[name]("", made(form.shape, random, MAKERS))
                yield placed(name, line, form.kind, f"{number:04}-bare-{random.randrange(10**6)}", random)
    for number, (kind, template) in enumerate(own_lines()):
        for turn in range(each):
            line = made(template, random, MAKERS)
            name = "service.conf" if turn % 2 else "notes.txt"
            case = placed(name, line, kind, f"own{number:03}-{turn}", random)
            yield Case(case.path, case.text, kind, _with_secret(case.lines, template))


def _with_secret(lines: range, template: str) -> range:
    """All lines of a block; of a manifest only those that vary, behind its first ones."""
    if not template.startswith("apiVersion"):
        return lines
    varying = [at for at, row in enumerate(template.split("\n")) if "{" in row]
    return range(lines.start + varying[-1], lines.stop)
