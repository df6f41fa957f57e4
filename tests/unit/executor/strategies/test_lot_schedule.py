"""Whole-lot schedules under caps, judged by enumeration."""

import itertools
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from executor.strategies.almgren_chriss import ImpactModel, cost_of_trades, frontier_point, urgency_ratio
from executor.strategies.lot_schedule import cheapest_lots

LOT = 1_000
TIE = Fraction(1, 10**14)
"""Two schedules closer than this are one to a float, which picks the exchanges."""
PAPER = ImpactModel(
    quantity=1_000_000,
    horizon=5,
    periods=5,
    volatility=0.95,
    half_spread=0.0625,
    permanent_impact=2.5e-7,
    temporary_impact=2.5e-6,
)
PAPER_RATIO = urgency_ratio(PAPER, 1e-6)


@cache
def every_schedule(lots: int, periods: int) -> tuple[tuple[int, ...], ...]:
    bars = itertools.combinations(range(lots + periods - 1), periods - 1)
    edges = ((-1, *bar, lots + periods - 1) for bar in bars)
    return tuple(tuple(right - left - 1 for left, right in itertools.pairwise(edge)) for edge in edges)


def halved_objective(trades, ratio):
    held = [sum(trades[index + 1 :]) for index in range(len(trades))]
    return sum(trade**2 for trade in trades) + ratio * sum(holding**2 for holding in held)


@pytest.mark.case("T5")
def test_the_capped_paper_example_trades_three_hundred_thousand_first():
    lots = cheapest_lots(1_000, periods=5, urgency_ratio=PAPER_RATIO, lots_max=(300,) * 5)
    cost = cost_of_trades(PAPER, [count * LOT for count in lots], risk_aversion=1e-6)

    assert lots == (300, 300, 196, 118, 86)
    assert (round(cost.expected), round(cost.deviation), round(cost.objective)) == (756_873, 794_266, 1_387_731)


@pytest.mark.case("T5")
def test_there_are_as_many_small_schedules_as_the_design_counts():
    assert len(every_schedule(12, 5)) == 1_820
    assert all(sum(trades) == 12 for trades in every_schedule(12, 5))


@pytest.mark.case("T5")
@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.1, PAPER_RATIO, 1.0, 3.7, 25.0])
@pytest.mark.parametrize(
    "caps", [None, (3, 3, 3, 3, 3), (4, 4, 4, 4, 4), (1, 2, 3, 4, 5), (0, 6, 0, 6, 0), (12, 1, 1, 1, 1)]
)
def test_no_schedule_of_twelve_lots_in_five_periods_is_cheaper(ratio, caps):
    best = min(
        halved_objective(trades, ratio)
        for trades in every_schedule(12, 5)
        if caps is None or all(trade <= cap for trade, cap in zip(trades, caps, strict=True))
    )

    lots = cheapest_lots(12, periods=5, urgency_ratio=ratio, lots_max=caps)

    assert sum(lots) == 12
    assert caps is None or all(0 <= trade <= cap for trade, cap in zip(lots, caps, strict=True))
    assert halved_objective(lots, ratio) == pytest.approx(best, rel=1e-12)


@given(
    total=st.integers(0, 9),
    caps=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    ratio=st.floats(0.0, 30.0, allow_nan=False),
)
@settings(max_examples=300, deadline=None)
def test_random_caps_give_the_enumerated_optimum_or_are_refused(total, caps, ratio):
    if sum(min(cap, total) for cap in caps) < total:
        with pytest.raises(InvalidRequest, match="lots_max"):
            cheapest_lots(total, periods=len(caps), urgency_ratio=ratio, lots_max=caps)
        return
    best = min(
        halved_objective(trades, ratio)
        for trades in every_schedule(total, len(caps))
        if all(trade <= cap for trade, cap in zip(trades, caps, strict=True))
    )

    lots = cheapest_lots(total, periods=len(caps), urgency_ratio=ratio, lots_max=caps)

    assert halved_objective(lots, ratio) == pytest.approx(best, rel=1e-9, abs=1e-9)


@given(
    caps=st.lists(st.integers(0, 5_000), min_size=2, max_size=10),
    share=st.floats(0.05, 1.0),
    ratio=st.sampled_from([0.0, 0.003, 0.07, 0.4, 2.5]),
)
@settings(max_examples=150, deadline=None)
def test_no_exchange_of_one_lot_between_two_periods_is_cheaper(caps, share, ratio):
    total = int(sum(caps) * share)
    lots = list(cheapest_lots(total, periods=len(caps), urgency_ratio=ratio, lots_max=caps))
    exact = Fraction(ratio)
    best = halved_objective(lots, exact)

    for giver, taker in itertools.permutations(range(len(caps)), 2):
        if lots[giver] > 0 and lots[taker] < caps[taker]:
            lots[giver] -= 1
            lots[taker] += 1
            assert halved_objective(lots, exact) >= best * (1 - TIE)
            lots[giver] += 1
            lots[taker] -= 1


@pytest.mark.case("T5")
@pytest.mark.parametrize("aversion", [0.0, 1e-7, 1e-6, 1e-5])
@pytest.mark.parametrize("lots_total", [10, 37, 1_000, 123_456])
def test_whole_lots_never_cost_less_than_the_continuous_optimum(aversion, lots_total):
    lots = cheapest_lots(lots_total, periods=5, urgency_ratio=urgency_ratio(PAPER, aversion))
    lot = PAPER.quantity / lots_total
    objective = cost_of_trades(PAPER, [count * lot for count in lots], risk_aversion=aversion).objective
    continuous = frontier_point(PAPER, aversion).cost.objective

    assert objective >= continuous * (1 - 1e-12)
    assert objective == pytest.approx(continuous, rel=4.0 / lots_total)


def test_a_billion_lots_take_no_longer_than_a_thousand():
    lots = cheapest_lots(10**12, periods=60, urgency_ratio=0.01, lots_max=(10**12 // 20,) * 60)

    assert sum(lots) == 10**12
    assert max(lots) == 10**12 // 20


def test_nothing_to_trade_gives_empty_periods():
    assert cheapest_lots(0, periods=3, urgency_ratio=0.4) == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"total_lots": -1}, "total_lots"),
        ({"total_lots": 1 << 41}, "total_lots"),
        ({"periods": 0}, "periods"),
        ({"periods": 201}, "periods"),
        ({"urgency_ratio": -0.1}, "urgency_ratio"),
        ({"urgency_ratio": float("nan")}, "urgency_ratio"),
        ({"urgency_ratio": float("inf")}, "urgency_ratio"),
        ({"lots_max": (5, 5)}, "lots_max"),
        ({"lots_max": (-1, 20, 20)}, "lots_max"),
        ({"lots_max": (3, 3, 3)}, "lots_max"),
    ],
)
def test_nonsense_is_refused_by_field(arguments, field):
    call = {"total_lots": 10, "periods": 3, "urgency_ratio": 0.5, "lots_max": None, **arguments}

    with pytest.raises(InvalidRequest) as refusal:
        cheapest_lots(
            call["total_lots"], periods=call["periods"], urgency_ratio=call["urgency_ratio"], lots_max=call["lots_max"]
        )

    assert refusal.value.field == field
