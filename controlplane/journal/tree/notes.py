"""Signed notes, checkpoints and cosignatures as text: how they are written, read and judged.

Source: C2SP signed-note, tlog-checkpoint, tlog-cosignature. Two kinds of key sign: a log's (type 1, over the text) and
a witness's (type 4, over the text and the time of signing). What unknown keys signed is left alone; a known key with a
signature that doesn't fit refuses the whole note.
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.domain.errors import EvidenceError, InvalidRequest
from controlplane.journal.tree.hashing import HASH_BYTES

LOG_SIGNATURE = 0x01
COSIGNATURE = 0x04
KEY_BYTES = 32
SIGNATURE_BYTES = 64
NOTE_BYTES_MAX = 64 * 1024
SIGNATURE_LINES_MAX = 64
TREE_SIZE_MAX = 2**63 - 1
SIGNATURE_START = "\u2014 "

_NAME = re.compile(r"^[^\s+\x00-\x1f]{1,255}$")
_DECIMAL = re.compile(r"^(?:0|[1-9][0-9]{0,18})$")
_STAMP = struct.Struct(">Q")

# Whether 64 bytes are a key's signature of a message: public key, signature, message.
Judge = Callable[[bytes, bytes, bytes], bool]


class NoteRefused(EvidenceError):
    """A signed note isn't one, or a known key's signature doesn't fit, or no known key signed it."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under.

    Fields
        name    of the log (its origin) or of the witness
        kind    LOG_SIGNATURE or COSIGNATURE
        public  32 bytes of an Ed25519 key
    """

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key in a signature line; a hint, no proof."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The key as people hand it on: name, identifier and key, joined by plus signs."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says about its tree.

    Fields
        origin  name of the log, unique among all logs of all machines
        size    entries
        root    32 bytes
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """The bytes that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One line under a note: who is said to have signed, and the bytes after the key's identifier."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The line without its line break."""
        return f"{SIGNATURE_START}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}"


@dataclass(frozen=True, slots=True)
class Note:
    """A signed text that nobody has judged yet."""

    text: bytes
    lines: tuple[SignatureLine, ...]

    @property
    def content(self) -> bytes:
        """The note as it stands in a file."""
        return self.text + b"\n" + "".join(line.text + "\n" for line in self.lines).encode()


def check_name(name: str) -> None:
    """Return when a key can have this name.

    Errors
        InvalidRequest otherwise
    """
    if not _NAME.match(name) or len(name.encode()) > 255:
        raise InvalidRequest(f"Expected a key's name without spaces, plus signs or controls, found {name[:80]!r}.")


def parse_key(text: str) -> VerifierKey:
    """Return the key that a line such as `example.com/log+33d7b496+AeHT...` holds.

    Errors
        InvalidRequest when it isn't a key of a kind known here, or its identifier doesn't fit
    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise InvalidRequest(f"Expected a key as name+identifier+key, found {text[:120]!r}.", field="key")
    name, key_id, encoded = parts
    check_name(name)
    material = _decode(encoded)
    if material is None or len(material) != 1 + KEY_BYTES or material[0] not in (LOG_SIGNATURE, COSIGNATURE):
        raise InvalidRequest(f"Expected an Ed25519 key of type 1 or 4 under {name}, found another.", field="key")
    key = VerifierKey(name, material[0], material[1:])
    if key.key_id.hex() != key_id:
        raise InvalidRequest(
            f"Expected the identifier {key.key_id.hex()} for the key of {name}, found {key_id[:16]!r}; copy it again.",
            field="key",
        )
    return key


def parse_note(content: bytes) -> Note:
    """Return the text and the signature lines of a note, unjudged.

    Errors
        NoteRefused when the bytes aren't a signed note, or are larger than any that we take
    """
    if len(content) > NOTE_BYTES_MAX:
        raise NoteRefused(f"Expected a note of at most {NOTE_BYTES_MAX} bytes, found {len(content)}.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise NoteRefused("Expected a note in UTF-8, found other bytes.") from None
    if any(character < " " and character != "\n" for character in text):
        raise NoteRefused("Expected a note without control characters, found one.")
    body, separator, signatures = text.rpartition("\n\n")
    if not separator or not signatures.endswith("\n") or not body:
        raise NoteRefused("Expected a text, an empty line and signature lines, found another form.")
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURE_LINES_MAX:
        raise NoteRefused(f"Expected at most {SIGNATURE_LINES_MAX} signature lines, found {len(lines)}.")
    return Note((body + "\n").encode(), tuple(_signature_line(line) for line in lines))


def parse_signature_lines(content: bytes) -> tuple[SignatureLine, ...]:
    """Return the signature lines that a witness answers with.

    Errors
        NoteRefused when they aren't signature lines
    """
    return parse_note(b"-\n\n" + content).lines


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Return what a checkpoint's text says; extension lines are allowed and left alone.

    Errors
        NoteRefused when it isn't one
    """
    lines = text.decode("utf-8", "replace").split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteRefused("Expected a checkpoint of origin, size and root, found another text.")
    root = _decode(lines[2])
    if not _DECIMAL.match(lines[1]) or int(lines[1]) > TREE_SIZE_MAX or root is None or len(root) != HASH_BYTES:
        raise NoteRefused(f"Expected a size and a root of 32 bytes, found {lines[1][:32]!r} and {lines[2][:64]!r}.")
    return Checkpoint(lines[0], int(lines[1]), root)


