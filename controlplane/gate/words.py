"""The 16 input words of the gate: the one form in which an order, a report or an observation is handed over.

They are the first 16 words of the record that the gate writes (`journal/record.py`), in the same order, so that what
was asked can be read back from the record without a translation. Words 1 and 2 (wall and monotonic time) are the gate's
own and are sent as zero. Standard library only: the process that asks has no need of the compiled gate. A word is a
plain integer: for a member of an enumeration the machine would be compiled once more.

    OrderDecided      3 request, 4 child, 5 parent, 6 route, 7 side, 8 type and time in force, 9 total quantity,
                      10 limit, 11 trigger, 12 model digest
    ReportApplied     4 child, 6 route, 7 side, 9 filled here or new total, 10 fill price or new price,
                      11 venue's cumulative count, 12 reason of a rejection, 13 execution, 14 fee, 15 venue's time
    ReferenceApplied  6 instrument, 9 bid lots, 10 bid, 11 ask, 12 ask lots, 13 receive time, 15 venue's time
    VolumeApplied     6 instrument, 7 venue, 9 traded lots, 13 receive time, 15 venue's time
    PhaseApplied      6 instrument, 9 phase, 13 receive time
    RateApplied       6 currency, 10 rate in millionths, 13 receive time
    ParentOpened      5 parent, 6 route, 7 side, 9 quantity
    ParentClosed      5 parent
    RepeatsCleared    5 number of the scope
    MeasureApplied    5 number of the scope, 9 value, 13 receive time, 15 time as of which it holds
    TimePassed        9 mask: a bit for each sign of life since the last one, bit 8 when a run of the gate begins
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.domain.errors import UnknownReference
from controlplane.domain.measures import MeasureObserved
from controlplane.domain.observations import PhaseObserved, RateObserved, ReferenceObserved, VolumeObserved
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import Route

WORD_COUNT = 16
SCHEMA = 2 << 56

ORDER_DECIDED, REPORT_APPLIED, REFERENCE_APPLIED, VOLUME_APPLIED, PHASE_APPLIED, RATE_APPLIED = range(1, 7)
PARENT_OPENED, PARENT_CLOSED, SCOPE_STATE_SET, TIME_PASSED, DAY_ROLLED, REPEATS_CLEARED, MEASURE_APPLIED = range(7, 14)

Observation = ReferenceObserved | VolumeObserved | PhaseObserved | RateObserved | MeasureObserved
Words = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Handles:
    """Names of a snapshot in the order of their numbers; a gate hands them to whoever connects.

    Fields
        scopes  the nodes of the snapshot, written `desk:crypto`
    """

    routes: tuple[Route, ...]
    instruments: tuple[str, ...]
    venues: tuple[str, ...]
    currencies: tuple[str, ...]
    scopes: tuple[str, ...]
    reporting_currency: str
    _numbers: dict[str, dict[object, int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("routes", "instruments", "venues", "currencies", "scopes"):
            self._numbers[name] = {entry: number for number, entry in enumerate(getattr(self, name))}

    def route(self, route: Route) -> int:
        """Return the handle of a route; UnknownReference when the limits don't know it."""
        return self._number("routes", route, "route", "add it to the policy's routes or use one that is there")

    def instrument(self, name: str) -> int:
        """Return the number of an instrument; UnknownReference when the limits don't know it."""
        return self._number("instruments", name, "instrument", "add it to policies/instruments.toml")

    def venue(self, name: str) -> int:
        """Return the number of a venue; UnknownReference when the limits don't know it."""
        return self._number("venues", name, "venue", "add it to policies/venues.toml")

    def currency(self, name: str) -> int:
        """Return the number of a currency; UnknownReference when the limits don't know it."""
        return self._number("currencies", name, "currency", "add its rate to the policy")

    def scope(self, name: str) -> int:
        """Return the number of a scope; UnknownReference when the limits don't know it."""
        return self._number("scopes", name, "scope", "see the scopes of `controlplane status --json`")

    def continues(self, before: "Handles") -> bool:
        """Whether every number that a program took from the earlier names still means the same."""
        tables = ((before.routes, self.routes), (before.instruments, self.instruments), (before.venues, self.venues))
        is_same = all(after[: len(old)] == old for old, after in tables)
        return is_same and self.currencies[: len(before.currencies)] == before.currencies

    def _number(self, table: str, entry: object, what: str, way_out: str) -> int:
        number = self._numbers[table].get(entry)
        if number is None:
            raise UnknownReference(f"Expected a {what} that the gate's limits name, found {entry}; {way_out}.")
        return number


def command_words(command: OrderCommand) -> Words:
    """Return a new order, amend, cancel or quote acceptance as input words."""
    return (
        ORDER_DECIDED | command.kind << 8 | SCHEMA,
        0,
        0,
        command.request_id,
        command.child_id,
        command.parent_id,
        command.route,
        int(command.side),
        command.order_type | command.time_in_force << 8,
        command.quantity_lots,
        command.price_ticks,
        command.trigger_ticks,
        command.model_digest,
        0,
        0,
        0,
    )


