"""Hierarchy: every limit at every level, the tightest wins and is named, and exposure is reserved at all or none."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.reports import ReportKind
from controlplane.gate.permit import verify
from controlplane.limits.kinds import INSTRUMENT_LIMITS, SCOPE_LIMITS
from tests.support.builders import (
    LOT_MICRO,
    OTHER_STRATEGY,
    PRICE,
    roomy_snapshot,
    scope_names,
    tightened,
    with_parent_limits,
)
from tests.support.rig import OpenRig, Rig

FIRM, DESK, STRATEGY, MODEL, INSTRUMENT, UNDERLYING, VENUE, COUNTERPARTY = scope_names()
LEVELS = (FIRM, DESK, STRATEGY, MODEL, "parent")
PLACES = (VENUE, COUNTERPARTY)
Code = DenialCode


def scope_of(rig: Rig, scope: str) -> str:
    return f"parent:{rig.parent():016x}" if scope == "parent" else scope


# --- exact boundaries -------------------------------------------------------------------------------------------------

# Limits in money: code, snapshot field, scopes where the kind has a meaning.
MONEY = [
    (Code.ORDER_NOTIONAL_ABOVE_LIMIT, "order_notional_micro_max", (*LEVELS, INSTRUMENT, *PLACES)),
    (Code.GROSS_NOTIONAL_ABOVE_LIMIT, "gross_notional_micro_max", (*LEVELS, INSTRUMENT, UNDERLYING, *PLACES)),
    (Code.NET_NOTIONAL_ABOVE_LIMIT, "net_notional_micro_max", (*LEVELS, UNDERLYING, *PLACES)),
    (Code.OPEN_NOTIONAL_ABOVE_LIMIT, "open_notional_micro_max", (*LEVELS, INSTRUMENT, UNDERLYING, *PLACES)),
    (Code.TURNOVER_ABOVE_LIMIT, "turnover_micro_max", LEVELS[:4]),
]
LOTS = [
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, "order_quantity_lots_max", (*LEVELS[:4], *PLACES)),
    (Code.POSITION_ABOVE_LIMIT, "position_long_lots_max", (*LEVELS[:4], *PLACES)),
    (Code.PARTICIPATION_ABOVE_LIMIT, "participation_bps_max", (*LEVELS[:4], VENUE)),
]
COUNTS = [
    (Code.LIVE_ORDERS_ABOVE_LIMIT, "live_orders_max", (*LEVELS, INSTRUMENT, *PLACES)),
    (Code.MESSAGE_RATE_ABOVE_LIMIT, "message_count_max", (*LEVELS, VENUE)),
]


def cases(kinds: list[tuple[DenialCode, str, tuple[str, ...]]]) -> list[Any]:
    return [
        pytest.param(code, field, scope, id=f"{field} of {scope}") for code, field, scopes in kinds for scope in scopes
    ]


def test_boundaries_cover_every_kind_of_limit_at_every_scope_where_it_has_a_meaning() -> None:
    covered = {(field, scope.partition(":")[0]) for _, field, scopes in (*MONEY, *LOTS, *COUNTS) for scope in scopes}
    # Shown elsewhere: short positions mirror long ones, loss and denials in files of their own, shares are no bound.
    elsewhere = {
        "position_short_lots_max", "daily_loss_micro_max", "denied_count_max", "message_reserve_bps",
        "cancel_ratio_bps_max", "orders_per_trade_max", "repeated_executions_max",
    }  # fmt: skip

    declared = {
        (kind.snapshot_field, scope.name.lower())
        for kind in (*SCOPE_LIMITS, *INSTRUMENT_LIMITS)
        for scope in kind.scope_kinds
        if kind.snapshot_field not in elsewhere
    }
    assert covered == declared


@pytest.mark.case("GATE-106")
@pytest.mark.parametrize(("code", "field", "scope"), cases(MONEY))
def test_worth_at_the_limit_passes_and_one_tick_more_does_not(
    open_rig: OpenRig, code: DenialCode, field: str, scope: str
) -> None:
    rig = open_rig(tightened(roomy_snapshot(), scope, **{field: 20 * LOT_MICRO}))
    rig.quote(PRICE - 2, PRICE)

    beyond = rig.buy(20, price=PRICE + 1)
    suggested = beyond.largest_passing_lots
    one_more = rig.buy(suggested + 1, price=PRICE + 1)
    taken = rig.exposure()
    again = rig.buy(suggested, price=PRICE + 1)
    rig.tell(ReportKind.NOT_SENT, rig.last)
    at_the_limit = rig.buy(20, price=PRICE)

    assert beyond.codes == (code,)
    assert beyond.binding is not None
    assert (beyond.binding.scope, beyond.binding.measured, beyond.binding.limit, beyond.binding.headroom) == (
        scope_of(rig, scope), 20 * LOT_MICRO + 2_000, 20 * LOT_MICRO, -2_000,
    )  # fmt: skip
    assert suggested == 19
    assert one_more.codes == (code,)
    assert [row for row in taken if row["used"] or row["reserved"]] == []
    assert again.is_allowed
    assert at_the_limit.is_allowed


@pytest.mark.case("GATE-106")
@pytest.mark.parametrize(("code", "field", "scope"), cases(LOTS))
def test_lots_at_the_limit_pass_and_one_more_does_not(
    open_rig: OpenRig, code: DenialCode, field: str, scope: str
) -> None:
    # A hundredth of a per cent of 200,000 lots are 20.
    limit = 1 if field == "participation_bps_max" else 20
    rig = open_rig(tightened(roomy_snapshot(), scope, **{field: limit}), is_market_open=False)
    rig.open_market(lots=200_000)

    beyond = rig.buy(21)
    at_the_limit = rig.buy(beyond.largest_passing_lots)

    assert beyond.codes == (code,)
    assert beyond.largest_passing_lots == 20
    assert beyond.binding is not None
    assert (beyond.binding.scope, beyond.binding.measured, beyond.binding.limit, beyond.binding.headroom) == (
        scope_of(rig, scope), 21, 20, -1,
    )  # fmt: skip
    assert at_the_limit.is_allowed


@pytest.mark.parametrize(("code", "field", "scope"), cases(COUNTS))
def test_as_many_orders_as_the_limit_says_pass_and_one_more_does_not(
    open_rig: OpenRig, code: DenialCode, field: str, scope: str
) -> None:
    rig = open_rig(tightened(roomy_snapshot(), scope, **{field: 3}))
    verdicts = [rig.buy(1) for _ in range(3)]

    beyond = rig.buy(1)

    assert all(verdict.is_allowed for verdict in verdicts)
    assert beyond.codes == (code,)
    assert beyond.largest_passing_lots == 0
    assert beyond.binding is not None
    assert (beyond.binding.scope, beyond.binding.measured, beyond.binding.limit) == (scope_of(rig, scope), 4, 3)


@pytest.mark.parametrize("scope", LEVELS)
def test_as_many_denials_as_the_limit_says_are_tolerated(open_rig: OpenRig, scope: str) -> None:
    rig = open_rig(tightened(roomy_snapshot(), scope, denied_count_max=2))
    for _ in range(2):
        rig.buy(price=1)
    tolerated = rig.buy(1)
    rig.buy(price=1)

    beyond = rig.buy(1)

    assert tolerated.is_allowed
    assert beyond.codes == (Code.DENIED_RATE_ABOVE_LIMIT,)
    assert beyond.binding is not None
    assert (beyond.binding.scope, beyond.binding.measured, beyond.binding.limit) == (scope_of(rig, scope), 3, 2)


@pytest.mark.parametrize("scope", [*LEVELS[:4], *PLACES])
def test_short_position_is_bounded_apart_from_the_long_one(open_rig: OpenRig, scope: str) -> None:
    limits = tightened(roomy_snapshot(), scope, position_short_lots_max=5, position_long_lots_max=7)
    rig = open_rig(limits)

    too_long, too_short = rig.buy(8), rig.sell(6)

    assert (too_long.codes, too_long.largest_passing_lots) == ((Code.POSITION_ABOVE_LIMIT,), 7)
    assert (too_short.codes, too_short.largest_passing_lots) == ((Code.POSITION_ABOVE_LIMIT,), 5)
    assert rig.buy(7).is_allowed
    assert rig.sell(5).is_allowed


def test_parent_quantity_is_a_limit_like_any_other(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.parent(lots=20)

    beyond = rig.buy(21)

    assert beyond.codes == (Code.PARENT_QUANTITY_EXCEEDED,)
    assert beyond.largest_passing_lots == 20
    assert beyond.binding is not None
    assert (beyond.binding.scope, beyond.binding.measured, beyond.binding.limit) == (scope_of(rig, "parent"), 21, 20)
    assert rig.buy(20).is_allowed


def test_children_of_a_parent_are_counted_over_its_life(open_rig: OpenRig) -> None:
    rig = open_rig(with_parent_limits(roomy_snapshot(), children_max=2))
    for _ in range(2):
        rig.tell(ReportKind.CANCELLED, rig.work(lots=1))

    verdict = rig.buy(1)

    assert verdict.codes == (Code.PARENT_CHILDREN_ABOVE_LIMIT,)
    assert verdict.binding is not None
    assert (verdict.binding.measured, verdict.binding.limit) == (3, 2)


def test_zero_permits_nothing(open_rig: OpenRig) -> None:
    for _, field, scopes in (*MONEY, *LOTS, *COUNTS):
        rig = open_rig(tightened(roomy_snapshot(), scopes[0], **{field: 0}))

        assert not rig.buy(1).is_allowed


# --- attribution and all or nothing -----------------------------------------------------------------------------------


@pytest.mark.case("GATE-106")
def test_order_free_at_the_strategy_and_full_at_the_desk_names_the_desk_and_reserves_nothing(
    open_rig: OpenRig,
) -> None:
    limits = tightened(roomy_snapshot(), STRATEGY, position_long_lots_max=100)
    rig = open_rig(tightened(limits, DESK, position_long_lots_max=10))
    rig.hold(10, on=OTHER_STRATEGY)
    rig.parent()
    before = rig.exposure()

    verdict = rig.buy(1)

    assert verdict.codes == (Code.POSITION_ABOVE_LIMIT,)
    assert verdict.binding is not None
    assert verdict.binding.scope == DESK
    assert "desk:crypto" in verdict.explanation
    assert rig.exposure() == before


def test_where_several_scopes_fail_the_highest_is_named(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), STRATEGY, position_long_lots_max=5)
    rig = open_rig(tightened(limits, DESK, position_long_lots_max=7))

    verdict = rig.buy(10)

    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.limit) == (DESK, 7)
    assert verdict.largest_passing_lots == 5
    assert rig.buy(5).is_allowed


def test_allowed_order_names_the_limit_that_came_nearest(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), STRATEGY, order_notional_micro_max=12 * (LOT_MICRO + 100))
    rig = open_rig(tightened(limits, DESK, position_long_lots_max=11))

    verdict = rig.buy(10)

    assert verdict.is_allowed
    assert verdict.binding is not None
    assert (verdict.binding.code, verdict.binding.scope) == (Code.POSITION_ABOVE_LIMIT, DESK)
    assert (verdict.binding.measured, verdict.binding.limit, verdict.binding.headroom) == (10, 11, 1)


@pytest.mark.case("GATE-108")
@pytest.mark.parametrize("scope", [*LEVELS, INSTRUMENT, *PLACES])
def test_reservation_that_fails_at_one_scope_is_taken_at_none(open_rig: OpenRig, scope: str) -> None:
    rig = open_rig(tightened(roomy_snapshot(), scope, live_orders_max=1))
    assert rig.buy(1).is_allowed
    before = rig.exposure(), rig.gate.working(), rig.used("message_count", VENUE)

    assert not rig.buy(1).is_allowed

    assert (rig.exposure(), rig.gate.working(), rig.used("message_count", VENUE)) == before


@pytest.mark.case("GATE-108")
def test_allowed_order_is_reserved_at_every_scope_it_passes_through(open_rig: OpenRig) -> None:
    rig = open_rig()
    assert rig.buy(10).is_allowed

    for scope in (*scope_names(), scope_of(rig, "parent")):
        assert rig.row("gross_notional", scope)["reserved"] == 10 * (LOT_MICRO + 100)
        assert rig.row("open_notional", scope)["reserved"] == 10 * (LOT_MICRO + 100)
        assert rig.row("live_orders", scope)["reserved"] == 1
    for scope in (FIRM, DESK, STRATEGY, MODEL, *PLACES):
        assert rig.row("position_long", scope, "BTC-PERP")["reserved"] == 10
    for scope in ("strategy:crypto/pov", "model:crypto/pov/schedule", "instrument:ETH-PERP", "underlying:ETH"):
        assert rig.row("gross_notional", scope)["reserved"] == 0


@pytest.mark.case("GATE-109")
def test_children_whose_limits_add_up_to_more_never_pass_that_of_their_parent(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), DESK, position_long_lots_max=10)
    for strategy in (STRATEGY, "strategy:crypto/pov"):
        limits = tightened(limits, strategy, position_long_lots_max=8)
    rig = open_rig(limits)

    assert rig.buy(8).is_allowed
    beyond = rig.buy(3, on=OTHER_STRATEGY)

    assert beyond.binding is not None
    assert (beyond.binding.scope, beyond.largest_passing_lots) == (DESK, 2)
    assert rig.buy(2, on=OTHER_STRATEGY).is_allowed


# --- limits that change -----------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-110")
def test_permit_given_under_limits_that_were_cut_since_is_worthless(rig: Rig) -> None:
    verdict = rig.buy(10)
    order = rig.orders[rig.last]
    key = rig.gate.permit_key()

    rig.restart(tightened(roomy_snapshot(version=2), DESK, position_long_lots_max=5))

    assert verdict.permit is not None
    assert verdict.snapshot_version == 1
    with pytest.raises(PermitInvalid):
        verify(verdict.permit, order, key=key, fence=rig.gate.fence(), now_ns=rig.clock.wall)


CUTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("position", lambda limits: tightened(limits, DESK, position_long_lots_max=5)),
    ("gross", lambda limits: tightened(limits, FIRM, gross_notional_micro_max=5 * LOT_MICRO)),
    ("open", lambda limits: tightened(limits, VENUE, open_notional_micro_max=5 * LOT_MICRO)),
    ("live orders", lambda limits: tightened(limits, STRATEGY, live_orders_max=1)),
    ("children", lambda limits: with_parent_limits(limits, children_max=1)),
    ("parent's gross", lambda limits: tightened(limits, "parent", gross_notional_micro_max=5 * LOT_MICRO)),
    ("parent's live orders", lambda limits: tightened(limits, "parent", live_orders_max=1)),
]


@pytest.mark.case("GATE-111")
@pytest.mark.parametrize("cut", [cut for _, cut in CUTS], ids=[name for name, _ in CUTS])
def test_limit_cut_below_what_is_live_lets_no_new_risk_pass(rig: Rig, cut: Callable[[Any], Any]) -> None:
    child = rig.work(lots=10)

    rig.restart(cut(roomy_snapshot(version=2)))
    rig.open_market()
    verdict = rig.buy(1)

    assert not verdict.is_allowed
    assert verdict.largest_passing_lots == 0
    assert rig.reserved(child) == 10
    assert rig.amend(child, quantity_lots=4).is_allowed
    assert rig.cancel(child).is_allowed


@pytest.mark.case("GATE-111")
def test_looser_limits_after_a_restart_let_through_what_was_denied(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, position_long_lots_max=10))
    rig.work(lots=10)
    before = rig.buy(1)

    rig.restart(roomy_snapshot(version=2))
    rig.open_market()

    assert not before.is_allowed
    assert rig.buy(1).is_allowed


def test_parents_of_other_strategies_keep_their_own_limits(rig: Rig) -> None:
    rig.work(lots=1)
    rig.work(lots=1, on=OTHER_STRATEGY)

    rig.restart(with_parent_limits(roomy_snapshot(version=2), children_max=1))
    rig.open_market()

    assert rig.buy(1).codes == (Code.PARENT_CHILDREN_ABOVE_LIMIT,)
    assert rig.buy(1, on=OTHER_STRATEGY).is_allowed


def test_order_in_which_scopes_and_routes_are_listed_means_nothing(open_rig: OpenRig) -> None:
    snapshot = tightened(roomy_snapshot(), DESK, position_long_lots_max=10)
    rig = open_rig(snapshot)
    rig.work(lots=10)
    shuffled = dataclasses.replace(
        snapshot, version=2, routes=snapshot.routes[::-1], instruments=snapshot.instruments[::-1],
        nodes=(snapshot.nodes[0], *snapshot.nodes[:0:-1]), models=snapshot.models[::-1], rates=snapshot.rates[::-1],
    )  # fmt: skip
    before = {(row["limit"], row["scope"], row["instrument"]): row for row in rig.exposure()}

    rig.restart(shuffled)
    rig.open_market()
    verdict = rig.buy(1)

    after = {(row["limit"], row["scope"], row["instrument"]): row for row in rig.exposure()}
    assert after == before
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.measured) == (DESK, 11)
