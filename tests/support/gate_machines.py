"""The compiled gate and its judge behind one small interface: one command in, one record out."""

import dataclasses
import hashlib
import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.frames import FRAME_BYTES
from controlplane.gate.kernel.loading import State, build_state
from controlplane.gate.kernel.machine import apply
from controlplane.gate.kernel.permit_code import keyed_state
from controlplane.gate.kernel.requests import REPEATED
from controlplane.gate.reference import ReferenceGate
from controlplane.gate.snapshot import Snapshot

SMALL = a.Capacity(orders=64, parents=16, requests=64, executions=64)
KEY = bytes(range(32))
GATE_ID, EPOCH = 3, 7
ARMED, KILLED = 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """Sixteen input words, and what the gate reads beside them."""

    words: tuple[int, ...]
    wall_ns: int
    monotonic_ns: int
    fence: int = 5
    is_armed: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What a machine answers: the record's words, whether it was given before, its sequence, the permit's code."""

    words: tuple[int, ...]
    is_repeated: bool
    sequence: int
    code: bytes

    @property
    def outcome(self) -> int:
        return self.words[0] >> 16 & 0xFFFF

    @property
    def is_allowed(self) -> bool:
        return self.outcome == 1

    @property
    def code_number(self) -> int:
        return self.words[0] >> 32 & 0xFFFF


class Machine(Protocol):
    """A gate's deterministic part."""

    def apply(self, command: Command) -> Reply: ...


class CompiledMachine:
    """The compiled machine over memory of its own, with a journal of one frame."""

    def __init__(self, snapshot: Snapshot, capacity: a.Capacity = SMALL) -> None:
        self.connect(build_state(snapshot, capacity))

    def connect(self, state: State) -> None:
        """Give a state its journal, switch and key."""
        self.state = state
        self._frame = np.zeros(FRAME_BYTES // 8 + 1, np.int64)
        self._cursor = np.array([self._frame.ctypes.data, 0, self._frame.nbytes, 1, EPOCH, 0, 0, 0], np.int64)
        self._switch = np.zeros(8, np.int64)
        self._key = keyed_state(KEY)
        words = state.words
        words[a.GATE_ID] = GATE_ID
        words[a.CURSOR_ADDRESS], words[a.SWITCH_ADDRESS] = self._cursor.ctypes.data, self._switch.ctypes.data
        words[a.KEY_ADDRESS] = self._key.ctypes.data
        self._entry = words[a.ENTRY_AT : a.ENTRY_AT + a.ENTRY_WORDS]

    @property
    def frame(self) -> bytes:
        """The frame that was written last."""
        return self._frame.tobytes()[:FRAME_BYTES]

    def fork(self) -> "CompiledMachine":
        """Return another machine in the same state, which goes its own way from here."""
        twin = object.__new__(CompiledMachine)
        twin.connect(dataclasses.replace(self.state, words=self.state.words.copy()))
        twin._cursor[3] = self._cursor[3]
        return twin

    def apply(self, command: Command) -> Reply:
        self._cursor[1] = 0
        self._switch[1], self._switch[2] = ARMED if command.is_armed else KILLED, command.fence
        given = command.words
        head = apply(
            self.state.address, command.wall_ns, command.monotonic_ns, given[0], given[3], given[4], given[5], given[6],
            given[7], given[8], given[9], given[10], given[11], given[12], given[13], given[14], given[15],
        )  # fmt: skip
        words = self.state.words
        code = words[a.PERMIT_LOW : a.PERMIT_HIGH + 1].tobytes()
        return Reply(tuple(self._entry.tolist()), bool(head & REPEATED), int(words[a.LAST_SEQUENCE]), code)


class ReferenceMachine:
    """The judge, with the sequence of its records and the code of its permits."""

    def __init__(self, snapshot: Snapshot, capacity: a.Capacity = SMALL) -> None:
        self.gate = ReferenceGate(snapshot, capacity)
        self._next = 1
        self._codes: dict[int, bytes] = {}

    def apply(self, command: Command) -> Reply:
        words = self.gate.apply(
            command.words,
            wall_ns=command.wall_ns,
            monotonic_ns=command.monotonic_ns,
            fence=command.fence,
            is_armed=command.is_armed,
            sequence=self._next,
        )
        if not self.gate.is_repeated:
            self._next += 1
        return Reply(tuple(words), self.gate.is_repeated, self.gate.sequence, self._code())

    def _code(self) -> bytes:
        if self.gate.permit is None:
            return bytes(16)
        expiry, fence, *order = self.gate.permit
        message = struct.pack("<16q", GATE_ID, EPOCH, self.gate.sequence, expiry, fence, *order)
        return hashlib.blake2b(message, key=KEY, digest_size=16).digest()
