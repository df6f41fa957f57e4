"""Everything the loop knows; nothing is known elsewhere.

Parents and children are the frozen values of `executor/orders`; here stands what the engine must remember beside them:
which strategy works a parent, until when a child may work, what the venue still owes us an answer to, what the market
showed, and which scopes are stopped.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controlplane.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from controlplane.domain.ids import IdMint, to_text
from controlplane.domain.instruments import Instrument
from controlplane.domain.observations import Phase
from controlplane.domain.orders import OrderCommand
from controlplane.domain.scopes import Level, Scope
from controlplane.domain.states import TradingState, most_restrictive
from executor.engine.events import ParentInstruction
from executor.engine.tape import MidHistory, RunningTotal
from executor.marketdata.events import BookDelta, BookSnapshot, MarketEvent, OrderMessage, Quote
from executor.marketdata.quarantine import FeedGuard
from executor.orders.child import Child
from executor.orders.parent import Parent
from executor.strategies.base import Setback, Strategy
from executor.strategies.volume_curve import VolumeCurve

NEVER_NS = 1 << 62
NO_QUOTE = Quote("", "", 0, 0, -1, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class EngineRules:
    """Times and bounds of the loop.

    Fields
        decide_interval_ns   a strategy is asked at least this often, and after every change of its parent
        denials_in_a_row_max after so many denials in a row a strategy is asked again only at its steady pace
        miss_doublings_max   how often the pace doubles while immediate orders find nothing to take
        answer_ns_max        silence after which a sent order is unknown
        query_interval_ns    pause between two questions about an unknown order, and between two cancels of one order
        grace_ns             a venue that says "not found" must say so twice, this far apart, and its list must agree
        observe_moved_ns     the gate hears of a moved quote at most this often
        observe_still_ns     and of one that stands still this often; must lie inside the reference age of the limits
        observe_slow_ns      and of the trading phase, or of no volume, this often
        record_withheld_ns   withheld events of one feed are recorded at most this often
    """

    decide_interval_ns: int = 250 * NS_PER_MS
    denials_in_a_row_max: int = 3
    miss_doublings_max: int = 5
    answer_ns_max: int = 2 * NS_PER_S
    query_interval_ns: int = NS_PER_S
    grace_ns: int = 2 * NS_PER_S
    observe_moved_ns: int = 10 * NS_PER_MS
    observe_still_ns: int = 100 * NS_PER_MS
    observe_slow_ns: int = 5 * NS_PER_S
    record_withheld_ns: int = NS_PER_S


@dataclass(slots=True)
class ParentWork:
    """One parent order at work.

    Fields
        route           the gate's handle of its route
        filled          its fills over time
        start_lots      others' volume in the instrument when it started, as the tape counts it
        start_turnover  and their turnover in half ticks times lots
        fill_mids       mid in half ticks just before each fill, by execution; none where no book was trusted
        misses          immediate orders in a row that found nothing to take
        is_open         the gate knows it
        is_held         nothing new is asked, since the program is about to stop
        is_dirty        something changed since its strategy was asked
        decide_ns       when its strategy is to be asked next
        finish_reason   why it was ended before its time, empty otherwise
    """

    parent: Parent
    instruction: ParentInstruction
    instrument: Instrument
    route: int
    strategy: Strategy
    arrival_bid_ticks: int
    arrival_ask_ticks: int
    start_lots: int = 0
    start_turnover: int = 0
    fill_mids: dict[int, int] = field(default_factory=dict)
    filled: RunningTotal = field(default_factory=RunningTotal)
    children: list[int] = field(default_factory=list)
    setback: Setback | None = None
    misses: int = 0
    is_open: bool = False
    is_held: bool = False
    is_dirty: bool = True
    is_finished: bool = False
    decide_ns: int = 0
    finish_reason: str = ""

    @property
    def venue(self) -> str:
        return self.instruction.route.venue


@dataclass(slots=True)
class ChildWork:
    """One child order at work.

    Fields
        working_until_ns  when it is withdrawn if it isn't filled
        answer_due_ns     when the venue must have answered; NEVER_NS when nothing is owed
        cancel_due_ns     when a cancel is (re)sent; NEVER_NS when none is wanted
        not_found_ns      when the venue first said that it doesn't know the order; 0 for never
        not_found_count   how often it said so
        is_listed         whether the last list of working orders held it; None before the first since `not_found_ns`
    """

    child: Child
    command: OrderCommand
    venue: str
    working_until_ns: int
    urgency: str = ""
    reason: str = ""
    answer_due_ns: int = NEVER_NS
    cancel_due_ns: int = NEVER_NS
    cancel_reason: str = ""
    not_found_ns: int = 0
    not_found_count: int = 0
    is_listed: bool | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more can come of it."""
        return self.child.has_ended and not self.child.awaited_lots

    @property
    def due_ns(self) -> int:
        """Return when it next needs a look."""
        return (
            min(self.working_until_ns, self.answer_due_ns)
            if self.cancel_due_ns == NEVER_NS
            else min(self.cancel_due_ns, self.answer_due_ns)
        )


