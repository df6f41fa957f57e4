"""Hands what happened to a parent order over to the shortfall analysis: from the engine's state, or from the journal.

The engine reckons once, when the parent ends, with markouts and benchmarks from its tape. Whoever reads the journal
later gets the same parts from the records alone: fills with the quote before each, arrival, decision, end.
"""

from collections.abc import Iterable, Mapping

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import Side
from executor.engine.state import EngineState, MarketWork, ParentWork
from executor.tca.benchmarks import MarketInterval
from executor.tca.components import MARKOUT_HORIZONS_NS
from executor.tca.report import TcaReport, analyse
from executor.tca.shortfall import FillFacts, MoneyScale, ParentOutcome

JSON_INTEGER_MAX = (1 << 53) - 1


def measure(state: EngineState, work: ParentWork) -> dict[str, object]:
    """Return the figures of a parent that has ended, as the journal holds them; the reason when there can be none."""
    market = state.markets.get(work.parent.instrument)
    end = (0, 0) if market is None else (market.bid_ticks, market.ask_ticks)
    try:
        outcome = outcome_of(
            work.instrument,
            side=work.parent.side,
            quantity_lots=work.parent.quantity_lots,
            decision_ticks=work.instruction.decision_ticks,
            arrival=(work.arrival_bid_ticks, work.arrival_ask_ticks),
            end=end,
            fills=_fills(state, work, market),
        )
        report = analyse(outcome, None if market is None else _interval(state, work, market))
    except InvalidRequest as error:
        return {"not_computed": str(error)}
    return storable(report.as_json())


def outcome_of(
    instrument: Instrument,
    *,
    side: Side,
    quantity_lots: int,
    decision_ticks: int,
    arrival: tuple[int, int],
    end: tuple[int, int],
    fills: tuple[FillFacts, ...],
) -> ParentOutcome:
    """Return what the analysis needs.

    Arguments
        arrival, end  best bid and ask in ticks; zero for none seen
    Errors
        InvalidRequest when the contract's worth isn't linear in its price, or no quote was seen at arrival or end
    """
    if instrument.is_inverse:
        raise InvalidRequest(
            f"The shortfall of {instrument.name} can't be reckoned yet: its worth is not linear in its price; "
            "read the fills themselves.",
            field="instrument",
        )
    if not all((*arrival, *end)):
        raise InvalidRequest(
            f"A shortfall needs a quote at arrival and at the end, found {arrival} and {end}; the feed was away.",
            field="arrival",
        )
    return ParentOutcome(
        side=side,
        quantity_lots=quantity_lots,
        decision_half_ticks=2 * decision_ticks if decision_ticks else sum(arrival),
        arrival_half_ticks=sum(arrival),
        end_half_ticks=sum(end),
        fills=fills,
        scale=MoneyScale.of_contract(
            tick_size=instrument.tick_size, lot_size=instrument.lot_size, multiplier=instrument.multiplier
        ),
    )


def from_records(records: Iterable[Mapping[str, object]], parent_id: int, instrument: Instrument) -> TcaReport:
    """Return the shortfall of a finished parent from journal records alone; without markouts and benchmarks.

    Errors
        InvalidRequest when the records don't hold the parent's end, or as `outcome_of`
    """
    name = to_text(parent_id)
    accepted: Mapping[str, object] | None = None
    finished: Mapping[str, object] | None = None
    venues: dict[str, str] = {}
    fills: dict[tuple[str, str], FillFacts] = {}
    for record in records:
        if record.get("parent_id") != name:
            continue
        if record["kind"] == "ParentAccepted":
            accepted = record
        elif record["kind"] == "ChildRequested":
            venues[str(record["child_id"])] = str(record["venue"])
        elif record["kind"] == "ReportReceived" and record["report"] == "FILLED":
            key = (str(record["child_id"]), str(record["execution_id"]))
            fills.setdefault(key, _fill_from(record, venues))
        elif record["kind"] == "ParentFinished":
            finished = record
    if accepted is None or finished is None:
        raise InvalidRequest(
            f"Parent order {name} is {'unknown' if accepted is None else 'not finished'} in this journal; "
            "wait for its end or look in another.",
            field="parent_id",
        )
    outcome = outcome_of(
        instrument,
        side=Side[str(accepted["side"])],
        quantity_lots=_whole(accepted, "quantity_lots"),
        decision_ticks=_whole(accepted, "decision_ticks"),
        arrival=(_whole(accepted, "arrival_bid_ticks"), _whole(accepted, "arrival_ask_ticks")),
        end=(_whole(finished, "end_bid_ticks"), _whole(finished, "end_ask_ticks")),
        fills=tuple(fills.values()),
    )
    return analyse(outcome)


def _fills(state: EngineState, work: ParentWork, market: MarketWork | None) -> tuple[FillFacts, ...]:
    return tuple(
        FillFacts(
            quantity_lots=execution.quantity_lots,
            price_ticks=execution.price_ticks,
            fee_micro=execution.fee_micro,
            at_ns=execution.exchange_ns,
            venue=child.venue,
            child_id=child.child.child_id,
            mid_half_ticks=work.fill_mids.get(execution.execution_id),
            markout_mids_half_ticks=()
            if market is None
            else tuple(
                _mid_later(state, market, execution.receive_ns + horizon_ns) for horizon_ns in MARKOUT_HORIZONS_NS
            ),
        )
        for child in state.children_of(work)
        for execution in child.child.executions
    )


def _mid_later(state: EngineState, market: MarketWork, moment_ns: int) -> int | None:
    """Return the mid at a moment, None while that moment has not come."""
    return market.mids.at(moment_ns) if moment_ns <= state.now_ns else None


def _interval(state: EngineState, work: ParentWork, market: MarketWork) -> MarketInterval:
    weighted, duration_ns = market.mids.time_weighted(work.parent.start_ns, state.now_ns)
    return MarketInterval(
        volume_lots=market.others.total - work.start_lots,
        turnover_half_tick_lots=market.turnover_half_tick_lots - work.start_turnover,
        includes_own=False,
        mid_time_half_tick_ns=weighted,
        duration_ns=duration_ns,
    )


def _fill_from(record: Mapping[str, object], venues: Mapping[str, str]) -> FillFacts:
    bid_ticks, ask_ticks = _whole(record, "bid_ticks"), _whole(record, "ask_ticks")
    return FillFacts(
        quantity_lots=_whole(record, "quantity_lots"),
        price_ticks=_whole(record, "price_ticks"),
        fee_micro=_whole(record, "fee_micro"),
        at_ns=_whole(record, "exchange_ns"),
        venue=venues.get(str(record["child_id"]), ""),
        child_id=from_text(str(record["child_id"])),
        mid_half_ticks=bid_ticks + ask_ticks if bid_ticks and ask_ticks else None,
    )


def _whole(record: Mapping[str, object], name: str) -> int:
    return int(str(record[name]))


def storable(value: object) -> dict[str, object]:
    """Return the figures with integers that JSON readers may bend written as text."""
    stored = _plain(value)
    return stored if isinstance(stored, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > JSON_INTEGER_MAX:
        return str(value)
    return value
