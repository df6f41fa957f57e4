"""Proofs that an entry is in a tree and that one tree is the beginning of another: how they are made and judged.

Source: RFC 6962 section 2.1 for the making; RFC 9162 sections 2.1.3.2 and 2.1.4.2 for the judging.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from controlplane.domain.invariants import require
from controlplane.journal.tree.hashing import EMPTY_ROOT, node_hash

# The root of the complete subtree of 2^level entries that begins at entry index * 2^level.
NodeAt: TypeAlias = Callable[[int, int], bytes]
PROOF_HASHES_MAX = 63


def root_of(size: int, node_at: NodeAt) -> bytes:
    """Return the root of the first `size` entries."""
    return EMPTY_ROOT if size == 0 else _range_root(0, size, node_at)


def inclusion_proof(index: int, size: int, node_at: NodeAt) -> list[bytes]:
    """Return the hashes that lead from the entry at an index to the root of `size` entries, the nearest first."""
    require(0 <= index < size, f"An entry lies inside its tree, asked for {index} of {size}.")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, node_at))
            end = middle
        else:
            proof.append(_range_root(start, middle, node_at))
            start = middle
    proof.reverse()
    return proof


def consistency_proof(old_size: int, size: int, node_at: NodeAt) -> list[bytes]:
    """Return the hashes that show that the first `old_size` of `size` entries are those of the older tree."""
    require(0 <= old_size <= size, f"An older tree isn't larger, asked for {old_size} of {size}.")
    if old_size in (0, size):
        return []
    proof: list[bytes] = []
    start, end = 0, size
    is_known = True  # whether the older root itself is the subtree reached
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            proof.append(_range_root(middle, end, node_at))
            end = middle
        else:
            proof.append(_range_root(start, middle, node_at))
            start, is_known = middle, False
    if not is_known:
        proof.append(_range_root(start, end, node_at))
    proof.reverse()
    return proof


def is_included(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof leads from a leaf's hash at an index to the root of a tree of this size."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def is_extension(*, old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that a tree begins with an older one; every tree begins with the empty one."""
    if not 0 <= old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and older == old_root and newer == root


def _split(count: int) -> int:
    """The largest power of two below a number above 1."""
    return 1 << (count - 1).bit_length() - 1


def _range_root(start: int, end: int, node_at: NodeAt) -> bytes:
    """The root over entries from a start that is a multiple of the largest power of two in their number."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node_at(level, start >> level)
    middle = start + _split(count)
    return node_hash(_range_root(start, middle, node_at), _range_root(middle, end, node_at))
