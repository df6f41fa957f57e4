"""From the rule book to a snapshot: units, rounding against us, allow lists, models, rates."""

import dataclasses
import datetime as dt
from decimal import Decimal

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import OptionRight, OptionTerms
from controlplane.domain.scopes import FIRM, CrossDimension, Level, Route, Scope
from controlplane.gate.snapshot import (
    ALWAYS_OPEN,
    NO_LIMIT,
    CurrencyRate,
    InstrumentLimits,
    InstrumentRules,
    ModelRule,
    Node,
    NodeLimits,
    ParentLimits,
    Snapshot,
)
from controlplane.limits.compile import compile_snapshot
from controlplane.policy.load import parse_policies
from tests.support.policies import (
    AS_OF_NS,
    shipped_policies,
    shipped_snapshot,
    small_files_with,
    small_policies,
    small_snapshot,
)

DAY_NS = 86_400_000_000_000

PARENT = NodeLimits(
    order_notional_micro_max=1_000_000_000_000,
    gross_notional_micro_max=10_000_000_000_000,
    net_notional_micro_max=8_000_000_000_000,
    open_notional_micro_max=3_000_000_000_000,
    live_orders_max=50,
    daily_loss_micro_max=100_000_000_000,
    message_count_max=200,
    message_reserve_bps=2_000,
    denied_count_max=40,
)


def changed(file: str, old: str, new: str) -> Snapshot:
    return compile_snapshot(parse_policies(small_files_with(file, old, new)), as_of_ns=AS_OF_NS, version=1)


def node(snapshot: Snapshot, scope: Scope) -> Node:
    return next(node for node in snapshot.nodes if node.scope == scope)


def rules(snapshot: Snapshot, name: str) -> InstrumentRules:
    return next(rules for rules in snapshot.instruments if rules.instrument.name == name)


def test_same_arguments_give_the_same_digest_and_another_version_another() -> None:
    assert small_snapshot().digest() == compile_snapshot(small_policies(), as_of_ns=AS_OF_NS, version=1).digest()
    assert small_snapshot(version=2).digest() != small_snapshot().digest()


@pytest.mark.parametrize(
    ("scope", "daily_loss"),
    [
        (FIRM, 500_000),
        (Scope(Level.DESK, "crypto"), 400_000),
        (Scope(Level.STRATEGY, "crypto/twap"), 300_000),
        (Scope(Level.STRATEGY, "crypto/pov"), 300_000),
        (Scope(Level.MODEL, "crypto/twap/schedule"), 200_000),
        (Scope(Level.MODEL, "crypto/pov/impact"), 200_000),
    ],
    ids=str,
)
def test_a_level_has_every_kind_of_limit_in_micro_and_counts(scope: Scope, daily_loss: int) -> None:
    expected = dataclasses.replace(
        PARENT,
        daily_loss_micro_max=daily_loss * 10**6,
        turnover_micro_max=90_000_000 * 10**6,
        cancel_ratio_bps_max=9_000,
        orders_per_trade_max=60,
        repeated_executions_max=3_000,
    )

    assert node(small_snapshot(), scope).limits == expected


def test_kinds_without_a_meaning_bind_nobody_in_the_cross_dimensions() -> None:
    snapshot = small_snapshot()
    order, gross, net, opened = 10**12, 10**13, 8 * 10**12, 3 * 10**12

    assert node(snapshot, Scope(CrossDimension.INSTRUMENT, "BTC-PERP")).limits == NodeLimits(
        order, gross, NO_LIMIT, opened, 50, NO_LIMIT, NO_LIMIT, 0, NO_LIMIT
    )
    assert node(snapshot, Scope(CrossDimension.UNDERLYING, "ETH")).limits == NodeLimits(
        NO_LIMIT, gross, net, opened, NO_LIMIT, NO_LIMIT, NO_LIMIT, 0, NO_LIMIT
    )
    assert node(snapshot, Scope(CrossDimension.VENUE, "SIM")).limits == NodeLimits(
        order, gross, net, opened, 50, NO_LIMIT, 200, 2_000, NO_LIMIT
    )
    assert node(snapshot, Scope(CrossDimension.COUNTERPARTY, "SIM-CLEARING")).limits == NodeLimits(
        order, gross, net, opened, 50, NO_LIMIT, NO_LIMIT, 0, NO_LIMIT
    )


