"""Asks a witness for its signature over a log's newest checkpoint, as C2SP tlog-witness says.

The witness remembers what it signed. Where it knows more of the log than we have, the log was put back to an older
state, and no answer is worth asking for again.
"""

import base64
import http.client
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.domain.errors import ChainBroken, ChannelUnavailable, InvalidRequest
from controlplane.journal.tree.growth import LogTree
from controlplane.journal.tree.keys import is_signature
from controlplane.journal.tree.notes import (
    COSIGNATURE,
    Checkpoint,
    Note,
    NoteRefused,
    SignatureLine,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    parse_signature_lines,
    signers_of,
)
from controlplane.journal.tree.proofs import consistency_proof
from controlplane.journal.tree.tiles import CHECKPOINT_NAME, COSIGNED_NAME, TileReader

ADD_CHECKPOINT = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
ANSWER_SECONDS = 2.0
ANSWER_BYTES_MAX = 16 * 1024
OK, CONFLICT, NO_EXTENSION = 200, 409, 422


class Cosigner:
    """The way to one witness.

    Arguments
        address  where it listens, `http://127.0.0.1:8710`
        key      its public key

    Errors
        InvalidRequest when the address isn't one, or the key isn't a witness's
    """

    def __init__(self, address: str, key: VerifierKey) -> None:
        parts = urlsplit(address)
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidRequest(f"Expected the witness's address as http://host:port, found {address[:80]!r}.")
        if key.kind != COSIGNATURE:
            raise InvalidRequest(f"Expected the key of a witness (type 4), found that of {key.name}.")
        self._host, self._port, self._path = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self._key = key
        self._sizes: dict[str, int] = {}

    def cosign(self, tree: LogTree) -> int:
        """The size of the checkpoint that the witness signed; it lies beside the tree, with all signatures.

        Errors
            ChainBroken         the witness knows another past of this log, or more of it than there is
            ChannelUnavailable  the witness is away or didn't sign
            OSError             the disk refuses
        """
        note = parse_note((tree.directory / CHECKPOINT_NAME).read_bytes())
        checkpoint = parse_checkpoint(note.text)
        old_size = self._known_size(tree.directory, checkpoint.origin)
        status, body = self._ask(tree.directory, note, checkpoint, old_size)
        if status == CONFLICT:
            old_size = self._size_of(body, checkpoint)
            status, body = self._ask(tree.directory, note, checkpoint, old_size)
        if status == CONFLICT:
            self._size_of(body, checkpoint)
            raise ChannelUnavailable(
                f"Expected {self._key.name} to sign, found that it just signed another size; it is asked again."
            )
        if status == NO_EXTENSION:
            raise ChainBroken(
                f"Expected {checkpoint.origin} to extend the {old_size} records that {self._key.name} signed, found "
                "another past; there are two logs of this name: stop both and compare them."
            )
        if status != OK:
            raise ChannelUnavailable(
                f"Expected {self._key.name} to sign the checkpoint of {checkpoint.origin}, found status {status}: "
                f"{_words(body)}."
            )
        line = self._line(note, body)
        others = [one for one in note.lines if (one.name, one.key_id) != (line.name, line.key_id)]
        tree.keep_cosigned(Note(note.text, (*others, line)))
        self._sizes[checkpoint.origin] = checkpoint.size
        return checkpoint.size

    def _known_size(self, directory: Path, origin: str) -> int:
        """What the witness signed last, as far as we know; it corrects us."""
        if origin not in self._sizes:
            try:
                note = parse_note((directory / COSIGNED_NAME).read_bytes())
                self._sizes[origin] = parse_checkpoint(note.text).size
            except (FileNotFoundError, NoteRefused):
                self._sizes[origin] = 0
        return self._sizes[origin]

    def _size_of(self, body: bytes, checkpoint: Checkpoint) -> int:
        """The size that the witness says it signed.

        Errors
            ChainBroken when it is not smaller than the checkpoint: with the same size, the roots differ
        """
        text = body.decode("ascii", "replace").strip()
        size = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if size < 0:
            raise ChannelUnavailable(f"Expected {self._key.name} to say what it signed, found {_words(body)}.")
        if size > checkpoint.size:
            raise ChainBroken(
                f"Expected {checkpoint.origin} to hold the {size} records that {self._key.name} signed, found "
                f"{checkpoint.size}; the log was put back to an older state: keep it and restore the newer one."
            )
        if size == checkpoint.size and self._sizes.get(checkpoint.origin) == size:
            raise ChainBroken(
                f"Expected {self._key.name} to know the tree of {size} records of {checkpoint.origin}, found that it "
                "signed another; there are two logs of this name: stop both and compare them."
            )
        self._sizes[checkpoint.origin] = size
        return size

    def _ask(self, directory: Path, note: Note, checkpoint: Checkpoint, old_size: int) -> tuple[int, bytes]:
        node_at = TileReader(directory, checkpoint.size).node_at
        proof = consistency_proof(min(old_size, checkpoint.size), checkpoint.size, node_at)
        lines = [f"old {min(old_size, checkpoint.size)}", *(base64.b64encode(one).decode() for one in proof), "", ""]
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        try:
            connection.request("POST", self._path + ADD_CHECKPOINT, "\n".join(lines).encode() + note.content)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise ChannelUnavailable(
                f"Expected the witness at {self._host}:{self._port} to answer, found: {error!r}; see that it runs."
            ) from None
        finally:
            connection.close()

    def _line(self, note: Note, body: bytes) -> SignatureLine:
        """The witness's own line of its answer, judged."""
        try:
            for line in parse_signature_lines(body):
                if (line.name, line.key_id) == (self._key.name, self._key.key_id):
                    signers_of(Note(note.text, (line,)), [self._key], is_signature)
                    return line
        except NoteRefused as error:
            raise ChannelUnavailable(f"Expected a cosignature of {self._key.name}, found: {error}") from None
        raise ChannelUnavailable(f"Expected a cosignature of {self._key.name}, found those of others; check its key.")


def _words(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip()[:200] or "no words"
