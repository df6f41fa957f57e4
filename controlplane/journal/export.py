"""Rows of a log for auditors, no more than what was signed, with a manifest of digests that is itself on record.

The rows come from the segments, and each is held against the signed tree before it leaves: a record that was altered
ends the export with its index. The folder gets its name when the export is complete and recorded.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.clock import Clock
from controlplane.domain.errors import ChainBroken, EvidenceError, InvalidRequest, StateConflict, UnknownReference
from controlplane.journal.canonical import JsonValue, canonical_json
from controlplane.journal.evidence_log import record_deed
from controlplane.journal.exports.forms import ExportFormat, row_file
from controlplane.journal.exports.rows import COLUMNS, row_of
from controlplane.journal.files.segment import SystemDisk
from controlplane.journal.reader import Batch, batches
from controlplane.journal.record import FRAME_HEADER_BYTES, RecordKind
from controlplane.journal.tree.hashing import HASH_BYTES, leaf_hashes, perfect_root
from controlplane.journal.tree.keys import is_signature
from controlplane.journal.tree.minimum import read_minimum
from controlplane.journal.tree.notes import Checkpoint, parse_checkpoint, parse_key, parse_note, signers_of
from controlplane.journal.tree.proofs import root_of
from controlplane.journal.tree.tiles import (
    CHECKPOINT_NAME,
    PUBLIC_KEY_NAME,
    TILE_WIDTH,
    TREE_DIRECTORY,
    TileReader,
    replace_file,
)

MANIFEST_NAME = "manifest.json"
UNFINISHED_SUFFIX = ".unfinished"
ROWS_AT_ONCE = 4_096
FORMAT = "controlplane-export/1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are wanted and for whom.

    Fields
        logs         directories of the logs
        form         form of the files
        from_seq     first sequence
        until_seq    last sequence; None for all that is signed
        by           who asks
        environment  SIMULATION or LIVE; stands in the manifest
    """

    logs: tuple[Path, ...]
    form: ExportFormat
    from_seq: int = 1
    until_seq: int | None = None
    by: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was made.

    Fields
        directory        of the files
        rows             in all logs
        manifest_sha256  hexadecimal, as it is on record
        place            of that record
    """

    directory: Path
    rows: int
    manifest_sha256: str
    place: str


def export(wanted: Wanted, target: Path, *, journal_directory: Path, clock: Clock) -> Exported:
    """Return what was exported; the target appears whole or not at all.

    Arguments
        target             folder to be made
        journal_directory  of this machine, where the export is put on record

    Errors
        InvalidRequest      nothing is wanted
        StateConflict       the target is there already
        UnknownReference    nothing of a log is signed
        EvidenceError       a row isn't what was signed; names log and index
        JournalUnavailable  the export can't be put on record, so there is none
        OSError             as the disk says
    """
    if not wanted.logs:
        raise InvalidRequest("Expected at least one log to export, found none; name a journal or a log.")
    if target.exists():
        raise StateConflict(f"Expected {target} to be free, found something there; an export replaces nothing.")
    unfinished = target.with_name(target.name + UNFINISHED_SUFFIX)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        logs = [_export_log(directory, wanted, unfinished) for directory in wanted.logs]
        rows = sum(int(str(log["rows"])) for log in logs)
        manifest = canonical_json(_manifest(wanted, logs, unfinished, wall_ns=clock.wall_ns())) + b"\n"
        digest = hashlib.sha256(manifest).hexdigest()
        replace_file(unfinished / MANIFEST_NAME, manifest, disk=SystemDisk())
        seq = record_deed(
            journal_directory,
            {
                "kind": RecordKind.RECORDS_EXPORTED.text,
                "by": wanted.by,
                "format": wanted.form.value,
                "logs": logs,
                "rows": rows,
                "manifest_sha256": digest,
            },
            clock=clock,
        )
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Exported(target, rows, digest, f"evidence-0.{seq}")


class _SignedTree:
    """What a row is held against: tiles whose root was signed by the log's key."""

    def __init__(self, directory: Path) -> None:
        self.log = directory.name
        tree = directory / TREE_DIRECTORY
        try:
            self.note = parse_note((tree / CHECKPOINT_NAME).read_bytes())
            key = parse_key((tree / PUBLIC_KEY_NAME).read_text("utf-8"))
        except FileNotFoundError:
            raise UnknownReference(
                f"Expected a signed checkpoint in {tree}, found none; only what is signed leaves: let the drain run."
            ) from None
        signers_of(self.note, [key], is_signature)
        self.checkpoint: Checkpoint = parse_checkpoint(self.note.text)
        self.tiles = TileReader(tree, self.checkpoint.size)
        self._trusted: dict[int, int] = {}  # the last tile of each level that was held against the one above it
        if root_of(self.checkpoint.size, self.tiles.node_at) != self.checkpoint.root:
            raise EvidenceError(
                f"Expected the tiles of {self.log} to have the root that was signed, found another; `controlplane "
                "verify` names the first that is wrong."
            )

    def check(self, batch: Batch) -> None:
        """Return when every entry of a batch is the one under the signed root.

        Errors
            EvidenceError names the first that isn't
        """
        starts = (batch.offsets + FRAME_HEADER_BYTES).tolist()
        ends = (batch.offsets + FRAME_HEADER_BYTES + batch.lengths).tolist()
        hashes = leaf_hashes(batch.chunk[: batch.end].tobytes(), starts, ends)
        for at, found in enumerate(hashes):
            index = batch.first_seq - 1 + at
            number, place = divmod(index, TILE_WIDTH)
            tile = self._trusted_tile(0, number)
            if tile[place * HASH_BYTES : (place + 1) * HASH_BYTES] != found:
                raise EvidenceError(
                    f"Expected record {index + 1} of {self.log} to be the one that was signed, found another; nothing "
                    "was exported: run `controlplane verify` and keep the log as it is."
                )

    def _trusted_tile(self, level: int, number: int) -> bytes:
        """A tile held against the one above it, and so on; the unfinished one of a level hangs on the signed root."""
        tile = self.tiles.tile(level, number)
        if self._trusted.get(level) == number or len(tile) < TILE_WIDTH * HASH_BYTES:
            return tile
        place, within = divmod(number, TILE_WIDTH)
        above = self._trusted_tile(level + 1, place)[within * HASH_BYTES : (within + 1) * HASH_BYTES]
        if perfect_root([tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]) != above:
            raise EvidenceError(
                f"Expected tile {number} of level {level} of {self.log} to have the hash that the tile above states, "
                "found another; `controlplane verify` names the first that is wrong."
            )
        self._trusted[level] = number
        return tile


