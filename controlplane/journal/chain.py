"""The running digest over the records of a segment; its last value seals the segment in the next one's header."""

import hashlib


class ChainDigest:
    """Chain value of a segment that grows: SHA-256 over the chain value before it and all its frames with padding."""

    __slots__ = ("_digest",)

    def __init__(self, previous_chain: bytes) -> None:
        self._digest = hashlib.sha256(previous_chain)

    def update(self, frames: bytes | memoryview) -> None:
        """Take the next frames in."""
        self._digest.update(frames)

    def value(self) -> bytes:
        """The chain value up to here, 32 bytes."""
        return self._digest.copy().digest()