@dataclass(slots=True)
class MarketWork:
    """One instrument's market as this executor sees it.

    Fields
        best            best prices and sizes, of the book or of a newer quote beside it
        others          what others traded, over time, and the sum of price times lots of it
        mids            mid prices over time
        unreported_lots traded and not yet told to the gate, ours included
        is_admitted     events come from a replay that passed them through this guard already
        phase           trading phase; unknown until the venue states one or its book is trusted
    """

    guard: FeedGuard
    venue: str
    best: Quote = field(default_factory=lambda: NO_QUOTE)
    others: RunningTotal = field(default_factory=RunningTotal)
    turnover_half_tick_lots: int = 0
    mids: MidHistory = field(default_factory=MidHistory)
    unreported_lots: int = 0
    is_admitted: bool = False
    phase: Phase = Phase.UNKNOWN
    is_phase_stated: bool = False
    observed_ns: int = 0
    observed_bid_ticks: int = 0
    observed_ask_ticks: int = 0
    volume_observed_ns: int = 0
    phase_observed_ns: int = 0
    withheld_recorded_ns: int = 0
    phase_observed: Phase | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a strategy may be shown these prices."""
        return self.guard.fault is None and self.guard.book.is_ready and 0 < self.best.bid_ticks < self.best.ask_ticks

    @property
    def bid_ticks(self) -> int:
        """Best bid, 0 when none is trusted."""
        return self.best.bid_ticks if self.is_usable else 0

    @property
    def ask_ticks(self) -> int:
        """Best ask, 0 when none is trusted."""
        return self.best.ask_ticks if self.is_usable else 0

    @property
    def mid_half_ticks(self) -> int:
        """Mid price in half ticks, exact."""
        return self.best.bid_ticks + self.best.ask_ticks

    def take_best(self, event: MarketEvent) -> None:
        """Take the best prices of a trusted event: a quote beside a book leads it until the book has caught up."""
        if isinstance(event, Quote):
            if event.sequence > self.guard.book.sequence:
                self.best = event
            return
        book = self.guard.book
        if isinstance(event, BookDelta | BookSnapshot | OrderMessage) and book.sequence >= self.best.sequence:
            self.best = Quote(
                instrument=book.instrument,
                feed=event.feed,
                exchange_ns=book.exchange_ns,
                receive_ns=book.receive_ns,
                sequence=book.sequence,
                bid_ticks=book.bid_ticks,
                bid_lots=book.bid_lots,
                ask_ticks=book.ask_ticks,
                ask_lots=book.ask_lots,
            )


@dataclass(slots=True)
class EngineState:
    """The whole of it. `due_ns` is the earliest moment at which something here needs a look."""

    instruments: Mapping[str, Instrument]
    volume_curves: Mapping[str, VolumeCurve] = field(default_factory=dict)
    program: int = 1
    rules: EngineRules = field(default_factory=EngineRules)
    clock: ManualClock = field(default_factory=lambda: ManualClock(0))
    mint: IdMint = field(init=False)
    parents: dict[int, ParentWork] = field(default_factory=dict)
    children: dict[int, ChildWork] = field(default_factory=dict)
    active_parents: dict[int, ParentWork] = field(default_factory=dict)
    live_children: dict[int, ChildWork] = field(default_factory=dict)
    markets: dict[str, MarketWork] = field(default_factory=dict)
    references: dict[str, int] = field(default_factory=dict)
    scopes: dict[str, TradingState] = field(default_factory=dict)
    is_killed: bool = False
    fence: int = 0
    due_ns: int = NEVER_NS
    list_asked_ns: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.mint = IdMint(self.clock, program=self.program)

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns

    def look_again(self, due_ns: int) -> None:
        """Make sure that `due_ns` isn't later than this."""
        self.due_ns = min(self.due_ns, due_ns)

    def add_parent(self, work: ParentWork) -> None:
        """Take a parent in; one that has a reference of its sender is found by it again."""
        parent_id = work.parent.parent_id
        self.parents[parent_id] = work
        self.active_parents[parent_id] = work
        if work.instruction.reference:
            self.references[work.instruction.reference] = parent_id
        self.look_again(self.now_ns)

    def add_child(self, work: ChildWork) -> None:
        """Take a child in."""
        child_id = work.child.child_id
        self.children[child_id] = work
        self.live_children[child_id] = work
        self.parents[work.child.parent_id].children.append(child_id)
        self.look_again(work.due_ns)

    def children_of(self, work: ParentWork) -> Iterator[ChildWork]:
        """Yield every child the parent ever had."""
        return (self.children[child_id] for child_id in work.children)

    def trading_state(self, work: ParentWork) -> TradingState:
        """Return the most restrictive state over the scopes of a parent."""
        if self.is_killed:
            return TradingState.HALTED
        if not self.scopes:
            return TradingState.ACTIVE
        scopes = (
            *work.instruction.route.scopes(work.instrument.underlying),
            Scope(Level.PARENT, to_text(work.parent.parent_id)),
        )
        return most_restrictive([self.scopes[str(scope)] for scope in scopes if str(scope) in self.scopes])

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything above that orders depend on; equal histories give equal fingerprints."""
        known = {
            "now_ns": self.now_ns,
            "last_id": self.mint.last,
            "is_killed": self.is_killed,
            "scopes": {scope: int(state) for scope, state in sorted(self.scopes.items())},
            "parents": {to_text(key): _parent_facts(work) for key, work in sorted(self.parents.items())},
            "children": {to_text(key): _child_facts(work) for key, work in sorted(self.children.items())},
            "markets": {
                name: [market.bid_ticks, market.ask_ticks, market.others.total, int(market.phase)]
                for name, market in sorted(self.markets.items())
            },
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _parent_facts(work: ParentWork) -> list[object]:
    parent = work.parent
    return [
        parent.state.value,
        parent.quantity_lots,
        parent.filled_lots,
        parent.working_lots,
        parent.in_flight_lots,
        parent.unplaced_lots,
        parent.cancelled_lots,
        parent.excess_lots,
        work.arrival_bid_ticks,
        work.arrival_ask_ticks,
        work.filled.total,
        0 if work.setback is None else work.setback.count,
    ]


def _child_facts(work: ChildWork) -> list[object]:
    child = work.child
    return [
        child.state.value,
        child.quantity_lots,
        child.filled_lots,
        work.command.price_ticks,
        work.working_until_ns,
        [[fill.execution_id, fill.quantity_lots, fill.price_ticks] for fill in child.executions],
    ]
