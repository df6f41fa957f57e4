"""The shortfall and its parts: the worked example to the cent, and identities that hold for any order."""

import dataclasses
import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.orders import Side
from executor.tca.benchmarks import MarketInterval, benchmark_cost
from executor.tca.components import MARKOUT_HORIZONS_NS, cost_of_fill, costs_by, decompose
from executor.tca.report import analyse
from executor.tca.shortfall import FillFacts, MoneyScale, ParentOutcome, shortfall

CENT_SHARE = MoneyScale.of_contract(tick_size=Decimal("0.01"), lot_size=Decimal(1))


def fill(lots, price_ticks, *, fee_micro=0, mid=None, markouts=(), venue="XNAS", at_ns=0, child_id=1):
    return FillFacts(
        quantity_lots=lots,
        price_ticks=price_ticks,
        fee_micro=fee_micro,
        at_ns=at_ns,
        venue=venue,
        child_id=child_id,
        mid_half_ticks=mid,
        markout_mids_half_ticks=markouts,
    )


def outcome(*fills, side=Side.BUY, lots=10_000, decision=10_000, arrival=10_020, end=10_100, scale=CENT_SHARE):
    return ParentOutcome(
        side=side,
        quantity_lots=lots,
        decision_half_ticks=decision,
        arrival_half_ticks=arrival,
        end_half_ticks=end,
        fills=fills,
        scale=scale,
    )


# 7,000 shares for 351,800.00 in all, an average of 50.2571428...; commission 70 and fees 5
WORKED = outcome(
    fill(5_000, 5_020, fee_micro=50_000_000, mid=10_030, venue="XNAS"),
    fill(2_000, 5_040, fee_micro=25_000_000, mid=10_060, venue="BATS"),
)

prices = st.integers(1, 1 << 40)
fills = st.lists(
    st.builds(
        fill,
        st.integers(1, 1 << 40),
        prices,
        fee_micro=st.integers(-(10**12), 10**12),
        mid=st.none() | prices,
        markouts=st.just(()) | st.tuples(*[st.none() | prices] * len(MARKOUT_HORIZONS_NS)),
        venue=st.sampled_from(["A", "B", "C"]),
    ),
    max_size=8,
)
outcomes = st.builds(
    lambda facts, **fields: outcome(*facts, **fields),
    fills,
    side=st.sampled_from(list(Side)),
    lots=st.integers(1, 1 << 40),
    decision=prices,
    arrival=prices,
    end=prices,
    scale=st.builds(MoneyScale, st.integers(1, 10**9), st.integers(1, 10**6)),
)


@pytest.mark.case("T52")
def test_the_worked_example_comes_out_to_the_cent():
    result = shortfall(WORKED)
    currency = {
        name: result.scale.in_currency(getattr(result, name))
        for name in ("notional", "delay", "trading", "opportunity", "fees", "total")
    }

    assert currency == {
        "notional": 500_000,
        "delay": 1_000,
        "trading": 1_100,
        "opportunity": 1_200,
        "fees": 75,
        "total": 3_375,
    }
    assert result.bps(result.total) == Fraction(6_750, 100)


@pytest.mark.case("T52")
@given(outcomes)
def test_parts_add_up_to_the_total_in_whole_units_for_any_order(any_outcome):
    result = shortfall(any_outcome)

    assert result.delay + result.trading + result.opportunity + result.fees == result.total
    assert all(isinstance(part, int) for part in (result.delay, result.trading, result.opportunity, result.total))


@pytest.mark.case("T52")
def test_a_sale_in_the_mirrored_market_costs_the_same():
    mirrored = dataclasses.replace(
        WORKED,
        side=Side.SELL,
        arrival_half_ticks=2 * 10_000 - WORKED.arrival_half_ticks,
        end_half_ticks=2 * 10_000 - WORKED.end_half_ticks,
        fills=tuple(
            dataclasses.replace(one, price_ticks=10_000 - one.price_ticks, mid_half_ticks=20_000 - one.mid_half_ticks)
            for one in WORKED.fills
        ),
    )

    assert shortfall(mirrored) == shortfall(WORKED)


@pytest.mark.case("T52")
def test_without_fills_only_delay_and_opportunity_remain():
    result = shortfall(outcome())

    assert (result.trading, result.fees, result.filled_lots) == (0, 0, 0)
    assert result.scale.in_currency(result.delay) == 1_000
    assert result.scale.in_currency(result.opportunity) == 4_000
    assert result.total == result.delay + result.opportunity


