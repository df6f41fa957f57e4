"""A second owner's signature over each checkpoint: given once for each size, and never for another past.

The witness sees sizes and roots, no entries. It remembers the last checkpoint of each log that it signed; a log that
was shortened or rewritten can't be shown to extend that, and gets no signature. It needs nothing of the machine that
it watches and belongs on another one.
Source: C2SP tlog-witness, tlog-cosignature.
"""

import base64
import binascii
import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from controlplane.domain.clock import Clock
from controlplane.domain.errors import EvidenceError, InvalidRequest, StateConflict
from controlplane.journal.files.segment import Disk
from controlplane.journal.tree.hashing import EMPTY_ROOT, HASH_BYTES
from controlplane.journal.tree.keys import is_signature, load_or_make_key
from controlplane.journal.tree.notes import (
    COSIGNATURE,
    LOG_SIGNATURE,
    TREE_SIZE_MAX,
    Checkpoint,
    NoteRefused,
    VerifierKey,
    check_name,
    cosignature_line,
    cosigned_message,
    parse_checkpoint,
    parse_note,
    signers_of,
)
from controlplane.journal.tree.proofs import PROOF_HASHES_MAX, is_extension
from controlplane.journal.tree.tiles import replace_file
from controlplane.runtime.logs import get_logger

KEY_NAME = "key"
SEEN_NAME = "seen"
LOCK_NAME = "lock"
PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
BODY_BYTES_MAX = 128 * 1024
CLIENT_SECONDS = 5.0
NS_PER_SECOND = 1_000_000_000

events = get_logger("journal.witness")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a log is told: an HTTP status, its content and the content's type."""

    status: int
    content: bytes
    content_type: str = TEXT_TYPE


@dataclass(frozen=True, slots=True)
class Asked:
    """A request taken apart: the size that the log believes we signed, the proof from there, the checkpoint's bytes."""

    old_size: int
    proof: list[bytes]
    note: bytes


class Witness:
    """Judges checkpoints and signs them; one process at a time.

    Arguments
        directory  holds key and memory; made when absent
        name       that the signatures carry, such as `witness.example/desk`
        logs       public keys of the logs that are watched

    Errors
        InvalidRequest  the name can't be one, or a key isn't a log's
        StateConflict   another process is this witness
        EvidenceError   key or memory is damaged, or the memory is gone: a witness that forgot is replaced, not reset
        OSError         as the disk says
    """

    def __init__(self, directory: Path, *, name: str, logs: Sequence[VerifierKey], clock: Clock, disk: Disk) -> None:
        check_name(name)
        for key in logs:
            if key.kind != LOG_SIGNATURE:
                raise InvalidRequest(f"Expected the key of a log (type 1), found that of {key.name}.", field="log")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._seen_path = directory / SEEN_NAME
        self._logs = tuple(logs)
        self._clock = clock
        self._disk = disk
        self._turn = threading.Lock()  # from looking up the last size to keeping the next one
        self._lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_first = not (directory / KEY_NAME).exists()
            self._key = load_or_make_key(directory / KEY_NAME, disk=disk)
            if is_first:
                self._keep({})
            self._seen = self._remember()
        except BlockingIOError:
            self.close()
            raise StateConflict(f"Expected to be the only witness in {directory}, found another at work.") from None
        except BaseException:
            self.close()
            raise
        self.verifier_key = VerifierKey(name, COSIGNATURE, self._key.public)

    def add_checkpoint(self, body: bytes) -> Answer:
        """The answer to one request; a signature only after the checkpoint is durably remembered.

        Errors
            OSError as the disk says; nothing was signed
        """
        asked = _asked(body)
        if asked is None:
            return Answer(400, b"expected: old size, proof, empty line, checkpoint\n")
        try:
            note = parse_note(asked.note)
            checkpoint = parse_checkpoint(note.text)
        except NoteRefused as error:
            return Answer(400, f"{error}\n".encode())
        keys = [key for key in self._logs if key.name == checkpoint.origin]
        if not keys:
            return Answer(404, b"this log isn't watched here\n")
        try:
            signers_of(note, keys, is_signature)
        except NoteRefused as error:
            return Answer(403, f"{error}\n".encode())
        if asked.old_size > checkpoint.size:
            return Answer(400, b"the old size is above the checkpoint's\n")
        with self._turn:
            refusal = self._refusal(asked, checkpoint)
            if refusal is not None:
                events.warning(
                    "checkpoint_refused", origin=checkpoint.origin, size=checkpoint.size, status=refusal.status
                )
                return refusal
            self._keep({**self._seen, checkpoint.origin: checkpoint})
            self._seen[checkpoint.origin] = checkpoint
        seconds = self._clock.wall_ns() // NS_PER_SECOND
        signature = self._key.sign(cosigned_message(note.text, seconds))
        return Answer(200, (cosignature_line(self.verifier_key, signature, seconds).text + "\n").encode())

    def close(self) -> None:
        """Let another process be this witness."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _refusal(self, asked: Asked, checkpoint: Checkpoint) -> Answer | None:
        last = self._seen.get(checkpoint.origin, Checkpoint(checkpoint.origin, 0, EMPTY_ROOT))
        is_other_tree = checkpoint.size == last.size and checkpoint.root != last.root
        if asked.old_size != last.size or is_other_tree:
            return Answer(409, f"{last.size}\n".encode(), SIZE_TYPE)
        if not is_extension(
            old_size=last.size, old_root=last.root, size=checkpoint.size, root=checkpoint.root, proof=asked.proof
        ):
            return Answer(422, b"the proof doesn't lead from the last checkpoint to this one\n")
        return None

    def _keep(self, seen: dict[str, Checkpoint]) -> None:
        document = {one.origin: {"size": one.size, "root": one.root.hex()} for one in seen.values()}
        replace_file(self._seen_path, json.dumps(document, sort_keys=True).encode() + b"\n", disk=self._disk)

    def _remember(self) -> dict[str, Checkpoint]:
        try:
            document = json.loads(self._seen_path.read_bytes())
            return {
                origin: Checkpoint(origin, int(one["size"]), bytes.fromhex(one["root"]))
                for origin, one in document.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(
                f"Expected {self._seen_path} to say what this witness signed, found it unreadable ({error}); restore "
                "it, or give up this witness and its key and start another: one that forgot must not sign again."
            ) from None


class _Server(ThreadingHTTPServer):
    """The library's server; what goes wrong with one connection is one event, and the others go on."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 the form of the library
        events.warning("witness_connection_lost", client=str(client_address), reason=repr(sys.exc_info()[1]))


