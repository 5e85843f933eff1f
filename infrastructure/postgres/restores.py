"""Accepting that an older database was restored: the logs begin anew, under names that say so."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from domain.checkpoint import origin, restored_from
from infrastructure.audit.outside import Outside
from infrastructure.postgres.log_state import Forked, expect_continued, locked_state
from infrastructure.postgres.refusals import refusals_told


@dataclass(frozen=True, slots=True)
class AcceptedRestore:
    """A tenant's log that goes on as `origin` with what the database has; `given_up` events were told of outside."""

    tenant: str
    origin: str
    size: int
    given_up: int


def accept_restore(database_url: str, outside: Outside) -> Sequence[AcceptedRestore]:
    """Let every log that does not continue its checkpoints outside begin anew; gives those, by tenant.

    Logs that do continue are left as they are. Raises OutsideAway, ServiceUnavailable and DatabaseRefused.
    """
    with refusals_told(), psycopg.connect(database_url, connect_timeout=5, autocommit=True) as connection:
        tenants = connection.execute("SELECT tenant_id FROM sealed_logs ORDER BY tenant_id").fetchall()
        accepted = [_accepted(connection, tenant, outside) for (tenant,) in tenants]
    return [restore for restore in accepted if restore is not None]


def _accepted(
    connection: psycopg.Connection[tuple[object, ...]], tenant: str, outside: Outside
) -> AcceptedRestore | None:
    with connection.transaction(), connection.cursor() as cursor:
        state = locked_state(cursor, tenant)
        assert state is not None
        newest = outside.newest(tenant, (state.generation, state.published))
        try:
            expect_continued(cursor, state, newest)
        except Forked:
            assert newest is not None
        else:
            return None
        generation = max(state.generation, newest[0]) + 1
        cursor.execute(
            "INSERT INTO accepted_restores (tenant_id, generation, given_up) VALUES (%s, %s, %s)",
            (tenant, generation, restored_from(newest[1])),
        )
        cursor.execute(
            "UPDATE sealed_logs SET generation = %s, signed_size = 0, published_size = 0 WHERE tenant_id = %s",
            (generation, tenant),
        )
    begun = origin(state.installation, tenant, generation)
    return AcceptedRestore(tenant, begun, state.frontier.size, newest[1].size)
