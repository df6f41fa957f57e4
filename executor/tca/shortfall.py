"""What a parent order cost against the paper portfolio: delay, trading, opportunity and fees, exact to the last unit.

Prices count in half ticks, because a mid lies between two ticks; a price cost is half ticks times lots. Fees come in
millionths of the reporting currency. `MoneyScale` ties the two together with whole numbers only: every amount of
money here is an integer count of `1 / denominator` millionths, so parts and totals are equal and not just close.

Source: A. Perold (1988), "The implementation shortfall: paper versus reality", Journal of Portfolio Management 14(3),
with the execution part split at the arrival price.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.invariants import require
from controlplane.domain.orders import Side
from controlplane.domain.quantities import BPS, MICRO

FILLS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class MoneyScale:
    """Worth of one half tick on one lot, as a fraction of whole numbers of millionths.

    Only contracts whose worth is linear in their price have such a scale.
    """

    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator <= 0:
            raise InvalidRequest(
                f"A money scale must be a fraction of positive numbers, found {self.numerator}/{self.denominator}.",
                field="scale",
            )

    @classmethod
    def of_contract(cls, *, tick_size: Decimal, lot_size: Decimal, multiplier: Decimal = Decimal(1)) -> "MoneyScale":
        """Return the scale of a linear contract quoted in the reporting currency, reduced to lowest terms."""
        worth = Fraction(tick_size) * Fraction(lot_size) * Fraction(multiplier) * MICRO / 2
        return cls(worth.numerator, worth.denominator)

    def of_price_cost(self, half_tick_lots: int) -> int:
        """Return a price cost in exact units."""
        return half_tick_lots * self.numerator

    def of_micro(self, amount_micro: int) -> int:
        """Return an amount of money in exact units."""
        return amount_micro * self.denominator

    def in_currency(self, units: int) -> Fraction:
        """Return exact units in the reporting currency, still exact."""
        return Fraction(units, self.denominator * MICRO)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillFacts:
    """One fill as the analysis needs it.

    Fields
        mid_half_ticks           mid just before the fill; None where no trusted book was there
        markout_mids_half_ticks  mid after the fill at each horizon of `components.MARKOUT_HORIZONS_NS`, None where
                                 none was seen; empty for none at all
    """

    quantity_lots: int
    price_ticks: int
    fee_micro: int
    at_ns: int
    venue: str
    child_id: int
    mid_half_ticks: int | None = None
    markout_mids_half_ticks: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentOutcome:
    """A parent order that is over, with the prices it is measured against.

    Fields
        decision_half_ticks   price on which the order was decided
        arrival_half_ticks    mid when it was accepted
        end_half_ticks        mid when it ended; prices what was not filled
    """

    side: Side
    quantity_lots: int
    decision_half_ticks: int
    arrival_half_ticks: int
    end_half_ticks: int
    fills: tuple[FillFacts, ...]
    scale: MoneyScale

    def __post_init__(self) -> None:
        if self.quantity_lots <= 0:
            raise InvalidRequest(f"quantity_lots must be positive, found {self.quantity_lots}.", field="quantity_lots")
        if len(self.fills) > FILLS_MAX:
            raise InvalidRequest(
                f"One analysis takes at most {FILLS_MAX} fills, found {len(self.fills)}.", field="fills"
            )
        for name in ("decision_half_ticks", "arrival_half_ticks", "end_half_ticks"):
            if getattr(self, name) <= 0:
                raise InvalidRequest(
                    f"{name} must be a price above zero, found {getattr(self, name)}; give the mid.", field=name
                )
        for fill in self.fills:
            if fill.quantity_lots <= 0 or fill.price_ticks <= 0:
                raise InvalidRequest(
                    f"A fill must have lots and a price above zero, found {fill.quantity_lots} at {fill.price_ticks}.",
                    field="fills",
                )

    @property
    def filled_lots(self) -> int:
        """Sum of the fills."""
        return sum(fill.quantity_lots for fill in self.fills)

    @property
    def paid_half_tick_lots(self) -> int:
        """Sum of price times lots of the fills."""
        return sum(fill.quantity_lots * 2 * fill.price_ticks for fill in self.fills)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """Implementation shortfall in exact units of `scale`; positive is cost.

    Fields
        notional     decision price times quantity, what bps refer to
        delay        move from decision to arrival, on everything ordered
        trading      fills against arrival
        opportunity  move from arrival to the end, on what was not filled
    """

    scale: MoneyScale
    ordered_lots: int
    filled_lots: int
    notional: int
    delay: int
    trading: int
    opportunity: int
    fees: int
    total: int

    def bps(self, units: int) -> Fraction:
        """Return exact units as basis points of the notional, still exact."""
        return Fraction(units * BPS, self.notional)


def shortfall(outcome: ParentOutcome) -> Shortfall:
    """Return the total cost of a parent and its parts, which add up to it exactly.

    The total is computed on its own, from paper against reality, and compared with the sum of its parts. More filled
    than ordered is a negative unfilled quantity: its excess is measured like the rest.

    Source
        Perold (1988): side [sum q p - X P_decision] + side (Q - X)(P_end - P_decision) + fees
    """
    side, scale = outcome.side, outcome.scale
    filled_lots = outcome.filled_lots
    unfilled_lots = outcome.quantity_lots - filled_lots
    paid = outcome.paid_half_tick_lots
    decision, arrival, end = outcome.decision_half_ticks, outcome.arrival_half_ticks, outcome.end_half_ticks

    fees = scale.of_micro(sum(fill.fee_micro for fill in outcome.fills))
    paper = side * (paid - filled_lots * decision) + side * unfilled_lots * (end - decision)
    result = Shortfall(
        scale=scale,
        ordered_lots=outcome.quantity_lots,
        filled_lots=filled_lots,
        notional=scale.of_price_cost(outcome.quantity_lots * decision),
        delay=scale.of_price_cost(side * outcome.quantity_lots * (arrival - decision)),
        trading=scale.of_price_cost(side * (paid - filled_lots * arrival)),
        opportunity=scale.of_price_cost(side * unfilled_lots * (end - arrival)),
        fees=fees,
        total=scale.of_price_cost(paper) + fees,
    )
    parts = result.delay + result.trading + result.opportunity + result.fees
    require(parts == result.total, f"Shortfall parts must add up to {result.total}, found {parts}.")
    return result
