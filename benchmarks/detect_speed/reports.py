"""The tables of speed: every tool on every file, and ours beside each aim."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.detect_speed import in_process, profile, rust_patterns, tools
from benchmarks.detect_speed.corpora import MEGABYTE, Corpus
from benchmarks.detect_speed.rounds import Rates, raced, starts
from benchmarks.detect_speed.tools import Command
from benchmarks.peers import presidio
from benchmarks.tables import Table, figure, median, ratio

OURS: Final = "scanledger"
PATTERNS: Final = "rg, our patterns"
ANCHORS: Final = "rg, our anchors"
SECRETS: Final = "ours, only secrets"
COUNTING: Final = "bytes.count"
TEXT_PEERS: Final = ("kingfisher", "betterleaks", PATTERNS, ANCHORS)

AIMS: Final = {"kingfisher": 2.0, PATTERNS: 1.0}
PRESIDIO_AIM: Final = 2_000
MEGABYTES_AIM: Final = {"dense CSV": 100, "sparse Parquet": 100, "dense Parquet": 100}
OBJECT_AIM: Final = 100
MEMORY_AIM: Final = 150
_SLICE: Final = 100_000
_PIECE: Final = 4_000
_STREAMS: Final = ("plain log", "dense CSV")


def races(files: Sequence[Corpus], folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Every file in every tool; then what is measured within a process."""
    empty = folder / "empty.txt"
    empty.write_bytes(b"")
    chosen = _tools(folder, empty, set(arguments.without.split(",")))
    start = starts(chosen, empty, arguments.core, 3)
    table = Table("Start: processor seconds for an empty file", ["", "s"])
    for name, seconds in start.items():
        table.add(name, f"{seconds:.2f}")
    table.show()
    kept: dict[str, Any] = {"start": start, "files": {}}
    measured = {}
    for corpus in files:
        rates = raced(corpus, _apt(chosen, corpus), start, arguments.core, arguments.rounds)
        measured[corpus.kind] = rates
        slow = _presidio(corpus) if "presidio" not in arguments.without else None
        _file_table(corpus, rates, slow).show()
        kept["files"][corpus.kind] = _figures(corpus, rates, slow)
    _summary(measured).show()
    return kept | _within(arguments)


def _tools(folder: Path, empty: Path, without: set[str]) -> dict[str, Command]:
    whole, begun = folder / "patterns.txt", folder / "anchors.txt"
    refused = rust_patterns.written(rust_patterns.patterns(), whole, empty)
    rust_patterns.written(rust_patterns.anchors(), begun, empty)
    print(f"rg takes all of our patterns but {refused}.")
    known: dict[str, Command] = {
        OURS: tools.scanledger,
        SECRETS: tools.secrets_only,
        "kingfisher": tools.kingfisher,
        "betterleaks": tools.betterleaks,
        PATTERNS: tools.rg_with(whole),
        ANCHORS: tools.rg_with(begun),
        COUNTING: tools.counting,
    }
    return {name: tool for name, tool in known.items() if name.split(",")[0] not in without}


def _apt(chosen: Mapping[str, Command], corpus: Corpus) -> dict[str, Command]:
    """Nobody else reads Parquet: they would see compressed bytes."""
    return {name: tool for name, tool in chosen.items() if corpus.path.suffix != ".parquet" or name == OURS}


def _presidio(corpus: Corpus) -> float | None:
    """Bytes a second of all of Presidio's pattern recognizers on a small part of the text, extrapolated."""
    if corpus.path.is_dir() or corpus.path.suffix == ".parquet":
        return None
    with corpus.path.open("rb") as file:
        text = file.read(_SLICE).decode("utf-8", "replace")
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    return _SLICE / presidio.analyze(pieces, ()).seconds


