"""A file that proves one entry by itself: the entry, the path to the root, and the signed checkpoint over that root.

Source: C2SP tlog-proof.
"""

import base64
from pathlib import Path

from controlplane.domain.errors import UnknownReference
from controlplane.journal.tree.growth import split_bundle
from controlplane.journal.tree.minimum import read_minimum
from controlplane.journal.tree.notes import parse_checkpoint, parse_note
from controlplane.journal.tree.proofs import inclusion_proof
from controlplane.journal.tree.tiles import (
    CHECKPOINT_NAME,
    COSIGNED_NAME,
    TILE_WIDTH,
    TREE_DIRECTORY,
    TileReader,
)

PROOF_SUFFIX = ".tlog-proof"
PROOF_MARK = "c2sp.org/tlog-proof@v1"


def entry_proof(log_directory: Path, seq: int) -> bytes:
    """Return the proof of the record with a sequence, its exact bytes included.

    The checkpoint that a witness signed too is preferred; the newest one serves records that it doesn't cover.

    Errors
        UnknownReference    no checkpoint covers the record, or it was retired
        ChainBroken         a file of the tree is missing or cut short
        NoteRefused         a checkpoint can't be read
        JournalUnavailable  the disk doesn't answer
    """
    directory = log_directory / TREE_DIRECTORY
    for name in (COSIGNED_NAME, CHECKPOINT_NAME):
        try:
            note = parse_note((directory / name).read_bytes())
        except FileNotFoundError:
            continue
        size = parse_checkpoint(note.text).size
        if 1 <= seq <= read_minimum(log_directory):
            raise UnknownReference(
                f"Expected a record in reach, found that {seq} was retired; `RecordsRetired` in evidence-0 says when."
            )
        if 1 <= seq <= size:
            tiles = TileReader(directory, size)
            index = seq - 1
            entries = split_bundle(tiles.bundle(index // TILE_WIDTH), index % TILE_WIDTH + 1)
            path = inclusion_proof(index, size, tiles.node_at)
            lines = [
                PROOF_MARK,
                f"extra {base64.b64encode(entries[-1][2:]).decode()}",
                f"index {index}",
                *(base64.b64encode(one).decode() for one in path),
                "",
                "",
            ]
            return "\n".join(lines).encode() + note.content
    raise UnknownReference(
        f"Expected a checkpoint over record {seq} in {directory}, found none; a new record is signed within a second "
        "while the drain runs."
    )
