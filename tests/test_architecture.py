"""The layers, read from the sources: domain ← application ← infrastructure ← (api | workers)."""

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from infrastructure import wiring

ROOT = Path(__file__).parents[1]
LAYERS = ("domain", "application", "infrastructure", "api", "workers")
MAY_IMPORT: dict[str, set[str]] = {
    "domain": {"domain", "immutables"},
    "application": {"application", "domain", "immutables", "msgspec", "pydantic", "zstandard"},
}
"""All that these layers may import beside the standard library."""

ONLY_IN_INFRASTRUCTURE = {
    "boto3",
    "botocore",
    "eventsourcing",
    "httpcore",
    "hyperscan",
    "lxml",
    "nats",
    "obstore",
    "psycopg",
    "psycopg_pool",
    "pyarrow",
    "re2",
    "standardwebhooks",
    "urllib3",
}
WIRING = "infrastructure.wiring"
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "managers", "manager", "misc"}

IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}
"""The domain has no I/O, no clock, no randomness."""


def sources(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, by its full name; inside functions too, and by relative import or by name."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = ".".join(
                    [*(package[: len(package) - level + 1] if level else ()), *([module] if module else ())]
                )
                yield base
                yield from (f"{base}.{alias.name}" for alias in names)
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[argument, *_]):
                # A name that is worked out could be anything.
                yield str(argument.value) if isinstance(argument, ast.Constant) else "*"


def offences(layer: str, *, allowed: set[str] | None = None, forbidden: Collection[str] = ()) -> list[str]:
    """What the files of a layer import against the rules. A name worked out at run time is against them all."""
    found = []
    for path in sources(layer):
        for name in imports(path):
            top = name.partition(".")[0]
            strange = allowed is not None and top not in allowed and top not in sys.stdlib_module_names
            if strange or top in forbidden or name == "*":
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


def test_every_layer_has_sources() -> None:
    assert [layer for layer in LAYERS if not sources(layer)] == []


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_the_inner_layers_import_nothing_but_what_is_listed(layer: str) -> None:
    assert offences(layer, allowed=MAY_IMPORT[layer]) == []


def test_the_domain_is_pure() -> None:
    assert offences("domain", forbidden=IMPURE) == []


@pytest.mark.parametrize("layer", ["api", "workers"])
def test_drivers_of_the_outside_world_are_used_in_infrastructure_alone(layer: str) -> None:
    assert offences(layer, forbidden=ONLY_IN_INFRASTRUCTURE) == []


def test_infrastructure_knows_nothing_of_what_is_built_on_it() -> None:
    assert offences("infrastructure", forbidden={"api", "workers"}) == []


@pytest.mark.parametrize(("layer", "other"), [("api", "workers"), ("workers", "api")])
def test_api_and_workers_never_import_each_other_and_build_everything_through_wiring(layer: str, other: str) -> None:
    assert offences(layer, forbidden={other}) == []
    around = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(layer)
        for name in imports(path)
        if name.startswith("infrastructure.") and name != WIRING and not name.startswith(f"{WIRING}.")
    ]
    assert around == []


def test_whatever_wiring_passes_on_is_there_when_it_is_asked_for() -> None:
    assert [name for name in wiring.__all__ if not hasattr(wiring, name)] == []
    assert not hasattr(wiring, "something_else")


def test_modules_are_named_by_what_they_do() -> None:
    names = {
        part for layer in LAYERS for path in sources(layer) for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert names & SAYS_NOTHING == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import psycopg", {"psycopg"}),
        ("def f():\n    from api.app import x", {"api.app", "api.app.x"}),
        ("from . import other", {"api", "api.other"}),
        ("from .. import workers", {"", ".workers"}),
        ("import importlib\nimportlib.import_module('nats')", {"importlib", "nats"}),
        ("__import__(name)", {"*"}),
        ("from infrastructure import wiring", {"infrastructure", "infrastructure.wiring"}),
    ],
)
def test_no_import_escapes_this_test(
    source: str, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "api" / "some.py"
    path.parent.mkdir()
    path.write_text(source)
    assert set(imports(path)) == found
