"""Trees of RFC 9162: known roots, laws, and another implementation's opinion."""

from collections.abc import Sequence

import pytest
import tamperlog
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import (
    EMPTY_ROOT,
    Frontier,
    Span,
    combined,
    consistency_spans,
    consistent,
    included,
    inclusion_spans,
    leaf_hash,
    node_hash,
    perfect,
)

INPUTS = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")] + [
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The vectors that Certificate Transparency's own implementations are tested with."""

trees = st.integers(1, 300).map(lambda size: [leaf_hash(b"%d" % n) for n in range(size)])


def grown(leaves: Sequence[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree


def hashes(leaves: Sequence[bytes], spans: Sequence[Span]) -> list[bytes]:
    return [tamperlog.merkle_root(list(leaves[first:past])) for first, past in spans]


def test_known_trees_have_the_known_roots() -> None:
    assert Frontier().root() == EMPTY_ROOT
    leaves = [leaf_hash(line) for line in INPUTS]
    assert [grown(leaves[: size + 1]).root().hex() for size in range(8)] == ROOTS


def test_known_proofs_are_made_as_the_rfc_makes_them() -> None:
    """The examples of section 2.1.5, in its letters: a tree of seven leaves."""
    assert inclusion_spans(0, 7) == [(1, 2), (2, 4), (4, 7)]
    assert inclusion_spans(3, 7) == [(2, 3), (0, 2), (4, 7)]
    assert inclusion_spans(4, 7) == [(5, 6), (6, 7), (0, 4)]
    assert inclusion_spans(6, 7) == [(4, 6), (0, 4)]
    assert consistency_spans(3, 7) == [(2, 3), (3, 4), (0, 2), (4, 7)]
    assert consistency_spans(4, 7) == [(4, 7)]
    assert consistency_spans(6, 7) == [(4, 6), (6, 7), (0, 4)]


@given(leaves=trees)
def test_a_tree_that_grew_leaf_by_leaf_has_the_root_that_another_implementation_gives_it(leaves: list[bytes]) -> None:
    tree = grown(leaves)
    assert tree.root() == tamperlog.merkle_root(leaves)
    assert grown([]).root() == tamperlog.empty_root()
    assert Frontier(tree.size, tree.hashes).root() == tree.root()


@given(leaves=trees)
def test_growth_tells_every_perfect_subtree_once(leaves: list[bytes]) -> None:
    tree = Frontier()
    found = {}
    for index, leaf in enumerate(leaves):
        for level, hash_ in enumerate(tree.append(leaf), 1):
            assert (level, index >> level) not in found
            found[level, index >> level] = hash_
    wanted = {
        (level, index): tamperlog.merkle_root(leaves[index << level : (index + 1) << level])
        for level in range(1, 9)
        for index in range(len(leaves) >> level)
    }
    assert found == wanted


@given(leaves=trees, data=st.data())
def test_inclusion_is_proven_as_another_implementation_proves_it(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = hashes(leaves, inclusion_spans(index, len(leaves)))
    assert proof == tamperlog.inclusion_proof(index, leaves)
    root = grown(leaves).root()
    assert included(index, len(leaves), leaves[index], proof, root)
    assert not included(index, len(leaves), leaf_hash(b"other"), proof, root)
    assert not included(index, len(leaves), leaves[index], [*proof, root], root)
    for at in range(len(proof)):
        assert not included(index, len(leaves), leaves[index], [*proof[:at], *proof[at + 1 :]], root)
        assert not included(index, len(leaves), leaves[index], [*proof[:at], bytes(32), *proof[at + 1 :]], root)
    others = data.draw(st.integers(-1, len(leaves) + 1).filter(lambda other: other != index))
    assert not included(others, len(leaves), leaves[index], proof, root)


@given(leaves=trees, data=st.data())
def test_consistency_is_proven_as_another_implementation_proves_it(leaves: list[bytes], data: st.DataObject) -> None:
    older = data.draw(st.integers(1, len(leaves)))
    size, root, older_root = len(leaves), grown(leaves).root(), grown(leaves[:older]).root()
    proof = hashes(leaves, consistency_spans(older, size))
    assert proof == tamperlog.consistency_proof(older, leaves)
    assert consistent(older, older_root, size, root, proof)
    assert not consistent(older, leaf_hash(b"other"), size, root, proof)
    assert not consistent(older, older_root, size, leaf_hash(b"other"), proof)
    assert not consistent(older, older_root, size, root, [*proof, root])
    for at in range(len(proof)):
        assert not consistent(older, older_root, size, root, [*proof[:at], *proof[at + 1 :]])
        assert not consistent(older, older_root, size, root, [*proof[:at], bytes(32), *proof[at + 1 :]])


@given(leaves=trees, data=st.data())
def test_every_span_of_a_proof_is_made_of_perfect_subtrees(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    older = data.draw(st.integers(1, len(leaves)))
    for span in [*inclusion_spans(index, len(leaves)), *consistency_spans(older, len(leaves)), (0, len(leaves))]:
        nodes = [(node.index << node.level, (node.index + 1) << node.level) for node in perfect(span)]
        assert [first for first, _ in nodes] == [span[0], *(past for _, past in nodes[:-1])]
        assert nodes[-1][1] == span[1]
        assert combined(hashes(leaves, nodes)) == hashes(leaves, [span])[0]


def test_what_cannot_be_proven_is_refused() -> None:
    for index, size in ((0, 0), (3, 3), (-1, 3)):
        with pytest.raises(ValueError, match="not in a tree"):
            inclusion_spans(index, size)
    for older, newer in ((0, 3), (4, 3), (-1, 3)):
        with pytest.raises(ValueError, match="cannot be shown"):
            consistency_spans(older, newer)
        assert not consistent(older, EMPTY_ROOT, newer, EMPTY_ROOT, [])
    with pytest.raises(ValueError, match="2 perfect subtrees"):
        Frontier(3, [EMPTY_ROOT])
    assert node_hash(b"a", b"b") == tamperlog.hash_children(b"a", b"b")
