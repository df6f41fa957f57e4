"""Identifiers: 63-bit integers inside, short text outside, and never used twice in the life of a journal.

An identifier is the minting time in microseconds, shifted left by 8 bits, plus the number of the program that minted
it. Each program's identifiers only grow, so a gate knows a reused one by comparing it with the highest it has seen
from that program: one number each, however long the journal is.
"""

from dataclasses import dataclass, field
from typing import NewType

from controlplane.domain.clock import NS_PER_US, Clock
from controlplane.domain.errors import InvalidRequest

RequestId = NewType("RequestId", int)
ParentId = NewType("ParentId", int)
ChildId = NewType("ChildId", int)

PROGRAM_BITS = 8
PROGRAM_MAX = (1 << PROGRAM_BITS) - 1
ID_MAX = (1 << 62) - 1


@dataclass(slots=True)
class IdMint:
    """Mints strictly growing identifiers for one program.

    Arguments
        clock     source of time; a clock that steps back doesn't repeat an identifier
        program   number of this program among those that talk to one gate, 0..255
        last      highest identifier minted earlier, recovered from the journal after a restart
    """

    clock: Clock
    program: int = 0
    last: int = field(default=0)

    def __post_init__(self) -> None:
        if not 0 <= self.program <= PROGRAM_MAX:
            raise InvalidRequest(f"Program number {self.program} is outside 0..{PROGRAM_MAX}.", field="program")

    def next(self) -> int:
        """Return the next identifier, above every earlier one of this program."""
        moment = self.clock.wall_ns() // NS_PER_US
        candidate = (moment << PROGRAM_BITS) | self.program
        step = 1 << PROGRAM_BITS
        self.last = candidate if candidate > self.last else self.last + step
        return self.last


def program_of(identifier: int) -> int:
    """Return the number of the program that minted the identifier."""
    return identifier & PROGRAM_MAX


def to_text(identifier: int) -> str:
    """Return the identifier as people and addresses write it: 16 lower-case hexadecimal digits."""
    return f"{identifier:016x}"


def from_text(text: str) -> int:
    """Return the identifier that `to_text` wrote.

    Errors
        InvalidRequest when the text isn't exactly 16 ASCII hexadecimal digits
    """
    if len(text) != 16 or any(letter not in "0123456789abcdef" for letter in text):
        raise InvalidRequest(f"An identifier is 16 lower-case hexadecimal digits, found {text[:40]!r}.", field="id")
    return int(text, 16)
