"""Where a tenant's sealed log stands, and whether it continues what the checkpoints outside tell of."""

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from domain.checkpoint import Checkpoint, origin
from domain.errors import Permanent
from domain.merkle import Frontier, consistency_spans, consistent
from infrastructure.postgres import tree
from infrastructure.postgres.sealing import cut


class NotSigned(Permanent):
    """Why no checkpoint can be signed, or none be written outside, until something is done about it."""


class Forked(NotSigned):
    """The database does not continue what the checkpoints outside tell of."""


@dataclass(frozen=True, slots=True)
class LogState:
    """A tenant's log as its row tells it, locked."""

    tenant: str
    installation: str
    frontier: Frontier
    generation: int
    signed: int
    published: int

    @property
    def origin(self) -> str:
        return origin(self.installation, self.tenant, self.generation)


_STATE: Final = (
    "SELECT (SELECT id::text FROM installation), size, frontier, generation, signed_size, published_size"
    " FROM sealed_logs WHERE tenant_id = %s FOR UPDATE"
)


def locked_state(cursor: psycopg.Cursor[Any], tenant: str) -> LogState | None:
    """The state of a tenant's log, None if nothing of it is sealed. Its row is locked until the transaction ends."""
    row = cursor.execute(_STATE, (tenant,)).fetchone()
    if row is None:
        return None
    installation, size, frontier, *numbers = row
    return LogState(tenant, installation, Frontier(size, cut(frontier)), *numbers)


def expect_continued(cursor: psycopg.Cursor[Any], state: LogState, outside: tuple[int, Checkpoint] | None) -> None:
    """Raises Forked unless the log as it is continues the newest checkpoint outside, given with its generation."""
    if outside is None or outside[0] < state.generation:
        return
    generation, told = outside
    size = state.frontier.size
    if generation > state.generation or told.origin != state.origin:
        raise Forked(f"outside there are checkpoints of {told.origin}, and the database has {state.origin}")
    if told.size > size:
        raise Forked(f"a checkpoint outside tells of {told.size} events, and the database has {size}")
    try:
        proof = tree.hashes(cursor, state.tenant, consistency_spans(told.size, size))
    except tree.TreeIncomplete as error:
        raise Forked(str(error)) from error
    if not consistent(told.size, told.root, size, state.frontier.root(), proof):
        raise Forked(f"the first {told.size} events in the database are not those of the checkpoint outside")