def test_instrument_limits_are_in_lots_and_a_counterparty_has_no_share_of_the_market() -> None:
    snapshot = small_snapshot()

    assert dict(node(snapshot, FIRM).instrument_limits)["BTC-PERP"] == InstrumentLimits(20_000, 100_000, 100_000, 2_500)
    assert dict(node(snapshot, FIRM).instrument_limits)["BTC-INVERSE"] == InstrumentLimits(
        10_000, 50_000, 50_000, 2_500
    )
    counterparty = node(snapshot, Scope(CrossDimension.COUNTERPARTY, "SIM-CLEARING"))
    assert dict(counterparty.instrument_limits)["ETH-CALL"] == InstrumentLimits(50, 1_000, 1_000, NO_LIMIT)
    assert node(snapshot, Scope(CrossDimension.INSTRUMENT, "BTC-PERP")).instrument_limits == ()


@pytest.mark.parametrize(
    ("written", "micro"),
    [
        ("0", 0),
        ("0.0000004", 0),
        ("0.000001", 1),
        ("100000.0000019", 100_000_000_001),
        ("1152921504606", 1_152_921_504_606 * 10**6),
    ],
)
def test_money_is_rounded_down_to_whole_millionths(written: str, micro: int) -> None:
    snapshot = changed("limits/desks.toml", 'daily_loss_max = "400000"', f'daily_loss_max = "{written}"')

    assert node(snapshot, Scope(Level.DESK, "crypto")).limits.daily_loss_micro_max == micro


@pytest.mark.parametrize(
    ("written", "lots"), [("0", 0), ("0.0009", 0), ("0.001", 1), ("2.9999", 2_999), ("20.0000000000000001", 20_000)]
)
def test_quantities_are_rounded_down_to_whole_lots(written: str, lots: int) -> None:
    snapshot = changed("limits/desks.toml", 'order_quantity_max = "20"', f'order_quantity_max = "{written}"')

    limits = dict(node(snapshot, Scope(Level.DESK, "crypto")).instrument_limits)["BTC-PERP"]
    assert limits.order_quantity_lots_max == lots


def test_an_assumed_market_volume_is_rounded_down() -> None:
    snapshot = changed("limits/collars.toml", 'participation_floor = "10000"', 'participation_floor = "10000.9"')

    assert rules(snapshot, "BTC-INVERSE").participation_floor_lots == 10_000


def test_a_declared_rate_is_rounded_up_and_an_observed_one_starts_unknown() -> None:
    old = 'rate = "1"\nreason = "redeemable at par"'
    snapshot = changed("currencies.toml", old, old.replace('"1"', '"1.0000001"'))

    assert snapshot.rates == (
        CurrencyRate("BTC", rate_micro=0, is_fixed=False),
        CurrencyRate("USD", rate_micro=1_000_000, is_fixed=True),
        CurrencyRate("USDT", rate_micro=1_000_001, is_fixed=True),
    )


def test_an_option_keeps_its_terms_expiry_and_price_steps() -> None:
    compiled = rules(small_snapshot(), "ETH-CALL")

    expiry = dt.datetime(2037, 12, 25, 8, tzinfo=dt.UTC)
    assert compiled.instrument.option == OptionTerms(Decimal(4000), OptionRight.CALL, "ETH-PERP")
    assert compiled.instrument.expiry_ns == int(expiry.timestamp()) * 10**9
    assert compiled.instrument.tick_bands == ((0, 1), (1_000, 5))
    assert compiled.option_stress_bps == 2_500
    assert not compiled.instrument.is_inverse


