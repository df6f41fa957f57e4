"""Ed25519 keys: made once, kept in a file that only its owner reads, used to sign and to judge signatures.

The one file here that knows the cryptography library.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from controlplane.domain.errors import EvidenceError
from controlplane.journal.files.segment import TEMPORARY_SUFFIX, Disk, sync_directory, write_whole
from controlplane.journal.tree.notes import is_canonical_key


class SigningKey:
    """A private key; what it signs is the caller's responsibility."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """The key of 32 secret bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes that prove that the owner of the key wrote a message."""
        return self._private.sign(message)


def is_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature fits a message and a public key, both in their only encoding.

    Source
        RFC 8032 section 5.1.7 without its cofactor, as the library judges; non-canonical keys are refused before
    """
    if not is_canonical_key(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_or_make_key(path: Path, *, disk: Disk) -> SigningKey:
    """Return the key of a file, which is made with a new key where there is none.

    Errors
        EvidenceError when the file holds no Ed25519 key, or others may read it
        OSError       as the disk says
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _make_key(path, disk=disk)
    if path.stat().st_mode & 0o077:
        raise EvidenceError(
            f"Expected {path} to be readable by its owner alone, found wider permissions; if nobody else read it, run "
            f"`chmod 600 {path}`, otherwise sign with a new key and tell whoever trusts this one."
        )
    try:
        private = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise EvidenceError(f"Expected a private key in {path}, found none ({error}); restore the file.") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise EvidenceError(f"Expected an Ed25519 key in {path}, found another kind; restore the file.")
    return SigningKey(private)


def _make_key(path: Path, *, disk: Disk) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_whole(descriptor, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), disk=disk)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    sync_directory(path.parent, disk=disk)
    return SigningKey(private)
