"""The hashes of any spans of a sealed log, from its leaves and the few nodes that are kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from domain.merkle import Node, Span, combined, node_hash, perfect

KEPT_LEVELS: Final = 8
"""Every how many levels of the tree its nodes are kept."""

# Each run for itself, so that it is a range of the index whatever the planner believes of the table's size.
HASHES: Final = """
SELECT w.level, w.first, w.past, h.hashes
FROM unnest(%(level)s::int[], %(first)s::bigint[], %(past)s::bigint[]) AS w (level, first, past)
CROSS JOIN LATERAL (
    SELECT array_agg(e.hash ORDER BY e.leaf) FROM sealed_events e
    WHERE w.level = 0 AND e.tenant_id = %(tenant)s AND e.leaf >= w.first AND e.leaf < w.past
    UNION ALL
    SELECT array_agg(n.hash ORDER BY n.index) FROM sealed_nodes n
    WHERE w.level > 0 AND n.tenant_id = %(tenant)s AND n.level = w.level AND n.index >= w.first AND n.index < w.past
) AS h (hashes) WHERE h.hashes IS NOT NULL
"""


_Run = tuple[int, int, int]
"""A level, and the first and past of indexes."""


class TreeIncomplete(Exception):
    """A hash that must be kept is not: somebody removed rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask `HASHES` for, to have the hashes of `spans`."""

    spans: Sequence[Span]

    def parameters(self, tenant: str) -> Mapping[str, Any]:
        runs = dict.fromkeys(_run(node) for span in self.spans for node in perfect(span))
        level, first, past = zip(*runs, strict=True) if runs else ((), (), ())
        return {"tenant": tenant, "level": list(level), "first": list(first), "past": list(past)}

    def hashes(self, rows: Iterable[Sequence[Any]]) -> Sequence[bytes]:
        """The hash of each span, from the rows of the answer. Raises TreeIncomplete."""
        found = {(level, first, past): hashes for level, first, past, hashes in rows}
        # Proofs of neighbours have most of their nodes in common.
        nodes = {node: _hash(node, found) for node in {node for span in self.spans for node in perfect(span)}}
        return [combined([nodes[node] for node in perfect(span)]) for span in self.spans]


def _run(node: Node) -> _Run:
    """The kept nodes, or leaves, that a node is made of."""
    below = node.level % KEPT_LEVELS
    return node.level - below, node.index << below, (node.index + 1) << below


def _hash(node: Node, found: Mapping[_Run, Sequence[bytes]]) -> bytes:
    level, first, past = run = _run(node)
    hashes = [bytes(hash_) for hash_ in found.get(run, ())]
    if len(hashes) != past - first:
        raise TreeIncomplete(f"{past - first - len(hashes)} hashes of level {level} from {first} on are gone")
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def hashes(cursor: psycopg.Cursor[Any], tenant: str, spans: Sequence[Span]) -> Sequence[bytes]:
    """The hashes of spans of a tenant's log. Raises TreeIncomplete and psycopg.Error."""
    plan = Plan(spans)
    return plan.hashes(cursor.execute(HASHES, plan.parameters(tenant)).fetchall())


def root(cursor: psycopg.Cursor[Any], tenant: str, size: int) -> bytes:
    """The root of the log's first `size` leaves, at least one. Raises as `hashes`."""
    return hashes(cursor, tenant, [(0, size)])[0]
