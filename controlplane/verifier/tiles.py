"""The files of a tree against the entries of its log: every bundle, every tile, every level."""

from collections.abc import Sequence
from pathlib import Path

from controlplane.verifier.frames import Fault, FaultFound
from controlplane.verifier.merkle import WIDTH, root_over

FOLDER = "tree"


def tile_name(level: int | str, number: int, width: int) -> str:
    """Return where C2SP tlog-tiles has a tile or, with the level `entries`, a bundle lie."""
    digits = f"{number:03d}"
    digits = digits.rjust((len(digits) + 2) // 3 * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{place}" + ("" if width == WIDTH else f".p/{width}")


def bundle_of(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of a bundle: each entry after its length in two bytes, the higher first."""
    first = len(entries[0]).to_bytes(2, "big")
    if len(set(map(len, entries))) == 1:
        return first + first.join(entries)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


class TreeFiles:
    """Compares the files that a tree of a known size has with what its entries give.

    Arguments
        log_directory  of the log, with `tree/` in it
        size           of the tree
    """

    def __init__(self, log_directory: Path, size: int) -> None:
        self._directory = log_directory
        self._size = size
        self._seen = 0
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self.block_roots: dict[int, bytes] = {}  # of whole level 0 tiles, for whoever needs them too

    def add(self, entries: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        """Compare what became whole with these entries; those above the size are left alone.

        Errors
            FaultFound  at the first file that differs or is missing
            OSError     when a file can't be read
        """
        count = min(len(entries), self._size - self._seen)
        taken = 0
        while taken < count:
            step = min(WIDTH - len(self._entries), count - taken)
            self._entries += entries[taken : taken + step]
            self._levels[0] += hashes[taken : taken + step]
            taken += step
            self._seen += step
            if len(self._entries) == WIDTH:
                self._compare_bundle()
                self._compare_tile(0)
        if count and self._seen == self._size:
            self._compare_edge()

    def compare_begun(self) -> None:
        """Compare the entries of a bundle that isn't complete here, where the log could not be read on.

        Errors
            as `add`
        """
        if self._entries:
            number = (self._seen - 1) // WIDTH
            self._compare_bundle(min(WIDTH, self._size - number * WIDTH))

    def _compare_edge(self) -> None:
        """Compare the unfinished files at the right of the tree."""
        if self._entries:
            self._compare_bundle()
        for level, hashes in enumerate(self._levels):
            if hashes:
                self._compare(level, (self._seen >> 8 * level) // WIDTH, b"".join(hashes), len(hashes))

    def _compare_bundle(self, whole: int = 0) -> None:
        """Compare the entries at hand with their bundle; `whole` is how many it holds where that is more."""
        number, width = (self._seen - 1) // WIDTH, whole or len(self._entries)
        wanted = bundle_of(self._entries)
        found, name = self._read("entries", number, width)
        is_longer = not whole and len(found) != len(wanted) and name.endswith(f".p/{width}")
        if found[: len(wanted)] != wanted or is_longer:
            at, first = 0, number * WIDTH
            for entry in self._entries:
                end = at + 2 + len(entry)
                if found[at:end] != wanted[at:end]:
                    break
                at, first = end, first + 1
            raise self._fault("expected the entries of the log in this bundle, found others", first, name)
        self._entries = []

    def _compare_tile(self, level: int) -> None:
        hashes = self._levels[level]
        self._compare(level, (self._seen - 1) // WIDTH ** (level + 1), b"".join(hashes), WIDTH)
        self._levels[level] = []
        if len(self._levels) == level + 1:
            self._levels.append([])
        found = root_over(hashes)
        self._levels[level + 1].append(found)
        if level == 0:
            self.block_roots[(self._seen - 1) // WIDTH] = found
        if len(self._levels[level + 1]) == WIDTH:
            self._compare_tile(level + 1)

    def _compare(self, level: int, number: int, wanted: bytes, width: int) -> None:
        found, name = self._read(level, number, width)
        if found[: len(wanted)] == wanted and (len(found) == len(wanted) or not name.endswith(f".p/{width}")):
            return
        first = next((at for at in range(0, len(wanted), 32) if found[at : at + 32] != wanted[at : at + 32]), 0) // 32
        index = (number * WIDTH + first) * WIDTH**level
        raise self._fault("expected the hashes of the log's entries in this tile, found others", index, name)

    def _read(self, level: int | str, number: int, width: int) -> tuple[bytes, str]:
        """A file's bytes and its name; where an unfinished one was removed, the finished one begins alike."""
        names = [tile_name(level, number, width)]
        if width < WIDTH:
            names.append(tile_name(level, number, WIDTH))
        for name in names:
            try:
                return (self._directory / FOLDER / name).read_bytes(), name
            except FileNotFoundError:
                continue
        first = number * WIDTH * (1 if level == "entries" else WIDTH ** int(level))
        raise self._fault("expected this file of the tree, found none", first, names[0])

    def _fault(self, reason: str, index: int, name: str) -> FaultFound:
        return FaultFound(Fault(reason, index + 1, f"{FOLDER}/{name}", -1))
