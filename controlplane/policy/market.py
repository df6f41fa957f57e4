"""The shape of the files that say what can be traded, in which money, where and when, and how much trades when.

Every key is required unless its table says otherwise.
"""

import datetime as dt
import itertools
import math
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Contract, OptionRight
from controlplane.domain.quantities import MICRO, NANO, PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, to_units
from controlplane.policy.fields import (
    FeeBps,
    Name,
    Positive,
    Quantity,
    Sentence,
    SomeNames,
    Table,
    TimeOfDay,
    TimeZone,
)

# --- instruments.toml, currencies.toml


# What the gate can hold: a price step for each of four bands, and the worth of one order in 60 bits.
TICK_BANDS_MAX = 4
WORTH_CAP = 1 << 60


class Payoff(StrEnum):
    """How quantity and price make an amount: linear in the quote currency, inverse in the coin that settles."""

    LINEAR = "linear"
    INVERSE = "inverse"


class TickBand(Table):
    """From this price upwards the price moves in this step."""

    from_price: Quantity
    step: Positive


class OptionPolicy(Table):
    """Strike in the quote currency, right, and the instrument whose price moves the option."""

    strike: Positive
    right: Annotated[OptionRight, Field(strict=False)]
    underlying_instrument: Name


class InstrumentPolicy(Table):
    """One tradable instrument as its venue defines it. Optional: `tick_bands`; `expiry`, `option` as contracts ask.

    `volume_curve` names the curve of its expected volume, or is NO_CURVE where nobody has measured one.
    """

    underlying: Name
    contract: Annotated[Contract, Field(strict=False)]
    payoff: Annotated[Payoff, Field(strict=False)]
    currency: Name
    settlement_currency: Name
    tick_size: Positive
    lot_size: Positive
    multiplier: Positive
    price_min: Positive
    price_max: Positive
    quantity_min: Positive
    quantity_max: Positive
    quantity_step: Positive
    calendar: Name
    volume_curve: Name
    tick_bands: tuple[TickBand, ...] = Field(default=(), strict=False, max_length=TICK_BANDS_MAX)
    expiry: AwareDatetime | None = None
    option: OptionPolicy | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "InstrumentPolicy":
        """Return the instrument; ValueError with the first thing that contradicts itself."""
        is_option = self.contract is Contract.OPTION
        is_dated = is_option or self.contract is Contract.FUTURE
        if is_dated != (self.expiry is not None):
            raise ValueError("an expiry exactly for futures and options")
        if is_option != (self.option is not None):
            raise ValueError("a table `option` exactly for options")
        if (self.settlement_currency == self.currency) == (self.payoff is Payoff.INVERSE):
            raise ValueError("linear payoff settled in `currency`, or inverse payoff settled in another currency")
        if self.payoff is Payoff.INVERSE and self.contract not in (Contract.PERPETUAL, Contract.FUTURE):
            raise ValueError("an inverse payoff only for perpetuals and futures")
        _on_grid(self)
        return self


def _on_grid(instrument: InstrumentPolicy) -> None:
    """Return when prices lie on ticks, quantities on lots, both in order and countable; ValueError otherwise."""
    tick, lot = instrument.tick_size, instrument.lot_size
    try:
        price_min = to_units(instrument.price_min, tick, field="price_min", cap=PRICE_TICKS_CAP)
        price_max = to_units(instrument.price_max, tick, field="price_max", cap=PRICE_TICKS_CAP)
        step = to_units(instrument.quantity_step, lot, field="quantity_step", cap=QUANTITY_LOTS_CAP)
        quantity_min = to_units(instrument.quantity_min, lot, field="quantity_min", cap=QUANTITY_LOTS_CAP)
        quantity_max = to_units(instrument.quantity_max, lot, field="quantity_max", cap=QUANTITY_LOTS_CAP)
        bands = [
            (
                to_units(band.from_price, tick, field="from_price", cap=PRICE_TICKS_CAP),
                to_units(band.step, tick, field="step", cap=PRICE_TICKS_CAP),
            )
            for band in instrument.tick_bands
        ]
    except InvalidRequest as error:
        raise ValueError(f"prices on the tick grid and quantities on the lot grid ({str(error).rstrip('.')})") from None
    if price_min > price_max or quantity_min > quantity_max:
        raise ValueError("each minimum at or below its maximum")
    if quantity_min % step or quantity_max % step:
        raise ValueError("quantity_min and quantity_max in whole quantity steps")
    starts = [start for start, _ in bands]
    if starts != sorted(set(starts)):
        raise ValueError("tick bands in rising order of from_price")
    if _worth_of_a_lot(instrument) * quantity_max > WORTH_CAP:
        raise ValueError("an instrument whose largest order can be valued exactly; lower quantity_max or price_max")


