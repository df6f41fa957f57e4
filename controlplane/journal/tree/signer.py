"""Signs checkpoints of this machine's logs, and refuses every tree that isn't an extension of the last one signed.

What is about to be signed is on disk before the signature exists: after a crash the signer may have noted a tree whose
signature never left, which only makes it stricter. Its notes lie outside the log, so that a log that was put back to
an older state meets a signer that remembers.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.errors import ChainBroken, EvidenceError, StateConflict
from controlplane.journal.files.segment import Disk
from controlplane.journal.tree.keys import SigningKey, load_or_make_key
from controlplane.journal.tree.notes import (
    LOG_SIGNATURE,
    Checkpoint,
    Note,
    VerifierKey,
    check_name,
    log_line,
)
from controlplane.journal.tree.proofs import is_extension
from controlplane.journal.tree.tiles import replace_file

KEY_NAME = "key"
LOCK_NAME = "lock"
SIGNED_SUFFIX = ".signed"


@dataclass(frozen=True, slots=True)
class Signed:
    """The last tree of a log that was signed, or was about to be."""

    origin: str
    size: int
    root: bytes


class Signer:
    """The key of this machine and what it signed; one process at a time.

    Arguments
        directory  holds the key and one note for each log; made when absent
        origin     begins the name of every log; made from the key when empty

    Errors
        StateConflict   another process signs here
        InvalidRequest  the origin can't be a name
        EvidenceError   the key is damaged or others may read it
        OSError         as the disk says
    """

    def __init__(self, directory: Path, *, origin: str = "", disk: Disk) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._disk = disk
        self._lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._key: SigningKey = load_or_make_key(directory / KEY_NAME, disk=disk)
            self._origin = origin or f"controlplane/{self._key.public[:4].hex()}"
            check_name(self._origin)
        except BlockingIOError:
            self.close()
            raise StateConflict(
                f"Expected to be the only signer in {directory}, found another drain at work; stop one of them."
            ) from None
        except BaseException:
            self.close()
            raise

    def verifier_key(self, log: str) -> VerifierKey:
        """The public key of a log, to be handed to whoever will check it."""
        return VerifierKey(f"{self._origin}/{log}", LOG_SIGNATURE, self._key.public)

    def signed(self, log: str) -> Signed | None:
        """The last tree of a log that was signed, None when there is none.

        Errors
            EvidenceError when the note about it is damaged or stands under another name
        """
        path = self._path(log)
        try:
            document = json.loads(path.read_text("ascii"))
            found = Signed(str(document["origin"]), int(document["size"]), bytes.fromhex(document["root"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise EvidenceError(
                f"Expected {path} to say what was signed last, found it damaged ({error}); restore it from a backup."
            ) from None
        if found.origin != self.verifier_key(log).name:
            raise EvidenceError(
                f"Expected {log} to be signed as {found.origin}, found {self.verifier_key(log).name}; keep the name "
                "that its checkpoints carry."
            )
        return found

    def sign(self, log: str, *, size: int, root: bytes, proof: Sequence[bytes]) -> Note:
        """The signed checkpoint of a log.

        Arguments
            proof  that the tree extends the one of `signed`; empty where there is none or they are equal

        Errors
            ChainBroken    the tree is no extension of what was signed; nothing is signed
            EvidenceError  as `signed`
            OSError        as the disk says; nothing left this object
        """
        before = self.signed(log)
        if before is not None and not is_extension(
            old_size=before.size, old_root=before.root, size=size, root=root, proof=proof
        ):
            raise ChainBroken(
                f"Expected the tree of {log} to extend the one of {before.size} entries that was signed, found another "
                f"of {size}; the log was shortened or altered: keep it as it is and restore it from a backup."
            )
        key = self.verifier_key(log)
        if before is None or (before.size, before.root) != (size, root):
            document = {"origin": key.name, "size": size, "root": root.hex()}
            replace_file(self._path(log), json.dumps(document, sort_keys=True).encode(), disk=self._disk)
        text = Checkpoint(key.name, size, root).text
        return Note(text, (log_line(key, self._key.sign(text)),))

    def close(self) -> None:
        """Let another process sign."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _path(self, log: str) -> Path:
        return self._directory / f"{log}{SIGNED_SUFFIX}"
