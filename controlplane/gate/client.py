"""What a program sees of the gate: one port, the same for the process on this machine and for an embedded gate.

`GateClient` speaks to the process. When the gate is away a decision is denied at once with GATE_UNAVAILABLE, made on
this side; reports wait in order until the gate has answered each of them, through any number of reconnections. One
thread uses a client. `link.py` holds the connection itself and the control requests of the service and the shell.
"""

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from controlplane.domain.decisions import DenialCode, Outcome, Verdict
from controlplane.domain.errors import (
    ControlPlaneError,
    GateUnavailable,
    InvalidRequest,
    JournalUnavailable,
    SnapshotMismatch,
    StateConflict,
)
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.orders import CommandKind, OrderCommand, Side
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import Route
from controlplane.domain.states import TradingState
from controlplane.gate import protocol, words
from controlplane.gate.link import GateControl, GateSilent, Link, checked_payload
from controlplane.gate.permit import PermitKey
from controlplane.gate.protocol import VERDICT_BODY, Frame, MessageType
from controlplane.gate.switch import Switch
from controlplane.gate.verdict import unavailable, verdict_of
from controlplane.gate.words import Handles, Observation

ANSWER_SECONDS_MAX = 1.0
# After a failed attempt to reach the gate the next ones fail at once for so long: nothing waits for a gate that hangs.
RETRY_SECONDS = 0.1
RETRY_SECONDS_AFTER_SILENCE = 1.0
UNANSWERED_MAX = 1 << 16
# How many reports go out before one answer is read: were it unbounded, both ends could wait for the other to read.
UNDERWAY_MAX = 256
# What to say of an order whose verdict was lost on the way: it was not sent, or its old terms stand.
UNUSED_PERMIT = {
    CommandKind.NEW: ReportKind.NOT_SENT,
    CommandKind.QUOTE_ACCEPTANCE: ReportKind.NOT_SENT,
    CommandKind.AMEND: ReportKind.AMEND_REJECTED,
}


@dataclass(frozen=True, slots=True)
class ParentOpening:
    """A parent order as the gate must know it before its first child; `route` is a handle."""

    parent_id: int
    route: int
    side: Side
    quantity_lots: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A state that changed in the gate, or stands when a program connects.

    Fields
        kind    "state", or "breaker" for what a breaker did, whether or not it changed the state of its scope
        scope   written `desk:crypto`; a kill is HALTED at `firm:firm`
        reason  why, as stated or as the gate found
    """

    kind: str
    scope: str
    state: TradingState
    reason: str
    wall_ns: int


@dataclass(frozen=True, slots=True)
class LiveOrder:
    """An order that the gate counts, whatever the venue has said so far; `state` is the gate's own word for it."""

    child_id: int
    parent_id: int
    route: int
    side: int
    remaining_lots: int
    reserved_lots: int
    price_ticks: int
    state: str


class GatePort(Protocol):
    """The gate to whoever trades through it."""

    def handle(self, route: Route) -> int:
        """Return the handle of a route; UnknownReference when the limits don't know it."""

    def open_parent(self, opening: ParentOpening) -> None:
        """Make a parent order known; StateConflict when the gate denies it, GateUnavailable when it is away."""

    def close_parent(self, parent_id: int) -> None:
        """End a parent order: nothing more may be sent for it."""

    def decide(self, command: OrderCommand) -> Verdict:
        """Return the verdict on a new order, amend, cancel or quote acceptance; a denial is never raised."""

    def report(self, report: VenueReport) -> None:
        """Hand over what became of an order."""

    def observe(self, observation: Observation) -> None:
        """Hand over a measured number; UnknownReference when the limits don't know what it is about."""

    def notices(self) -> list[Notice]:
        """Return the states that changed since the last call."""

    def fence(self) -> int:
        """Return the fence of the machine as it is this instant."""

    def is_killed(self) -> bool:
        """Return whether the machine's kill switch is thrown, missing or damaged."""

    def working(self) -> list[LiveOrder]:
        """Return every order that the gate counts as live."""

    def permit_key(self) -> PermitKey:
        """Return the key that permits of this run are checked with."""