def _file_table(corpus: Corpus, rates: Mapping[str, Rates], slow: float | None) -> Table:
    columns = ["", "MB/s", "MB/s net of start", "elapsed s", "ours ÷ this", "net", "aim", ""]
    table = Table(f"{corpus.kind}: {corpus.size / MEGABYTE:.0f} MB", columns)
    ours = rates[OURS]
    for name, rate in rates.items():
        beside = (
            ("", "") if name == OURS else (figure(ratio(ours.whole, rate.whole)), figure(ratio(ours.net, rate.net)))
        )
        aim = (
            f"≥ {AIMS[name]:g}"
            if name in AIMS
            else f"≥ {MEGABYTES_AIM[corpus.kind]} MB/s"
            if name == OURS and corpus.kind in MEGABYTES_AIM
            else ""
        )
        part = f"on {rate.part / MEGABYTE:.0f} MB of it" if rate.part else ""
        table.add(name, _speed(rate.whole), _speed(rate.net), f"{median(rate.elapsed):.1f}", *beside, aim, part)
    if slow is not None:
        beside = (figure(median(ours.whole) / slow), figure(median(ours.net) / slow))
        table.add(
            "Presidio",
            f"{slow / MEGABYTE:.4f}",
            f"{slow / MEGABYTE:.4f}",
            "",
            *beside,
            f"≥ {PRESIDIO_AIM:,}",
            "on 0.1 MB, in process",
        )
    return table


def _speed(rates: Sequence[float]) -> str:
    return figure(median(rates) / MEGABYTE)


def _summary(measured: Mapping[str, Mapping[str, Rates]]) -> Table:
    peers = [name for name in (SECRETS, *TEXT_PEERS, COUNTING) if any(name in rates for rates in measured.values())]
    table = Table("Ours, MB/s, and ours ÷ peer, net of start", ["", "MB/s", "net", *(f"÷ {name}" for name in peers)])
    for kind, rates in measured.items():
        ours = rates[OURS]
        beside = [_marked(ratio(ours.net, rates[name].net), AIMS.get(name)) if name in rates else "" for name in peers]
        own = _marked(median(ours.net) / MEGABYTE, MEGABYTES_AIM.get(kind))
        table.add(kind, _speed(ours.whole), own, *beside)
    table.notes.append("`!`: short of the aim.")
    return table


def _marked(value: float, aim: float | None) -> str:
    return f"{figure(value)} !" if aim is not None and value < aim else figure(value)


def _within(arguments: argparse.Namespace) -> dict[str, Any]:
    objects = in_process.small_objects(arguments.seed)
    table = Table("An object of 1 KB that is in memory", ["", "µs", "aim"])
    for kind, cost in objects.items():
        table.add(kind, figure(cost), f"≤ {OBJECT_AIM}")
    table.show()
    memory = {kind: in_process.peak_memory(kind, int(arguments.stream * MEGABYTE), arguments.seed) for kind in _STREAMS}
    table = Table(f"Memory for a stream of {arguments.stream:,.0f} MB", ["", "MB before", "MB at most", "aim"])
    for kind, (before, most) in memory.items():
        table.add(kind, figure(before), figure(most), f"≤ {MEMORY_AIM}")
    table.show()
    return {"microseconds for 1 KB": objects, "memory": memory}


def _figures(corpus: Corpus, rates: Mapping[str, Rates], slow: float | None) -> dict[str, Any]:
    kept: dict[str, Any] = {"bytes": corpus.size, "presidio bytes/s": slow}
    for name, rate in rates.items():
        kept[name] = {
            "bytes/s": rate.whole,
            "bytes/s net of start": rate.net,
            "elapsed": rate.elapsed,
            "part": rate.part,
        }
    return kept


def costly_rules(files: Sequence[Corpus], folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The rules that cost most on each file."""
    kept = {}
    # Hundreds of sets of one rule each would push that of all rules out of the user's cache.
    os.environ["XDG_CACHE_HOME"] = str(folder)
    for corpus in files:
        text = corpus.path.read_bytes()[: int(arguments.size * MEGABYTE)]
        found = sorted(profile.costs(text, corpus.path.name), key=lambda cost: -cost.milliseconds)
        size = len(text) / MEGABYTE
        columns = ["", "ms/MB alone", "anchors/MB", "hits/MB", "anchors that end most often"]
        table = Table(f"Rules that cost most: {corpus.kind}, {size:.0f} MB", columns)
        whole, idle, fired = (value / size for value in profile.all_told(text, corpus.path.name))
        table.add("all detectors", f"{whole:.2f}", figure(fired), "", f"with none: {idle:.2f} ms/MB")
        for cost in found[:15]:
            often = "   ".join(f"{count / size:,.0f} × {expression[:40]}" for expression, count in cost.anchors[:2])
            table.add(
                cost.detector,
                f"{cost.milliseconds / size:.2f}",
                figure(cost.fired / size),
                figure(cost.hits / size),
                often,
            )
        table.show()
        kept[corpus.kind] = {
            cost.detector: (cost.milliseconds / size, cost.fired / size, cost.hits / size) for cost in found
        }
    return kept
