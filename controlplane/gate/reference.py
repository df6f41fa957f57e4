"""The judge of the compiled gate: the same commands in, the same records out, written to be read.

`ReferenceGate.apply` takes one command and returns the 32 words of its record, which must equal those of
`kernel/machine.py` in every bit. It shares limits, word numbers and the definition of a digest with the compiled gate,
and no arithmetic. The parts are in `plain/`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.ids import ID_MAX, PROGRAM_MAX
from controlplane.domain.orders import CommandKind
from controlplane.domain.quantities import ceil_div
from controlplane.gate.plain import notices
from controlplane.gate.plain.behaviour import clear_repeats
from controlplane.gate.plain.book import Cell, Node
from controlplane.gate.plain.case import Request
from controlplane.gate.plain.decision import Answer, decide, is_well_formed
from controlplane.gate.plain.digest import fold
from controlplane.gate.plain.guarding import observe_measure
from controlplane.gate.plain.opening import empty_book
from controlplane.gate.plain.reports import Executions, Report, apply_report
from controlplane.gate.plain.windows import WINDOW_PARTS
from controlplane.gate.snapshot import Snapshot
from controlplane.journal import record
from controlplane.journal.record import RecordKind

MALFORMED = 1 << DenialCode.MALFORMED_REQUEST - 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request that was decided: what was asked, and its record, sequence and permit words."""

    asked: tuple[int, ...]
    words: tuple[int, ...]
    sequence: int
    permit: tuple[int, ...] | None


@dataclass(slots=True)
class Requests:
    """Identity of requests (GT07): the last few in full, of each program the highest identifier it ever used."""

    most: int
    known: dict[int, Remembered] = field(default_factory=dict)
    order: deque[int] = field(default_factory=deque)
    highest: dict[int, int] = field(default_factory=dict)

    def highest_of(self, request_id: int) -> int:
        """Return the highest identifier of the program that minted this one."""
        return self.highest.get(request_id & PROGRAM_MAX, 0)

    def remember(self, request_id: int, remembered: Remembered) -> None:
        """Keep a verdict, unless its identifier isn't above every earlier one of its program."""
        if not self.highest_of(request_id) < request_id <= ID_MAX:
            return
        self.highest[request_id & PROGRAM_MAX] = request_id
        if len(self.order) == self.most:
            del self.known[self.order.popleft()]
        self.known[request_id] = remembered
        self.order.append(request_id)


