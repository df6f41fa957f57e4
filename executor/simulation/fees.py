"""What a simulated venue charges for a fill."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from controlplane.domain.errors import UnknownReference
from controlplane.domain.instruments import Instrument
from controlplane.domain.quantities import BPS, ceil_div
from executor.simulation.matching import Fill


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Fees in basis points of the notional, in parts of one if need be; a negative maker fee is a rebate."""

    maker_bps: Decimal = Decimal(0)
    taker_bps: Decimal = Decimal(0)


class FeeCalculator:
    """Fees of fills in millionths of the reporting currency.

    Arguments
        schedule     rates of the venue
        instruments  what is traded there
        rates_micro  worth of one unit of each currency in millionths of the reporting currency
    Errors
        UnknownReference when an instrument's currency has no rate
    """

    def __init__(
        self, schedule: FeeSchedule, instruments: Iterable[Instrument], rates_micro: Mapping[str, int]
    ) -> None:
        self._schedule = schedule
        self._inverse: set[str] = set()
        # Worth of one lot at one tick; for an inverse contract, of one lot at any price.
        self._lot_tick_micro: dict[str, Fraction] = {}
        for one in instruments:
            if one.currency not in rates_micro:
                raise UnknownReference(
                    f"{one.name} is quoted in {one.currency}, which has no rate; give one, since its fees need it."
                )
            if one.is_inverse:
                self._inverse.add(one.name)
            price = 1 if one.is_inverse else Fraction(one.tick_size)
            worth = price * Fraction(one.lot_size) * Fraction(one.multiplier)
            self._lot_tick_micro[one.name] = worth * rates_micro[one.currency]

    def fee_micro(self, instrument: str, fill: Fill) -> int:
        """Return the fee of a fill.

        Rounding
            up, so that a fee is never understated and a rebate never overstated
        """
        rate_bps = self._schedule.maker_bps if fill.is_maker else self._schedule.taker_bps
        price_ticks = 1 if instrument in self._inverse else fill.price_ticks
        fee = self._lot_tick_micro[instrument] * fill.quantity_lots * price_ticks * Fraction(rate_bps) / BPS
        return ceil_div(fee.numerator, fee.denominator)
