"""Files that commands write: whole, or not at all."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from api.cli.failures import Misuse

STDOUT: Final = "-"


@contextmanager
def opened(output: str) -> Iterator[IO[bytes]]:
    """Stdout for -, else the file of that name, once all is written. Raises `Misuse` for one that cannot be."""
    if output == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with _whole(Path(output)) as file:
        yield file


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside `path`, which takes its place when the context ends well, and is gone if it does not."""
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise Misuse(f"{path} is no regular file: give another FILE, or - and redirect it.")
    partial = target.with_name(f".{target.name[:50]}.{secrets.token_hex(4)}.partial")
    try:
        file = partial.open("xb")
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
