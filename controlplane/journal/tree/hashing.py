"""Hashes of a Merkle tree as RFC 6962 defines them, section 2.1: leaves and nodes can't be taken for each other."""

import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
LEAF_MARK: Final = b"\x00"
NODE_MARK: Final = b"\x01"

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry."""
    return _sha256(LEAF_MARK + entry).digest()


def leaf_hashes(content: bytes, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
    """Return the hashes of entries that lie in one piece of memory, in their order.

    Arguments
        starts, ends  offsets in `content` of each entry, the end excluded
    """
    return [_sha256(b"\x00" + content[start:end]).digest() for start, end in zip(starts, ends, strict=True)]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two neighbours."""
    return _sha256(NODE_MARK + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over hashes whose number is a power of two, as those of a full tile are."""
    row = list(hashes)
    while len(row) > 1:
        row = [_sha256(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return row[0]
