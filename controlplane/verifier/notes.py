"""Signed checkpoints and proof files, as C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-proof say."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.verifier.keys import LOG, PublicKey

BYTES_MAX = 1 << 20
DASH = "\u2014"
PROOF_MARK = "c2sp.org/tlog-proof@v1"


class NoteWrong(Exception):
    """A note can't be read, or isn't signed as it must be."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's signed word: its origin, its size, its root; with the lines under it."""

    origin: str
    size: int
    root: bytes
    text: bytes
    lines: tuple[tuple[str, bytes, bytes], ...]

    def signers(self, keys: Sequence[PublicKey]) -> list[PublicKey]:
        """The keys among these that signed.

        Errors
            NoteWrong when a line names one of these keys and its signature doesn't fit
        """
        found = []
        for name, number, signature in self.lines:
            for key in keys:
                if (key.name, key.number) != (name, number):
                    continue
                if not _fits(key, self.text, signature):
                    raise NoteWrong(f"Expected the signature of {name} to fit, found that it doesn't.")
                found.append(key)
        return found


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof that one entry stands in a log; `entry` is the extra data of the file, empty when it has none."""

    index: int
    path: tuple[bytes, ...]
    entry: bytes
    checkpoint: Checkpoint


def checkpoint(content: bytes) -> Checkpoint:
    """Return what a signed checkpoint says, its signatures unjudged.

    Errors
        NoteWrong when it isn't one
    """
    if len(content) > BYTES_MAX:
        raise NoteWrong(f"Expected a checkpoint of at most {BYTES_MAX} bytes, found {len(content)}.")
    try:
        whole = content.decode("utf-8")
    except UnicodeDecodeError:
        raise NoteWrong("Expected a checkpoint in UTF-8, found other bytes.") from None
    if any(ord(mark) < 32 and mark != "\n" for mark in whole):
        raise NoteWrong("Expected a checkpoint without control characters, found one.")
    text, gap, signatures = whole.rpartition("\n\n")
    lines = text.split("\n")
    if not gap or not signatures.endswith("\n") or len(lines) < 3 or "" in lines:
        raise NoteWrong("Expected origin, size, root, an empty line and signatures, found another form.")
    origin, size, root = lines[0], lines[1], _decoded(lines[2])
    if not size.isascii() or not size.isdigit() or str(int(size[:20])) != size or len(root) != 32:
        raise NoteWrong(f"Expected a size and a root, found {size[:24]!r} and {lines[2][:60]!r}.")
    return Checkpoint(
        origin, int(size), root, (text + "\n").encode(), tuple(_line(one) for one in signatures[:-1].split("\n"))
    )


def proof_file(content: bytes) -> ProofFile:
    """Return what a `.tlog-proof` file says, unjudged.

    Errors
        NoteWrong when it isn't one
    """
    head, gap, rest = content[:BYTES_MAX].partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not gap or lines[0] != PROOF_MARK:
        raise NoteWrong(f"Expected a file that begins with {PROOF_MARK}, found another.")
    entry = b""
    if len(lines) > 1 and lines[1].startswith("extra "):
        entry = _decoded(lines.pop(1).removeprefix("extra "))
    number = lines[1].removeprefix("index ") if len(lines) > 1 else ""
    if not number.isascii() or not number.isdigit() or f"index {int(number[:20])}" != lines[1]:
        raise NoteWrong("Expected a line with the index of the entry, found another.")
    path = tuple(_decoded(line) for line in lines[2:])
    if len(path) > 63 or any(len(one) != 32 for one in path):
        raise NoteWrong("Expected at most 63 hashes of 32 bytes, found other lines.")
    return ProofFile(int(number), path, entry, checkpoint(rest))


def _fits(key: PublicKey, text: bytes, signature: bytes) -> bool:
    if key.kind == LOG:
        return len(signature) == 64 and key.signed(text, signature)
    seconds = int.from_bytes(signature[:8], "big")
    message = f"cosignature/v1\ntime {seconds}\n".encode() + text
    return len(signature) == 72 and seconds < 2**63 and key.signed(message, signature[8:])


def _line(line: str) -> tuple[str, bytes, bytes]:
    words = line.split(" ")
    if len(words) != 3 or words[0] != DASH or not words[1] or "+" in words[1]:
        raise NoteWrong(f"Expected a signature line, found {line[:80]!r}.")
    content = _decoded(words[2])
    if len(content) < 5:
        raise NoteWrong(f"Expected a signature of {words[1]}, found too few bytes.")
    return words[1], content[:4], content[4:]


def _decoded(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if base64.b64encode(content).decode() != text:
        raise NoteWrong(f"Expected base64, found {text[:60]!r}.")
    return content
