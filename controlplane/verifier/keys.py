"""Public keys and their signatures; the one file of the verifier that asks the cryptography library."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOG, WITNESS = 1, 4
PRIME = 2**255 - 19


class NoKey(Exception):
    """A text isn't a public key that can be judged with."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A name, what the key signs (LOG: texts, WITNESS: texts and a time), and its 32 bytes."""

    name: str
    kind: int
    material: bytes

    @property
    def number(self) -> bytes:
        """Four bytes by which a signature line refers to the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.material).digest()[:4]

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether a signature fits; a key that isn't written in its only form fits nothing."""
        y = int.from_bytes(self.material, "little") % 2**255
        if y >= PRIME or (y in (1, PRIME - 1) and self.material[31] & 0x80):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.material).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def public_key(text: str) -> PublicKey:
    """Return the key that a text such as `name+0a1b2c3d+AbCd...` is.

    Errors
        NoKey when it isn't one of the two kinds, or its parts don't belong together
    """
    name, _, rest = text.strip().partition("+")
    number, _, encoded = rest.partition("+")
    try:
        material = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if not name or any(mark.isspace() for mark in name) or len(material) != 33 or material[0] not in (LOG, WITNESS):
        raise NoKey(f"Expected a public key as name+number+key, found {text.strip()[:100]!r}.")
    key = PublicKey(name, material[0], material[1:])
    if key.number.hex() != number:
        raise NoKey(
            f"Expected the number {key.number.hex()} in the key of {name}, found {number[:16]!r}; copy it again."
        )
    return key
