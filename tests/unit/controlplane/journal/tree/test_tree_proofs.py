"""Proofs of the tree: the published vectors, and every proof of small trees against the slow definition."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvariantBroken
from controlplane.journal.tree.hashing import EMPTY_ROOT, leaf_hash
from controlplane.journal.tree.proofs import (
    consistency_proof,
    inclusion_proof,
    is_extension,
    is_included,
    root_of,
)
from tests.support.transparency import proof_vectors, slow_root

ENTRIES = [f"entry {number}".encode() for number in range(70)]


def node_at(level: int, index: int) -> bytes:
    return slow_root(ENTRIES[index << level : (index + 1) << level])


def test_published_inclusion_proofs_are_judged_as_they_ask(recorded_data: Path) -> None:
    vectors = list(proof_vectors(recorded_data, "inclusion"))

    wrong = [
        vector.name
        for vector in vectors
        if is_included(
            vector.values["leafHash"],
            index=vector.values["leafIdx"],
            size=vector.values["treeSize"],
            proof=vector.proof,
            root=vector.values["root"],
        )
        != vector.is_good
    ]

    assert (len(vectors), wrong) == (64, [])


def test_published_consistency_proofs_are_judged_as_they_ask(recorded_data: Path) -> None:
    vectors = list(proof_vectors(recorded_data, "consistency"))

    wrong = [
        vector.name
        for vector in vectors
        if is_extension(
            old_size=vector.values["size1"],
            old_root=vector.values["root1"],
            size=vector.values["size2"],
            root=vector.values["root2"],
            proof=vector.proof,
        )
        != vector.is_good
    ]

    assert (len(vectors), wrong) == (63, [])


def test_root_of_every_small_tree_is_that_of_the_definition() -> None:
    assert root_of(0, node_at) == EMPTY_ROOT
    assert [root_of(size, node_at) for size in range(71)] == [slow_root(ENTRIES[:size]) for size in range(71)]


def test_every_entry_of_every_small_tree_is_proved_and_nothing_else_is() -> None:
    for size in range(1, 34):
        root = slow_root(ENTRIES[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, node_at)
            shown = {
                other: is_included(leaf_hash(ENTRIES[other]), index=other, size=size, proof=proof, root=root)
                for other in range(size)
            }
            assert [other for other, is_shown in shown.items() if is_shown] == [index]


def test_every_small_tree_is_shown_to_extend_every_smaller_one() -> None:
    for old_size, size in itertools.combinations_with_replacement(range(34), 2):
        proof = consistency_proof(old_size, size, node_at)
        roots = {"old_root": slow_root(ENTRIES[:old_size]), "root": slow_root(ENTRIES[:size])}

        assert is_extension(old_size=old_size, size=size, proof=proof, **roots)


@given(st.integers(1, 70), st.integers(1, 70), st.data())
def test_altered_proof_shows_nothing(one: int, other: int, data: st.DataObject) -> None:
    old_size, size = sorted((one, other))
    roots = {"old_root": slow_root(ENTRIES[:old_size]), "root": slow_root(ENTRIES[:size])}
    proof = consistency_proof(old_size, size, node_at)
    at = data.draw(st.integers(0, len(proof)))
    added = [*proof[:at], bytes(32), *proof[at:]]
    replaced = [*proof[:at], bytes(32), *proof[at + 1 :]]

    assert not is_extension(old_size=old_size, size=size, proof=added, **roots)
    assert not is_extension(old_size=old_size, size=size, proof=replaced, **roots)
    assert not is_extension(old_size=old_size, size=size, proof=proof, old_root=bytes(32), root=roots["root"])
    assert not is_extension(old_size=size + 1, size=size, proof=proof, **roots)


def test_entry_outside_the_tree_has_no_proof() -> None:
    with pytest.raises(InvariantBroken, match="asked for 5 of 5"):
        inclusion_proof(5, 5, node_at)
    with pytest.raises(InvariantBroken, match="asked for 6 of 5"):
        consistency_proof(6, 5, node_at)
