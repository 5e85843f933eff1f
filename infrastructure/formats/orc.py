"""ORC: every text column of every stripe, some columns at a time. pyarrow is loaded on first use."""

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.arrow_columns import BATCH_ROWS, columns_of, may_hold_text, unreadable
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.limits import Budget
from infrastructure.formats.signatures import has_signature
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream

if TYPE_CHECKING:
    import pyarrow.orc as pyarrow_orc

_MAGIC: Final = b"ORC"
_MOST_READS: Final = 64
_MOST_STRIPE_ROWS: Final = 20_000_000


def is_orc(head: bytes, _name: str) -> bool:
    return has_signature(head, _MAGIC)


def read(content: PeekableStream, name: str, budget: Budget) -> Iterator[ColumnBatch]:  # noqa: ARG001 — a reader's signature
    """The text of an ORC file. Reads the stream to its end into a temporary file first. See `extracted.Reader`.

    Of a stripe, one column is held in memory at a time; of a table of more than 64 columns, a 64th of them.
    """
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only columnar formats need

    with spooled(content, budget) as spool:
        try:
            for batch in _batches(spool, budget):
                budget.produced(batch.size)
                yield batch
        except (pa.ArrowException, OSError, ValueError, MemoryError, NotImplementedError) as error:
            raise unreadable(error, "ORC") from error


def _batches(file: IO[bytes], budget: Budget) -> Iterator[ColumnBatch]:
    import pyarrow.orc as pyarrow_orc  # noqa: PLC0415 — see above

    orc = pyarrow_orc.ORCFile(file)
    if orc.nrows > _MOST_STRIPE_ROWS * max(orc.nstripes, 1):
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the ORC file has stripes of too many rows")
    groups = _column_groups(orc)
    first = 0
    for stripe in range(orc.nstripes if groups else 0):
        rows = 0
        for columns in groups:
            budget.check_time()
            batch = orc.read_stripe(stripe, columns=columns)
            rows = batch.num_rows
            for start in range(0, rows, BATCH_ROWS):
                yield from columns_of(batch[start : start + BATCH_ROWS], first + start)
        first += rows


def _column_groups(orc: "pyarrow_orc.ORCFile") -> list[list[str] | None]:
    """The columns to read at a time; None: all. By name, ORC's reader finds only one of two of the same name, and a
    name with a dot may mean a member of another."""
    names = [field.name for field in orc.schema if may_hold_text(field.type)]
    if names and (len(set(orc.schema.names)) < len(orc.schema.names) or any("." in name for name in names)):
        return [None]
    at_once = len(names) // _MOST_READS + 1
    return [names[start : start + at_once] for start in range(0, len(names), at_once)]
