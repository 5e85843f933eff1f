"""What is installed is what is tested: no data file of a package is left out of the wheel."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SETUPTOOLS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
PATTERNS: Final = SETUPTOOLS["package-data"]["*"]
LAYERS: Final = [name.removesuffix("*") for name in SETUPTOOLS["packages"]["find"]["include"]]
COMPILED: Final = {".pyc", ".pyo"}


def data_files() -> list[Path]:
    files = (file for layer in LAYERS for file in (ROOT / layer).rglob("*") if file.is_file())
    return [file for file in files if file.suffix not in COMPILED | {".py"}]


def test_every_data_file_is_packed() -> None:
    files = data_files()
    assert {".sql", ".toml", ".html"} <= {file.suffix for file in files}
    unpacked = [file for file in files if not any(fnmatch(file.name, pattern) for pattern in PATTERNS)]
    assert [str(file.relative_to(ROOT)) for file in unpacked] == []


def test_every_folder_with_files_is_found_as_a_package() -> None:
    """Setuptools takes each folder for a package whose name could be one's, with `__init__.py` or without."""
    assert SETUPTOOLS["packages"]["find"].get("namespaces", True)
    folders = {file.parent.relative_to(ROOT) for layer in LAYERS for file in (ROOT / layer).rglob("*.*")}
    assert [str(folder) for folder in folders if not all(part.isidentifier() for part in folder.parts)] == []
