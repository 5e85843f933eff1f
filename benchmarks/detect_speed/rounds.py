"""Rounds in which every tool reads the same file in turn, so that what disturbs the machine disturbs all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.detect_speed.corpora import MEGABYTE, Corpus
from benchmarks.detect_speed.tools import Command, Took, on_one_core
from benchmarks.tables import median

_PATIENCE: Final = 25.0
"""Seconds of the processor that a tool may take for a file; of more it gets a part of the file."""

_PROBE: Final = 2 * MEGABYTE


@dataclass(slots=True)
class Rates:
    """A tool on a file: bytes a processor second round by round, as a process and net of its start; the elapsed
    seconds; and of how many bytes, if not of all."""

    whole: list[float] = field(default_factory=list)
    net: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    part: int = 0


def starts(tools: Mapping[str, Command], empty: Path, core: int, rounds: int) -> dict[str, float]:
    """Processor seconds that each tool takes for an empty file."""
    return {
        name: median([on_one_core(tool(empty), core).processor for _ in range(rounds)]) for name, tool in tools.items()
    }


def raced(
    corpus: Corpus, tools: Mapping[str, Command], start: Mapping[str, float], core: int, rounds: int
) -> dict[str, Rates]:
    """Every tool on this file, in alternating rounds."""
    targets = {name: _bearable(corpus, tool, start[name], core) for name, tool in tools.items()}
    rates = {name: Rates(part=size if path != corpus.path else 0) for name, (path, size) in targets.items()}
    for _ in range(rounds):
        for name, tool in tools.items():
            path, size = targets[name]
            _add(rates[name], on_one_core(tool(path), core), size, start[name])
    return rates


def _add(rates: Rates, took: Took, size: int, start: float) -> None:
    rates.whole.append(size / took.processor)
    # Starts vary by more than what a fast tool takes for a small file: a tenth of one is the least that can be told.
    rates.net.append(size / max(took.processor - start, start / 10))
    rates.elapsed.append(took.elapsed)


def _bearable(corpus: Corpus, tool: Command, start: float, core: int) -> tuple[Path, int]:
    """The file and its size; or the beginning of it, if the tool would take too long for all of it."""
    if corpus.path.is_dir() or corpus.path.suffix == ".parquet" or corpus.size <= _PROBE:
        return corpus.path, corpus.size
    probe = _beginning(corpus, _PROBE)
    speed = probe.stat().st_size / max(on_one_core(tool(probe), core).processor - start, 0.001)
    if corpus.size / speed <= _PATIENCE:
        return corpus.path, corpus.size
    part = _beginning(corpus, max(int(speed * _PATIENCE), _PROBE))
    return part, part.stat().st_size


def _beginning(corpus: Corpus, size: int) -> Path:
    """The first so many bytes as a file of its own, cut at a line's end."""
    size = size // MEGABYTE * MEGABYTE
    path = corpus.path.with_name(f"{corpus.path.stem}-{size // MEGABYTE}{corpus.path.suffix}")
    if not path.exists():
        with corpus.path.open("rb") as whole:
            content = whole.read(size)
        path.write_bytes(content[: content.rfind(b"\n") + 1])
    return path