def test_an_inverse_contract_keeps_its_multiplier_and_coin() -> None:
    instrument = rules(small_snapshot(), "BTC-INVERSE").instrument

    assert instrument.is_inverse
    assert (instrument.multiplier, instrument.currency, instrument.settlement_currency) == (Decimal(100), "USD", "BTC")
    assert (instrument.price_min_ticks, instrument.quantity_min_lots, instrument.lot_step) == (1_000, 1, 1)


def test_a_grid_wider_than_a_lot_becomes_a_lot_step() -> None:
    old = 'quantity_min = "0.001"\nquantity_max = "1000"\nquantity_step = "0.001"'
    snapshot = changed("instruments.toml", old, old.replace('"0.001"', '"0.005"'))

    instrument = rules(snapshot, "BTC-PERP").instrument
    assert (instrument.lot_step, instrument.quantity_min_lots, instrument.quantity_max_lots) == (5, 5, 1_000_000)


def test_a_restricted_instrument_is_marked_and_keeps_its_routes() -> None:
    snapshot = changed("limits/firm.toml", "restricted_instruments = []", 'restricted_instruments = ["ETH-CALL"]')

    assert [r.instrument.name for r in snapshot.instruments if r.instrument.is_restricted] == ["ETH-CALL"]
    assert "ETH-CALL" in {route.instrument for route in snapshot.routes}


def test_price_rules_are_in_ticks_and_nanoseconds() -> None:
    compiled = rules(small_snapshot(), "ETH-PERP")

    assert compiled.static_reference_ticks == 250_000
    assert compiled.reference_age_ns_max == 2_000_000_000
    assert (compiled.collar_bps, compiled.spread_bps_max, compiled.option_stress_bps) == (500, 50, 0)
    assert rules(small_snapshot(), "BTC-PERP").static_reference_ticks is None


def test_a_model_is_ruled_under_each_strategy_that_uses_it() -> None:
    first_of_2030_in_utc = dt.datetime(2029, 12, 31, 23, tzinfo=dt.UTC)

    assert small_snapshot().models == (
        ModelRule("crypto/pov/impact", False, "00" * 31 + "ff", int(first_of_2030_in_utc.timestamp()) * 10**9),
        ModelRule("crypto/pov/schedule", True, "", None),
        ModelRule("crypto/twap/schedule", True, "", None),
    )


@pytest.mark.parametrize("status", ["proposed", "in development", "submitted", "in validation", "suspended", "retired"])
def test_only_the_status_approved_approves_a_model(status: str) -> None:
    snapshot = changed("governance.toml", 'status = "approved"', f'status = "{status}"')

    assert [model.is_approved for model in snapshot.models] == [False, False, False]


def test_parent_limits_stand_under_the_name_of_their_strategy() -> None:
    assert small_snapshot().parent_limits == (
        ("crypto/pov", ParentLimits(PARENT, 500, 900, duplicate_orders_max=400, same_rejects_max=300)),
        ("crypto/twap", ParentLimits(PARENT, 500, 900, duplicate_orders_max=400, same_rejects_max=300)),
    )


def test_times_of_the_watch_file_become_nanoseconds() -> None:
    snapshot = small_snapshot()

    assert (snapshot.created_ns, snapshot.expires_ns) == (AS_OF_NS, AS_OF_NS + 7 * DAY_NS)
    assert snapshot.permit_ttl_ns == 500_000_000
    assert (snapshot.phase_age_ns_max, snapshot.volume_age_ns_max) == (60_000_000_000, 10_000_000_000)
    assert (snapshot.message_window_ns, snapshot.participation_window_ns) == (10_000_000_000, 300_000_000_000)
    assert (snapshot.near_bps, snapshot.is_phase_required) == (8_000, True)


@pytest.mark.parametrize("as_of_ns", [-1, 0, 2 * DAY_NS - 1, 1 << 63])
def test_a_moment_out_of_range_is_refused(as_of_ns: int) -> None:
    with pytest.raises(InvalidRequest, match="between 1970 and 2200") as refused:
        compile_snapshot(small_policies(), as_of_ns=as_of_ns, version=1)

    assert refused.value.field == "as_of_ns"


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_one_is_refused(version: int) -> None:
    with pytest.raises(InvalidRequest, match="numbered from 1"):
        compile_snapshot(small_policies(), as_of_ns=AS_OF_NS, version=version)


