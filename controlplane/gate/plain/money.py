"""What quantities are worth, in exact fractions, rounded against us at every conversion (GATE M5, M6).

Every conversion rounds on its own, as on a statement: first to millionths of the settlement currency (billionths of a
coin), then to millionths of the reporting currency. Exposure rounds up, worth rounds down. An answer is a number or the
reason why there is none; a number above MONEY_MAX is no number.
"""

from enum import Enum
from fractions import Fraction
from math import ceil, floor

from controlplane.domain.quantities import BPS, MICRO, NANO
from controlplane.gate.plain.terms import PRODUCT_MAX, Payoff, Terms

MONEY_MAX = 1 << 55
# Cash of a cell stops here, far beyond anything that can be valued.
CASH_MAX = 1 << 60


class Refusal(Enum):
    """Why an exposure can't be formed."""

    OVERFLOW = "too large to be computed exactly"
    NO_RATE = "no rate for the currency"
    OUT_OF_RANGE = "a price at which the instrument can't trade, which the order is denied for anyway"
    NO_PRICE = "no price, of the instrument or of what it is valued at"


def exposure_micro(
    terms: Terms, side: int, lots: int, price_ticks: int, *, rate_micro: int, underlying_ticks: int
) -> int | Refusal:
    """Return the exposure of a quantity in millionths of the reporting currency, rounded up.

    Arguments
        side              +1 buy or long, -1 sell or short; matters for options alone
        price_ticks       the price that makes the exposure largest; 0 stands for none
        rate_micro        worth of one unit of the instrument's currency; 0 stands for unknown
        underlying_ticks  highest reference of the underlying, for short options; 0 stands for none
    """
    if rate_micro <= 0:
        return Refusal.NO_RATE
    if lots > terms.lots_safe:
        return Refusal.OVERFLOW
    if terms.payoff is Payoff.INVERSE:
        if price_ticks <= 0:
            return Refusal.NO_PRICE
        coin_nano = ceil(lots * terms.unit / price_ticks)
        return _within_money(ceil(Fraction(coin_nano * rate_micro, NANO)))
    if terms.payoff is Payoff.OPTION and side < 0:
        if underlying_ticks <= 0:
            return Refusal.NO_PRICE
        stressed = _stressed_ticks(terms, underlying_ticks)
        if lots * stressed * terms.underlying_unit.numerator > PRODUCT_MAX:
            return Refusal.OVERFLOW
        unit = stressed * terms.underlying_unit
    else:
        if price_ticks == 0:
            return Refusal.NO_PRICE
        if abs(price_ticks) > max(-terms.instrument.price_min_ticks, terms.instrument.price_max_ticks):
            return Refusal.OUT_OF_RANGE
        unit = abs(price_ticks) * terms.unit
    settlement_micro = ceil(lots * unit)
    return _within_money(ceil(Fraction(settlement_micro * rate_micro, MICRO)))


def lots_within(
    terms: Terms, side: int, amount_micro: int, price_ticks: int, *, rate_micro: int, underlying_ticks: int
) -> int:
    """Return the largest quantity whose exposure at the price is at most the amount; 0 when there is none.

    The inverse of `exposure_micro`: each rounding up is undone by rounding down, the last one first.
    """
    amount_micro = min(amount_micro, MONEY_MAX)
    if amount_micro <= 0 or rate_micro <= 0:
        return 0
    if terms.payoff is Payoff.INVERSE:
        coin_nano = floor(Fraction(amount_micro * NANO, rate_micro))
        return min(terms.lots_safe, floor(coin_nano * price_ticks / terms.unit))
    settlement_micro = floor(Fraction(amount_micro * MICRO, rate_micro))
    if terms.payoff is Payoff.OPTION and side < 0:
        if underlying_ticks <= 0:
            return 0
        stressed = _stressed_ticks(terms, underlying_ticks)
        exact = PRODUCT_MAX // (stressed * terms.underlying_unit.numerator)
        return min(terms.lots_safe, exact, floor(settlement_micro / (stressed * terms.underlying_unit)))
    if price_ticks == 0:
        return terms.lots_safe
    return min(terms.lots_safe, floor(settlement_micro / (abs(price_ticks) * terms.unit)))


def _stressed_ticks(terms: Terms, underlying_ticks: int) -> int:
    """Return the price of the underlying moved against a short option by the stress of the policy, rounded up."""
    return underlying_ticks + ceil(Fraction(underlying_ticks * terms.rules.option_stress_bps, BPS))


def worth_micro(
    terms: Terms, position_lots: int, cash_raw: int, *, low_ticks: int, high_ticks: int, rate_micro: int
) -> int:
    """Return what a position and the cash that its fills took are worth, closed now at the side we would exit.

    What can't be formed counts as the largest loss there is.

    Arguments
        cash_raw   linear: sum of -signed lots x ticks; inverse: sum of signed billionths of the coin
    """
    if position_lots == 0 and cash_raw == 0:
        return 0
    exit_ticks = low_ticks if position_lots > 0 else high_ticks
    has_price = position_lots == 0 or exit_ticks != 0
    if rate_micro <= 0 or abs(position_lots) > terms.lots_safe or not has_price:
        return -MONEY_MAX
    if terms.payoff is Payoff.INVERSE:
        closed_nano = 0 if position_lots == 0 else floor(-position_lots * terms.unit / exit_ticks)
        worth = floor(Fraction((cash_raw + closed_nano) * rate_micro, NANO))
    else:
        raw = cash_raw + position_lots * exit_ticks
        if abs(raw) * terms.unit.numerator > MONEY_MAX:
            return -MONEY_MAX
        worth = floor(Fraction(floor(raw * terms.unit) * rate_micro, MICRO))
    return worth if abs(worth) <= MONEY_MAX else -MONEY_MAX


def cash_of_fill(terms: Terms, side: int, lots: int, price_ticks: int) -> int:
    """Return the cash that a fill takes (negative) or brings, in the units of `worth_micro`; a fraction of a billionth
    of a coin goes against us.

    A price at which the instrument can't trade counts as the worst at which it can, and of a quantity beyond
    `lots_safe` only that much is counted: the position itself is then worth the largest loss.
    """
    instrument, lots = terms.instrument, min(lots, terms.lots_safe)
    if not terms.is_price_possible(price_ticks):
        price_ticks = instrument.price_max_ticks if side > 0 else instrument.price_min_ticks
    if terms.payoff is Payoff.INVERSE:
        return floor(side * lots * terms.unit / max(1, price_ticks))
    return -side * lots * price_ticks


def _within_money(micro: int) -> int | Refusal:
    return micro if micro <= MONEY_MAX else Refusal.OVERFLOW
