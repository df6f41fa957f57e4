"""The published vectors of transparency logs, and trees computed the slow way to compare with."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controlplane.journal.tree.proofs import consistency_proof

FOLDER = "transparency_log_vectors"
VECTOR_KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
VECTOR_ENTRIES = (
    b"one", b"two", b"three", b"four", b"five", b"six", b"seven", b"eit", b"nain", b"ten", b"ileven", b"twelf",
    b"threeten", b"fourten", b"fivten",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vector:
    """One published proof, good or broken.

    Fields
        name     where it stands and what it describes
        values   its numbers and decoded hashes
        proof    its hashes
        is_good  whether a verifier has to accept it
    """

    name: str
    values: dict[str, int | bytes]
    proof: list[bytes]
    is_good: bool


def vectors_folder(recorded_data: Path) -> Path:
    """The folder of the vectors; the test that asks is skipped where they are absent."""
    folder = recorded_data / FOLDER
    if not folder.is_dir():
        pytest.skip(f"the published vectors of ../shared/data/{FOLDER} are not beside this checkout")
    return folder


def proof_vectors(recorded_data: Path, kind: str) -> Iterator[Vector]:
    """Every vector of a kind, `inclusion` or `consistency`."""
    for path in sorted((vectors_folder(recorded_data) / "merkle" / kind).rglob("*.json")):
        content = json.loads(path.read_bytes())
        proof = [base64.b64decode(line) for line in content.pop("proof") or []]
        is_good = not content.pop("wantErr")
        content.pop("desc", None)
        values = {
            name: value if isinstance(value, int) else base64.b64decode(value or "") for name, value in content.items()
        }
        yield Vector(f"{path.parent.name}/{path.name}", values, proof, is_good)


def slow_root(entries: list[bytes]) -> bytes:
    """The root over entries, as RFC 6962 section 2.1 writes it down."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return hashlib.sha256(b"\1" + slow_root(entries[:split]) + slow_root(entries[split:])).digest()


def witness_request(entries: list[bytes], old_size: int, size: int, note: bytes) -> bytes:
    """What a log asks a witness, with the proof that these entries give."""

    def node_at(level: int, index: int) -> bytes:
        return slow_root(entries[index << level : (index + 1) << level])

    proof = consistency_proof(old_size, size, node_at) if old_size <= size else []
    lines = [f"old {old_size}", *(base64.b64encode(one).decode() for one in proof), "", ""]
    return "\n".join(lines).encode() + note
