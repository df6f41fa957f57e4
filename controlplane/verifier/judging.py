"""Whether a log is what was signed: frames, chain, tree files, roots, signatures, and the past that an auditor kept.

One pass over the entries, in memory that doesn't grow with the log. The checkpoint is read first, so that a log that is
being written meanwhile is never accused.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from controlplane.verifier.frames import Fault, FaultFound, LogFrames
from controlplane.verifier.keys import LOG, WITNESS, NoKey, PublicKey, public_key
from controlplane.verifier.merkle import EMPTY, GrowingRoot, inclusion_holds, leaf, leaves
from controlplane.verifier.notes import Checkpoint, NoteWrong, checkpoint, proof_file
from controlplane.verifier.tiles import FOLDER, TreeFiles

CHECKPOINT, COSIGNED, KEY = f"{FOLDER}/checkpoint", f"{FOLDER}/checkpoint.cosigned", f"{FOLDER}/public-key"
KEY_GIVEN, KEY_FOUND, KEY_NONE = "given", "found beside the log", "none"


@dataclass(slots=True)
class Verdict:
    """What was found about one log.

    Fields
        directory      of the log
        log            name that its segments carry
        is_complete    whether all of it was looked at before the time was over
        records        whole records up to the end, the first fault or the end of the time
        segments       files read to their end
        chain          chain value of the last segment read, hexadecimal
        torn_bytes     bytes of a record that was being written, 0 when there are none
        signed_size    records under the signed checkpoint, 0 when there is none
        cosigned_size  records under the newest checkpoint that a witness signed too
        old_size       records under the older checkpoint that was given, -1 when none was
        key            whence the log's key is: given, found beside the log, or none
        witnesses      names of given witnesses whose signature was found
        problem        the first fault as a sentence, empty when sound
        problems       everything that was found, the first fault first
        seq            sequence of the first bad record, 0 when no single one is
        path, offset   where; -1 when a file as a whole is concerned
        seconds        how long it took
    """

    directory: str
    log: str = ""
    is_complete: bool = True
    records: int = 0
    segments: int = 0
    chain: str = ""
    torn_bytes: int = 0
    signed_size: int = 0
    cosigned_size: int = 0
    old_size: int = -1
    key: str = KEY_NONE
    witnesses: list[str] = field(default_factory=list)
    problem: str = ""
    problems: list[str] = field(default_factory=list)
    seq: int = 0
    path: str = ""
    offset: int = -1
    seconds: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Whether nothing contradicts anything in what was looked at."""
        return not self.problem

    def document(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return {**asdict(self), "is_sound": self.is_sound, "seconds": round(self.seconds, 3)}

    def lines(self) -> list[str]:
        """The verdict for a terminal."""
        name = self.log or Path(self.directory).name
        if self.problem:
            return [f"{name}: NOT SOUND: {one}" for one in self.problems]
        if not self.is_complete:
            size = max(self.signed_size, self.records)
            return [f"{name}: NOT FINISHED, sound so far: {self.records} of at least {size} records; give it more time"]
        found = [f"{name}: proved, {self.records} records, {self._signed()}"]
        if self.old_size >= 0:
            found.append(f"{name}: extends the checkpoint of {self.old_size} records that you kept")
        if self.key == KEY_FOUND:
            found.append(
                f"{name}: the key was found beside the log, and so proves nothing against who holds the disk; "
                "name the one that you were given with --public-key"
            )
        return found

    def _signed(self) -> str:
        if self.key == KEY_NONE:
            return "no signed checkpoint"
        witnesses = f", witnessed up to {self.cosigned_size} by {', '.join(self.witnesses)}" if self.witnesses else ""
        return f"signed up to {self.signed_size}{witnesses}"


def judge(
    directory: Path,
    *,
    keys: Sequence[PublicKey] = (),
    old: Checkpoint | None = None,
    seconds_max: float | None = None,
) -> Verdict:
    """Return the verdict on one log; changes nothing and raises for nothing that stands in its files.

    Arguments
        keys         public keys of the log and of witnesses; without one of the log, the one beside it is used
        old          a checkpoint that somebody kept; the log must begin with its tree
        seconds_max  when to stop; never when None
    """
    started = time.monotonic()
    case = _Case(directory, keys, old, None if seconds_max is None else started + seconds_max)
    try:
        case.look_at_checkpoints()
        case.look_at_entries()
    except FaultFound as found:
        case.add(found.fault)
    except OSError as error:
        case.add(Fault(f"expected to read {error.filename or directory}, found: {error.strerror or error}", 0, "", -1))
    case.verdict.seconds = time.monotonic() - started
    return case.verdict


class _Case:
    """One log being judged."""

    def __init__(
        self, directory: Path, keys: Sequence[PublicKey], old: Checkpoint | None, deadline: float | None
    ) -> None:
        self.verdict = Verdict(str(directory))
        self._directory = directory
        self._keys = keys
        self._old = old
        self._deadline = deadline
        self._wanted: list[tuple[int, bytes, str]] = []  # sizes, roots, and whose word they are
        self._signed_size = 0

    def add(self, fault: Fault) -> None:
        """Keep a fault; the first that concerns a record is the one that is named."""
        verdict = self.verdict
        place = f"{fault.path} at offset {fault.offset}" if fault.offset >= 0 else fault.path or str(self._directory)
        record = f"record {fault.seq}: " if fault.seq else ""
        sentence = f"{record}{fault.reason} ({place})."
        if not verdict.seq and (fault.seq or not verdict.problem):
            verdict.problem, verdict.seq = sentence, fault.seq
            verdict.path, verdict.offset = fault.path, fault.offset
            verdict.problems.insert(0, sentence)
        else:
            verdict.problems.append(sentence)

    def look_at_checkpoints(self) -> None:
        """Judge the signatures and note which roots the entries must have."""
        newest = self._note(CHECKPOINT)
        cosigned = self._note(COSIGNED)
        if newest is None:
            if any(key.kind == LOG for key in self._keys):
                self._complain("expected a signed checkpoint, found none", CHECKPOINT)
        else:
            self._signed_size = self.verdict.signed_size = newest.size
            self._wanted.append((newest.size, newest.root, CHECKPOINT))
            self._judge_log_key(newest, CHECKPOINT)
        witnesses = [key for key in self._keys if key.kind == WITNESS]
        for note, path in ((cosigned, COSIGNED), (newest, CHECKPOINT)):
            if note is not None and witnesses:
                self._judge_witnesses(note, witnesses, path)
        if cosigned is not None:
            self._wanted.append((cosigned.size, cosigned.root, COSIGNED))
            self._judge_log_key(cosigned, COSIGNED)
        missing = [key.name for key in witnesses if key.name not in self.verdict.witnesses]
        if missing:
            self._complain(f"expected the signature of {', '.join(missing)}, found none", COSIGNED)
        if self._old is not None:
            self._look_at_old(self._old, newest)

    def look_at_entries(self) -> None:
        """Walk over all entries; every wanted root must come out at its size."""
        frames, files = LogFrames(self._directory), TreeFiles(self._directory, self._signed_size)
        root = GrowingRoot(files.block_roots)
        wanted = sorted(self._wanted, key=lambda one: one[0])
        while wanted and wanted[0][0] == 0:
            self._compare(wanted.pop(0), EMPTY, 0)
        reached = 0  # the last size whose root came out as wanted
        try:
            for part in frames.parts():
                hashes = leaves(part.entries)
                files.add(part.entries, hashes)
                reached = self._grow(root, hashes, wanted, reached)
                if self._deadline is not None and time.monotonic() > self._deadline:
                    self.verdict.is_complete = False
                    return
        except FaultFound:
            # The place where reading ended may lie far behind the record that was altered.
            files.compare_begun()
            raise
        finally:
            self.verdict.records, self.verdict.log = root.size, frames.log
            self.verdict.segments, self.verdict.chain = frames.segments, frames.chain.hex()
            self.verdict.torn_bytes = frames.torn_bytes
        if wanted:
            size, _, whose = wanted[0]
            self.add(
                Fault(f"expected {size} records, as {whose} states, found that the log ends", root.size + 1, whose, -1)
            )

    def _grow(
        self,
        root: GrowingRoot,
        hashes: list[bytes],
        wanted: list[tuple[int, bytes, str]],
        reached: int,
    ) -> int:
        taken = 0
        while wanted and wanted[0][0] <= root.size + len(hashes) - taken:
            step = wanted[0][0] - root.size
            root.add(hashes[taken : taken + step])
            taken += step
            self._compare(wanted[0], root.root(), reached)
            reached = wanted.pop(0)[0]
        root.add(hashes[taken:] if taken else hashes)
        return reached

    def _compare(self, wanted: tuple[int, bytes, str], found: bytes, reached: int) -> None:
        size, root, whose = wanted
        if found != root:
            between = f"one of the records {reached + 1} to {size} isn't the one that was signed"
            raise FaultFound(
                Fault(
                    f"expected the root of {size} records in {whose}, found another: {between}", reached + 1, whose, -1
                )
            )

    def _judge_log_key(self, note: Checkpoint, path: str) -> None:
        given = [key for key in self._keys if key.kind == LOG]
        keys = [key for key in given if key.name == note.origin]
        if given and not keys:
            self._complain(f"expected a log that one of the given keys signs, found {note.origin}", path)
            return
        self.verdict.key = KEY_GIVEN
        if not given:
            keys = self._key_beside(note)
            self.verdict.key = KEY_FOUND
        try:
            if not note.signers(keys):
                self._complain(f"expected the signature of the log's key over {note.size} records, found none", path)
        except NoteWrong as error:
            self._complain(str(error).rstrip("."), path)

    def _judge_witnesses(self, note: Checkpoint, witnesses: list[PublicKey], path: str) -> None:
        try:
            names = [key.name for key in note.signers(witnesses)]
        except NoteWrong as error:
            self._complain(str(error).rstrip("."), path)
            return
        if names:
            self.verdict.cosigned_size = max(self.verdict.cosigned_size, note.size)
            self.verdict.witnesses += [name for name in names if name not in self.verdict.witnesses]

    def _look_at_old(self, old: Checkpoint, newest: Checkpoint | None) -> None:
        self.verdict.old_size = old.size
        self._wanted.append((old.size, old.root, "the checkpoint that was kept"))
        if newest is not None and newest.origin != old.origin:
            self._complain(f"expected a later checkpoint of {old.origin}, found one of {newest.origin}", CHECKPOINT)
        if newest is not None and newest.size < old.size:
            self._complain(
                f"expected a checkpoint of at least the {old.size} records signed before, found {newest.size}",
                CHECKPOINT,
            )
        keys = [key for key in self._keys if key.kind == LOG] or self._key_beside(old)
        try:
            if not old.signers(keys):
                self._complain("expected the kept checkpoint to be signed by the log's key, found that it isn't", "")
        except NoteWrong as error:
            self._complain(f"the kept checkpoint: {str(error).rstrip('.')}", "")

    def _key_beside(self, note: Checkpoint) -> list[PublicKey]:
        try:
            key = public_key((self._directory / KEY).read_text("utf-8"))
        except (FileNotFoundError, UnicodeDecodeError, NoKey):
            return []
        return [key] if key.name == note.origin else []

    def _note(self, path: str) -> Checkpoint | None:
        try:
            return checkpoint((self._directory / path).read_bytes())
        except FileNotFoundError:
            return None
        except NoteWrong as error:
            self._complain(str(error).rstrip("."), path)
            return None

    def _complain(self, reason: str, path: str) -> None:
        self.add(Fault(reason, 0, path, -1))


def judge_proof(content: bytes, *, keys: Sequence[PublicKey], entry: bytes | None = None) -> str:
    """Return why a `.tlog-proof` file doesn't prove that an entry stands in a log; empty when it does.

    Arguments
        entry  the exact bytes; those that the file carries when None, which are as good, since they are hashed here
    """
    try:
        proof = proof_file(content)
        signers = proof.checkpoint.signers(keys)
    except NoteWrong as error:
        return str(error)
    if not any(key.kind == LOG and key.name == proof.checkpoint.origin for key in signers):
        return f"Expected the signature of {proof.checkpoint.origin}, found none by a key that was given."
    missing = [key.name for key in keys if key.kind == WITNESS and key not in signers]
    if missing:
        return f"Expected the signature of {', '.join(missing)}, found none."
    wanted = leaf(proof.entry if entry is None else entry)
    if not inclusion_holds(proof.index, proof.checkpoint.size, wanted, proof.path, proof.checkpoint.root):
        return (
            f"Expected the entry at index {proof.index}, found that the proof doesn't lead from it to the signed root."
        )
    return ""
