"""Admission: instrument, model, hours and grid, each with its exact boundary, also for amends and for reductions."""

import dataclasses

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import UnknownReference
from controlplane.domain.orders import CommandKind, OrderType, Side
from controlplane.gate.kernel.loading import model_digest
from controlplane.gate.snapshot import Snapshot
from tests.support.builders import CALL, PRICE, ROUTE, roomy_snapshot, tightened, with_rules
from tests.support.policies import AS_OF_NS
from tests.support.rig import OpenRig, Rig

Code = DenialCode
DIGEST = "f" * 63 + "e"


def with_model(**changes: object) -> Snapshot:
    """Return the limits with the model of the usual route changed."""
    snapshot = roomy_snapshot()
    models = tuple(
        dataclasses.replace(model, **changes) if model.name == ROUTE.model else model for model in snapshot.models
    )
    return dataclasses.replace(snapshot, models=models)


# --- permission -------------------------------------------------------------------------------------------------------


def test_route_that_the_limits_do_not_hold_has_no_handle(rig: Rig) -> None:
    for name in ("desk", "strategy", "model", "instrument", "venue", "counterparty"):
        with pytest.raises(UnknownReference, match="add it to the policy's routes"):
            rig.gate.handle(dataclasses.replace(ROUTE, **{name: "nobody"}))


@pytest.mark.parametrize("route", [-1, 1 << 40, (1 << 63) - 1])
def test_number_that_is_no_route_permits_nothing(rig: Rig, route: int) -> None:
    verdict = rig.buy(route=route)

    assert verdict.codes[0] in (Code.ROUTE_UNKNOWN, Code.MALFORMED_REQUEST)


def test_parent_of_another_strategy_instrument_or_side_is_not_the_orders_parent(rig: Rig) -> None:
    sells, calls = rig.parent(Side.SELL), rig.parent(Side.BUY, CALL)

    assert rig.buy(parent_id=sells).codes == (Code.PARENT_UNKNOWN,)
    assert rig.buy(parent_id=calls).codes == (Code.PARENT_UNKNOWN,)


def test_only_the_pinned_bytes_of_a_model_may_ask(open_rig: OpenRig) -> None:
    rig = open_rig(with_model(artefact_sha256=DIGEST))
    pinned = model_digest(DIGEST)

    assert rig.buy(model_digest=pinned).is_allowed
    assert rig.buy(model_digest=pinned - 1).codes == (Code.MODEL_DIGEST_MISMATCH,)
    assert rig.buy(model_digest=0).codes == (Code.MODEL_DIGEST_MISMATCH,)
    assert pinned == int(DIGEST, 16) >> 193


def test_amend_comes_from_the_pinned_bytes_as_well(open_rig: OpenRig) -> None:
    rig = open_rig(with_model(artefact_sha256=DIGEST))
    child = rig.work(model_digest=model_digest(DIGEST))

    assert rig.amend(child, quantity_lots=9, model_digest=0).codes == (Code.MODEL_DIGEST_MISMATCH,)
    assert rig.amend(child, quantity_lots=9).is_allowed


def test_model_without_learned_bytes_names_none(rig: Rig) -> None:
    assert rig.buy(model_digest=0).is_allowed
    assert rig.buy(model_digest=1).codes == (Code.MODEL_DIGEST_MISMATCH,)


@pytest.mark.parametrize(("late_ns", "codes"), [(-1, ()), (0, (Code.MODEL_NOT_APPROVED,))])
def test_approval_of_a_model_ends_at_its_moment(open_rig: OpenRig, late_ns: int, codes: tuple[DenialCode, ...]) -> None:
    rig = open_rig(with_model(expires_ns=AS_OF_NS - late_ns))

    assert rig.buy().codes == codes