class ReferenceGate:
    """The deterministic machine of the gate in plain Python.

    Arguments
        capacity  orders, parents, requests and executions that it may hold; the compiled gate's `Capacity` is one
    """

    def __init__(self, snapshot: Snapshot, capacity: "Capacities") -> None:
        self.snapshot = snapshot
        self.book = empty_book(snapshot, parents_max=capacity.parents)
        self.orders_max = capacity.orders
        self.requests = Requests(capacity.requests)
        self.executions = Executions(capacity.executions)
        self.digest = int.from_bytes(snapshot.digest()[:8], "little", signed=True)
        self.is_repeated = False
        self.sequence = 0
        self.permit: tuple[int, ...] | None = None

    def apply(
        self, words: Sequence[int], *, wall_ns: int, monotonic_ns: int, fence: int, is_armed: bool, sequence: int
    ) -> list[int]:
        """Return the 32 words of the record of one command.

        Afterwards `is_repeated` says whether it was decided before: then nothing was recorded, and the result words are
        those of the first record. `sequence` is the record's. `permit` is what the permit's code is computed over, from
        the expiry on (expiry, fence, kind and ten words of the order), or None when no permit is due.

        Arguments
            words         sixteen, in the order of the record; the two clock words are ignored
            fence         number of the machine's fence, and whether the kill switch is armed
            sequence      that the journal gives to this record
        """
        entry = [words[0] & 0xFFFF, wall_ns, monotonic_ns, *words[3:16], *[0] * 16]
        self.is_repeated, self.sequence, self.permit = False, sequence, None
        self.book.guards.moment.wall_ns, self.book.guards.moment.monotonic_ns = wall_ns, monotonic_ns
        kind = entry[0] & 0xFF
        if kind == RecordKind.ORDER_DECIDED:
            request = Request.of(entry, now_ns=wall_ns, monotonic_ns=monotonic_ns, is_armed=is_armed)
            known = self.requests.known.get(request.request_id)
            if known is not None and is_well_formed(request) and known.asked == _asked(entry):
                return self._recall(entry, known)
            answer = self._decide(request, is_reused=known is not None)
        elif kind == RecordKind.REPORT_APPLIED:
            answer = apply_report(self.book, Report.of(entry, monotonic_ns=monotonic_ns), self.executions)
        else:
            answer = Answer(self._take_notice(kind, entry), {})
        self._finish(entry, answer, fence=fence if is_armed else -fence)
        if kind == RecordKind.ORDER_DECIDED:
            if answer.outcome is Outcome.ALLOWED and entry[0] >> 8 & 0xFF != CommandKind.CANCEL:
                self.permit = (answer.expiry_ns, entry[record.WORD_FENCE], entry[0] >> 8 & 0xFF, *entry[3:13])
            if not answer.failed_mask & MALFORMED:  # whoever sent it may send it right
                self.requests.remember(entry[3], Remembered(_asked(entry), tuple(entry), sequence, self.permit))
        return entry

    def _recall(self, entry: list[int], known: Remembered) -> list[int]:
        """Return the first verdict of a request; never a second permit."""
        self.is_repeated, self.sequence, self.permit = True, known.sequence, known.permit
        return [known.words[0], *entry[1:16], *known.words[16:]]

    def _decide(self, request: Request, *, is_reused: bool) -> Answer:
        highest = self.requests.highest_of(request.request_id)
        return decide(
            self.book,
            request,
            self.snapshot,
            is_reused=is_reused or request.request_id <= highest,
            highest_id=highest,
            orders_max=self.orders_max,
        )

    def _take_notice(self, kind: int, words: list[int]) -> Outcome:
        """Return whether a command that is no order and no report was applied."""
        now_ns, monotonic_ns = words[1], words[2]
        match kind:
            case RecordKind.REFERENCE_APPLIED:
                part_ns = ceil_div(self.snapshot.walk_window_ns, WINDOW_PARTS)
                return notices.observe_reference(self.book, words, now_ns, monotonic_ns, part_ns)
            case RecordKind.VOLUME_APPLIED:
                return notices.observe_volume(self.book, words, now_ns, monotonic_ns)
            case RecordKind.PHASE_APPLIED:
                return notices.observe_phase(self.book, words, now_ns)
            case RecordKind.RATE_APPLIED:
                return notices.observe_rate(self.book, words, now_ns)
            case RecordKind.PARENT_OPENED:
                return notices.open_parent(self.book, words)
            case RecordKind.PARENT_CLOSED:
                return notices.close_parent(self.book, words)
            case RecordKind.SCOPE_STATE_SET:
                return notices.set_scope_state(self.book, words)
            case RecordKind.TIME_PASSED:
                return notices.pass_time(self.book, words, now_ns)
            case RecordKind.DAY_ROLLED:
                return notices.roll_day(self.book, words, now_ns)
            case RecordKind.REPEATS_CLEARED:
                return clear_repeats(self.book, words[5])
            case RecordKind.MEASURE_APPLIED:
                return observe_measure(self.book, words)
        return Outcome.DENIED

    # --- the record ---------------------------------------------------------------------------------------------------

    def _finish(self, entry: list[int], answer: Answer, *, fence: int) -> None:
        """Write the result words of a record, and carry the digest of the state forward over it."""
        decided = answer.decided
        entry[record.WORD_HEAD] |= int(answer.outcome) << 16 | record.SCHEMA << 56
        if decided is not None:
            entry[record.WORD_HEAD] |= int(decided.code) << 32
            entry[record.WORD_BINDING_SCOPE] = decided.binding
            entry[record.WORD_MEASURED], entry[record.WORD_LIMIT] = int(decided.measured), int(decided.limit)
        entry[record.WORD_SNAPSHOT_VERSION] = self.snapshot.version
        entry[record.WORD_FAILED_CHECKS], entry[record.WORD_FAILED_SCOPES] = answer.failed_mask, answer.scopes_mask
        entry[record.WORD_FAILED_CHECKS_MORE] = answer.failed_mask_more
        entry[record.WORD_LARGEST_PASSING_LOTS] = answer.passing_lots
        entry[record.WORD_REFERENCE_BID_TICKS] = answer.bid_ticks
        entry[record.WORD_REFERENCE_ASK_TICKS] = answer.ask_ticks
        entry[record.WORD_REFERENCE_AGE_NS] = answer.age_ns
        entry[record.WORD_PERMIT_EXPIRY_NS] = answer.expiry_ns
        entry[record.WORD_NOTIONAL_MICRO] = answer.notional_micro
        entry[record.WORD_FENCE] = fence
        entry[record.WORD_DIGEST_BEFORE] = self.digest
        self.digest = entry[record.WORD_DIGEST_AFTER] = self._digest_after(entry, answer)

    def _digest_after(self, entry: list[int], answer: Answer) -> int:
        """Return the digest over the record and over every scope the command could have touched.

        Observations and notices touch many; the firm's amounts stand for all of them.
        """
        digest = self.digest
        for word in entry[: record.WORD_DIGEST_BEFORE]:
            digest = fold(digest, word)
        kind = entry[0] & 0xFF
        for place in answer.path.values():
            digest = fold(digest, node_word(place.node))
            if place.cell is not None:
                digest = fold(digest, cell_word(place.cell))
        if RecordKind.REFERENCE_APPLIED <= kind <= RecordKind.DAY_ROLLED:
            digest = fold(digest, node_word(next(iter(self.book.nodes.values()))))
        if self.book.guards.moment.digest:
            digest = fold(digest, self.book.guards.moment.digest)
        return digest


class Capacities(Protocol):
    """How much a gate can hold at once."""

    @property
    def orders(self) -> int: ...

    @property
    def parents(self) -> int: ...

    @property
    def requests(self) -> int: ...

    @property
    def executions(self) -> int: ...


def _asked(entry: Sequence[int]) -> tuple[int, ...]:
    """Return everything that makes two requests the same request: the kind and the words from child to model."""
    return (entry[0] >> 8 & 0xFF, *entry[4:13])


def node_word(node: Node) -> int:
    """Return one word that changes with any amount of a scope."""
    weights = (
        (1, node.long_micro), (3, node.short_micro), (5, node.gross_micro), (7, node.buy_micro), (11, node.sell_micro),
        (13, node.live_orders), (17, node.worth_micro), (19, int(node.state)),
    )  # fmt: skip
    return sum(weight * amount for weight, amount in weights)


def cell_word(cell: Cell) -> int:
    """Return one word that changes with any quantity of a scope in an instrument."""
    weights = (
        (1, cell.position_lots), (3, cell.buy_lots), (5, cell.sell_lots), (7, cell.cash_raw), (11, cell.fees_micro),
        (13, cell.worth_micro),
    )  # fmt: skip
    return sum(weight * amount for weight, amount in weights)
