"""The generated market: the same for the same seed, trusted by the guards, plausible in spread, depth and volume."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import islice

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Contract, Instrument, OptionRight, OptionTerms
from executor.marketdata.events import BookDelta, BookSnapshot, Fault, MarketEvent, Quote, Trade
from executor.simulation.order_flow import FairPath, GeneratedFeed, OptionPath, black76, generated_market
from executor.simulation.replay import Replay
from tests.support.market import an_instrument

START_NS = 1_800_000_000 * 1_000_000_000
YEAR_NS = 365 * 86_400 * 1_000_000_000
PERPETUAL = an_instrument("ETH-PERP", tick="0.01", lot="0.001")
OPTION = replace(
    an_instrument("ETH-4000-C", tick="0.1", lot="1"),
    contract=Contract.OPTION,
    expiry_ns=START_NS + YEAR_NS,
    option=OptionTerms(Decimal(4000), OptionRight.CALL, "ETH-PERP"),
)


def a_market(seed: int = 7, option: Instrument = OPTION) -> tuple[GeneratedFeed, GeneratedFeed]:
    return generated_market(PERPETUAL, option, seed=seed, start_ns=START_NS, mean_price=4000.0)


def some_steps(count: int = 8_000, seed: int = 7) -> list[tuple[int, MarketEvent | Fault]]:
    return list(islice(Replay(a_market(seed)), count))


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, MarketEvent | Fault]]:
    return some_steps()


def test_same_seed_gives_the_same_events_and_another_seed_others(steps: list[tuple[int, MarketEvent | Fault]]) -> None:
    assert some_steps() == steps
    assert some_steps(seed=8) != steps


def test_guards_find_no_fault_and_times_never_go_back(steps: list[tuple[int, MarketEvent | Fault]]) -> None:
    times = [time_ns for time_ns, _ in steps]

    assert not any(isinstance(item, Fault) for _, item in steps)
    assert times == sorted(times)
    assert times[0] >= START_NS


def test_every_kind_of_event_comes_for_both_instruments(steps: list[tuple[int, MarketEvent | Fault]]) -> None:
    seen = Counter((item.instrument, type(item)) for _, item in steps)

    assert {kind for name, kind in seen if name == "ETH-PERP"} == {BookSnapshot, BookDelta, Trade, Quote}
    assert {kind for name, kind in seen if name == "ETH-4000-C"} == {BookSnapshot, BookDelta, Trade, Quote}


def test_spreads_and_depth_are_plausible() -> None:
    replay = Replay(a_market())
    spreads: dict[str, Counter[int]] = {"ETH-PERP": Counter(), "ETH-4000-C": Counter()}
    levels = []

    for _, item in islice(replay, 8_000):
        if isinstance(item, BookDelta):
            book = replay.guards[item.feed].book
            spreads[item.instrument][book.ask_ticks - book.bid_ticks] += 1
            levels += [len(book.bids), len(book.asks)]

    for counted in spreads.values():
        near = counted[1] + counted[2] + counted[3]
        assert near / counted.total() > 0.9
        assert min(counted) >= 1
    assert min(levels) >= 5
    assert max(levels) <= 14


def test_trades_print_at_levels_that_were_shown_and_never_for_more() -> None:
    replay = Replay(a_market())
    last: dict[str, dict[int, int]] = {}

    checked = 0
    for _, item in islice(replay, 6_000):
        book = replay.guards[item.feed].book
        if isinstance(item, Trade):
            left = last[item.instrument]
            assert 0 < item.quantity_lots <= left.get(item.price_ticks, 0)
            left[item.price_ticks] -= item.quantity_lots
            checked += 1
        elif isinstance(item, BookDelta | BookSnapshot):
            last[item.instrument] = dict([*book.bids.levels(), *book.asks.levels()])
    assert checked > 500


def test_option_moves_with_its_perpetual() -> None:
    path = FairPath(5, 4000.0, 0.6)
    option = OptionPath(path, 4000.0, OptionRight.CALL, START_NS, START_NS + YEAR_NS, 0.6)
    futures, values = list(islice(path, 3_000)), list(islice(option, 3_000))

    delta = (
        black76(4000.5, 4000.0, 1.0, 0.6, OptionRight.CALL) - black76(3999.5, 4000.0, 1.0, 0.6, OptionRight.CALL)
    ) / 1.0
    future_moves = [later - first for first, later in zip(futures, futures[100:], strict=False)]
    value_moves = [later - first for first, later in zip(values, values[100:], strict=False)]
    slope = sum(a * b for a, b in zip(future_moves, value_moves, strict=True)) / sum(
        move * move for move in future_moves
    )

    assert slope == pytest.approx(delta, rel=0.02)


def test_black76_keeps_put_call_parity_and_the_value_at_expiry() -> None:
    call, put = (black76(105.0, 100.0, 0.5, 0.4, right) for right in OptionRight)

    assert call - put == pytest.approx(5.0)
    # d1 = (ln 1 + 0.08 / 2) / 0.2 sqrt 2 ...: the at-the-money value is F (2 N(deviation / 2) - 1).
    assert black76(100.0, 100.0, 1.0, 0.2, OptionRight.CALL) == pytest.approx(7.965567455405804)
    assert black76(105.0, 100.0, 0.0, 0.4, OptionRight.CALL) == 5.0
    assert black76(105.0, 100.0, 0.0, 0.4, OptionRight.PUT) == 0.0


def test_fair_price_stays_about_its_mean_and_positive() -> None:
    values = list(islice(FairPath(3, 100.0, 5.0, half_life_s=5.0), 50_000))

    assert 90.0 < sum(values) / len(values) < 110.0
    assert min(values) > 0.0


@pytest.mark.parametrize(
    "option", [replace(OPTION, option=None), replace(OPTION, expiry_ns=None), replace(OPTION, expiry_ns=START_NS)]
)
def test_option_without_terms_or_expired_is_refused(option: Instrument) -> None:
    with pytest.raises(InvalidRequest, match="needs option terms and an expiry after the start"):
        a_market(option=option)
