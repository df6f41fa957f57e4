"""What can be traded: precision, multiplier, settlement, expiry, option terms, and exact conversion to ticks and
lots.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, parse_decimal, to_units


class Contract(StrEnum):
    """Kind of contract; decides how exposure is valued."""

    SPOT = "spot"
    EQUITY = "equity"
    PERPETUAL = "perpetual"
    FUTURE = "future"
    OPTION = "option"


class OptionRight(StrEnum):
    CALL = "call"
    PUT = "put"


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """Strike in the quote currency of the underlying, right, and the instrument whose price moves it."""

    strike: Decimal
    right: OptionRight
    underlying_instrument: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable instrument, the same on every venue that lists it.

    `multiplier` is the worth of one unit of quantity: linear contracts are worth quantity x multiplier x price in
    `currency`; inverse contracts quantity x multiplier / price in `settlement_currency`. `tick_bands` lists
    (first price in ticks, step in ticks), ascending, for venues whose price step grows with the price.
    """

    name: str
    underlying: str
    contract: Contract
    currency: str
    settlement_currency: str
    tick_size: Decimal
    lot_size: Decimal
    multiplier: Decimal
    price_min_ticks: int
    price_max_ticks: int
    quantity_min_lots: int
    quantity_max_lots: int
    lot_step: int
    tick_bands: tuple[tuple[int, int], ...]
    calendar: str
    is_inverse: bool = False
    is_restricted: bool = False
    expiry_ns: int | None = None
    option: OptionTerms | None = None

    def price_ticks(self, value: object, *, field: str = "price") -> int:
        """Return the price in ticks, exactly; InvalidRequest when it is malformed, off the tick grid or too large."""
        return to_units(parse_decimal(value, field=field), self.tick_size, field=field, cap=PRICE_TICKS_CAP)

    def quantity_lots(self, value: object, *, field: str = "quantity") -> int:
        """Return the quantity in lots, exactly; InvalidRequest when malformed, not positive, off the lot grid or too
        large.
        """
        lots = to_units(parse_decimal(value, field=field), self.lot_size, field=field, cap=QUANTITY_LOTS_CAP)
        if lots <= 0:
            raise InvalidRequest(f"{field} must be positive, found {value}.", field=field)
        return lots

    def price(self, ticks: int) -> Decimal:
        """Return the price that the ticks stand for."""
        return ticks * self.tick_size

    def quantity(self, lots: int) -> Decimal:
        """Return the quantity that the lots stand for."""
        return lots * self.lot_size
