"""The gate: a deterministic machine with its journal, its switch and its permit key, in whichever process it lives.

One order: `decide` asks the compiled machine (`machine.py`), which checks, reserves, records and makes the permit
in one call; `commit` makes the record durable, and only then may the answer leave. Nothing else in the product
issues permits. `one_call` is the same with everything in compiled code, for who counts nanoseconds.
"""

import secrets
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from controlplane.domain.clock import Clock
from controlplane.domain.decisions import Verdict
from controlplane.domain.errors import StateConflict
from controlplane.domain.measures import Beat
from controlplane.domain.orders import OrderCommand
from controlplane.domain.reports import VenueReport
from controlplane.domain.scopes import FIRM, Route
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.breakers.announcing import GATE, Announcer
from controlplane.gate.client import LiveOrder, Notice, ParentOpening
from controlplane.gate.control import answer
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.carry import carry_over, revalue_all
from controlplane.gate.kernel.families.places import RUN_STARTED
from controlplane.gate.kernel.frames import CURSOR_SEQUENCE
from controlplane.gate.kernel.loading import State, build_state
from controlplane.gate.kernel.machine import NO_ROOM, apply
from controlplane.gate.kernel.permit_code import keyed_state
from controlplane.gate.kernel.requests import REPEATED
from controlplane.gate.one_call import VERDICT_WORDS, Mailbox, OneCall
from controlplane.gate.permit import KEY_BYTES, PermitKey
from controlplane.gate.recovery import Recovered, recover
from controlplane.gate.snapshot import Snapshot, plain
from controlplane.gate.switch import Switch
from controlplane.gate.verdict import verdict_of
from controlplane.gate.view import live_orders
from controlplane.journal.files.segment import Disk
from controlplane.journal.record import RecordKind
from controlplane.journal.writer import SEGMENT_BYTES, JournalWriter
from controlplane.runtime.settings import Durability

LATENCIES_KEPT = 4096
UNASKED = "breach or unexpected fill"


@dataclass(slots=True)
class Tally:
    """Counts since this run began: outcomes, codes, and the last decision times in nanoseconds."""

    outcomes: dict[int, int]
    codes: dict[int, int]
    latencies_ns: Any
    decisions: int = 0


