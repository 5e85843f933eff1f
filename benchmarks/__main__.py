"""`python -m benchmarks [NAME…] [--quick]`: the benchmarks, or those named, one after the other."""

import argparse
import importlib
import sys
import time

BY_NAME = ("simulation",)
"""Those that take very long."""

NAMES = (
    "ring",
    "events",
    "publisher",
    "s3_scan",
    "listing",
    "incremental",
    "read_api",
    "replay",
    "live",
    "export",
    "seal",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*NAMES, *BY_NAME)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(known)}; default: all but the last"
    )
    parser.add_argument("--quick", action="store_true", help="one short round each: shows that it runs, not how fast")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for name in arguments.names or NAMES:
        begin = time.perf_counter()
        importlib.import_module(f"benchmarks.{name}").run(quick=arguments.quick)
        print(f"  ({name}: {time.perf_counter() - begin:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
