"""A tree that follows its log: new records become leaves, and a signed checkpoint says how far they reach.

The order is what makes a crash harmless: records durable, then bundles and tiles, then the signer's note, then the
checkpoint. Whatever a checkpoint promises is already there; whatever is there beyond it is written again, with the same
bytes. Neither the database nor a witness is needed.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.clock import Clock
from controlplane.domain.errors import ChainBroken, EvidenceError
from controlplane.journal.files.segment import Disk
from controlplane.journal.reader import Batch, Tail
from controlplane.journal.record import FRAME_HEADER_BYTES
from controlplane.journal.tree.hashing import HASH_BYTES, leaf_hashes, perfect_root
from controlplane.journal.tree.keys import is_signature
from controlplane.journal.tree.notes import Checkpoint, Note, parse_checkpoint, parse_note, signers_of
from controlplane.journal.tree.proofs import consistency_proof, root_of
from controlplane.journal.tree.signer import Signer
from controlplane.journal.tree.tiles import (
    CHECKPOINT_NAME,
    COSIGNED_NAME,
    ENTRIES,
    PUBLIC_KEY_NAME,
    TILE_WIDTH,
    TREE_DIRECTORY,
    TileReader,
    drop_partials,
    partial_width,
    replace_file,
    tile_path,
    write_files,
)

# A checkpoint is due when so many entries wait, or the oldest of them has waited so long.
ENTRIES_DUE = 256
WAIT_NS_DUE = 1_000_000_000
# The most entries of one checkpoint; their hashes and bytes are in memory until they are written.
ENTRIES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Published:
    """The newest checkpoint of a log.

    Fields
        size     entries under it
        root     32 bytes
        made_ns  wall time when this process made or found it, nanoseconds since the epoch in UTC
    """

    size: int
    root: bytes
    made_ns: int


class LogTree:
    """The tree of one log; it lies in the log's own directory.

    Arguments
        log_directory  of the log; its name is the log's
        signer         of this machine
        clock          says when a checkpoint is due
        entries_max    most entries of one checkpoint
    """

    def __init__(
        self, log_directory: Path, signer: Signer, *, clock: Clock, disk: Disk, entries_max: int = ENTRIES_MAX
    ) -> None:
        self.log = log_directory.name
        self.directory = log_directory / TREE_DIRECTORY
        self.published = Published(0, b"", 0)
        self._log_directory = log_directory
        self._signer = signer
        self._clock = clock
        self._disk = disk
        self._entries_max = entries_max
        self._edge = Edge()
        self._tail: Tail | None = None
        self._oldest_ns = 0
        self._turn = threading.Lock()  # of whoever replaces the checkpoint

    @property
    def size(self) -> int:
        """Entries taken in, under a checkpoint or waiting for one."""
        return self._edge.size

    def grow(self, *, is_due: bool = False) -> int:
        """How many entries came under a new checkpoint; 0 when none is due.

        Arguments
            is_due  make a checkpoint of whatever is new, without waiting for more

        Errors
            ChainBroken         the log, its tree and what was signed contradict each other; nothing was signed
            EvidenceError       what was signed is damaged
            JournalUnavailable  the disk doesn't answer
            OSError             the disk refuses a write; nothing is lost, and the tree begins again where it was signed
        """
        try:
            tail = self._tail or self._open()
            self._take_in(tail)
            waiting = self._edge.size - self.published.size
            if waiting == 0 or not (is_due or waiting >= ENTRIES_DUE or self._waited_ns() >= WAIT_NS_DUE):
                return 0
            tail.make_durable()
            self._publish()
        except BaseException:
            self.close()
            raise
        return waiting

    def keep_cosigned(self, note: Note) -> None:
        """Keep a checkpoint that a witness signed too; may be called while the tree grows on another thread.

        Errors
            OSError as the disk says
        """
        replace_file(self.directory / COSIGNED_NAME, note.content, disk=self._disk)
        with self._turn:
            path = self.directory / CHECKPOINT_NAME
            if parse_note(path.read_bytes()).text == note.text:
                replace_file(path, note.content, disk=self._disk)

    def close(self) -> None:
        """Give the files back; growing again begins at the last checkpoint."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _open(self) -> Tail:
        """The log from the first record on that isn't under a checkpoint."""
        checkpoint = self._checkpoint()
        signed = self._signer.signed(self.log)
        if checkpoint is not None and (signed is None or signed.size < checkpoint.size):
            raise ChainBroken(
                f"Expected the signer to remember the checkpoint of {checkpoint.size} entries in {self.directory}, "
                "found that it doesn't; restore its folder from a backup, it is never begun anew for a log in use."
            )
        size = 0 if checkpoint is None else checkpoint.size
        self._edge = Edge.read(TileReader(self.directory, size))
        self.published = Published(size, b"" if checkpoint is None else checkpoint.root, self._clock.wall_ns())
        self._oldest_ns = 0
        tail = Tail(self._log_directory, size + 1)
        tail.open()
        self._tail = tail
        return tail

    def _checkpoint(self) -> Checkpoint | None:
        """The checkpoint on disk, judged by our own key and against the tiles."""
        path = self.directory / CHECKPOINT_NAME
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        note = parse_note(content)
        key = self._signer.verifier_key(self.log)
        signers_of(note, [key], is_signature)
        checkpoint = parse_checkpoint(note.text)
        found = root_of(checkpoint.size, TileReader(self.directory, checkpoint.size).node_at)
        if checkpoint.origin != key.name or found != checkpoint.root:
            raise EvidenceError(
                f"Expected the tiles in {self.directory} to have the root that {path} was signed over, found another; "
                "keep the folder aside and remove it, and the drain makes it again from the log."
            )
        return checkpoint

    def _take_in(self, tail: Tail) -> None:
        room = self._entries_max - (self._edge.size - self.published.size)
        while room > 0:
            batch = tail.poll_batch(count_max=room)
            if batch is None:
                return
            if self._edge.size == self.published.size:
                self._oldest_ns = self._clock.monotonic_ns()
            self._edge.take_in(batch)
            room -= batch.count

    def _waited_ns(self) -> int:
        return self._clock.monotonic_ns() - self._oldest_ns

    def _publish(self) -> None:
        """Files, the signer's note, the checkpoint: in this order, each durable before the next."""
        edge, before = self._edge, self.published
        write_files(self.directory, edge.files(), disk=self._disk)
        node_at = TileReader(self.directory, edge.size).node_at
        root = root_of(edge.size, node_at)
        signed = self._signer.signed(self.log)
        proof = []
        if signed is not None:
            if signed.size > edge.size:
                # The journal may be behind for a moment only where records under a signature were lost.
                raise ChainBroken(
                    f"Expected {self._log_directory} to hold the {signed.size} records that were signed, found "
                    f"{edge.size}; the log was shortened or replaced: keep it as it is and restore it from a backup."
                )
            proof = consistency_proof(signed.size, edge.size, node_at)
        note = self._signer.sign(self.log, size=edge.size, root=root, proof=proof)
        if before.size == 0:
            key = self._signer.verifier_key(self.log).text
            replace_file(self.directory / PUBLIC_KEY_NAME, f"{key}\n".encode(), disk=self._disk)
        with self._turn:
            replace_file(self.directory / CHECKPOINT_NAME, note.content, disk=self._disk)
        edge.settle()
        drop_partials(self.directory, from_size=before.size, size=edge.size)
        self.published = Published(edge.size, root, self._clock.wall_ns())