class GateClient:
    """The port of a program that trades, over the socket of the gate process.

    Arguments
        socket_path  where the gate listens
        program      number of this program among those of the machine, as in the identifiers it mints
        seconds_max  longest wait for one answer
    """

    def __init__(self, socket_path: Path, *, program: int, seconds_max: float = ANSWER_SECONDS_MAX) -> None:
        self._socket_path = socket_path
        self._program = program
        self._seconds_max = seconds_max
        self._link: Link | None = None
        self._retry_at = 0.0
        self._why_away = ""
        self._gate_id = 0
        self._epoch = 0
        self._handles: Handles | None = None
        self._key: PermitKey | None = None
        self._switch: Switch | None = None
        self._notices: list[Notice] = []
        # Frames that the gate has not answered, oldest first; the first `_sent_count` went out over the present link.
        self._unanswered: deque[bytes] = deque()
        self._sent_count = 0

    @classmethod
    def connect(cls, socket_path: Path, *, program: int, seconds_max: float = ANSWER_SECONDS_MAX) -> Self:
        """Return a client that has met its gate; GateUnavailable when there is none."""
        client = cls(socket_path, program=program, seconds_max=seconds_max)
        client._linked()
        return client

    def handle(self, route: Route) -> int:
        return self._names().route(route)

    def open_parent(self, opening: ParentOpening) -> None:
        entry = self._ask(
            words.opening_words(
                parent_id=opening.parent_id, route=opening.route, side=opening.side, quantity_lots=opening.quantity_lots
            )
        )
        if entry[0] >> 16 & 0xFFFF != Outcome.ALLOWED:
            raise StateConflict(
                f"Expected parent order {to_text(opening.parent_id)} to be new and well-formed, and the gate to have "
                "room, found that it isn't so; use a new identifier and a quantity in range."
            )

    def close_parent(self, parent_id: int) -> None:
        self._hand_over(protocol.command_frame(words.closing_words(parent_id), wants_answer=True))

    def decide(self, command: OrderCommand) -> Verdict:
        was_sent = False
        try:
            asked = words.command_words(command)
            link = self._linked()
            was_sent = True
            body = self._exchange(link, asked)
        except InvalidRequest as error:
            return unavailable(DenialCode.MALFORMED_REQUEST, str(error))
        except ControlPlaneError as error:
            if was_sent:
                self._disown(command)
            is_journal = isinstance(error, JournalUnavailable)
            return unavailable(
                DenialCode.JOURNAL_UNAVAILABLE if is_journal else DenialCode.GATE_UNAVAILABLE, str(error)
            )
        *entry, sequence, permit_code, epoch = VERDICT_BODY.unpack(body)
        return verdict_of(
            entry,
            sequence=sequence,
            gate_id=self._gate_id,
            epoch=epoch,
            permit_code=permit_code,
            handles=self._names(),
        )

    def report(self, report: VenueReport) -> None:
        self._hand_over(protocol.command_frame(words.report_words(report), wants_answer=True))

    def observe(self, observation: Observation) -> None:
        frame = protocol.command_frame(words.observation_words(observation, self._names()), wants_answer=False)
        try:
            self._linked().send(frame)
        except ControlPlaneError as error:
            # An observation is worth nothing later: the gate finds its references stale and denies by itself.
            self._lose(error)

    def notices(self) -> list[Notice]:
        self._listen()
        found, self._notices = self._notices, []
        return found

    def fence(self) -> int:
        return self._switch.fence() if self._switch is not None else 0

    def is_killed(self) -> bool:
        return self._switch is None or not self._switch.is_armed()

    def working(self) -> list[LiveOrder]:
        rows = self.control("live_orders")["rows"]
        return [LiveOrder(**(row | {name: from_text(row[name]) for name in ("child_id", "parent_id")})) for row in rows]

    def permit_key(self) -> PermitKey:
        if self._key is None:
            self._linked()
        if self._key is None:
            raise GateUnavailable("Expected the gate to hand out its permit key, found none; restart the gate.")
        return self._key

    def control(self, name: str, **fields: object) -> dict[str, Any]:
        """Return the gate's answer to a control request, over a connection of its own."""
        return GateControl(self._socket_path).control(name, **fields)

    @property
    def unanswered_count(self) -> int:
        """Reports and endings that the gate has not confirmed as recorded."""
        return len(self._unanswered)

    def flush(self, seconds_max: float) -> bool:
        """Return whether every report was answered within the time."""
        deadline = time.monotonic() + seconds_max
        while self._unanswered and time.monotonic() < deadline:
            try:
                link = self._linked()
                self._send_waiting(link)
                self._take(link.receive(max(0.0, deadline - time.monotonic())))
            except ControlPlaneError as error:
                self._lose(error)
                time.sleep(RETRY_SECONDS / 10)
        return not self._unanswered

    def close(self) -> None:
        """Hang up; what was not answered stays unanswered."""
        self._hang_up()
        if self._switch is not None:
            self._switch.close()
            self._switch = None

    def _ask(self, asked: words.Words) -> tuple[int, ...]:
        return VERDICT_BODY.unpack(self._exchange(self._linked(), asked))[:32]

    def _exchange(self, link: Link, asked: words.Words) -> bytes:
        """Return the body of the answer to one question; everything that waits goes out first, so order is kept."""
        question = protocol.command_frame(asked, wants_answer=True)
        try:
            self._send_waiting(link)
            link.send(question)
            while True:
                frame = link.receive()
                if frame.type is MessageType.VERDICT and self._sent_count == 0:
                    return frame.body
                self._take(frame)
        except ControlPlaneError as error:
            self._lose(error)
            raise

    def _hand_over(self, frame: bytes) -> None:
        if len(self._unanswered) >= UNANSWERED_MAX:
            raise GateUnavailable(
                f"Expected the gate to answer, found {UNANSWERED_MAX} reports waiting for it; "
                "stop trading until it is back."
            )
        self._unanswered.append(frame)
        try:
            self._send_waiting(self._linked())
        except ControlPlaneError as error:
            self._lose(error)
        self._listen()

    def _send_waiting(self, link: Link) -> None:
        while self._sent_count < len(self._unanswered):
            while self._sent_count >= UNDERWAY_MAX:
                self._take(link.receive())
            link.send(self._unanswered[self._sent_count])
            self._sent_count += 1

    def _listen(self) -> None:
        """Take what has arrived without waiting."""
        if self._link is None:
            return
        try:
            for frame in self._link.arrived():
                self._take(frame)
        except ControlPlaneError as error:
            self._lose(error)

    def _take(self, frame: Frame) -> None:
        if frame.type is MessageType.VERDICT:
            self._unanswered.popleft()
            self._sent_count -= 1
        elif frame.type is MessageType.NOTICE:
            self._notices += _notices_of(protocol.parse_object(frame.body))

    def _disown(self, command: OrderCommand) -> None:
        """Tell the gate, when it is back, that a permit which it may have issued will not be used."""
        kind = UNUSED_PERMIT.get(command.kind)
        if kind is not None:
            self.report(VenueReport(kind, command.child_id, route=command.route, side=command.side))

    def _linked(self) -> Link:
        if self._link is not None and not self._link.is_over():
            return self._link
        self._hang_up()
        if time.monotonic() < self._retry_at:
            raise GateUnavailable(self._why_away)
        link = Link(self._socket_path, self._seconds_max)
        try:
            link.open()
            self._meet(link)
        except ControlPlaneError as error:
            link.close()
            self._stay_away(error)
            raise
        self._link = link
        return link

    def _meet(self, link: Link) -> None:
        hello = {"protocol": protocol.VERSION, "program": self._program, "wants_permit_key": True}
        link.send(protocol.json_frame(MessageType.HELLO, hello))
        frame = link.receive()
        if frame.type is not MessageType.HELLO:
            raise GateUnavailable(f"Expected a HELLO from the gate, found {frame.type.name}; restart gate and program.")
        found = checked_payload(frame)
        try:
            handles = words.handles_from_json(found["names"])
            key = PermitKey(found["gate_id"], found["epoch"], bytes.fromhex(found["permit_key"]))
            directory = Path(found["directory"])
        except (KeyError, TypeError, ValueError) as error:
            raise GateUnavailable(
                f"Expected a HELLO of protocol {protocol.VERSION}, found one without {error}; restart gate and program."
            ) from None
        if self._handles is not None and not handles.continues(self._handles):
            raise SnapshotMismatch(
                "Expected the gate to know the names it knew when this program met it, found others; "
                "restart this program."
            )
        self._handles, self._key, self._gate_id, self._epoch = handles, key, key.gate_id, key.epoch
        if self._switch is None or self._switch.directory != directory:
            self._switch = Switch.open(directory)
        self._notices += _notices_of(found)

    def _lose(self, error: ControlPlaneError) -> None:
        """Hang up because of a fault, unless that has been done already."""
        if self._link is not None:
            self._hang_up()
            self._stay_away(error)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link, self._sent_count = None, 0

    def _stay_away(self, error: ControlPlaneError) -> None:
        """Remember why; until `_retry_at` nothing waits for this gate again."""
        self._why_away = str(error)
        pause = RETRY_SECONDS_AFTER_SILENCE if isinstance(error, GateSilent) else RETRY_SECONDS
        self._retry_at = time.monotonic() + pause

    def _names(self) -> Handles:
        if self._handles is None:
            self._linked()
        if self._handles is None:
            raise GateUnavailable("Expected the gate to hand out its names, found none; restart the gate.")
        return self._handles


def _notices_of(found: dict[str, Any]) -> list[Notice]:
    return [
        Notice(row["kind"], row["scope"], TradingState[row["state"]], row["reason"], row["wall_ns"])
        for row in found.get("notices", [])
    ]
