"""The `scanledger` command: a client of the REST API, and the way to run the service or its parts."""

import sys


def main() -> None:
    """Run the command line and exit. No outcome is a traceback, not even Ctrl-C while still loading."""
    try:
        from api.cli import commands  # noqa: PLC0415 — what takes time to load must load inside of the try
    except KeyboardInterrupt:
        sys.exit(130)
    commands.main()