def _worth_of_a_lot(instrument: InstrumentPolicy) -> int:
    """Return the largest worth of one lot in the units the gate multiplies in, before it divides by anything.

    A linear contract is counted in millionths of its currency over the smallest common denominator, at its highest
    price; an inverse one in thousand-millionths of its coin, at a price of one tick.
    """
    if instrument.payoff is Payoff.INVERSE:
        return math.ceil(instrument.lot_size * instrument.multiplier / instrument.tick_size * NANO)
    unit = Fraction(instrument.tick_size * instrument.lot_size * instrument.multiplier) * MICRO
    return unit.numerator * int(instrument.price_max / instrument.tick_size)


class InstrumentsFile(Table):
    instruments: dict[Name, InstrumentPolicy] = Field(min_length=1)


class FixedRate(Table):
    """A worth that people declared, with their reason; it never grows old."""

    source: Literal["fixed"]
    rate: Positive
    reason: Sentence


class ObservedRate(Table):
    """A worth that the gate must be told again and again; until then, and when it is old, orders are denied."""

    source: Literal["observed"]


class CurrenciesFile(Table):
    reporting_currency: Name
    currencies: dict[Name, Annotated[FixedRate | ObservedRate, Field(discriminator="source")]] = Field(min_length=1)


# --- venues.toml, calendars.toml


class VenuePolicy(Table):
    """A place where orders go: what is listed there, who stands on the other side, what it costs.

    Venues with one `book` match against each other, under whatever name an order comes in.
    """

    description: Sentence
    book: Name
    instruments: SomeNames
    counterparties: SomeNames
    fee_maker_bps: FeeBps
    fee_taker_bps: FeeBps


class CounterpartyPolicy(Table):
    description: Sentence


class VenuesFile(Table):
    venues: dict[Name, VenuePolicy] = Field(min_length=1)
    counterparties: dict[Name, CounterpartyPolicy] = Field(min_length=1)


class Weekday(StrEnum):
    """Days by name; their order is that of `datetime.date.weekday`."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class SessionHours(Table):
    """Opening and closing in local time of the calendar's zone; `24:00` ends a session with its day."""

    open: TimeOfDay
    close: TimeOfDay

    @model_validator(mode="after")
    def _open_before_close(self) -> "SessionHours":
        if self.open >= self.close:
            raise ValueError("a session that closes after it opens; write one that runs over midnight as two")
        return self

    @property
    def minutes(self) -> int:
        """Length in minutes of local time."""
        opened, closed = (60 * int(text[:2]) + int(text[3:]) for text in (self.open, self.close))
        return closed - opened


class EarlyClose(Table):
    """A day on which everything ends at this local time."""

    date: dt.date
    close: TimeOfDay


class AlwaysCalendar(Table):
    kind: Literal["always"]


class WeeklyCalendar(Table):
    """Sessions on named weekdays, less holidays; a year outside `covered_years` is closed, as nobody checked it."""

    kind: Literal["weekly"]
    time_zone: TimeZone
    covered_years: tuple[Annotated[int, Field(ge=1971, le=2199)], ...] = Field(strict=False, min_length=1)
    weekdays: tuple[Annotated[Weekday, Field(strict=False)], ...] = Field(strict=False, min_length=1)
    sessions: tuple[SessionHours, ...] = Field(strict=False, min_length=1)
    holidays: tuple[dt.date, ...] = Field(strict=False)
    early_closes: tuple[EarlyClose, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> "WeeklyCalendar":
        for earlier, later in itertools.pairwise(self.sessions):
            if later.open < earlier.close:
                raise ValueError("sessions in order and without overlap")
        dates = [*self.holidays, *(early.date for early in self.early_closes)]
        if len(set(dates)) != len(dates):
            raise ValueError("each date once among holidays and early closes")
        outside = [str(day) for day in dates if day.year not in self.covered_years]
        if outside:
            raise ValueError(f"dates only within covered_years ({outside[0]} is not)")
        return self


class CalendarsFile(Table):
    calendars: dict[Name, Annotated[AlwaysCalendar | WeeklyCalendar, Field(discriminator="kind")]] = Field(min_length=1)


# --- volume_curves.toml


NO_CURVE = "none"
MINUTES_OF_A_DAY = 1_440


class VolumeCurvePolicy(Table):
    """How a session's volume is usually spread: one weight for each bin from the opening on, in any common unit.

    A calendar with several sessions a day has the bins of one after those of the other; one that is always open has
    the bins of a day from midnight UTC.
    """

    description: Sentence
    calendar: Name
    bin_minutes: Annotated[int, Field(ge=1, le=MINUTES_OF_A_DAY)]
    weights: tuple[Annotated[int, Field(ge=0, le=10**9)], ...] = Field(
        strict=False, min_length=1, max_length=MINUTES_OF_A_DAY
    )

    @model_validator(mode="after")
    def _with_volume(self) -> "VolumeCurvePolicy":
        if not any(self.weights):
            raise ValueError("a curve with at least one weight above zero")
        return self


class VolumeCurvesFile(Table):
    volume_curves: dict[Name, VolumeCurvePolicy]

    @model_validator(mode="after")
    def _no_curve_has_no_numbers(self) -> "VolumeCurvesFile":
        if NO_CURVE in self.volume_curves:
            raise ValueError(f'without the name "{NO_CURVE}", which stands for no curve; rename it')
        return self