class WitnessServer:
    """Answers logs over HTTP, by default to this machine alone.

    Arguments
        port  to listen on; 0 takes any free one

    Errors
        OSError when the port is taken
    """

    def __init__(self, witness: Witness, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = _Server((host, port), _handler(witness.add_checkpoint))
        self.address = f"http://{host}:{self._server.server_address[1]}"

    def run(self, stop_event: threading.Event) -> None:
        """Return when the event is set."""
        serving = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="witness")
        serving.start()
        stop_event.wait()
        self._server.shutdown()
        serving.join()
        self._server.server_close()


def _handler(answer_to: Callable[[bytes], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection of a log."""

        protocol_version = "HTTP/1.1"
        server_version = "witness"
        sys_version = ""
        timeout = CLIENT_SECONDS

        def answer_post(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path != PATH:
                self._tell(Answer(404, b"the only path is /add-checkpoint\n"), is_last=True)
            elif not length.isascii() or not length.isdigit():
                self._tell(Answer(411, b"the length of the content is missing\n"), is_last=True)
            elif int(length) > BODY_BYTES_MAX:
                self._tell(Answer(413, b"the content is too large\n"), is_last=True)
            else:
                self._answer(int(length))

        do_POST = answer_post  # noqa: N815 the name by which the library calls it

        def log_message(self, *details: object) -> None:
            events.debug("witness_request", details=[str(one) for one in details])

        def _answer(self, length: int) -> None:
            body = self.rfile.read(length)
            try:
                self._tell(answer_to(body))
            except OSError as error:
                events.error("witness_disk", reason=str(error))
                self._tell(Answer(503, b"the memory of this witness can't be written\n"), is_last=True)

        def _tell(self, answer: Answer, *, is_last: bool = False) -> None:
            self.close_connection = self.close_connection or is_last
            with suppress(ConnectionError):  # who asked is gone; the answer stands in memory
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.content)))
                if self.close_connection:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(answer.content)

    return Handler


def _asked(body: bytes) -> Asked | None:
    """The request's parts, None when it hasn't the form of one."""
    head, separator, note = body.partition(b"\n\n")
    lines = head.split(b"\n")
    first = lines[0].removeprefix(b"old ")
    if not separator or first == lines[0] or not first.isdigit() or (first != b"0" and first.startswith(b"0")):
        return None
    if len(lines) - 1 > PROOF_HASHES_MAX or len(first) > 19 or int(first) > TREE_SIZE_MAX:
        return None
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines[1:]]
    except binascii.Error:
        return None
    return Asked(int(first), proof, note) if all(len(one) == HASH_BYTES for one in proof) else None