@pytest.mark.case("T52")
def test_when_the_fills_happened_does_not_change_the_parts():
    moved = dataclasses.replace(
        WORKED, fills=tuple(dataclasses.replace(one, at_ns=index * 10**9) for index, one in enumerate(WORKED.fills, 5))
    )

    assert shortfall(moved) == shortfall(WORKED)
    assert decompose(moved).first_fill_ns == 5 * 10**9


def test_more_filled_than_ordered_is_measured_and_still_adds_up():
    result = shortfall(outcome(fill(12_000, 5_020)))

    assert result.opportunity < 0
    assert result.delay + result.trading + result.opportunity == result.total


@pytest.mark.case("T53")
@given(outcomes)
def test_spread_drift_and_what_cannot_be_split_add_up_to_trading(any_outcome):
    components = decompose(any_outcome)
    everything = components.all_fills

    assert everything.spread + everything.drift + everything.unsplit == components.shortfall.trading
    assert everything.fees == components.shortfall.fees


@pytest.mark.case("T53")
def test_a_fill_without_a_mid_is_kept_apart():
    components = decompose(outcome(fill(100, 5_020, mid=10_030), fill(50, 5_030)))

    assert components.all_fills.spread == CENT_SHARE.of_price_cost(100 * (10_040 - 10_030))
    assert components.all_fills.drift == CENT_SHARE.of_price_cost(100 * (10_030 - 10_020))
    assert components.all_fills.unsplit == CENT_SHARE.of_price_cost(50 * (10_060 - 10_020))


@pytest.mark.case("T53")
def test_a_passive_fill_captures_spread():
    cost = cost_of_fill(WORKED, fill(10, 5_014, mid=10_030))

    assert cost.spread == CENT_SHARE.of_price_cost(-20)
    assert cost.drift == CENT_SHARE.of_price_cost(100)
    assert cost.trading == cost.spread + cost.drift


@pytest.mark.case("T53")
def test_realised_spread_and_impact_make_the_effective_spread_of_each_fill():
    one = fill(100, 5_020, mid=10_030, markouts=(10_032, 10_036, None, 10_028))
    markouts = decompose(outcome(one)).markouts

    units = CENT_SHARE.of_price_cost
    assert [(item.effective, item.realised, item.impact) for item in markouts] == [
        (units(1_000), units(800), units(200)),
        (units(1_000), units(400), units(600)),
        (0, 0, 0),
        (units(1_000), units(1_200), units(-200)),
    ]
    assert [item.filled_lots for item in markouts] == [100, 100, 0, 100]
    assert [item.horizon_ns for item in markouts] == [10**9, 10**10, 6 * 10**10, 3 * 10**11]


@pytest.mark.case("T53")
@given(outcomes)
def test_markouts_of_any_order_split_the_effective_spread(any_outcome):
    for markout in decompose(any_outcome).markouts:
        assert markout.realised + markout.impact == markout.effective


@pytest.mark.case("T53")
def test_a_venue_is_a_ratio_of_sums_and_venues_add_up():
    components = decompose(
        outcome(fill(900, 5_011, mid=10_020), fill(100, 5_030, mid=10_020), fill(500, 5_012, venue="BATS"))
    )
    bats, xnas = components.venues

    assert (bats.name, xnas.name) == ("BATS", "XNAS")
    # (900 x 2 + 100 x 40) half ticks over 1,000 lots at 10,020 half ticks
    assert xnas.trading_bps == Fraction(5_800 * 10_000, 1_000 * 10_020)
    assert bats.trading + xnas.trading == components.shortfall.trading


@pytest.mark.case("T53")
def test_groups_may_be_children():
    facts = (fill(10, 5_011, child_id=3), fill(20, 5_012, child_id=4), fill(5, 5_013, child_id=3))
    groups = costs_by(outcome(*facts), lambda one: str(one.child_id))

    assert [(group.name, group.filled_lots) for group in groups] == [("3", 15), ("4", 20)]


def test_a_money_scale_is_exact_for_crumbs_of_a_millionth():
    scale = MoneyScale.of_contract(tick_size=Decimal("0.0001"), lot_size=Decimal("0.001"), multiplier=Decimal("0.1"))
    result = shortfall(outcome(fill(3, 7, fee_micro=1), lots=3, decision=13, arrival=13, end=13, scale=scale))

    assert (scale.numerator, scale.denominator) == (1, 200)
    assert result.scale.in_currency(result.total) == Fraction(3, 200 * 10**6) + Fraction(1, 10**6)