def _export_log(directory: Path, wanted: Wanted, target: Path) -> dict[str, JsonValue]:
    """Write the rows of one log and say what they are."""
    tree = _SignedTree(directory)
    first = max(wanted.from_seq, read_minimum(directory) + 1)
    last = min(tree.checkpoint.size, wanted.until_seq or tree.checkpoint.size)
    path = target / f"{directory.name}.{wanted.form.value}"
    rows = 0
    with row_file(path, wanted.form) as file:
        for batch in _signed_batches(directory, first, last):
            tree.check(batch)
            file.write([row_of(directory.name, record) for record in batch.records()])
            rows += batch.count
    if rows != max(0, last - first + 1):
        raise ChainBroken(
            f"Expected {max(0, last - first + 1)} records of {directory.name}, found {rows}; the log ends before what "
            "was signed: keep it as it is and restore it from a backup."
        )
    replace_file(target / f"{directory.name}.checkpoint", tree.note.content, disk=SystemDisk())
    return {
        "log": directory.name,
        "origin": tree.checkpoint.origin,
        "size": tree.checkpoint.size,
        "root": tree.checkpoint.root.hex(),
        "first_leaf_index": first - 1,
        "rows": rows,
        "file": path.name,
    }


def _signed_batches(directory: Path, first: int, last: int) -> Iterator[Batch]:
    if first > last:
        return
    for whole in batches(directory, from_seq=first):
        batch = whole.from_seq(first).limited(last - max(whole.first_seq, first) + 1)
        while batch.count:
            yield batch.limited(ROWS_AT_ONCE)
            batch = batch.from_seq(batch.first_seq + ROWS_AT_ONCE)
        if whole.first_seq + whole.count > last:
            return


def _manifest(wanted: Wanted, logs: list[dict[str, JsonValue]], directory: Path, *, wall_ns: int) -> dict[str, object]:
    files = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": _digest(path)}
        for path in sorted(directory.iterdir())
    ]
    return {
        "format": FORMAT,
        "exported_ns": str(wall_ns),
        "by": wanted.by,
        "environment": wanted.environment,
        "form": wanted.form.value,
        "logs": logs,
        "files": files,
        "columns": [{"name": one.name, "kind": one.kind.value, "meaning": one.meaning} for one in COLUMNS],
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
