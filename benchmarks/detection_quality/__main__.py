"""`python -m benchmarks.detection_quality [PART…]`: how good detection is, beside the peers, part by part."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.detection_quality import reports
from benchmarks.peers import versions

RESULTS: Final = Path(__file__).resolve().parents[1] / "results" / "quality.json"

PARTS: Final[dict[str, Callable[[argparse.Namespace], dict[str, Any]]]] = {
    "labelled": reports.labelled_sets,
    "numbers": reports.planted_numbers,
    "secrets": reports.planted_secrets,
    "negatives": reports.hard_negatives,
    "peer-rules": reports.values_of_peers,
    "alarms": reports.ordinary_files,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection_quality", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is generated; default: 1")
    parser.add_argument("--quick", action="store_true", help="little of everything: shows that it runs")
    parser.add_argument(
        "--examples", type=int, default=3, metavar="N", help="of misses and false alarms to show; default: 3"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    # The parts that are not measured now keep their figures.
    results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if arguments.parts and RESULTS.exists() else {}
    results |= {"seed": arguments.seed, "peers": versions()}
    print("Beside " + ", ".join(f"{name} {version}" for name, version in results["peers"].items()))
    for name in arguments.parts or PARTS:
        begin = time.perf_counter()
        results[name] = PARTS[name](arguments)
        print(f"  ({name}: {time.perf_counter() - begin:.0f} s)", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False), "utf-8")
    print(f"\nAll figures: {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
