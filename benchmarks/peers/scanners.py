"""Kingfisher and betterleaks on a folder: what they found, by file and line."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import program, run


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that a tool reports: in which file, on which lines, as what. `value` is for masked display only."""

    path: str
    first_line: int
    last_line: int
    rule: str
    confidence: float = 1.0
    value: str = ""


def kingfisher(folder: Path) -> list[Alarm]:
    """What Kingfisher finds at its default confidence, every occurrence, nothing verified online."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out.jsonl"
        options = ["--no-validate", "--no-update-check", "--no-dedup", "-q", "--jobs", "2", "--max-file-size", "0"]
        done = run([program("kingfisher"), "scan", str(folder), *options, "--format", "jsonl", "-o", str(out)])
        found = [line["finding"] | {"id": line["rule"]["id"]} for line in _lines(out, done.stderr) if "rule" in line]
    return [_of_kingfisher(finding) for finding in found]


def _of_kingfisher(finding: dict[str, Any]) -> Alarm:
    # It masks nothing here; how many lines a value has can be told by itself.
    value = finding["snippet"]
    line = finding["line"]
    return Alarm(
        finding["path"], line, line + value.count("\n"), finding["id"].removeprefix("betterleaks."), 1.0, value
    )


def betterleaks(folder: Path) -> list[Alarm]:
    """What betterleaks finds by its own rules, at every confidence that it reports by default."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out.jsonl"
        done = run([program("betterleaks"), "fs", str(folder), "--no-banner", "-s", "-j", "2", "-o", str(out)])
        found = [line["finding"] for line in _lines(out, done.stderr) if "finding" in line]
    return [_of_betterleaks(finding) for finding in found]


def _of_betterleaks(finding: dict[str, Any]) -> Alarm:
    place = finding["location"]
    value = finding["match"]["value"]
    return Alarm(place["path"], place["start_line"], place["end_line"], finding["rule_id"], 1.0, value)


def _lines(out: Path, said: str) -> Iterator[dict[str, Any]]:
    if not out.exists():
        raise RuntimeError(f"a peer wrote no report: {said[-400:]}")
    for line in out.read_text("utf-8", "replace").splitlines():
        if line.strip():
            yield json.loads(line)


def rules_of_kingfisher() -> list[tuple[str, str]]:
    """Id and regular expression of each rule; betterleaks has the same ones, but for a few."""
    listed = json.loads(run([program("kingfisher"), "rules", "list", "--format", "json"]).stdout)
    return [(rule["id"].removeprefix("betterleaks."), rule["pattern"]) for rule in listed]
