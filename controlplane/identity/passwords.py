"""Local passwords: made, kept as Argon2id hashes, and compared in the same time whether or not the account exists."""

import secrets
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# No letter or digit that two people could read differently; 31 signs, so 24 of them hold 118 bits.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS = 6
GROUP_LENGTH = 4

PASSWORD_LENGTH_MAX = 256
# RFC 9106, section 4, second recommended option; one lane, since two cores carry everything else as well.
TIME_COST = 3
MEMORY_KIB = 65_536
LANES = 1
# Each comparison takes 64 MiB: a burst of sign-ins queues instead of filling the memory.
COMPARED_AT_ONCE_MAX = 2


class Passwords:
    """Makes, hashes and compares passwords.

    Arguments
        time_cost, memory_kib  Argon2id parameters; tests use small ones
    """

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=LANES)
        self._at_once = BoundedSemaphore(COMPARED_AT_ONCE_MAX)
        # Compared with when no such account exists, so that the answer takes as long.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """The password as it may be kept, with salt and parameters."""
        return self._hasher.hash(password)

    def matches(self, password: str, kept: str | None) -> bool:
        """Whether the password is the kept one; without a kept one False, after the same work."""
        if len(password) > PASSWORD_LENGTH_MAX:
            return False
        with self._at_once:
            try:
                self._hasher.verify(kept or self._nobody, password)
            except (VerificationError, InvalidHashError, UnicodeEncodeError):
                return False
        return kept is not None


def make_password() -> str:
    """A password nobody chose, in groups that can be read aloud: `k7mq-2hxv-...`."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)
