"""Streams of commands for the gate: programs that trade well and badly in a small market, at an unruly venue.

Everything comes from one seed. A stream looks at the replies (`saw`), so that it goes on with orders that were allowed,
and never at the inside of a gate. Faults are part of it: wrong numbers in any word, reports twice, late or too large,
clocks that stand still, jump and go back, stops and kills.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from controlplane.domain.decisions import DenialCode
from controlplane.domain.orders import CommandKind, OrderType, TimeInForce
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP
from controlplane.domain.scopes import Level
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.record import failed_codes
from tests.support.gate_breakers import beats_told, measure_words
from tests.support.gate_machines import Command, Reply
from tests.support.gate_market import MS, SmallMarket, Words, plain_words
from tests.support.gate_universes import PINNED, SECOND_NS, START_NS
from tests.support.gate_venue import FILL, Block, Sent, SmallVenue

# Numbers that programs get wrong: nothing, signs, the ends of every range and of the words themselves.
NASTY = (
    0, 1, -1, 2, 255, 256, QUANTITY_LOTS_CAP, QUANTITY_LOTS_CAP + 1, -QUANTITY_LOTS_CAP, PRICE_TICKS_CAP + 1, 1 << 55,
    (1 << 55) + 1, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, -(1 << 62), -(1 << 63),
)  # fmt: skip
STOPPED = {
    DenialCode.SCOPE_HALTED, DenialCode.SCOPE_PAUSED, DenialCode.REDUCE_ONLY_EXCEEDED, DenialCode.BREAKER_OPEN,
    DenialCode.DRAWDOWN_ABOVE_LIMIT, DenialCode.FILL_VELOCITY_ABOVE_LIMIT, DenialCode.LOSS_VELOCITY_ABOVE_LIMIT,
    DenialCode.SUPERVISION_MISSING,
}  # fmt: skip
UNSEEN = {
    DenialCode.REFERENCE_MISSING, DenialCode.REFERENCE_STALE, DenialCode.PHASE_UNKNOWN, DenialCode.PHASE_NOT_TRADING,
    DenialCode.PARTICIPATION_UNKNOWN, DenialCode.LOSS_UNKNOWN,
}  # fmt: skip
PINNED_DIGEST = int(PINNED[:16], 16) >> 1


@dataclass(slots=True)
class Stream:
    """Commands from one seed over one world of limits.

    Fields
        calm  share of commands without a spoilt word
    """

    seed: int
    snapshot: Snapshot
    calm: float = 0.96
    wall_ns: int = START_NS
    monotonic_ns: int = 40 * SECOND_NS
    fence: int = 5
    is_armed: bool = True

    chance: Random = field(init=False)
    market: SmallMarket = field(init=False)
    venue: SmallVenue = field(init=False)
    blocks: list[Block] = field(default_factory=list)
    left: set[int] = field(default_factory=set)
    todo: list[Words] = field(default_factory=list)
    stopped: list[Words] = field(default_factory=list)
    recent: deque[Words] = field(default_factory=lambda: deque(maxlen=40))
    _behind_ns: int = 0
    _next_id: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(f"stream {self.seed}")
        self.market = SmallMarket(self.chance, self.snapshot, START_NS)
        self.venue = SmallVenue(self.chance, self.market)
        self._next_id = self.wall_ns // 1_000 << 8
        self.todo = self.market.everything(self.wall_ns)

    def next(self) -> Command:
        """Return the next command."""
        self._pass_time()
        words = self.todo.pop() if self.todo else self._choose()
        # A fill is spoilt seldom: a position of 2**40 lots ends all trading.
        if self.chance.random() > self.calm and (words[0] & 0xFFFF != FILL or self.chance.random() < 0.1):
            words = self._spoil(words)
        self.recent.append(words)
        return Command(words, self.wall_ns, self.monotonic_ns, self.fence, self.is_armed)

    def saw(self, command: Command, reply: Reply) -> None:
        """Take note of what a gate answered."""
        words, kind, subkind = command.words, command.words[0] & 0xFF, command.words[0] >> 8 & 0xFF
        if kind == w.PARENT_OPENED and reply.is_allowed:
            self.blocks.append(Block(words[5], words[6], words[7], words[9]))
        elif kind == w.PARENT_CLOSED and not reply.is_allowed:
            self._leave(words[5])
            self.left.discard(words[5])
        elif kind == w.REPORT_APPLIED and not reply.is_allowed:
            self.venue.ended.pop(words[4], None)
            if self.chance.random() < 0.3:
                self.venue.end(words[4])
        elif kind == w.ORDER_DECIDED:
            self._react(words, reply)
            if reply.is_allowed and not reply.is_repeated:
                self._send(subkind, words)

    def _send(self, kind: int, words: Words) -> None:
        """Hand an allowed order or amend to the venue."""
        if kind in (CommandKind.NEW, CommandKind.QUOTE_ACCEPTANCE):
            strange = Block(words[5], words[6], words[7], words[9])
            block = next((block for block in self.blocks if block.parent_id == words[5]), strange)
            self.venue.sent[words[4]] = Sent(words[4], block, words[6], words[9], words[10], words[11])
        elif kind == CommandKind.AMEND and words[4] in self.venue.sent:
            sent = self.venue.sent[words[4]]
            sent.asked_lots, sent.price_ticks, sent.trigger_ticks = words[9], words[10], words[11]
            sent.asked_request = words[3]

    def _react(self, words: Words, reply: Reply) -> None:
        """Do something about the causes of denials, now and then, so that a stream doesn't seize up."""
        codes = set(failed_codes(reply.words))
        if DenialCode.PARENT_CLOSED in codes:
            self._leave(words[5])
        if codes & STOPPED and self.chance.random() < 0.04:
            self._free_all()
        if codes & UNSEEN and self.chance.random() < 0.2 and 0 <= words[6] < len(self.snapshot.routes):
            self.todo += self.market.about(self.market.listing(words[6]), self.wall_ns)
        if DenialCode.DAILY_LOSS_ABOVE_LIMIT in codes and self.chance.random() < 0.05:
            self.todo.append(plain_words(w.DAY_ROLLED, self.wall_ns))
        if DenialCode.REPEATED_EXECUTION in codes and self.chance.random() < 0.1:
            head, *rest = plain_words(w.REPEATS_CLEARED, self.wall_ns)
            number = self.chance.randrange(len(self.snapshot.nodes) + 1)
            self.todo.append((head, *rest[:4], number, *rest[5:]))
        if DenialCode.TURNOVER_ABOVE_LIMIT in codes and self.chance.random() < 0.02:
            self.todo.append(plain_words(w.DAY_ROLLED, self.wall_ns))
        if DenialCode.LOSS_UNKNOWN in codes and self.chance.random() < 0.2:
            self.todo.append(plain_words(w.TIME_PASSED, self.wall_ns))

    def _leave(self, parent_id: int) -> None:
        """Use a parent order no more; it is closed some time later."""
        for block in [block for block in self.blocks if block.parent_id == parent_id]:
            self.blocks.remove(block)
            self.left.add(parent_id)

    # --- what comes next ---------------------------------------------------------------------------------------------

    def _choose(self) -> Words:
        roll = self.chance.random()
        if roll < 0.030 and len(self.blocks) < 20:
            return self._open()
        if not self.blocks and roll < 0.3:
            return self._open()
        if self.blocks and roll < 0.042:
            return self._close()
        if self.blocks and roll < 0.400:
            return self._order()
        if roll < 0.720:
            report = self.venue.report(self.recent, self._mint())
            return report or self.market.observation(self.wall_ns)
        if roll < 0.960:
            return self.market.observation(self.wall_ns)
        if roll < 0.970:
            return self.stopped.pop(0) if self.stopped and roll < 0.966 else self._set_state()
        if roll < 0.972:
            return plain_words(w.DAY_ROLLED, self.wall_ns)
        if roll < 0.985 and self.snapshot.breakers:
            return measure_words(self.chance, self.snapshot, self.wall_ns)
        beats = beats_told(self.chance) if self.snapshot.breakers else 0
        return plain_words(w.TIME_PASSED, self.wall_ns, quantity=beats)

    def _pass_time(self) -> None:
        """Move both clocks on, or let them stand, jump or go back; throw the switch now and then."""
        roll, step = self.chance.random(), 0
        if roll < 0.80:
            step = self.chance.randint(0, 6 * MS)
        elif roll < 0.802:
            step = self.chance.choice((1, 3, 12, 70)) * SECOND_NS
        self.wall_ns += step
        self.monotonic_ns += step
        if roll > 0.9992 and not self._behind_ns:
            self._behind_ns = self.chance.choice((1, 50 * MS, 3 * SECOND_NS, 90 * SECOND_NS))
            self.wall_ns -= self._behind_ns
        elif roll > 0.9988:
            self.monotonic_ns -= self.chance.choice((1, 50 * MS, SECOND_NS))
        elif self._behind_ns and self.chance.random() < 0.03:
            self.wall_ns, self._behind_ns = self.wall_ns + self._behind_ns, 0
        if step >= SECOND_NS and self.chance.random() < 0.8:
            self.todo += self.market.everything(self.wall_ns)
        if roll > 0.998 and self.chance.random() < 0.3:
            self.is_armed, self.fence = not self.is_armed, self.fence + 1
        elif not self.is_armed and self.chance.random() < 0.1:
            self.is_armed = True
        if self.chance.random() < 0.0015:
            self.venue.is_crowded = not self.venue.is_crowded

    def _open(self) -> Words:
        route = self.market.any_route()
        if self.chance.random() < 0.05:
            route = len(self.snapshot.routes) - self.chance.randint(1, 8)
        usual = self.market.listing(route).usual_lots
        return w.opening_words(
            parent_id=self._mint(), route=route, side=self.chance.choice((1, -1)),
            quantity_lots=usual * self.chance.choice((2, 12, 40, 400, 400)),
        )  # fmt: skip

    def _close(self) -> Words:
        if self.left and self.chance.random() < 0.5:
            return w.closing_words(self.chance.choice(sorted(self.left)))
        block = self.chance.choice(self.blocks)
        if self.chance.random() < 0.8:
            self._leave(block.parent_id)
        return w.closing_words(block.parent_id)

    def _order(self) -> Words:
        roll, sent = self.chance.random(), list(self.venue.sent.values())
        asked = [words for words in self.recent if words[0] & 0xFF == w.ORDER_DECIDED]
        if roll < 0.04 and asked:
            words = self.chance.choice(asked)
            # Asked again: word for word, or with another quantity under the same identifier.
            return words if self.chance.random() < 0.6 else (*words[:9], words[9] ^ 1, *words[10:])
        if roll < 0.10 and asked:
            return self._same_again(self.chance.choice(asked))
        if sent and roll < 0.30:
            return self._amend(self.chance.choice(sent))
        if sent and roll < (0.32 if self.venue.is_crowded else 0.42):
            one = self.chance.choice(sent)
            child_id = one.child_id if self.chance.random() < 0.9 else self._mint()
            return self._command(CommandKind.CANCEL, self._mint(), child_id, one.block, 0, 0)
        return self._enter(self.chance.choice(self.blocks))

    def _same_again(self, words: Words) -> Words:
        """Return the same request under a fresh identifier."""
        request_id = self._mint()
        is_new = words[0] >> 8 & 0xFF in (CommandKind.NEW, CommandKind.QUOTE_ACCEPTANCE)
        return (*words[:3], request_id, request_id if is_new else words[4], *words[5:])

    def _enter(self, block: Block) -> Words:
        child_id, kind = self._mint(), CommandKind.NEW
        if self.chance.random() < 0.05:
            kind = CommandKind.QUOTE_ACCEPTANCE
        order_type = self.chance.choices(list(OrderType), (90, 5, 5))[0]
        force = self.chance.choices(list(TimeInForce), (70, 12, 4, 14))[0]
        if force is TimeInForce.POST_ONLY:
            order_type = OrderType.LIMIT
        trigger = self.market.price(block.route) if order_type is OrderType.STOP else 0
        is_protected = order_type is OrderType.LIMIT or self.chance.random() < 0.96
        price = self.market.price(block.route) if is_protected else 0
        return self._command(
            kind, child_id, child_id, block, self.market.lots(block.route), price,
            route=self.market.sibling(block.route), order_type=order_type, force=force, trigger=trigger,
        )  # fmt: skip

    def _amend(self, sent: Sent) -> Words:
        """Return an amend of price, size or both, up or down, now and then below what was filled."""
        total, price, trigger = sent.total_lots, sent.price_ticks, sent.trigger_ticks
        what = self.chance.random()
        if what < 0.6:
            step = self.market.listing(sent.block.route).instrument.lot_step
            totals = (total - step, total // 2, total + step, total * 2, sent.filled_lots, total, total * 9)
            total = self.chance.choice(totals)
            total = max(1, total - total % step)
        if what > 0.35:
            price = self.market.price(sent.block.route)
        force = self.chance.choices(list(TimeInForce), (80, 8, 2, 10))[0]
        if force is TimeInForce.POST_ONLY and trigger:
            force = TimeInForce.GOOD_TILL_CANCEL
        return self._command(
            CommandKind.AMEND, self._mint(), sent.child_id, sent.block, total, price, route=sent.route,
            order_type=OrderType.STOP if trigger else OrderType.LIMIT, force=force, trigger=trigger,
        )  # fmt: skip

    def _command(
        self, kind: int, request_id: int, child_id: int, block: Block, total: int, price: int, *,
        route: int | None = None, order_type: int = OrderType.LIMIT, force: int = TimeInForce.GOOD_TILL_CANCEL,
        trigger: int = 0,
    ) -> Words:  # fmt: skip
        model = self.snapshot.routes[block.route].model if 0 <= block.route < len(self.snapshot.routes) else ""
        digest = PINNED_DIGEST if model in ("learned", "raw") else 0
        if self.chance.random() < 0.003:
            digest += 1
        return (
            w.ORDER_DECIDED | kind << 8 | w.SCHEMA, 0, 0, request_id, child_id, block.parent_id,
            block.route if route is None else route, block.side, int(order_type) | int(force) << 8, total, price,
            trigger, digest, 0, 0, 0,
        )  # fmt: skip

    def _set_state(self) -> Words:
        """Return a stop state for some scope; half the time one is freed, else nothing would ever trade."""
        state = TradingState.ACTIVE if self.chance.random() < 0.5 else self.chance.choice(list(TradingState)[1:])
        kind, number = 0, self.chance.randrange(len(self.snapshot.nodes) + 1)
        if self.blocks and self.chance.random() < 0.2:
            kind, number = int(Level.PARENT), self.chance.choice(self.blocks).parent_id
        if state is not TradingState.ACTIVE:
            self.stopped.append(self._state_words(kind, number, TradingState.ACTIVE))
        return self._state_words(kind, number, state)

    def _free_all(self) -> None:
        """Have every scope freed soon, and the parent orders that breaches stopped."""
        parents = [(int(Level.PARENT), block.parent_id) for block in self.blocks]
        scopes = [(0, number) for number in range(len(self.snapshot.nodes))]
        self.todo += [self._state_words(kind, number, TradingState.ACTIVE) for kind, number in (*scopes, *parents)]

    def _state_words(self, kind: int, number: int, state: int) -> Words:
        head, *rest = plain_words(w.SCOPE_STATE_SET | int(state) << 8, self.wall_ns)
        return (head, *rest[:3], kind, number, *rest[5:])

    def _spoil(self, words: Words) -> Words:
        """Return the words with one of them wrong."""
        place = self.chance.choice((0, *range(3, 16)))
        if place == 0:
            kind, subkind = self.chance.choice((words[0] & 0xFF, 0, 12, 64, 255)), self.chance.choice((0, 5, 13, 255))
            return (kind | subkind << 8 | w.SCHEMA, *words[1:])
        value = self.chance.choice((*NASTY, words[place] + 1, words[place] - 1, -words[place], words[place] * 3))
        value = max(-(1 << 63), min((1 << 63) - 1, value))
        return (*words[:place], value, *words[place + 1 :])

    def _mint(self) -> int:
        """Return a fresh identifier of one of three programs; seldom an old one."""
        if self.chance.random() < 0.003:
            return max(1, self._next_id - self.chance.choice((256, 2560, 1 << 20)))
        self._next_id += 256
        return self._next_id + self.chance.randrange(3)
