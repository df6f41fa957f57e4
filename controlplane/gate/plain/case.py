"""One order under judgement: what was asked, what it would change, and what the checks have found about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.domain.orders import CommandKind, OrderType, TimeInForce
from controlplane.domain.scopes import Level
from controlplane.gate.plain.book import Book, Cell, LiveOrder, Market, Parent
from controlplane.gate.plain.findings import Findings
from controlplane.gate.plain.terms import RouteTerms


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, straight from the words of the record, with the readings of the clocks and of the switch."""

    kind: int
    request_id: int
    child_id: int
    parent_id: int
    route: int
    side: int
    order_type: int
    time_in_force: int
    type_word: int
    total_lots: int
    price_ticks: int
    trigger_ticks: int
    model_digest: int
    now_ns: int
    monotonic_ns: int
    is_armed: bool

    @classmethod
    def of(cls, words: Sequence[int], *, now_ns: int, monotonic_ns: int, is_armed: bool) -> "Request":
        return cls(
            kind=words[0] >> 8 & 0xFF,
            request_id=words[3],
            child_id=words[4],
            parent_id=words[5],
            route=words[6],
            side=words[7],
            order_type=words[8] & 0xFF,
            time_in_force=words[8] >> 8,
            type_word=words[8],
            total_lots=words[9],
            price_ticks=words[10],
            trigger_ticks=words[11],
            model_digest=words[12],
            now_ns=now_ns,
            monotonic_ns=monotonic_ns,
            is_armed=is_armed,
        )

    @property
    def is_amend(self) -> bool:
        return self.kind == CommandKind.AMEND


@dataclass(slots=True)
class Case:
    """A request with everything that is worked out about it on the way.

    Fields
        old_lots, old_micro  what the amended order has reserved; 0 for a new order
        filled_lots          what the amended order has filled
        is_reducing          the whole order is a reduction proved at firm, desk, strategy and model
        reducible_lots       most that would be one
        bid_ticks, ask_ticks the reference that was chosen, 0 without one
        age_ns               its age, or that of the youngest stale one
        value_ticks          price at which the exposure is largest
        total_micro          exposure of the whole order
        counted_micro        exposure of its live part as it would be reserved
    """

    book: Book
    request: Request
    findings: Findings = field(default_factory=Findings)
    route: RouteTerms | None = None
    parent: Parent | None = None
    amended: LiveOrder | None = None
    is_reducing: bool = False
    reducible_lots: int = 0
    bid_ticks: int = 0
    ask_ticks: int = 0
    age_ns: int = 0
    value_ticks: int = 0
    total_micro: int = 0
    counted_micro: int = 0

    @property
    def market(self) -> Market:
        return self.book.markets[self.known_route.route.instrument]

    @property
    def known_route(self) -> RouteTerms:
        if self.route is None:
            raise ValueError("the route is asked for before it was found")
        return self.route

    @property
    def known_parent(self) -> Parent:
        if self.parent is None:
            raise ValueError("the parent order is asked for before it was found")
        return self.parent

    # --- what an amend stands on (M4); a new order stands on nothing ------------------------------------------------

    @property
    def old_lots(self) -> int:
        return self.amended.reserved_lots if self.amended else 0

    @property
    def old_micro(self) -> int:
        return self.amended.reserved_micro if self.amended else 0

    @property
    def filled_lots(self) -> int:
        return self.amended.filled_lots if self.amended else 0

    @property
    def wanted_lots(self) -> int:
        """Live part on the terms that are asked for; filled quantity is never given back."""
        return max(0, self.request.total_lots - self.filled_lots)

    @property
    def counted_lots(self) -> int:
        """Live part that counts until the venue has answered: the larger of old and new."""
        return max(self.old_lots, self.wanted_lots)

    @property
    def lots_change(self) -> int:
        return self.counted_lots - self.old_lots

    @property
    def micro_change(self) -> int:
        return self.counted_micro - self.old_micro

    @property
    def is_repriced(self) -> bool:
        """Whether an amend moves the price or the trigger."""
        if self.amended is None:
            return False
        asked = self.amended.asked
        return (asked.price_ticks, asked.trigger_ticks) != (self.request.price_ticks, self.request.trigger_ticks)

    @property
    def is_size_down(self) -> bool:
        """Whether an amend does nothing but make the order smaller, or leave it: it can't add to any exposure."""
        return self.amended is not None and not self.is_repriced and self.wanted_lots <= self.old_lots

    @property
    def is_new_taker(self) -> bool:
        """Whether an amend lets an order take liquidity that could not before."""
        is_passive = self.amended is not None and not self.amended.is_aggressive
        return is_passive and not self.is_size_down and self.is_aggressive

    @property
    def is_aggressive(self) -> bool:
        """Whether the order may take liquidity on arrival; without a reference it is assumed to."""
        request = self.request
        if request.time_in_force == TimeInForce.POST_ONLY:
            return False
        is_impatient = request.time_in_force in (TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL)
        if request.order_type != OrderType.LIMIT or is_impatient or request.kind == CommandKind.QUOTE_ACCEPTANCE:
            return True
        opposite = self.ask_ticks if request.side > 0 else self.bid_ticks
        if opposite == 0:
            return True
        return request.price_ticks >= opposite if request.side > 0 else request.price_ticks <= opposite

    def reducible_in(self, cell: Cell) -> int:
        """Return what this order may have live and only reduce: the opposite position less other live reducers."""
        if self.request.side > 0:
            return max(0, -cell.position_lots - (cell.buy_lots - self.old_lots))
        return max(0, cell.position_lots - (cell.sell_lots - self.old_lots))

    def levels(self) -> list[Cell]:
        """Return the cells of firm, desk, strategy and model, at which a reduction has to be proved."""
        places = [self.findings.path[kind] for kind in Level if kind is not Level.PARENT]
        return [place.cell for place in places if place.cell is not None]
