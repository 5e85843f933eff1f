"""Processes on one core, and the seconds that they take."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.detect_speed import rust_patterns
from benchmarks.peers import program

ROOT: Final = Path(__file__).resolve().parents[2]

Command = Callable[[Path], list[str]]


@dataclass(frozen=True, slots=True)
class Took:
    """Elapsed seconds, and those of the processor: of the process and of all that it started."""

    elapsed: float
    processor: float


def on_one_core(command: Sequence[str], core: int) -> Took:
    """Run it to its end with everything it starts on this core. What it writes is thrown away.

    Raises `RuntimeError` if it could not do its work: the exit codes that mean `found` differ, those beyond do not.
    """
    own = os.sched_getaffinity(0)
    begin = time.perf_counter()
    try:
        os.sched_setaffinity(0, {core})  # what is started inherits it
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    finally:
        os.sched_setaffinity(0, own)
    assert process.stderr is not None
    with process.stderr as stderr:
        said = stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    elapsed = time.perf_counter() - begin
    if process.returncode not in {0, 1, 10, 200}:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said[-500:].decode(errors='replace')}")
    return Took(elapsed, usage.ru_utime + usage.ru_stime)


def scanledger(target: Path, *more: str) -> list[str]:
    """All rules; the first 15 of each finding located and masked, as a scan keeps them."""
    start = "import sys; sys.path.insert(0, ''); from api.cli import main; main()"
    options = ["--json", "--quiet", "--jobs", "1", "--max-occurrences", "15", *more]
    return [sys.executable, "-c", start, "detect", *options, str(target)]


def secrets_only(target: Path) -> list[str]:
    """What Kingfisher and betterleaks look for: secrets, and nothing of persons."""
    return scanledger(target, "--detectors", "secret")


def kingfisher(target: Path) -> list[str]:
    options = ["--no-validate", "--no-update-check", "-q", "--jobs", "1", "--max-file-size", "0"]
    return [program("kingfisher"), "scan", str(target), *options, "--format", "json"]


def betterleaks(target: Path) -> list[str]:
    return [program("betterleaks"), "fs", str(target), "--no-banner", "-s", "-j", "1"]


def counting(target: Path) -> list[str]:
    """The least that anybody can do with a file in Python: count a byte in blocks of 1 MiB."""
    count = (
        "import sys, pathlib\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "for path in sorted(root.iterdir()) if root.is_dir() else [root]:\n"
        "    with open(path, 'rb', buffering=0) as file:\n"
        "        while block := file.read(1 << 20):\n"
        "            block.count(10)"
    )
    return [sys.executable, "-S", "-c", count, str(target)]


def rg_with(patterns: Path) -> Command:
    return lambda target: rust_patterns.rg(patterns, target)