def signers_of(note: Note, keys: Sequence[VerifierKey], judge: Judge) -> tuple[VerifierKey, ...]:
    """Return the known keys that signed the note, in order of its lines.

    Errors
        NoteRefused for a known key's signature that doesn't fit, and when no known key signed
    """
    by_name = {(key.name, key.key_id): key for key in keys}
    found: list[VerifierKey] = []
    for line in note.lines:
        key = by_name.get((line.name, line.key_id))
        if key is None:
            continue
        if not _is_signed(note.text, line, key, judge):
            raise NoteRefused(f"Expected the signature of {key.name} to fit the note, found that it doesn't.")
        if key not in found:
            found.append(key)
    if not found:
        raise NoteRefused("Expected a signature of a known key, found none.")
    return tuple(found)


def cosigned_message(text: bytes, seconds: int) -> bytes:
    """Return the bytes that a witness signs at a time in seconds since the epoch."""
    return f"cosignature/v1\ntime {seconds}\n".encode() + text


def log_line(key: VerifierKey, signature: bytes) -> SignatureLine:
    """Return the line of a log's signature."""
    return SignatureLine(key.name, key.key_id, signature)


def cosignature_line(key: VerifierKey, signature: bytes, seconds: int) -> SignatureLine:
    """Return the line of a witness's signature made at a time."""
    return SignatureLine(key.name, key.key_id, _STAMP.pack(seconds) + signature)


def cosigned_seconds(line: SignatureLine) -> int:
    """Return when a witness signed, in seconds since the epoch."""
    return int(_STAMP.unpack_from(line.signature)[0])


def is_canonical_key(public: bytes) -> bool:
    """Whether 32 bytes are the one encoding of their point, as RFC 8032 section 5.1.3 demands.

    The library underneath takes y modulo p; two texts of one key would then have two identifiers.
    """
    number = int.from_bytes(public, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    prime = (1 << 255) - 19
    return y < prime and not (sign and y in (1, prime - 1))


def _is_signed(text: bytes, line: SignatureLine, key: VerifierKey, judge: Judge) -> bool:
    if key.kind == LOG_SIGNATURE:
        return len(line.signature) == SIGNATURE_BYTES and judge(key.public, line.signature, text)
    if len(line.signature) != _STAMP.size + SIGNATURE_BYTES:
        return False
    seconds = cosigned_seconds(line)
    return seconds < 2**63 and judge(key.public, line.signature[_STAMP.size :], cosigned_message(text, seconds))


def _signature_line(line: str) -> SignatureLine:
    start, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    signature = _decode(encoded)
    if start + " " != SIGNATURE_START or not _NAME.match(name) or signature is None or len(signature) < 5:
        raise NoteRefused(f"Expected a signature line, found {line[:80]!r}.")
    return SignatureLine(name, signature[:4], signature[4:])


def _decode(text: str) -> bytes | None:
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    # One text for one value: the spare bits of the last digit are zero.
    return content if base64.b64encode(content).decode() == text else None
