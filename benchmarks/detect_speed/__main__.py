"""`python -m benchmarks.detect_speed [KIND…]`: the speed of detection on one core, beside its peers."""

import argparse
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.detect_speed import corpora, reports
from benchmarks.detect_speed.corpora import LINES, MEGABYTE
from benchmarks.peers import versions

RESULTS: Final = Path(__file__).resolve().parents[1] / "results" / "speed.json"
KINDS: Final = (*LINES, "source code", "sparse Parquet", "dense Parquet", "small objects")


def main() -> int:
    arguments = _arguments()
    wanted = arguments.kinds or list(KINDS)
    results: dict[str, Any] = {"peers": versions(), "megabytes": arguments.size, "cores": os.cpu_count()}
    print("Beside " + ", ".join(f"{name} {version}" for name, version in results["peers"].items()))
    with TemporaryDirectory(prefix="bench-detect-") as temporary:
        folder = Path(temporary)
        files = [corpus for corpus in _made(folder, arguments) if corpus.kind in wanted]
        if arguments.profile:
            results["rules"] = reports.costly_rules(files, folder, arguments)
        else:
            results |= reports.races(files, folder, arguments)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1), "utf-8")
    print(f"\nAll figures: {RESULTS}")
    return 0


def _made(folder: Path, arguments: argparse.Namespace) -> list[corpora.Corpus]:
    size = int(arguments.size * MEGABYTE)
    made = list(corpora.text_files(folder, size, arguments.seed))
    if not arguments.profile:
        made += corpora.parquet_files(folder, size, arguments.seed)
        made.append(corpora.small_objects(folder / "small", arguments.objects, arguments.seed))
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detect_speed", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"any of {', '.join(KINDS)}; default: all")
    parser.add_argument("--size", type=float, default=64, metavar="MB", help="of each file; default: 64")
    parser.add_argument("--objects", type=int, default=20_000, metavar="N", help="small objects; default: 20,000")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--stream", type=float, default=1_000, metavar="MB", help="for peak memory; default: 1,000")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="default: the last one")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--without", default="", metavar="TOOL,…", help="peers to leave out")
    parser.add_argument(
        "--profile", action="store_true", help="what each rule costs, instead of the race; --size 4 will do"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