def test_model_that_lost_its_approval_may_neither_add_amend_nor_reduce(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.hold(10)
    child = rig.work()
    retired = dataclasses.replace(with_model(is_approved=False), version=2)

    rig.restart(retired)
    rig.open_market()

    for verdict in (rig.buy(1), rig.sell(1), rig.amend(child, quantity_lots=9)):
        assert verdict.codes == (Code.MODEL_NOT_APPROVED,)
    assert rig.cancel(child).is_allowed


def test_restricted_list_wins_over_the_allow_list_and_over_reductions(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.hold(10)
    rig.restart(with_rules(roomy_snapshot(version=2), is_restricted=True))
    rig.open_market()

    assert rig.sell(10).codes == (Code.INSTRUMENT_RESTRICTED,)


# --- instrument and hours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_ns", "codes"), [(-1, ()), (0, (Code.INSTRUMENT_EXPIRED,))])
def test_instrument_expires_at_its_moment(open_rig: OpenRig, late_ns: int, codes: tuple[DenialCode, ...]) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), expiry_ns=AS_OF_NS - late_ns))

    assert rig.buy().codes == codes


@pytest.mark.parametrize(
    ("opened", "closed", "is_open"),
    [(0, 1, True), (1, 2, False), (-5, 0, False), (-5, 1, True), (-1 << 40, 1 << 40, True)],
)
def test_session_includes_its_opening_and_not_its_closing(
    open_rig: OpenRig, opened: int, closed: int, is_open: bool
) -> None:
    sessions = ((AS_OF_NS - (1 << 50), AS_OF_NS - (1 << 49)), (AS_OF_NS + opened, AS_OF_NS + closed))
    later = ((AS_OF_NS + (1 << 49), AS_OF_NS + (1 << 50)),)
    rig = open_rig(dataclasses.replace(with_rules(roomy_snapshot(), calendar="own"),
                   calendars=(*roomy_snapshot().calendars, ("own", sessions + later))))  # fmt: skip

    assert rig.buy().codes == (() if is_open else (Code.OUTSIDE_TRADING_HOURS,))


def test_calendar_without_a_session_is_never_open(open_rig: OpenRig) -> None:
    rig = open_rig(dataclasses.replace(with_rules(roomy_snapshot(), calendar="own"),
                   calendars=(*roomy_snapshot().calendars, ("own", ()))))  # fmt: skip

    assert rig.buy().codes == (Code.OUTSIDE_TRADING_HOURS,)


def test_phase_is_only_asked_for_where_the_policy_wants_it(open_rig: OpenRig) -> None:
    rig = open_rig(roomy_snapshot(is_phase_required=False), is_market_open=False)
    rig.quote(PRICE - 1, PRICE + 1)

    assert rig.buy().codes == (Code.PARTICIPATION_UNKNOWN,)


# --- grid -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "codes"),
    [(999, ()), (1_000, ()), (1_001, (Code.PRICE_OFF_TICK,)), (1_004, (Code.PRICE_OFF_TICK,)), (1_005, ())],
)
def test_step_of_the_price_grid_follows_the_band_of_the_price(
    rig: Rig, price: int, codes: tuple[DenialCode, ...]
) -> None:
    """ETH-CALL moves by one tick below 100 and by five ticks from there on."""
    rig.open_market(instrument="ETH-CALL", price=1_000)

    assert rig.buy(1, price, on=CALL).codes == codes


@pytest.mark.parametrize(
    ("price", "codes"),
    [
        (PRICE - 3, (Code.PRICE_OUT_OF_RANGE,)),
        (PRICE - 2, ()),
        (PRICE + 2, ()),
        (PRICE + 3, (Code.PRICE_OUT_OF_RANGE,)),
    ],
)
def test_bounds_of_the_price_range_pass(open_rig: OpenRig, price: int, codes: tuple[DenialCode, ...]) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), price_min_ticks=PRICE - 2, price_max_ticks=PRICE + 2))

    assert rig.buy(price=price).codes == codes


