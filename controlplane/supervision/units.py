"""Counted ticks, lots and micro-money as people read them, exactly; without an instrument they stay ticks and lots."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Self

from controlplane.domain.instruments import Contract, Instrument
from controlplane.domain.quantities import micro_to_decimal
from controlplane.domain.scopes import Route
from controlplane.gate.snapshot import Snapshot
from controlplane.gate.verdict import explain
from controlplane.gate.words import Handles, handles_from_json

NS_PER_MS = 1_000_000

_QUANTITY_WORD = {Contract.EQUITY: "shares", Contract.OPTION: "contracts", Contract.FUTURE: "contracts"}


@dataclass(frozen=True, slots=True)
class Units:
    """How numbers of one instrument are written.

    Arguments
        instrument  its precision; None when the rule book doesn't know it
        currency    reporting currency of the firm
    """

    instrument: Instrument | None = None
    currency: str = ""

    @property
    def quantity_word(self) -> str:
        """What a quantity counts: `ETH`, `shares`, `contracts`, or `lots` when the instrument isn't known."""
        if self.instrument is None:
            return "lots"
        if self.instrument.is_inverse:
            return "contracts"
        return _QUANTITY_WORD.get(self.instrument.contract, self.instrument.underlying)

    @property
    def price_word(self) -> str:
        """Currency of a price, or `ticks`."""
        return self.instrument.currency if self.instrument is not None else "ticks"

    def number(self, lots: int) -> str:
        """A quantity without its unit: `1,250.00`."""
        if self.instrument is None:
            return f"{lots:,}"
        return _plain(self.instrument.quantity(lots), self.instrument.lot_size)

    def quantity(self, lots: int) -> str:
        """A quantity with its unit: `12.50 ETH`."""
        return f"{self.number(lots)} {self.quantity_word}"

    def price_number(self, ticks: int) -> str:
        """A price without its currency: `3,051.25`."""
        if self.instrument is None:
            return f"{ticks:,}"
        return _plain(self.instrument.price(ticks), self.instrument.tick_size)

    def price(self, ticks: int) -> str:
        """A price with its currency."""
        return f"{self.price_number(ticks)} {self.price_word}"

    def average_price_number(self, ticks_milli: int) -> str:
        """A price given in thousandths of a tick, with two more places than the tick."""
        if self.instrument is None:
            return f"{ticks_milli / 1_000:,.2f}"
        return _plain(ticks_milli * self.instrument.tick_size / 1_000, self.instrument.tick_size.scaleb(-2))

    def money(self, micro: int) -> str:
        """Money in the reporting currency to the cent, rounded to nearest even."""
        value = micro_to_decimal(micro).quantize(Decimal("0.01"))
        return f"{value:,} {self.currency}".rstrip()


def no_explanation(_: Sequence[int]) -> str:
    """Nothing, where the limits can't be read."""
    return ""


@dataclass(frozen=True)
class Names:
    """Names behind the numbers of a gate's records, from the limits that it works with.

    Fields
        routes       in the order of their handles
        scopes       in the order of their nodes, written `desk:crypto`
        instruments  by name
        currency     reporting currency of the firm
        explanation  one sentence about the words of a denial
    """

    routes: tuple[Route, ...] = ()
    scopes: tuple[str, ...] = ()
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    currency: str = ""
    explanation: Callable[[Sequence[int]], str] = no_explanation

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """The names of a snapshot of limits; numbers are places in its lists, as the gate numbers them."""
        handles = handles_of(snapshot)
        return cls(
            routes=handles.routes,
            scopes=handles.scopes,
            instruments={rules.instrument.name: rules.instrument for rules in snapshot.instruments},
            currency=snapshot.reporting_currency,
            explanation=lambda words: explain(words, handles) if words else "",
        )

    def units(self, instrument: str) -> Units:
        """How numbers of this instrument are written."""
        return Units(self.instruments.get(instrument), self.currency)

    @cached_property
    def route_names(self) -> dict[int, dict[str, str]]:
        """The names of every route by its handle."""
        return {handle: dataclasses.asdict(route) for handle, route in enumerate(self.routes)}

    def scope(self, node: int) -> str:
        """The scope of a node; empty when it isn't known."""
        return self.scopes[node] if 0 <= node < len(self.scopes) else ""


def handles_of(snapshot: Snapshot) -> Handles:
    """The names of a snapshot as the gate's own sentences want them."""
    return handles_from_json(
        {
            "routes": [[r.desk, r.strategy, r.model, r.instrument, r.venue, r.counterparty] for r in snapshot.routes],
            "instruments": [rules.instrument.name for rules in snapshot.instruments],
            "venues": sorted({route.venue for route in snapshot.routes}),
            "currencies": [rate.currency for rate in snapshot.rates],
            "scopes": [str(node.scope) for node in snapshot.nodes],
            "reporting_currency": snapshot.reporting_currency,
        }
    )


def in_unit(value: int, unit: str, units: Units) -> str:
    """A measured number with its unit as people read it."""
    if unit == "lots":
        return units.quantity(value)
    if unit == "ticks":
        return units.price(value)
    if unit == "micro":
        return units.money(value)
    if unit == "bps":
        return f"{value / 100:,.2f} %"
    return milliseconds(value) if unit == "ns" else f"{value:,}"


def milliseconds(duration_ns: int) -> str:
    """A duration in milliseconds to the microsecond: `0.412 ms`."""
    return f"{duration_ns / NS_PER_MS:,.3f} ms"


def _plain(value: Decimal, step: Decimal) -> str:
    """The exact number with as many places as its step has."""
    exponent = step.normalize().as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    return f"{value:,.{places}f}"