class Edge:
    """The unfinished right side of a tree, and the files that became due since the last checkpoint.

    Needs memory for one unfinished tile a level, one unfinished bundle and what was taken in since.
    """

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[list[bytes]] = []  # hashes of the unfinished tile of each level
        self._bundle: list[bytes] = []  # entries of the unfinished bundle, each behind its length
        self._finished: dict[str, bytes] = {}

    @classmethod
    def read(cls, tiles: TileReader) -> "Edge":
        """The edge of a tree on disk.

        Errors
            as `TileReader.node_at`
        """
        edge = cls()
        edge.size = tiles.size
        level = 0
        while tiles.size >> 8 * level:
            hashes: list[bytes] = []
            if partial_width(tiles.size, level):
                tile = tiles.tile(level, tiles.size >> 8 * (level + 1))
                hashes = [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]
            edge._levels.append(hashes)
            level += 1
        count = partial_width(tiles.size, 0)
        if count:
            edge._bundle = split_bundle(tiles.bundle(tiles.size // TILE_WIDTH), count)
        return edge

    def take_in(self, batch: Batch) -> None:
        """Add the entries of a batch, exactly as they stand in their frames."""
        starts = (batch.offsets + FRAME_HEADER_BYTES).tolist()
        lengths = batch.lengths.tolist()
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        content = batch.chunk[: batch.end].tobytes()
        hashes = leaf_hashes(content, starts, ends)
        entries = [
            length.to_bytes(2, "big") + content[start:end]
            for start, end, length in zip(starts, ends, lengths, strict=True)
        ]
        taken = 0
        while taken < len(hashes):
            count = min(TILE_WIDTH - len(self._bundle), len(hashes) - taken)
            self._bundle += entries[taken : taken + count]
            self._add(0, hashes[taken : taken + count])
            taken += count
            self.size += count
            if len(self._bundle) == TILE_WIDTH:
                self._finished[tile_path(ENTRIES, self.size // TILE_WIDTH - 1)] = b"".join(self._bundle)
                self._bundle = []
                self._finish(0)

    def files(self) -> dict[str, bytes]:
        """Every file that a checkpoint of this size needs and that none before it had, by path."""
        found = dict(self._finished)
        for level, hashes in enumerate(self._levels):
            if hashes:
                found[tile_path(level, self.size >> 8 * (level + 1), len(hashes))] = b"".join(hashes)
        if self._bundle:
            found[tile_path(ENTRIES, self.size // TILE_WIDTH, len(self._bundle))] = b"".join(self._bundle)
        return found

    def settle(self) -> None:
        """Forget the finished files: they are on disk."""
        self._finished = {}

    def _add(self, level: int, hashes: list[bytes]) -> None:
        while len(self._levels) <= level:
            self._levels.append([])
        self._levels[level] += hashes

    def _finish(self, level: int) -> None:
        """Turn the full tile of a level into a file and into one hash of the level above."""
        hashes = self._levels[level]
        self._finished[tile_path(level, (self.size >> 8 * (level + 1)) - 1)] = b"".join(hashes)
        self._levels[level] = []
        self._add(level + 1, [perfect_root(hashes)])
        if len(self._levels[level + 1]) == TILE_WIDTH:
            self._finish(level + 1)


def split_bundle(content: bytes, count: int) -> list[bytes]:
    """Return the first entries of a bundle, each still behind its length.

    Errors
        ChainBroken when the bundle ends before
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(count):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if len(content) < at + 2 or len(content) < end:
            raise ChainBroken(f"Expected {count} entries in a bundle, found {len(entries)} whole ones; restore it.")
        entries.append(content[at:end])
        at = end
    return entries