def report_words(report: VenueReport) -> Words:
    """Return a report as input words."""
    return (
        REPORT_APPLIED | report.kind << 8 | SCHEMA,
        0,
        0,
        0,
        report.child_id,
        0,
        report.route,
        int(report.side),
        0,
        report.quantity_lots,
        report.price_ticks,
        report.cumulative_lots,
        report.reason,
        report.execution_id,
        report.fee_micro,
        report.exchange_ns,
    )


def observation_words(observation: Observation, handles: Handles) -> Words:
    """Return an observation as input words; UnknownReference when the limits don't know what it is about."""
    if isinstance(observation, ReferenceObserved):
        return _words(
            REFERENCE_APPLIED | observation.source << 8,
            route=handles.instrument(observation.instrument),
            quantity=observation.bid_lots,
            price=observation.bid_ticks,
            trigger=observation.ask_ticks,
            model=observation.ask_lots,
            execution=observation.receive_ns,
            exchange=observation.exchange_ns,
        )
    if isinstance(observation, VolumeObserved):
        return _words(
            VOLUME_APPLIED,
            route=handles.instrument(observation.instrument),
            side=handles.venue(observation.venue),
            quantity=observation.traded_lots,
            execution=observation.receive_ns,
            exchange=observation.exchange_ns,
        )
    if isinstance(observation, PhaseObserved):
        return _words(
            PHASE_APPLIED,
            route=handles.instrument(observation.instrument),
            quantity=int(observation.phase),
            execution=observation.receive_ns,
        )
    if isinstance(observation, MeasureObserved):
        return _words(
            MEASURE_APPLIED | observation.measure << 8,
            parent=handles.scope(observation.scope),
            quantity=observation.value,
            execution=observation.receive_ns,
            exchange=observation.as_of_ns,
        )
    return _words(
        RATE_APPLIED,
        route=handles.currency(observation.currency),
        price=observation.rate_micro,
        execution=observation.receive_ns,
    )


def opening_words(*, parent_id: int, route: int, side: int, quantity_lots: int) -> Words:
    """Return the opening of a parent order as input words."""
    return _words(PARENT_OPENED, parent=parent_id, route=route, side=int(side), quantity=quantity_lots)


def closing_words(parent_id: int) -> Words:
    """Return the end of a parent order as input words."""
    return _words(PARENT_CLOSED, parent=parent_id)


def time_words(beats: int = 0) -> Words:
    """Return the words that say that time has passed, with the mask of signs of life; the gate stamps them."""
    return _words(TIME_PASSED, quantity=beats)


def command_from(words: Sequence[int]) -> OrderCommand:
    """Return the order that `command_words` wrote.

    Errors
        ValueError when a word names no member of its enumeration; a gate decides such a request as malformed
    """
    return OrderCommand(
        kind=CommandKind(words[0] >> 8 & 0xFF),
        request_id=words[3],
        child_id=words[4],
        parent_id=words[5],
        route=words[6],
        side=Side(words[7]),
        order_type=OrderType(words[8] & 0xFF),
        time_in_force=TimeInForce(words[8] >> 8),
        quantity_lots=words[9],
        price_ticks=words[10],
        trigger_ticks=words[11],
        model_digest=words[12],
    )


def report_from(words: Sequence[int]) -> VenueReport:
    """Return the report that `report_words` wrote; ValueError when its kind is unknown."""
    return VenueReport(
        kind=ReportKind(words[0] >> 8 & 0xFF),
        child_id=words[4],
        route=words[6],
        side=words[7],
        quantity_lots=words[9],
        price_ticks=words[10],
        cumulative_lots=words[11],
        execution_id=words[13],
        fee_micro=words[14],
        exchange_ns=words[15],
    )


def handles_to_json(handles: Handles) -> dict[str, object]:
    """Return the names as JSON holds them."""
    return {
        "routes": [[r.desk, r.strategy, r.model, r.instrument, r.venue, r.counterparty] for r in handles.routes],
        "instruments": list(handles.instruments),
        "venues": list(handles.venues),
        "currencies": list(handles.currencies),
        "scopes": list(handles.scopes),
        "reporting_currency": handles.reporting_currency,
    }


def handles_from_json(found: Mapping[str, Any]) -> Handles:
    """Return the names that `handles_to_json` wrote; KeyError or TypeError when they aren't of that form."""
    return Handles(
        routes=tuple(Route(*map(str, names)) for names in found["routes"]),
        instruments=tuple(map(str, found["instruments"])),
        venues=tuple(map(str, found["venues"])),
        currencies=tuple(map(str, found["currencies"])),
        scopes=tuple(map(str, found["scopes"])),
        reporting_currency=str(found["reporting_currency"]),
    )


def _words(
    head: int,
    *,
    parent: int = 0,
    route: int = 0,
    side: int = 0,
    quantity: int = 0,
    price: int = 0,
    trigger: int = 0,
    model: int = 0,
    execution: int = 0,
    exchange: int = 0,
) -> Words:
    return (
        head | SCHEMA, 0, 0, 0, 0, parent, route, side, 0, quantity, price, trigger, model, execution, 0, exchange
    )  # fmt: skip