@pytest.mark.parametrize(
    ("lots", "codes"),
    [
        (19, (Code.QUANTITY_OFF_LOT, Code.QUANTITY_BELOW_VENUE_MINIMUM)),
        (15, (Code.QUANTITY_BELOW_VENUE_MINIMUM,)),
        (20, ()),
        (21, (Code.QUANTITY_OFF_LOT,)),
        (40, ()),
        (45, (Code.QUANTITY_ABOVE_VENUE_MAXIMUM,)),
        (41, (Code.QUANTITY_OFF_LOT, Code.QUANTITY_ABOVE_VENUE_MAXIMUM)),
    ],
)
def test_bounds_and_steps_of_the_quantity(open_rig: OpenRig, lots: int, codes: tuple[DenialCode, ...]) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), lot_step=5, quantity_min_lots=20, quantity_max_lots=40))

    verdict = rig.buy(lots)

    assert verdict.codes == codes
    assert verdict.largest_passing_lots == (0 if not codes else 40)


def test_suggested_quantity_lies_on_the_grid_and_is_none_below_the_venues_minimum(open_rig: OpenRig) -> None:
    limits = with_rules(roomy_snapshot(), lot_step=5, quantity_min_lots=20)
    rig = open_rig(tightened(limits, "desk:crypto", position_long_lots_max=48))

    first = rig.buy(50)
    assert rig.buy(first.largest_passing_lots).is_allowed
    second = rig.buy(20)

    assert first.largest_passing_lots == 45
    assert second.codes == (Code.POSITION_ABOVE_LIMIT,)
    assert second.largest_passing_lots == 0


@pytest.mark.parametrize("trigger", [0, PRICE - 3, PRICE + 3, PRICE + 1])
def test_stop_needs_a_trigger_on_the_grid_and_within_the_range(open_rig: OpenRig, trigger: int) -> None:
    rig = open_rig(
        with_rules(
            roomy_snapshot(),
            price_min_ticks=PRICE - 2,
            price_max_ticks=PRICE + 2,
            tick_bands=((0, 2),),
            collar_bps=9_999,
        )
    )

    verdict = rig.buy(order_type=OrderType.STOP, trigger_ticks=trigger)

    assert Code.TRIGGER_PRICE_INVALID in verdict.codes
    assert rig.buy(order_type=OrderType.STOP, trigger_ticks=PRICE + 2).is_allowed


@pytest.mark.parametrize(
    "contradiction",
    [
        {"trigger_ticks": PRICE},
        {"order_type": OrderType.MARKET, "time_in_force": 4},
        {"order_type": OrderType.STOP, "trigger_ticks": PRICE, "time_in_force": 4},
        {"request_id": 0x77_0000},
        {"side": 0},
        {"side": 2},
        {"order_type": 0},
        {"order_type": 4},
        {"time_in_force": 0},
        {"time_in_force": 5},
        {"model_digest": -1},
        {"parent_id": -1},
        {"child_id": 0},
        {"quantity_lots": (1 << 40) + 1},
        {"price_ticks": (1 << 40) + 1},
        {"price_ticks": -(1 << 40) - 1},
        {"kind": 0},
        {"kind": 5},
    ],
    ids=str,
)
def test_fields_that_contradict_each_other_or_mean_nothing_are_malformed(
    rig: Rig, contradiction: dict[str, int]
) -> None:
    verdict = rig.ask(**{"parent_id": rig.parent()} | contradiction)

    assert verdict.codes == (Code.MALFORMED_REQUEST,)


def test_acceptance_of_a_quote_is_decided_like_an_order_and_takes_liquidity(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), "desk:crypto", position_long_lots_max=10)
    rig = open_rig(limits)

    accepted = rig.ask(kind=CommandKind.QUOTE_ACCEPTANCE, price_ticks=PRICE - 100)
    beyond = rig.ask(kind=CommandKind.QUOTE_ACCEPTANCE, quantity_lots=1)

    assert accepted.permit is not None
    assert beyond.codes == (Code.POSITION_ABOVE_LIMIT,)
    assert rig.row("participation", "desk:crypto", "BTC-PERP")["reserved"] > 0
