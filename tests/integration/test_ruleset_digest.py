"""What the ruleset digest covers: an object that counts as scanned under it was read by just these rules."""

import ast
import sys
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

from infrastructure.detection.digest import LIBRARIES, sources

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "infrastructure/detection/engine.py"
LAYERS = {"domain", "application", "infrastructure"}

CHANGES_NO_FINDING = {
    "application/ports.py",  # the shapes of what is passed
    "domain/coverage.py",  # the names of reasons
    "domain/errors.py",
    "domain/__init__.py",
    "application/__init__.py",
    "infrastructure/__init__.py",
}
KEEPS_WHAT_WAS_COMPILED = {"orjson"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)


def files_of(name: str) -> Iterator[Path]:
    """A module, and the packages that are loaded with it."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[:length])
        yield from (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())


def what_the_engine_needs() -> tuple[set[str], set[str]]:
    """The files of ours that it loads sooner or later, and the packages of others."""
    ours: set[Path] = set()
    others: set[str] = set()
    left = [ENGINE]
    while left:
        file = left.pop()
        if file in ours:
            continue
        ours.add(file)
        if str(file.relative_to(ROOT)) in CHANGES_NO_FINDING:
            continue
        for name in imports(file):
            top = name.partition(".")[0]
            if top in LAYERS:
                left.extend(files_of(name))
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return {str(file.relative_to(ROOT)) for file in ours} - CHANGES_NO_FINDING, others


def test_every_file_that_the_engine_loads_is_covered_and_so_is_every_rule_file() -> None:
    covered = {str(file).removeprefix(f"{ROOT}/") for file in sources()}
    needed, _ = what_the_engine_needs()
    assert len(needed) > 80
    assert needed - covered == set()
    rules = [file.name for file in resources.files("domain.detectors.rules").iterdir() if file.name.endswith(".toml")]
    assert {f"domain/detectors/rules/{name}" for name in rules} <= covered


def test_every_library_that_the_engine_loads_is_covered() -> None:
    _, needed = what_the_engine_needs()
    files = {name: metadata.files(name) or () for name in LIBRARIES}
    covered = {file.parts[0].partition(".")[0] for listed in files.values() for file in listed}
    assert needed - covered == KEEPS_WHAT_WAS_COMPILED
