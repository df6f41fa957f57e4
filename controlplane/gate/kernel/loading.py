"""Turns a snapshot of limits into the gate's state array, and names into the numbers by which the kernel knows them.

Nothing here is on the order path. What can't be valued exactly, or has a scope without a node, is refused.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from controlplane.domain.errors import PolicyInvalid
from controlplane.domain.instruments import Contract, Instrument
from controlplane.domain.quantities import BPS, MICRO, NANO, ceil_div
from controlplane.domain.scopes import CrossDimension, Level, Route, Scope
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import LINE_WORDS, aligned_zeros
from controlplane.gate.kernel.families.loading import fill_guards, guard_words
from controlplane.gate.kernel.families.tables import family_tables, fill_families, part_ns
from controlplane.gate.kernel.ledger import insert
from controlplane.gate.kernel.observing import listing_key
from controlplane.gate.snapshot import (
    NO_LIMIT,
    InstrumentLimits,
    InstrumentRules,
    Node,
    NodeLimits,
    ParentLimits,
    Snapshot,
)
from controlplane.gate.words import Handles

DIGEST_HEX_DIGITS = 16
CELL_SCOPES = (Level.FIRM, Level.DESK, Level.STRATEGY, Level.MODEL, CrossDimension.VENUE, CrossDimension.COUNTERPARTY)


@dataclass(frozen=True, slots=True)
class State:
    """The state array and the names behind its numbers."""

    words: Any
    handles: Handles
    snapshot: Snapshot
    capacity: a.Capacity

    @property
    def address(self) -> int:
        return int(self.words.ctypes.data)


def build_state(snapshot: Snapshot, capacity: a.Capacity) -> State:
    """Return a fresh state for the limits, with no order, no position and no observation.

    Errors
        PolicyInvalid when the limits can't be worked with; names the instrument or scope
    """
    return _Builder(snapshot, capacity).build()


def model_digest(artefact_sha256: str) -> int:
    """Return the first 63 bits of a SHA-256 in hexadecimal; 0 for a strategy without a learned model."""
    return int(artefact_sha256[:DIGEST_HEX_DIGITS], 16) >> 1 if artefact_sha256 else 0


class _Builder:
    """Lays the tables out one behind the other and fills them."""

    def __init__(self, snapshot: Snapshot, capacity: a.Capacity) -> None:
        self.snapshot = snapshot
        self.capacity = capacity
        self.instruments = {rules.instrument.name: number for number, rules in enumerate(snapshot.instruments)}
        self.rules = {rules.instrument.name: rules for rules in snapshot.instruments}
        self.nodes = {node.scope: number for number, node in enumerate(snapshot.nodes)}
        self.venues = tuple(sorted({route.venue for route in snapshot.routes}))
        self.listings = sorted({(self._instrument(route), self.venues.index(route.venue)) for route in snapshot.routes})
        self.cells = self._list_cells()
        self.at: dict[int, int] = {}
        self.words: Any = np.zeros(0, np.int64)

    def build(self) -> State:
        self.words = aligned_zeros(self._lay_out())
        for word, place in self.at.items():
            self.words[word] = place
        self._fill_header()
        self._fill_rates_and_sessions()
        for number, rules in enumerate(self.snapshot.instruments):
            self._fill_instrument(number, rules)
        for number, node in enumerate(self.snapshot.nodes):
            self._fill_node(number, node)
        self._fill_cells()
        self._fill_volumes()
        for number, route in enumerate(self.snapshot.routes):
            self._fill_route(number, route)
        fill_families(self.words, self.snapshot)
        self._chain_free_rows()
        fill_guards(self.words, self.snapshot, self._node_row, self._instrument_row)
        return State(self.words, self._handles(), self.snapshot, self.capacity)

    def _handles(self) -> Handles:
        return Handles(
            routes=self.snapshot.routes,
            instruments=tuple(self.instruments),
            venues=self.venues,
            currencies=tuple(rate.currency for rate in self.snapshot.rates),
            scopes=tuple(str(node.scope) for node in self.snapshot.nodes),
            reporting_currency=self.snapshot.reporting_currency,
        )

    # --- layout ---------------------------------------------------------------------------------------------------

    def _lay_out(self) -> int:
        """Give every table its place and return the number of words of all of them."""
        size, parents = self.capacity, self.capacity.parents + 1
        volumes = len(self.snapshot.instruments) + len(self.listings)
        self.volume_places = 1 << max(2, (2 * volumes - 1).bit_length())
        sessions = sum(len(sessions) for _, sessions in self.snapshot.calendars)
        tables = (
            (a.NODES_AT, len(self.snapshot.nodes) * a.NODE_WORDS),
            (a.PARENT_NODE_FIRST, parents * a.NODE_WORDS),
            (a.CELLS_AT, len(self.cells) * a.CELL_WORDS),
            (a.PARENT_CELL_FIRST, parents * a.CELL_WORDS),
            (a.PARENTS_AT, parents * a.PARENT_WORDS),
            (a.ROUTES_AT, len(self.snapshot.routes) * a.ROUTE_WORDS),
            (a.INSTRUMENTS_AT, len(self.snapshot.instruments) * a.INSTRUMENT_WORDS),
            (a.RATES_AT, len(self.snapshot.rates) * a.RATE_WORDS),
            (a.VOLUMES_AT, volumes * a.VOLUME_WORDS),
            (a.VOLUME_INDEX_AT, self.volume_places * a.INDEX_WORDS),
            (a.SESSIONS_AT, sessions * 2),
            (a.PARENT_INDEX_AT, 2 * size.parents * a.INDEX_WORDS),
            (a.REQUEST_INDEX_AT, 2 * size.requests * a.INDEX_WORDS),
            (a.REQUESTS_AT, size.requests * a.REQUEST_WORDS),
            (a.EXECUTION_INDEX_AT, 2 * size.executions * a.INDEX_WORDS),
            (a.EXECUTIONS_AT, size.executions * a.EXECUTION_WORDS),
            (a.ORDER_INDEX_AT, 2 * size.orders * a.INDEX_WORDS),
            (a.ORDERS_AT, size.orders * a.ORDER_WORDS),
            *family_tables(self.snapshot),
            (a.GUARDS_AT, guard_words(self.snapshot)),
        )
        place = a.TABLES_AT
        for word, words in tables:
            self.at[word] = place
            place += -(-words // LINE_WORDS) * LINE_WORDS
        return place

    def _fill_header(self) -> None:
        snapshot, size, words = self.snapshot, self.capacity, self.words
        pairs = (
            (a.SNAPSHOT_VERSION, snapshot.version), (a.SNAPSHOT_EXPIRES_NS, snapshot.expires_ns),
            (a.STATE_DIGEST, int.from_bytes(snapshot.digest()[:8], "little", signed=True)),
            (a.ROUTE_COUNT, len(snapshot.routes)), (a.NODE_COUNT, len(snapshot.nodes)), (a.CELL_COUNT, len(self.cells)),
            (a.INSTRUMENT_COUNT, len(snapshot.instruments)), (a.RATE_COUNT, len(snapshot.rates)),
            (a.VOLUME_COUNT, len(snapshot.instruments) + len(self.listings)),
            (a.VOLUME_INDEX_MASK, self.volume_places - 1),
            (a.ORDER_CAPACITY, size.orders), (a.PARENT_CAPACITY, size.parents), (a.REQUEST_CAPACITY, size.requests),
            (a.EXECUTION_CAPACITY, size.executions), (a.PERMIT_TTL_NS, snapshot.permit_ttl_ns),
            (a.PHASE_AGE_NS_MAX, snapshot.phase_age_ns_max), (a.VOLUME_AGE_NS_MAX, snapshot.volume_age_ns_max),
            (a.RATE_AGE_NS_MAX, snapshot.rate_age_ns_max), (a.IS_PHASE_REQUIRED, int(snapshot.is_phase_required)),
            (a.MESSAGE_BUCKET_NS, part_ns(snapshot.message_window_ns)),
            (a.DENIED_BUCKET_NS, part_ns(snapshot.denied_window_ns)),
            (a.PARTICIPATION_BUCKET_NS, part_ns(snapshot.participation_window_ns)),
        )  # fmt: skip
        for word, value in pairs:
            words[word] = value

    def _chain_free_rows(self) -> None:
        """Link the rows of orders and parents that are free; parent row 0 stands for "no parent"."""
        self.words[a.ORDER_FREE] = self._chain(
            self.at[a.ORDERS_AT], self.capacity.orders, a.ORDER_WORDS, a.ORDER_NEXT_FREE
        )
        first = self.at[a.PARENTS_AT] + a.PARENT_WORDS
        self.words[a.PARENT_FREE] = self._chain(first, self.capacity.parents, a.PARENT_WORDS, a.PARENT_NEXT_FREE)

    def _chain(self, first: int, rows: int, stride: int, link: int) -> int:
        places = first + stride * np.arange(rows, dtype=np.int64)
        self.words[places[:-1] + link] = places[1:]
        return first

    # --- instruments, rates, calendars --------------------------------------------------------------------------------

    def _fill_rates_and_sessions(self) -> None:
        for number, rate in enumerate(self.snapshot.rates):
            row = self.at[a.RATES_AT] + number * a.RATE_WORDS
            self.words[row + a.RATE_MICRO] = rate.rate_micro
            self.words[row + a.RATE_IS_FIXED] = int(rate.is_fixed)
        self.sessions: dict[str, tuple[int, int]] = {}
        place = self.at[a.SESSIONS_AT]
        for name, sessions in self.snapshot.calendars:
            self.sessions[name] = (place, len(sessions))
            for opened, closed in sessions:
                self.words[place], self.words[place + 1] = opened, closed
                place += 2

    def _fill_instrument(self, number: int, rules: InstrumentRules) -> None:
        instrument, row = rules.instrument, self._instrument_row(number)
        kind, numerator, denominator = _unit_of(instrument)
        widest = max(abs(instrument.price_min_ticks), instrument.price_max_ticks, 1)
        safe = a.PRODUCT_MAX // (numerator if kind == a.INVERSE else numerator * widest)
        if safe < instrument.quantity_max_lots:
            raise PolicyInvalid(
                f"{instrument.name} can't be valued exactly: its largest order times its highest price passes 2**60; "
                "lower quantity_max or price_max in policies/instruments.toml."
            )
        first, sessions = self._sessions_of(instrument)
        pairs = (
            (a.INSTRUMENT_KIND, kind), (a.INSTRUMENT_NUMERATOR, numerator), (a.INSTRUMENT_DENOMINATOR, denominator),
            (a.INSTRUMENT_RATE, self._rate_row(instrument)), (a.INSTRUMENT_PRICE_MIN, instrument.price_min_ticks),
            (a.INSTRUMENT_PRICE_MAX, instrument.price_max_ticks), (a.INSTRUMENT_LOTS_MIN, instrument.quantity_min_lots),
            (a.INSTRUMENT_LOTS_MAX, instrument.quantity_max_lots), (a.INSTRUMENT_LOT_STEP, instrument.lot_step),
            (a.INSTRUMENT_LOTS_SAFE, safe), (a.INSTRUMENT_EXPIRES,
            NO_LIMIT if instrument.expiry_ns is None else instrument.expiry_ns),
            (a.INSTRUMENT_IS_RESTRICTED, int(instrument.is_restricted)), (a.INSTRUMENT_COLLAR_BPS, rules.collar_bps),
            (a.INSTRUMENT_IS_ONE_SIDED, int(rules.is_collar_one_sided)),
            (a.INSTRUMENT_STATIC_TICKS, rules.static_reference_ticks or 0),
            (a.INSTRUMENT_IS_STATIC_FIXED, int(rules.static_reference_ticks is not None)),
            (a.INSTRUMENT_REFERENCE_AGE_MAX, rules.reference_age_ns_max),
            (a.INSTRUMENT_SPREAD_BPS_MAX, rules.spread_bps_max),
            (a.INSTRUMENT_SESSION_FIRST, first), (a.INSTRUMENT_SESSION_COUNT, sessions),
            (a.INSTRUMENT_STRESS_BPS, rules.option_stress_bps),
            (a.INSTRUMENT_VOLUME, self.at[a.VOLUMES_AT] + number * a.VOLUME_WORDS),
            (a.INSTRUMENT_NODE, self._node_row(Scope(CrossDimension.INSTRUMENT, instrument.name))),
            (a.INSTRUMENT_UNDERLYING_NODE, self._node_row(Scope(CrossDimension.UNDERLYING, instrument.underlying))),
        )  # fmt: skip
        for word, value in pairs:
            self.words[row + word] = value
        for band, (price, step) in enumerate(instrument.tick_bands[: a.BANDS]):
            place = row + a.INSTRUMENT_BANDS + 2 * band
            self.words[place], self.words[place + 1] = price, step
        if kind == a.OPTION:
            self._link_underlying(row, instrument)

    def _link_underlying(self, row: int, option: Instrument) -> None:
        """Let a short option be valued by its underlying, which must be priced in the same currency."""
        name = option.option.underlying_instrument if option.option else option.underlying
        if name not in self.rules:
            raise PolicyInvalid(
                f"Option {option.name} is valued by {name}, which the limits don't know; "
                "add it to policies/instruments.toml."
            )
        underlying = self.rules[name].instrument
        if underlying.currency != option.settlement_currency:
            raise PolicyInvalid(
                f"Option {option.name} settles in {option.settlement_currency} and {name} is quoted in "
                f"{underlying.currency}; choose an underlying quoted in the settlement currency."
            )
        unit = _micro_fraction(underlying.tick_size * option.lot_size * option.multiplier)
        target = self._instrument_row(self.instruments[name])
        self.words[row + a.INSTRUMENT_UNDERLYING] = target
        self.words[row + a.INSTRUMENT_UNDERLYING_NUMERATOR] = unit.numerator
        self.words[row + a.INSTRUMENT_UNDERLYING_DENOMINATOR] = unit.denominator
        self.words[target + a.INSTRUMENT_HAS_OPTIONS] = 1

    def _sessions_of(self, instrument: Instrument) -> tuple[int, int]:
        if instrument.calendar not in self.sessions:
            raise PolicyInvalid(
                f"{instrument.name} trades by the calendar {instrument.calendar}, which the limits don't hold; "
                "add it to policies/calendars.toml."
            )
        return self.sessions[instrument.calendar]

    def _rate_row(self, instrument: Instrument) -> int:
        currency = instrument.settlement_currency if instrument.is_inverse else instrument.currency
        for number, rate in enumerate(self.snapshot.rates):
            if rate.currency == currency:
                return self.at[a.RATES_AT] + number * a.RATE_WORDS
        raise PolicyInvalid(
            f"{instrument.name} is worth {currency}, for which the limits hold no rate; add the currency to the policy."
        )

    # --- scopes -------------------------------------------------------------------------------------------------------

    def _list_cells(self) -> dict[tuple[Scope, str], int]:
        """Return every (scope, instrument) that an order can reach, numbered."""
        cells: dict[tuple[Scope, str], int] = {}
        for route in self.snapshot.routes:
            for scope in self._scopes(route):
                if scope.kind in CELL_SCOPES:
                    cells.setdefault((scope, route.instrument), len(cells))
        return cells

    def _scopes(self, route: Route) -> tuple[Scope, ...]:
        """Return the scopes of a route; PolicyInvalid when one has no limits."""
        scopes = route.scopes(self.rules[route.instrument].instrument.underlying)
        return tuple(scope for scope in scopes if self._node_number(scope) >= 0)

    def _fill_node(self, number: int, node: Node) -> None:
        row = self.at[a.NODES_AT] + number * a.NODE_WORDS
        self.words[row + a.NODE_KIND] = node.scope.kind
        for word, value in _limit_words(node.limits):
            self.words[row + word] = value

    def _fill_cells(self) -> None:
        limits_of = {node.scope: dict(node.instrument_limits) for node in self.snapshot.nodes}
        for (scope, name), number in self.cells.items():
            row = self.at[a.CELLS_AT] + number * a.CELL_WORDS
            limits = limits_of[scope].get(name, InstrumentLimits())
            instrument = self._instrument_row(self.instruments[name])
            pairs = (
                (a.CELL_NODE, self._node_row(scope)), (a.CELL_INSTRUMENT, instrument),
                (a.CELL_ORDER_MAX, limits.order_quantity_lots_max),
                (a.CELL_LONG_MAX, limits.position_long_lots_max), (a.CELL_SHORT_MAX, limits.position_short_lots_max),
                (a.CELL_PARTICIPATION_MAX, limits.participation_bps_max),
                (a.CELL_NEXT_OF_INSTRUMENT, self.words[instrument + a.INSTRUMENT_FIRST_CELL]),
            )  # fmt: skip
            for word, value in pairs:
                self.words[row + word] = value
            self.words[instrument + a.INSTRUMENT_FIRST_CELL] = row

    def _fill_volumes(self) -> None:
        for number, rules in enumerate(self.snapshot.instruments):
            row = self.at[a.VOLUMES_AT] + number * a.VOLUME_WORDS
            self.words[row + a.VOLUME_FLOOR] = rules.participation_floor_lots
        for number, (instrument, venue) in enumerate(self.listings):
            row = self._listing_row(number)
            self.words[row + a.VOLUME_FLOOR] = self.snapshot.instruments[instrument].participation_floor_lots
            insert(self.words, self.at[a.VOLUME_INDEX_AT], self.volume_places - 1, listing_key(instrument, venue), row)

    def _fill_route(self, number: int, route: Route) -> None:
        row = self.at[a.ROUTES_AT] + number * a.ROUTE_WORDS
        scopes = self._scopes(route)
        firm_cell = self._cell_row(scopes[0], route.instrument)
        for scope in scopes:
            self.words[row + a.ROUTE_NODES + scope.kind] = self._node_row(scope)
            is_own = scope.kind in CELL_SCOPES
            self.words[row + a.ROUTE_CELLS + scope.kind] = (
                self._cell_row(scope, route.instrument) if is_own else firm_cell
            )
        instrument = self._instrument(route)
        model = next((rule for rule in self.snapshot.models if rule.name == route.model), None)
        parent = dict(self.snapshot.parent_limits).get(route.strategy, ParentLimits())
        parent_words = _limit_words(parent.limits)
        pairs = (
            (a.ROUTE_INSTRUMENT, self._instrument_row(instrument)),
            (a.ROUTE_VOLUME, self._listing_row(self.listings.index((instrument, self.venues.index(route.venue))))),
            (a.ROUTE_IS_MODEL_APPROVED, int(model is not None and model.is_approved)),
            (a.ROUTE_MODEL_DIGEST, model_digest(model.artefact_sha256) if model else 0),
            (a.ROUTE_MODEL_EXPIRES, NO_LIMIT if model is None or model.expires_ns is None else model.expires_ns),
            (a.ROUTE_CHILDREN_MAX, parent.children_max), (a.ROUTE_AMENDS_MAX, parent.amends_max),
            *((a.ROUTE_PARENT_ORDER_MICRO + word - a.NODE_ORDER_MICRO_MAX, value) for word, value in parent_words),
        )  # fmt: skip
        for word, value in pairs:
            self.words[row + word] = value

    # --- places -------------------------------------------------------------------------------------------------------

    def _instrument(self, route: Route) -> int:
        if route.instrument not in self.instruments:
            raise PolicyInvalid(f"Route {route} names the instrument {route.instrument}, which the limits don't hold.")
        return self.instruments[route.instrument]

    def _instrument_row(self, number: int) -> int:
        return self.at[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS

    def _listing_row(self, number: int) -> int:
        return self.at[a.VOLUMES_AT] + (len(self.snapshot.instruments) + number) * a.VOLUME_WORDS

    def _cell_row(self, scope: Scope, instrument: str) -> int:
        return self.at[a.CELLS_AT] + self.cells[(scope, instrument)] * a.CELL_WORDS

    def _node_row(self, scope: Scope) -> int:
        return self.at[a.NODES_AT] + self._node_number(scope) * a.NODE_WORDS

    def _node_number(self, scope: Scope) -> int:
        if scope not in self.nodes:
            raise PolicyInvalid(
                f"The limits have no entry for {scope}, which an order can reach; add it to the policy."
            )
        return self.nodes[scope]


def _unit_of(instrument: Instrument) -> tuple[int, int, int]:
    """Return how an instrument is valued: kind, numerator, denominator (valuation.py states the units)."""
    if instrument.is_inverse:
        nano = instrument.lot_size * instrument.multiplier / instrument.tick_size * NANO
        return a.INVERSE, ceil_div(*nano.as_integer_ratio()), 1
    unit = _micro_fraction(instrument.tick_size * instrument.lot_size * instrument.multiplier)
    return (a.OPTION if instrument.contract is Contract.OPTION else a.LINEAR), unit.numerator, unit.denominator


def _micro_fraction(value: Decimal) -> Fraction:
    return Fraction(value) * MICRO


def _limit_words(limits: NodeLimits) -> tuple[tuple[int, int], ...]:
    """Return the words of a node that hold its limits; those of a parent stand in its route in the same order."""
    orders_max = limits.message_count_max
    if orders_max != NO_LIMIT:
        orders_max = orders_max * (BPS - limits.message_reserve_bps) // BPS
    return (
        (a.NODE_ORDER_MICRO_MAX, limits.order_notional_micro_max), (a.NODE_GROSS_MAX, limits.gross_notional_micro_max),
        (a.NODE_NET_MAX, limits.net_notional_micro_max), (a.NODE_OPEN_MAX, limits.open_notional_micro_max),
        (a.NODE_LIVE_MAX, limits.live_orders_max), (a.NODE_LOSS_MAX, limits.daily_loss_micro_max),
        (a.NODE_MESSAGES_MAX, limits.message_count_max), (a.NODE_ORDER_MESSAGES_MAX, orders_max),
        (a.NODE_DENIED_MAX, limits.denied_count_max),
    )  # fmt: skip