def test_the_vwap_that_contains_us_shows_one_minus_our_share_of_the_cost():
    market = MarketInterval(
        volume_lots=63_000,
        turnover_half_tick_lots=63_000 * 10_044,
        includes_own=False,
        mid_time_half_tick_ns=10_050 * 600,
        duration_ns=600,
    )
    cost = benchmark_cost(WORKED, market)

    assert cost.vwap_without_own == Fraction(351_800) - 7_000 * Fraction("50.22")
    assert cost.vwap == cost.vwap_without_own * (1 - Fraction(7_000, 70_000))
    assert cost.twap == Fraction(351_800) - 7_000 * Fraction("50.25")


def test_it_makes_no_difference_whether_the_tape_contains_us():
    paid = WORKED.paid_half_tick_lots
    fields = {"mid_time_half_tick_ns": 10_050, "duration_ns": 1}
    without = MarketInterval(volume_lots=1_000, turnover_half_tick_lots=10_040_000, includes_own=False, **fields)
    within = MarketInterval(volume_lots=8_000, turnover_half_tick_lots=10_040_000 + paid, includes_own=True, **fields)

    assert benchmark_cost(WORKED, without) == benchmark_cost(WORKED, within)


def test_a_market_without_trades_or_mids_gives_no_benchmark():
    market = MarketInterval(
        volume_lots=0, turnover_half_tick_lots=0, includes_own=False, mid_time_half_tick_ns=0, duration_ns=0
    )
    cost = benchmark_cost(outcome(), market)

    assert (cost.vwap, cost.vwap_without_own, cost.twap) == (None, None, None)


def test_a_tape_smaller_than_our_own_fills_is_refused():
    market = MarketInterval(
        volume_lots=6_999, turnover_half_tick_lots=10**9, includes_own=True, mid_time_half_tick_ns=1, duration_ns=1
    )

    with pytest.raises(InvalidRequest, match="7000 lots"):
        benchmark_cost(WORKED, market)


@pytest.mark.case("T52")
def test_the_report_gives_exact_units_and_rounded_text_that_agree():
    market = MarketInterval(
        volume_lots=63_000,
        turnover_half_tick_lots=63_000 * 10_044,
        includes_own=False,
        mid_time_half_tick_ns=10_050 * 600,
        duration_ns=600,
    )
    report = json.loads(json.dumps(analyse(WORKED, market).as_json()))

    assert report["total"] == {"units": 3_375_000_000, "currency": "3375.000000", "bps": "67.5000"}
    assert sum(part["units"] for part in report["parts"].values()) == report["total"]["units"]
    assert report["parts"]["trading"]["units"] == sum(part["units"] for part in report["trading"].values())
    assert report["sums"] == {"parts_equal_total": True, "trading_parts_equal_trading": True}
    assert report["benchmarks"]["against others' VWAP"] == {"currency": "260.000000", "bps": "5.2000"}
    assert [venue["name"] for venue in report["venues"]] == ["BATS", "XNAS"]


def test_the_text_table_names_every_part_with_currency_and_bps():
    text = analyse(WORKED).as_text()

    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if len(line.split()) == 3}
    assert rows["delay"] == ["1,000.00", "20.00"]
    assert rows["trading"] == ["1,100.00", "22.00"]
    assert rows["opportunity"] == ["1,200.00", "24.00"]
    assert rows["fees"] == ["75.00", "1.50"]
    assert rows["total"] == ["3,375.00", "67.50"]
    assert "benchmark" not in text


def test_the_text_table_shows_markouts_and_says_what_was_not_measured():
    one = fill(100, 5_020, mid=10_030, markouts=(10_032, None, None, None))
    market = MarketInterval(
        volume_lots=0, turnover_half_tick_lots=0, includes_own=False, mid_time_half_tick_ns=0, duration_ns=0
    )
    text = analyse(outcome(one), market).as_text()

    assert "after 1 s, 100 lots seen" in text
    assert "after 10 s" not in text
    assert "not measured" in text


@pytest.mark.parametrize(
    ("field", "value"),
    [("quantity_lots", 0), ("decision_half_ticks", 0), ("arrival_half_ticks", -1), ("end_half_ticks", 0)],
)
def test_an_outcome_out_of_range_is_refused_by_field(field, value):
    with pytest.raises(InvalidRequest) as refusal:
        dataclasses.replace(WORKED, **{field: value})

    assert refusal.value.field == field


@pytest.mark.parametrize("facts", [fill(0, 5_000), fill(5, 0)])
def test_a_fill_without_lots_or_price_is_refused(facts):
    with pytest.raises(InvalidRequest, match="above zero"):
        outcome(facts)


def test_markouts_for_other_horizons_are_refused():
    with pytest.raises(InvalidRequest, match="4 horizons"):
        decompose(outcome(fill(1, 5_000, mid=10_000, markouts=(10_000,))))


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(InvalidRequest, match="positive"):
        MoneyScale(0, 1)
