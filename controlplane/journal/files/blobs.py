"""Inputs too large for a record: files named by the SHA-256 of their bytes, beside the segments that name them."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from controlplane.domain.errors import ChainBroken, InvalidRequest
from controlplane.journal.canonical import JsonValue, canonical_json
from controlplane.journal.files.segment import Disk, sync_directory, unreadable, write_whole
from controlplane.journal.record import ID_FIELDS, JSON_BYTES_MAX, decode_json

BLOB_DIRECTORY = "blobs"
BLOB_BYTES_MAX = 64 * 1024 * 1024  # the limits of ten thousand instruments take 27 MB
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_KEPT_FIELDS = ("kind", "wall_ns", *ID_FIELDS, "sequence")


def with_blob(directory: Path, entry: bytes, payload: Mapping[str, object], *, disk: Disk) -> bytes:
    """Return the entry itself when it fits into a record, else a short one that names a blob holding it.

    The short entry keeps kind, time and identifiers, so that it is found like any other.

    Errors
        InvalidRequest  above 64 MiB
        OSError         as the disk says
    """
    if len(entry) <= JSON_BYTES_MAX:
        return entry
    digest = store_blob(directory, entry, disk=disk)
    kept = {name: payload[name] for name in _KEPT_FIELDS if name in payload}
    return canonical_json({**kept, "blob_sha256": digest, "blob_bytes": len(entry)})


def store_blob(directory: Path, content: bytes, *, disk: Disk) -> str:
    """Return the name of a durable blob with these bytes; storing the same bytes again changes nothing.

    Errors
        InvalidRequest  above 64 MiB
        OSError         as the disk says
    """
    if len(content) > BLOB_BYTES_MAX:
        raise InvalidRequest(
            f"Expected at most {BLOB_BYTES_MAX} bytes in one record, found {len(content)}; split it into several."
        )
    digest = hashlib.sha256(content).hexdigest()
    folder = directory / BLOB_DIRECTORY
    path = folder / digest
    if path.exists():
        return digest
    is_first = not folder.exists()
    folder.mkdir(exist_ok=True)
    if is_first:
        sync_directory(directory, disk=disk)
    temporary = path.with_name(f"{digest}.tmp")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        write_whole(descriptor, content, disk=disk)
        disk.sync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    temporary.rename(path)
    sync_directory(folder, disk=disk)
    return digest


def read_blob(directory: Path, digest: str) -> bytes:
    """Return the bytes of a blob after comparing them with their name.

    Errors
        InvalidRequest      the name isn't a SHA-256 in hexadecimal
        ChainBroken         the blob is missing or was altered
        JournalUnavailable  it can't be read
    """
    if not _DIGEST.match(digest):
        raise InvalidRequest(f"Expected the name of a blob as 64 hexadecimal digits, found {digest[:80]!r}.")
    path = directory / BLOB_DIRECTORY / digest
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ChainBroken(f"Expected the blob {path}, found none; restore it from a backup.") from None
    except OSError as error:
        raise unreadable(path, error) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ChainBroken(f"Expected the bytes of {path} to have its name as SHA-256, found others; restore the file.")
    return content


def document(directory: Path, entry: bytes) -> dict[str, JsonValue]:
    """Return the payload of a JSON entry, taken from its blob where it names one.

    Errors
        as `decode_json` and `read_blob`
    """
    payload = decode_json(entry)
    digest = payload.get("blob_sha256")
    return decode_json(read_blob(directory, digest)) if isinstance(digest, str) else payload
