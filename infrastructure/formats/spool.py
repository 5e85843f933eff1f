"""A stream as a file that can be read from anywhere: what formats with their directory at the end need."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from application.ports import ByteStream
from infrastructure.formats.limits import MIB, Budget, BudgetSpent

_IN_MEMORY: Final = 4 * MIB


@contextmanager
def spooled(stream: ByteStream, budget: Budget) -> Iterator[IO[bytes]]:
    """The whole stream as a file, at its beginning: in memory up to 4 MiB, else on disk, and gone afterwards.

    Raises `BudgetSpent` beyond `spool_bytes`, and what the stream raises.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        written = 0
        while block := stream.read(MIB):
            written += len(block)
            if written > budget.limits.spool_bytes:
                raise BudgetSpent("is too large to be read from its end")
            spool.write(block)
        spool.seek(0)
        yield spool