# --- the shipped rule book


def test_shipped_rule_book_compiles_with_a_node_for_every_scope_of_every_route() -> None:
    snapshot = shipped_snapshot()
    scopes = {node.scope for node in snapshot.nodes}
    underlying = {r.instrument.name: r.instrument.underlying for r in snapshot.instruments}

    missing = {
        scope
        for route in snapshot.routes
        for scope in route.scopes(underlying[route.instrument])
        if scope not in scopes
    }

    assert missing == set()
    assert len(snapshot.routes) == 32


def test_shipped_calendars_are_open_when_the_recordings_were_made() -> None:
    opening_2012 = int(dt.datetime(2012, 6, 21, 13, 30, tzinfo=dt.UTC).timestamp()) * 10**9
    calendars = dict(shipped_snapshot(opening_2012).calendars)

    assert (opening_2012, opening_2012 + int(6.5 * 3_600) * 10**9) in calendars["XNAS"]
    assert calendars["always"] == ALWAYS_OPEN


@pytest.mark.parametrize("strategy", ["crypto/twap", "crypto/vwap", "crypto/pov", "crypto/almgren-chriss"])
def test_shipped_limits_let_every_crypto_schedule_sell_forty_bitcoin(strategy: str) -> None:
    """Forty bitcoin at 62,000 dollars: 2.48 million short, well inside what strategy, model and parent may hold."""
    snapshot = shipped_snapshot()
    worth_micro = 40 * 62_000 * 10**6
    position_lots = 40_000
    scopes = [
        FIRM,
        Scope(Level.DESK, "crypto"),
        Scope(Level.STRATEGY, strategy),
        Scope(Level.MODEL, f"{strategy}/schedule"),
    ]

    nodes = [node(snapshot, scope) for scope in scopes]
    parent = dict(snapshot.parent_limits)[strategy]

    assert min(n.limits.gross_notional_micro_max for n in nodes) > 2 * worth_micro
    assert min(n.limits.net_notional_micro_max for n in nodes) > 2 * worth_micro
    assert parent.limits.net_notional_micro_max > 2 * worth_micro
    assert min(dict(n.instrument_limits)["BTCUSDT-PERP"].position_short_lots_max for n in nodes) >= 2 * position_lots
    assert rules(snapshot, "BTCUSDT-PERP").participation_floor_lots * 2_500 // 10_000 > position_lots


def test_shipped_limits_of_one_order_never_exceed_those_of_a_higher_level() -> None:
    """Not required of a rule book, but a shipped one should have no limit that can never bind."""
    snapshot = shipped_snapshot()
    order = {n.scope: n.limits.order_notional_micro_max for n in snapshot.nodes}

    for route in snapshot.routes:
        chain = [order[scope] for scope in route.scopes("")[:4]]
        assert chain == sorted(chain, reverse=True)


def test_demonstration_call_stays_valid_for_years() -> None:
    expiry_ns = rules(shipped_snapshot(), "ETH-25DEC37-4000-C").instrument.expiry_ns

    assert expiry_ns == int(dt.datetime(2037, 12, 25, 8, tzinfo=dt.UTC).timestamp()) * 10**9


def test_participation_stops_at_a_quarter_of_five_minutes_of_volume() -> None:
    snapshot = shipped_snapshot()
    shares = {
        limits.participation_bps_max
        for n in snapshot.nodes
        if n.scope.kind != CrossDimension.COUNTERPARTY
        for _, limits in n.instrument_limits
    }

    assert shares == {2_500}
    assert snapshot.participation_window_ns == 300 * 10**9


def test_model_scopes_of_the_shipped_routes_follow_their_strategies() -> None:
    expected = Route("crypto", "crypto/pov", "crypto/pov/schedule", "BTCUSDT-PERP", "BINANCE-SIM", "BINANCE-CLEARING")

    assert expected in shipped_snapshot().routes
    assert set(shipped_policies().models) == {"schedule"}
