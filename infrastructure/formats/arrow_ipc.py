"""Arrow's own file format, which is Feather version 2, too. pyarrow is loaded on first use."""

from collections.abc import Iterator
from typing import Final

from infrastructure.formats.arrow_columns import BATCH_ROWS, columns_of, unreadable
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.limits import Budget
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream

_MAGIC: Final = b"ARROW1\x00\x00"


def is_arrow(head: bytes, _name: str) -> bool:
    return head.startswith(_MAGIC)


def read(content: PeekableStream, name: str, budget: Budget) -> Iterator[ColumnBatch]:  # noqa: ARG001 — a reader's signature
    """The text of an Arrow file. Reads the stream to its end into a temporary file first. See `extracted.Reader`.

    A record batch of the file is held in memory as a whole.
    """
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only columnar formats need

    with spooled(content, budget) as spool:
        try:
            file = pa.ipc.open_file(spool, options=pa.ipc.IpcReadOptions(use_threads=False))
            first = 0
            for index in range(file.num_record_batches):
                budget.check_time()
                batch = file.get_batch(index)
                # Its offsets are followed as they are: wrong ones would be read far outside.
                batch.validate(full=True)
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    for columns in columns_of(batch[start : start + BATCH_ROWS], first + start):
                        budget.produced(columns.size)
                        yield columns
                first += batch.num_rows
        except (pa.ArrowException, OSError, ValueError, MemoryError, NotImplementedError, IndexError) as error:
            raise unreadable(error, "Arrow") from error
