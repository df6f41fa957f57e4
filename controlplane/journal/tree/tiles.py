"""Where a tree lies on disk, and how its files come into being: whole, durable, and only then under their names.

    tile/0/x001/x234/067        256 hashes of level 0, tile 1234067
    tile/1/000.p/17             the first 17 hashes of a tile that isn't full yet
    tile/entries/x001/234       256 entries, each after its length in two bytes, the higher first

Level 0 holds leaf hashes; a hash of a higher level is the root over one full tile of the level below.
Source: C2SP tlog-tiles.
"""

import os
import shutil
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from controlplane.domain.errors import ChainBroken
from controlplane.journal.files.segment import TEMPORARY_SUFFIX, Disk, sync_directory, unreadable, write_whole
from controlplane.journal.tree.hashing import HASH_BYTES, perfect_root
from controlplane.journal.tree.notes import NoteRefused, parse_checkpoint, parse_note

TREE_DIRECTORY = "tree"
CHECKPOINT_NAME = "checkpoint"
# The last checkpoint that a witness signed too; the newest one may still be waiting for that.
COSIGNED_NAME = "checkpoint.cosigned"
# For whoever wants to look before being given the key by somebody else; it proves nothing by itself.
PUBLIC_KEY_NAME = "public-key"
TILE_WIDTH = 256
TILE_LEVELS = 8
ENTRIES = "entries"
KEPT_TILES = 64
# Flushing one file waits for the disk; several at a time share the wait.
FLUSHERS = 8


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, or of a bundle where the level is `entries`, relative to the tree's directory."""
    groups = [f"{number % 1000:03d}"]
    while (number := number // 1000) > 0:
        groups.append(f"x{number % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def partial_width(size: int, level: int) -> int:
    """Return how many hashes the unfinished tile of a level holds in a tree of this size; 0 when there is none."""
    return (size >> 8 * level) % TILE_WIDTH


def write_files(directory: Path, contents: Mapping[str, bytes], *, disk: Disk) -> None:
    """Return once all files are durable under their names; a reader sees each whole or not at all.

    Arguments
        contents  bytes by path relative to the directory

    Errors
        OSError as the disk says; some files may be there then, and writing them again gives the same bytes
    """
    folders = sorted({(directory / name).parent for name in contents})
    changed = set(folders)
    for folder in folders:
        changed |= _make_folder(folder)
    paths = [directory / name for name in contents]
    if len(paths) <= FLUSHERS:
        for path, content in zip(paths, contents.values(), strict=True):
            _write_temporary(path, content, disk)
    else:
        with ThreadPoolExecutor(FLUSHERS) as flushers:
            for done in [
                flushers.submit(_write_temporary, path, content, disk)
                for path, content in zip(paths, contents.values(), strict=True)
            ]:
                done.result()
    for path in paths:
        _temporary(path).rename(path)
    for folder in sorted(changed):
        sync_directory(folder, disk=disk)


def replace_file(path: Path, content: bytes, *, disk: Disk) -> None:
    """Return once a file durably holds these bytes; a crash leaves the old ones or the new ones.

    Errors
        OSError as the disk says
    """
    _write_temporary(path, content, disk)
    _temporary(path).rename(path)
    sync_directory(path.parent, disk=disk)


def drop_partials(directory: Path, *, from_size: int, size: int) -> None:
    """Remove the unfinished forms of tiles and bundles that became full between two sizes."""
    for level in range(TILE_LEVELS):
        first, last = from_size >> 8 * (level + 1), size >> 8 * (level + 1)
        if first == last:
            return
        # Only the tile that was unfinished at the older size, and those begun and finished since, had such forms.
        for name in (level, ENTRIES) if level == 0 else (level,):
            for number in range(first, last):
                shutil.rmtree(directory / f"{tile_path(name, number)}.p", ignore_errors=True)


def read_signed_size(log_directory: Path) -> int:
    """Return the largest size that a checkpoint beside a log states, 0 when there is none; signatures aren't judged.

    Errors
        ChainBroken when a checkpoint can't be read
    """
    size = 0
    for name in (CHECKPOINT_NAME, COSIGNED_NAME):
        path = log_directory / TREE_DIRECTORY / name
        try:
            size = max(size, parse_checkpoint(parse_note(path.read_bytes()).text).size)
        except FileNotFoundError:
            continue
        except (OSError, NoteRefused) as error:
            raise ChainBroken(f"Expected a checkpoint in {path}, found none ({error}); restore the file.") from None
    return size


class TileReader:
    """Hashes and entries of a tree of a known size, read from its files and kept for a while.

    Arguments
        directory  of the tree
        size       of the tree; unfinished tiles are those of this size
    """

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self.size = size
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def node_at(self, level: int, index: int) -> bytes:
        """The root of the complete subtree of 2^level entries that begins at entry index * 2^level.

        Errors
            ChainBroken         the tile is missing or too short
            JournalUnavailable  the disk doesn't answer
        """
        tile_level, height = divmod(level, TILE_LEVELS)
        first = index << height
        tile = self.tile(tile_level, first // TILE_WIDTH)
        start = first % TILE_WIDTH * HASH_BYTES
        hashes = [tile[at : at + HASH_BYTES] for at in range(start, start + (HASH_BYTES << height), HASH_BYTES)]
        return perfect_root(hashes)

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of one tile, one after another.

        Errors
            as `node_at`
        """
        found = self._kept.get((level, number))
        if found is None:
            width = min(TILE_WIDTH, (self.size >> 8 * level) - number * TILE_WIDTH)
            found = self._read(level, number, width)[: width * HASH_BYTES]
            if len(found) < width * HASH_BYTES:
                raise ChainBroken(
                    f"Expected {width} hashes in {self._directory / tile_path(level, number, width)}, found "
                    f"{len(found)} bytes; restore the file, or remove the tree and let the drain make it again."
                )
            self._kept[level, number] = found
            if len(self._kept) > KEPT_TILES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end((level, number))
        return found

    def bundle(self, number: int) -> bytes:
        """The bytes of one bundle of entries, lengths included; of a finished one perhaps more than the size asks for.

        Errors
            as `node_at`
        """
        return self._read(ENTRIES, number, min(TILE_WIDTH, self.size - number * TILE_WIDTH))

    def _read(self, level: int | str, number: int, width: int) -> bytes:
        """A tile's bytes; where its unfinished form was removed since, the finished one begins with the same bytes."""
        names = [tile_path(level, number, width)]
        if width < TILE_WIDTH:
            names.append(tile_path(level, number))
        for name in names:
            try:
                return (self._directory / name).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unreadable(self._directory / name, error) from error
        raise ChainBroken(
            f"Expected the file {self._directory / names[0]}, found none; restore it, or remove the tree and let the "
            "drain make it again."
        )


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def _write_temporary(path: Path, content: bytes, disk: Disk) -> None:
    descriptor = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        write_whole(descriptor, content, disk=disk)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> set[Path]:
    """The folders whose lists of names changed because this one had to be made."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return {path.parent for path in missing}