class Gate:
    """One gate over one state directory; made by `open`, used by one thread."""

    def __init__(
        self, state: State, writer: JournalWriter, switch: Switch, clock: Clock, gate_id: int, recovered: Recovered
    ) -> None:
        self.state = state
        self.writer = writer
        self.switch = switch
        self.gate_id = gate_id
        self.started_ns = clock.wall_ns()
        self.tally = Tally({}, {}, array("q", bytes(8 * LATENCIES_KEPT)))
        self.clock = clock
        self._notices: list[Notice] = []
        self._secret = secrets.token_bytes(KEY_BYTES)
        self._key_state = keyed_state(self._secret)
        self._monotonic_offset = _monotonic_offset(clock, recovered)
        mapped = switch.words
        self._switch_words = np.zeros(8, np.int64) if mapped is None else np.frombuffer(mapped, np.int64)
        self._known_fence = switch.fence()
        self._beats, self._ticked = RUN_STARTED, 0
        self._connect(state)

    @classmethod
    def open(
        cls,
        snapshot: Snapshot,
        *,
        directory: Path,
        clock: Clock,
        durability: Durability = Durability.PROCESS,
        gate_id: int = 0,
        capacity: a.Capacity | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> Self:
        """Return a gate over a state directory, with everything restored that its journal holds.

        The journal is `<directory>/journal/gate-<id>`, the switch `<directory>/gate/switch`.

        Errors
            JournalUnavailable  another gate holds the journal, or the disk refuses
            ChainBroken         the journal is damaged, or doesn't recompute
            SnapshotMismatch    the limits have no place for something that is live
            PolicyInvalid       the limits can't be worked with
        """
        log = f"gate-{gate_id}"
        journal = directory / "journal" / log
        size = capacity or a.Capacity()
        writer = JournalWriter.open(
            journal, log=log, durability=durability, clock=clock, segment_bytes=segment_bytes, disk=disk
        )
        try:
            recovered = recover(journal, capacity=size, gate_id=gate_id)
            state = recovered.state
            if state is None or state.snapshot.digest() != snapshot.digest():
                state = build_state(snapshot, size)
                if recovered.state is not None:
                    carry_over(recovered.state, state)
                    revalue_all(state)
            (directory / "gate").mkdir(parents=True, exist_ok=True, mode=0o700)
            switch = Switch.start(directory / "gate", is_first_start=recovered.state is None, fence_min=recovered.fence)
            gate = cls(state, writer, switch, clock, gate_id, recovered)
            gate._record_snapshot(
                is_new=recovered.state is None or recovered.state.snapshot.digest() != snapshot.digest()
            )
            if state.words[a.GUARD_ROWS]:
                gate.pass_time()  # a run begins: what was half-open comes up open
                gate.commit()
        except BaseException:
            writer.close()
            raise
        return gate

    # --- the order path -----------------------------------------------------------------------------------------------

    def apply(self, words: Sequence[int]) -> int:
        """Return the head of the record of one command given as its sixteen input words; recorded, not yet durable.

        Errors
            JournalUnavailable when the next segment can't be made; nothing was decided then
        """
        started = time.perf_counter_ns()
        head = self._run(words)
        if head & 0xFF == w.ORDER_DECIDED:
            self._count(head, time.perf_counter_ns() - started)
        elif self.announcer.is_due(self._header[a.NOTICE_COUNT]):
            self._notice_states(UNASKED, GATE)
        return head

    def answer(self, box: Mailbox, first: int, count: int) -> tuple[int, int, list[int]]:
        """Return how many of the whole messages in a mailbox were taken, how many answers stand there now, and the
        heads of those that decide an order.

        They are recorded, not yet durable. Stops before the first message that is no command.

        Arguments
            first  offset in bytes of the first message
            count  at most so many
        Errors
            JournalUnavailable when the next segment can't be made
        """
        started, newest = time.perf_counter_ns(), self._cursor[CURSOR_SEQUENCE] - 1
        taken, answered = self.one_call.answer(box.arrived_at + first, count, box.answers_at)
        elapsed_ns = (time.perf_counter_ns() - started) // (taken or 1)
        words, decided = box.answer_words, []
        for at in range(1, answered * VERDICT_WORDS, VERDICT_WORDS):
            head, sequence = words[at], words[at + a.ENTRY_WORDS]
            if head & 0xFF == w.ORDER_DECIDED:
                self._count(head if sequence > newest else head | REPEATED, elapsed_ns)
                decided.append(head)
            if sequence > newest:
                newest = sequence
        if self.announcer.is_due(self._header[a.NOTICE_COUNT]):
            self._notice_states(UNASKED, GATE)
        return taken, answered, decided

    def _run(self, words: Sequence[int]) -> int:
        now, steady = self.clock.wall_ns(), self.clock.monotonic_ns() + self._monotonic_offset
        while True:
            head = apply(
                self._address, now, steady, words[0], words[3], words[4], words[5], words[6], words[7], words[8],
                words[9], words[10], words[11], words[12], words[13], words[14], words[15],
            )  # fmt: skip
            if head != NO_ROOM:
                return int(head)
            self.writer.roll()

    def commit(self) -> None:
        """Make everything recorded durable; no answer may leave before.

        Errors
            JournalUnavailable, finally: this gate decides nothing more
        """
        self.writer.commit()

    @property
    def entry(self) -> Any:
        """The 32 words of the record made last, int64; changes with the next command."""
        return self._entry

    @property
    def permit_code(self) -> bytes:
        """The permit code of the order allowed last, zeros when the last command got none."""
        return bytes(self._permit.tobytes())

    @property
    def sequence(self) -> int:
        """Journal sequence of the record made last; of the first verdict when a request was repeated."""
        return self._header[a.LAST_SEQUENCE]

    @property
    def epoch(self) -> int:
        """Number of this run; permits of another run are void."""
        return self.writer.epoch

    # --- the same, in values ------------------------------------------------------------------------------------------

    def decide(self, command: OrderCommand) -> Verdict:
        """Return the verdict on one order, amend, cancel or quote acceptance."""
        self.apply(w.command_words(command))
        return self.verdict()

    def verdict(self) -> Verdict:
        """Return the record made last as a verdict."""
        return verdict_of(
            self._entry.tolist(),
            sequence=self.sequence,
            gate_id=self.gate_id,
            epoch=self.epoch,
            permit_code=self.permit_code,
            handles=self.state.handles,
        )

    def report(self, report: VenueReport) -> None:
        """Apply one venue report; a repeat changes nothing."""
        self.apply(w.report_words(report))

    def observe(self, observation: w.Observation) -> None:
        """Take one measured number; UnknownReference when the limits don't know what it is about."""
        self.apply(w.observation_words(observation, self.state.handles))

    def handle(self, route: Route) -> int:
        """Return the number of a route; UnknownReference when the limits don't know it."""
        return self.state.handles.route(route)

    def open_parent(self, opening: ParentOpening) -> None:
        """Make a parent order known, with the lots that its children share; StateConflict when the gate refuses it."""
        o = opening
        words = w.opening_words(parent_id=o.parent_id, route=o.route, side=o.side, quantity_lots=o.quantity_lots)
        head = self.apply(words)
        if head >> 16 & 0xFFFF != 1:
            raise StateConflict(
                f"The gate refused to open parent order {opening.parent_id:016x}: it is open already, its route or "
                "quantity is out of range, or too many parents are open; see `controlplane status`."
            )

    def close_parent(self, parent_id: int) -> None:
        """Let no more children of a parent pass; closing one that isn't open changes nothing."""
        self.apply(w.closing_words(parent_id))

    def pass_time(self) -> None:
        """Let time pass: ages are judged, and a switch thrown from outside is recorded."""
        # What was recorded up to the last time and has been committed since is the journal's sign of life.
        if self.writer.committed_seq >= self._ticked:
            self.beat(Beat.JOURNAL)
        self._ticked = self.writer.next_seq - 1
        beats, self._beats = self._beats, 0
        self.apply(w.time_words(beats))
        self.notice_switch()

    def beat(self, source: Beat) -> None:
        """Take a sign of life; the next record of passed time carries it."""
        self._beats |= 1 << source

    def permit_key(self) -> PermitKey:
        """Return the secret of this run, for adapters of the same user only."""
        return PermitKey(self.gate_id, self.epoch, self._secret)

    def fence(self) -> int:
        return self.switch.fence()

    def is_killed(self) -> bool:
        return not self.switch.is_armed()

    def notices(self) -> list[Notice]:
        """Return the state changes since the last call."""
        self.notice_switch()
        found, self._notices = self._notices, []
        return found

    def steady_ns(self) -> int:
        """Return the gate's time that never steps, which goes on from the last run's."""
        return self.clock.monotonic_ns() + self._monotonic_offset

    def working(self) -> list[LiveOrder]:
        """Return every order that counts as live."""
        return live_orders(self.state)

    def control(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one control request of people and services; never on the order path (`control.py`)."""
        return answer(self, name, fields)

    # --- states and switch --------------------------------------------------------------------------------------------

    def set_state(self, scope_words: tuple[int, int], state: TradingState, *, reason: str, by: str) -> None:
        """Put a scope into a state, move the fence so that permits on their way are void, and record who and why."""
        kind, number = scope_words
        if state is TradingState.HALTED:
            self._known_fence = self.switch.move_fence()
        words = [w.SCOPE_STATE_SET | int(state) << 8, 0, 0, 0, kind, number, *[0] * 10]
        if self._run(words) >> 16 & 0xFFFF != 1:
            raise StateConflict(
                "The gate doesn't know this scope any more; look at the present ones with `controlplane status`."
            )
        self._notice_states(reason, by)
        self.commit()

    def notice_switch(self) -> None:
        """Record a kill or a lift that happened to the switch itself, from a shell or by its file."""
        fence = self.switch.fence()
        if fence == self._known_fence:
            return
        self._known_fence = fence
        change = self.switch.last_change()
        state = TradingState.ACTIVE if change.is_armed else TradingState.HALTED
        kind = RecordKind.HALT_LIFTED if change.is_armed else RecordKind.MACHINE_KILLED
        # A kill is recorded on a full disk too, in the space that the journal keeps for it.
        append = self.writer.append_json if change.is_armed else self.writer.append_final
        append({"kind": kind.text, "scope": "machine", "by": change.by, "reason": change.reason, "fence": fence})
        self._notices.append(
            Notice(kind="state", scope=str(FIRM), state=state, reason=change.reason, wall_ns=change.wall_ns)
        )

    def _notice_states(self, reason: str, by: str) -> None:
        """Record and announce every scope and breaker whose state differs from the one known last."""
        now = self.clock.wall_ns()
        for facts, notice in self.announcer.changes(self.state, reason=reason, by=by, wall_ns=now):
            self.writer.append_json(facts)
            self._notices.append(notice)

    def close(self) -> None:
        """Record the end of this run and release journal and switch."""
        self.writer.close()
        self.switch.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _connect(self, state: State) -> None:
        """Let the state array know where journal, switch and key are."""
        words = state.words
        words[a.GATE_ID] = self.gate_id
        words[a.CURSOR_ADDRESS] = self.writer.cursor.ctypes.data
        words[a.SWITCH_ADDRESS] = self._switch_words.ctypes.data
        words[a.KEY_ADDRESS] = self._key_state.ctypes.data
        self.one_call = OneCall(state, self.writer, self.clock, self._monotonic_offset)
        self._address = state.address
        self._header, self._cursor = words[: a.TABLES_AT].data, self.writer.cursor.data
        self._entry = words[a.ENTRY_AT : a.ENTRY_AT + a.ENTRY_WORDS]
        self._permit = words[a.PERMIT_LOW : a.PERMIT_HIGH + 1]
        self.announcer = Announcer(state)

    def _record_snapshot(self, *, is_new: bool) -> None:
        """Write the limits into the journal before the first decision that uses them."""
        snapshot = self.state.snapshot
        if is_new:
            self.writer.append_json(
                {"kind": RecordKind.SNAPSHOT_LOADED.text, "version": snapshot.version,
                 "digest": snapshot.digest().hex(), "snapshot": plain(snapshot),
                 "capacity": asdict(self.state.capacity)}
            )  # fmt: skip
        self.commit()

    def _count(self, head: int, elapsed_ns: int) -> None:
        tally = self.tally
        outcome, code = head >> 16 & 0xFFFF, head >> 32 & 0xFFFF
        if head & REPEATED == 0:
            tally.outcomes[outcome] = tally.outcomes.get(outcome, 0) + 1
            if outcome == 2:
                tally.codes[code] = tally.codes.get(code, 0) + 1
        tally.latencies_ns[tally.decisions % LATENCIES_KEPT] = elapsed_ns
        tally.decisions += 1


def _monotonic_offset(clock: Clock, recovered: Recovered) -> int:
    """Return what to add to this machine's steady time so that it goes on from the last recorded reading.

    Only wall time can say how long the gate was down; a wall clock that went back says nothing, and windows then
    release nothing for it.
    """
    if recovered.last_monotonic_ns == 0:
        return 0
    down_ns = max(0, clock.wall_ns() - recovered.last_wall_ns)
    return recovered.last_monotonic_ns + down_ns - clock.monotonic_ns()
