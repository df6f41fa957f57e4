"""Merkle trees of RFC 6962: roots while entries arrive, and the two kinds of proof of RFC 9162."""

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").digest()
WIDTH = 256


def leaf(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def leaves(entries: Sequence[bytes]) -> list[bytes]:
    """Return the hashes of entries."""
    sha = hashlib.sha256
    return [sha(b"\0" + entry).digest() for entry in entries]


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_over(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes of any number above zero."""
    row = list(hashes)
    sha = hashlib.sha256
    while len(row) > 1:
        odd = row[-1:] if len(row) & 1 else []
        # An unpaired hash moves up unchanged, which is what the split at powers of two comes to.
        row = [sha(b"\1" + row[at] + row[at + 1]).digest() for at in range(0, len(row) - 1, 2)] + odd
    return row[0]


class GrowingRoot:
    """A tree that entries are added to at the right; it keeps one hash for each power of two in its size.

    Arguments
        known  roots of whole blocks of 256 that somebody computed already, by the block's number; taken out when used
    """

    def __init__(self, known: dict[int, bytes] | None = None) -> None:
        self.size = 0
        self._known = {} if known is None else known
        self._blocks = 0
        self._whole: list[tuple[int, bytes]] = []  # roots of whole blocks, the largest first, with their sizes
        self._last: list[bytes] = []  # leaf hashes of the block that isn't whole

    def add(self, hashes: Sequence[bytes]) -> None:
        """Add leaf hashes."""
        taken = 0
        while taken < len(hashes):
            count = min(WIDTH - len(self._last), len(hashes) - taken)
            self._last += hashes[taken : taken + count]
            taken += count
            if len(self._last) == WIDTH:
                self._close_block()
        self.size += len(hashes)

    def root(self) -> bytes:
        """The root over everything so far."""
        if self.size == 0:
            return EMPTY
        rights = [root_over(self._last)] if self._last else []
        for _, whole in reversed(self._whole):
            rights = [node(whole, rights[0])] if rights else [whole]
        return rights[0]

    def _close_block(self) -> None:
        size, found = WIDTH, self._known.pop(self._blocks, None) or root_over(self._last)
        self._blocks += 1
        self._last = []
        while self._whole and self._whole[-1][0] == size:
            _, left = self._whole.pop()
            size, found = size * 2, node(left, found)
        self._whole.append((size, found))


def inclusion_holds(index: int, size: int, leaf_hash: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether a path leads from a leaf to a root; RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, r = index, size - 1, leaf_hash
    for p in path:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            r = node(p, r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistency_holds(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether a tree is shown to begin with another; RFC 9162 section 2.1.4.2."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == EMPTY
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not steps:
        return False
    fn, sn = first - 1, second - 1
    while fn % 2 == 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = steps[0]
    for c in steps[1:]:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root
