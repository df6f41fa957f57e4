"""What strategies ask for, moment by moment, and through whole horizons with an unfriendly market."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.orders import Side
from executor.orders.intent import ChildIntent, IntentReason, TopOfBook, Urgency
from executor.strategies.base import (
    Assignment,
    EndOfHorizon,
    MarketVolume,
    OnDenial,
    ParentView,
    Setback,
    SetbackKind,
    View,
)
from executor.strategies.table import STRATEGIES, build_strategy, parameters_of
from executor.strategies.volume_curve import DAY_NS, VolumeCurve

SECOND = 1_000_000_000
END = 1_000 * SECOND
BOOK = TopOfBook(bid_ticks=100, bid_lots=50, ask_ticks=104, ask_lots=50)
EMPTY_BOOK = TopOfBook(bid_ticks=None, bid_lots=None, ask_ticks=None, ask_lots=None)
EVEN = VolumeCurve("even", DAY_NS, (1,), None)
SCHEDULED = ("twap", "vwap", "almgren-chriss")


def assignment(lots=1_000, lot_step=1):
    return Assignment(quantity_lots=lots, lot_step=lot_step, start_ns=0, end_ns=END, volume_curve=EVEN)


def strategy(name, lots=1_000, lot_step=1, **given):
    return build_strategy(name, given, assignment(lots, lot_step))


def volume(others=0, own=0, others_since_start=None, own_since_start=None):
    return MarketVolume(
        others_lots_window=others,
        own_lots_window=own,
        others_lots_since_start=others if others_since_start is None else others_since_start,
        own_lots_since_start=own if own_since_start is None else own_since_start,
    )


def view(now_s, *, book=BOOK, market=None, setback=None, **parent):
    fields = {
        "side": Side.BUY,
        "quantity_lots": 1_000,
        "filled_lots": 0,
        "working_lots": 0,
        "in_flight_lots": 0,
        "filled_lots_at_slice_start": 0,
        "start_ns": 0,
        "end_ns": END,
        "limit_price_ticks": None,
        "lot_step": 1,
        "quantity_lots_min": 1,
        "participation_bps_max": None,
        **parent,
    }
    placed = fields["filled_lots"] + fields["working_lots"] + fields["in_flight_lots"]
    fields.setdefault("unplaced_lots", fields["quantity_lots"] - placed)
    return View(
        now_ns=int(now_s * SECOND),
        parent=ParentView(**fields),
        book=book,
        market=market or volume(),
        arrival_mid_half_ticks=204,
        setback=setback,
    )


def only(intents: list[ChildIntent]) -> ChildIntent:
    assert len(intents) == 1
    return intents[0]


def denied(passing, *, at_s=0, asked=50, count=1, kind=SetbackKind.DENIED):
    return Setback(kind=kind, at_ns=at_s * SECOND, quantity_lots=asked, largest_passing_lots=passing, count=count)


# Slices: 20 of 50 s and 50 lots; passive to second 30, neutral to 45, aggressive to 50.


def test_twap_joins_its_side_of_the_book_with_the_lots_of_the_slice():
    intent = only(strategy("twap").decide(view(0)))

    assert intent == ChildIntent(
        side=Side.BUY,
        quantity_lots=50,
        urgency=Urgency.PASSIVE,
        limit_price_ticks=100,
        working_until_ns=30 * SECOND,
        reason=IntentReason.ON_SCHEDULE,
    )


@pytest.mark.parametrize(
    ("now_s", "side", "urgency", "price_ticks", "until_s"),
    [
        (0, Side.BUY, Urgency.PASSIVE, 100, 30),
        (29.9, Side.SELL, Urgency.PASSIVE, 104, 30),
        (30, Side.BUY, Urgency.NEUTRAL, 102, 45),
        (44, Side.SELL, Urgency.NEUTRAL, 102, 45),
        (45, Side.BUY, Urgency.AGGRESSIVE, 104, 46),
        (49.5, Side.SELL, Urgency.AGGRESSIVE, 100, 50),
    ],
)
def test_a_slice_turns_from_passive_over_neutral_to_aggressive(now_s, side, urgency, price_ticks, until_s):
    intent = only(strategy("twap").decide(view(now_s, side=side)))

    assert (intent.urgency, intent.limit_price_ticks, intent.working_until_ns) == (
        urgency,
        price_ticks,
        until_s * SECOND,
    )


@pytest.mark.parametrize(("side", "price_ticks"), [(Side.BUY, 101), (Side.SELL, 102)])
def test_a_neutral_price_never_crosses_an_odd_spread(side, price_ticks):
    book = TopOfBook(bid_ticks=100, bid_lots=1, ask_ticks=103, ask_lots=1)

    assert only(strategy("twap").decide(view(30, side=side, book=book))).limit_price_ticks == price_ticks


@pytest.mark.parametrize(
    ("side", "limit", "price_ticks"), [(Side.BUY, 103, 103), (Side.SELL, 101, 101), (Side.BUY, 110, 104)]
)
def test_crossing_stops_at_the_parents_limit_price(side, limit, price_ticks):
    intent = only(strategy("twap").decide(view(45, side=side, limit_price_ticks=limit)))

    assert intent.limit_price_ticks == price_ticks


@pytest.mark.parametrize(
    "book",
    [
        EMPTY_BOOK,
        dataclasses.replace(BOOK, ask_ticks=None, ask_lots=None),
        dataclasses.replace(BOOK, bid_ticks=104),
        dataclasses.replace(BOOK, bid_ticks=105),
    ],
)
@pytest.mark.parametrize("name", STRATEGIES)
def test_no_strategy_prices_against_a_book_that_is_empty_one_sided_locked_or_crossed(name, book):
    assert strategy(name).decide(view(45, book=book, market=volume(others=5_000))) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_asked_for_before_the_start_or_from_the_end_on(name):
    market = volume(others=5_000)

    assert strategy(name).decide(view(-1, market=market)) == []
    assert strategy(name).decide(view(1_000, market=market)) == []
    assert strategy(name).decide(view(999, market=market)) != []


def test_lots_that_are_live_or_filled_in_the_slice_are_not_asked_for_again():
    twap = strategy("twap")

    assert twap.decide(view(10, working_lots=50)) == []
    assert only(twap.decide(view(10, in_flight_lots=20, working_lots=10))).quantity_lots == 20
    assert twap.decide(view(10, filled_lots=50)) == []


def test_a_new_slice_spreads_what_is_left_over_the_slices_that_are_left():
    # Nothing filled in the first ten slices: 1,000 lots over ten slices, not 550 at once.
    intent = only(strategy("twap").decide(view(500)))

    assert intent.quantity_lots == 100
    assert (intent.urgency, intent.reason) == (Urgency.NEUTRAL, IntentReason.CATCHING_UP)


def test_behind_schedule_crosses_once_patience_is_over():
    intent = only(strategy("twap").decide(view(530)))

    assert (intent.urgency, intent.limit_price_ticks) == (Urgency.AGGRESSIVE, 104)


def test_one_slice_behind_is_not_yet_behind():
    intent = only(strategy("twap").decide(view(500, filled_lots=450, filled_lots_at_slice_start=450)))

    assert (intent.quantity_lots, intent.urgency) == (55, Urgency.PASSIVE)


def test_the_last_slice_takes_everything_that_is_left():
    intent = only(strategy("twap").decide(view(996, filled_lots=700, filled_lots_at_slice_start=690)))

    assert (intent.quantity_lots, intent.urgency) == (300, Urgency.AGGRESSIVE)


@pytest.mark.case("T8")
def test_vwap_follows_its_profile_and_a_flat_profile_is_twap():
    shaped = strategy("vwap", profile="5,3,2")
    flat = strategy("vwap", profile=[1] * 20)

    assert only(shaped.decide(view(0))).quantity_lots == 500
    assert only(shaped.decide(view(340, filled_lots=500, filled_lots_at_slice_start=500))).quantity_lots == 300
    assert [flat.decide(view(now)) for now in range(0, 1_000, 7)] == [
        strategy("twap").decide(view(now)) for now in range(0, 1_000, 7)
    ]


def test_vwap_spreads_what_is_late_when_no_more_volume_is_expected():
    intent = only(strategy("vwap", profile="1,0,0").decide(view(400)))

    assert intent.quantity_lots == 500


def test_almgren_chriss_asks_for_more_early_and_none_of_it_at_no_urgency():
    front = strategy("almgren-chriss", urgency=3)
    flat = strategy("almgren-chriss", urgency=0)

    assert (
        only(front.decide(view(0))).quantity_lots
        > only(strategy("almgren-chriss", urgency=1).decide(view(0))).quantity_lots
    )
    assert only(flat.decide(view(0))).quantity_lots == 50


@pytest.mark.case("T5")
def test_almgren_chriss_works_the_capped_paper_example():
    # sigma 0.95 a day, eta tilde 2.375e-6; in seconds of a five-day horizon of 1,000 s, and lots of 1,000 shares
    day = 200.0
    paper = strategy(
        "almgren-chriss",
        slices=5,
        risk_aversion=1e-3,
        volatility_ticks=0.95 / day**0.5,
        temporary_impact_ticks=2.375e-3 * day,
        slice_share_bps_max=3_000,
    )

    assert paper.plan(1_000, 0) == (300, 300, 196, 118, 86)
    assert only(paper.decide(view(200, filled_lots=300, filled_lots_at_slice_start=300))).quantity_lots == 300
    assert only(paper.decide(view(400, filled_lots=600, filled_lots_at_slice_start=600))).quantity_lots == 196


def test_almgren_chriss_leaves_what_its_cap_cannot_hold():
    capped = strategy("almgren-chriss", slices=5, slice_share_bps_max=2_000)

    assert only(capped.decide(view(801))).quantity_lots == 200


def test_quantities_are_whole_lot_steps_and_never_below_the_venue_minimum():
    stepped = strategy("twap", lots=1_000, lot_step=100)

    assert only(stepped.decide(view(0, lot_step=100))).quantity_lots == 100
    assert stepped.decide(view(0, lot_step=100, quantity_lots_min=200)) == []
    assert only(stepped.decide(view(950, lot_step=100, quantity_lots_min=200))).quantity_lots == 1_000


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_participation_cap_holds_with_our_own_lots_counted(name):
    # Own and live 5 + 5 of 10 + 90: at a cap of a tenth nothing more fits, of a fifth 22 - 10 lots do.
    market = volume(others=90, own=5)
    fields = {"filled_lots": 5, "working_lots": 5, "market": market}

    assert strategy(name).decide(view(10, participation_bps_max=1_000, **fields)) == []
    assert only(strategy(name).decide(view(10, participation_bps_max=2_000, **fields))).quantity_lots == 12
    assert strategy(name).decide(view(10, participation_bps_max=2_000)) == []


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_denial_with_a_passing_size_is_answered_at_once_with_that_size(name):
    intent = only(strategy(name).decide(view(10, setback=denied(20, at_s=10, asked=5_000))))

    assert strategy(name).on_denial is OnDenial.ASK_SMALLER
    assert intent.quantity_lots == 20


def test_a_second_denial_in_a_row_waits_before_asking_smaller_again():
    twap = strategy("twap")
    setback = denied(20, at_s=10, count=2)

    assert twap.decide(view(11.9, setback=setback)) == []
    assert only(twap.decide(view(12, setback=setback))).quantity_lots == 20


@pytest.mark.parametrize("kind", [SetbackKind.DENIED, SetbackKind.REJECTED, SetbackKind.REFUSED])
def test_a_setback_without_a_passing_size_waits_longer_each_time(kind):
    twap = strategy("twap")

    assert twap.decide(view(10.9, setback=denied(0, at_s=10, kind=kind))) == []
    assert only(twap.decide(view(11, setback=denied(0, at_s=10, kind=kind)))).quantity_lots == 50
    assert twap.decide(view(25.9, setback=denied(0, at_s=10, count=5, kind=kind))) == []
    assert only(twap.decide(view(26, setback=denied(0, at_s=10, count=5, kind=kind)))).quantity_lots == 50
    assert twap.decide(view(41.9, setback=denied(0, at_s=10, count=500, kind=kind))) == []
    assert only(twap.decide(view(42, setback=denied(0, at_s=10, count=500, kind=kind)))).quantity_lots == 50


def test_pov_asks_for_its_share_of_the_volume_with_its_own_counted():
    pov = strategy("pov", participation_bps=1_000)

    # A tenth of everything beside 180 lots of others is 20.
    assert only(pov.decide(view(60, market=volume(others=180)))).quantity_lots == 20
    assert only(pov.decide(view(60, market=volume(others=270, own=20), filled_lots=20))).quantity_lots == 10
    assert pov.decide(view(60, market=volume(others=180, own=20), filled_lots=20)) == []
    assert pov.decide(view(60, market=volume(others=180), working_lots=20)) == []
    assert pov.decide(view(60, market=volume(others=80))) == []


def test_pov_takes_the_tighter_of_window_and_whole_history():
    pov = strategy("pov", participation_bps=1_000)

    assert pov.decide(view(300, market=volume(others=9, others_since_start=9_000))) == []
    caught_up = volume(others=9_000, others_since_start=9_000, own_since_start=990)
    assert only(pov.decide(view(300, market=caught_up, filled_lots=980))).quantity_lots == 10
    assert pov.decide(view(300, market=caught_up, filled_lots=980, working_lots=1)) == []


def test_pov_joins_when_one_clip_behind_and_pays_the_other_side_when_two_are():
    pov = strategy("pov", participation_bps=1_000, clip_bps=100)
    near = only(pov.decide(view(60, market=volume(others=171))))
    far = only(pov.decide(view(60, market=volume(others=180))))

    assert (near.quantity_lots, near.urgency, near.limit_price_ticks) == (19, Urgency.PASSIVE, 100)
    assert (far.quantity_lots, far.urgency, far.limit_price_ticks) == (20, Urgency.AGGRESSIVE, 104)
    assert (near.reason, far.reason) == (IntentReason.FOLLOWING_VOLUME, IntentReason.BEHIND_VOLUME)
    assert far.working_until_ns == 65 * SECOND


def test_pov_waits_after_a_denial_even_when_a_smaller_order_would_pass():
    pov = strategy("pov")
    market = volume(others=900)

    assert pov.on_denial is OnDenial.WAIT
    assert pov.decide(view(60.5, market=market, setback=denied(20, at_s=60))) == []
    assert only(pov.decide(view(61, market=market, setback=denied(20, at_s=60)))).quantity_lots == 100


def test_pov_leaves_what_the_volume_did_not_allow():
    pov = strategy("pov")

    assert pov.at_end is EndOfHorizon.LEAVE_REMAINDER
    assert only(pov.decide(view(999.9, market=volume(others=180)))).quantity_lots == 20


def test_schedules_finish_aggressively():
    assert {strategy(name).at_end for name in SCHEDULED} == {EndOfHorizon.FINISH_AGGRESSIVELY}


class Market:
    """A small venue: children fill by chance, come back, are denied or rejected; keeps the parent's true quantities."""

    def __init__(self, built, seed, *, lots, others_per_step, is_unfriendly=True):
        self.built, self.random = built, random.Random(seed)
        self.lots, self.others_per_step, self.is_unfriendly = lots, others_per_step, is_unfriendly
        self.filled, self.others, self.fills = 0, 0, []
        self.live: list[ChildIntent] = []
        self.setback, self.setback_ns = None, 0
        self.tape = []

    def run(self, check):
        for second in range(0, 1_000, 2):
            now_ns = second * SECOND
            self.others += self.others_per_step
            self.tape.append((now_ns, self.others_per_step))
            self.live = [child for child in self.live if child.working_until_ns > now_ns]
            seen = self.view(now_ns)
            for intent in self.built.decide(seen):
                assert 0 < intent.quantity_lots <= seen.parent.unplaced_lots
                assert intent.working_until_ns <= END
                self.receive(intent, now_ns)
            check(self)
            self.fill_some(now_ns)
            check(self)

    def view(self, now_ns):
        slice_ns = self.built.slice_start_ns(now_ns)
        window_ns = now_ns - self.built.market_window_ns
        live = sum(child.quantity_lots for child in self.live)
        return view(
            now_ns / SECOND,
            quantity_lots=self.lots,
            filled_lots=self.filled,
            working_lots=live,
            filled_lots_at_slice_start=sum(lots for at_ns, lots in self.fills if at_ns < slice_ns),
            setback=self.setback,
            market=volume(
                others=sum(lots for at_ns, lots in self.tape if at_ns > window_ns),
                own=sum(lots for at_ns, lots in self.fills if at_ns > window_ns),
                others_since_start=self.others,
                own_since_start=self.filled,
            ),
        )

    def receive(self, intent, now_ns):
        if self.is_unfriendly and self.random.random() < 0.2:
            passing = self.random.choice([0, intent.quantity_lots // 2])
            kind = self.random.choice(list(SetbackKind))
            self.setback_ns = now_ns
            count = self.setback.count + 1 if self.setback else 1
            self.setback = Setback(
                kind=kind, at_ns=now_ns, quantity_lots=intent.quantity_lots, largest_passing_lots=passing, count=count
            )
        else:
            self.setback = None
            self.live.append(intent)

    def fill_some(self, now_ns):
        for child in list(self.live):
            is_crossing = child.urgency is Urgency.AGGRESSIVE
            if is_crossing or self.random.random() < 0.1:
                lots = child.quantity_lots if is_crossing else self.random.randint(1, child.quantity_lots)
                self.live.remove(child)
                self.filled += lots
                self.fills.append((now_ns, lots))


@pytest.mark.parametrize("name", SCHEDULED)
@given(seed=st.integers(0, 10**6), lots=st.integers(20, 50_000))
@settings(max_examples=15, deadline=None)
def test_a_schedule_completes_through_setbacks_unless_they_come_at_the_very_end(name, seed, lots):
    market = Market(strategy(name, lots=lots), seed, lots=lots, others_per_step=100)

    market.run(check=lambda world: None)

    assert market.filled <= lots
    assert market.filled == lots or market.setback_ns > END - 20 * SECOND


@given(seed=st.integers(0, 10**6), share_bps=st.integers(100, 5_000), others=st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_pov_never_exceeds_its_share_with_its_own_lots_counted(seed, share_bps, others):
    def share_holds(world):
        live = sum(child.quantity_lots for child in world.live)
        own = world.filled + live
        assert own * 10_000 <= share_bps * (own + world.others)

    market = Market(strategy("pov", participation_bps=share_bps), seed, lots=1_000, others_per_step=others)

    market.run(check=share_holds)


def test_pov_keeps_close_to_its_share_in_a_friendly_market():
    market = Market(strategy("pov"), 1, lots=1_000, others_per_step=9, is_unfriendly=False)

    market.run(check=lambda world: None)

    assert 0.08 < market.filled / (market.filled + market.others) <= 0.1


def test_a_decision_depends_on_nothing_but_its_view():
    seen = view(530, working_lots=10, setback=denied(20, at_s=520))

    for name in STRATEGIES:
        built = strategy(name)
        for now in range(0, 1_000, 13):
            built.decide(view(now, filled_lots=100, market=volume(others=5_000)))
        assert built.decide(seen) == strategy(name).decide(seen)


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("iceberg", {}, "strategy"),
        ("twap", {"slice": 3}, "slice"),
        ("twap", {"slices": 0}, "slices"),
        ("twap", {"slices": 1_001}, "slices"),
        ("twap", {"slices": 2.5}, "slices"),
        ("twap", {"slices": True}, "slices"),
        ("twap", {"slices": "ten"}, "slices"),
        ("twap", {"slices": "1_0"}, "slices"),
        ("twap", {"slices": None}, "slices"),
        ("twap", {"patience_bps": 9_500}, "patience_bps"),
        ("vwap", {"profile": ""}, "profile"),
        ("vwap", {"profile": "0,0"}, "profile"),
        ("vwap", {"profile": "3,-1"}, "profile"),
        ("vwap", {"profile": 7}, "profile"),
        ("pov", {"participation_bps": 10_000}, "participation_bps"),
        ("pov", {"participation_bps": -5}, "participation_bps"),
        ("almgren-chriss", {"urgency": "nan"}, "urgency"),
        ("almgren-chriss", {"urgency": float("inf")}, "urgency"),
        ("almgren-chriss", {"urgency": -1}, "urgency"),
        ("almgren-chriss", {"risk_aversion": 1e-6}, "risk_aversion"),
        ("almgren-chriss", {"slices": 201}, "slices"),
        ("almgren-chriss", {"slices": 3, "slice_share_bps_max": 3_000}, "slice_share_bps_max"),
    ],
)
def test_a_nonsense_parameter_is_refused_by_name(name, given, field):
    with pytest.raises(InvalidRequest) as refusal:
        build_strategy(name, given, assignment())

    assert refusal.value.field == field


def test_parameters_may_come_as_text():
    built = build_strategy("almgren-chriss", {"slices": "5", "urgency": "1.5"}, assignment())

    assert len(built.plan(1_000, 0)) == 5


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_parameter_has_a_meaning_and_a_default_within_its_bounds(name):
    for rule in parameters_of(name):
        assert rule.meaning
        assert rule.low < rule.high
        assert rule.default is None or rule.kind == "integers" or rule.low <= rule.default <= rule.high


@pytest.mark.parametrize(
    "fields", [{"quantity_lots": 0}, {"quantity_lots": 15, "lot_step": 10}, {"lot_step": 0}, {"end_ns": 0}]
)
def test_an_assignment_that_cannot_be_worked_is_refused(fields):
    with pytest.raises(InvalidRequest):
        dataclasses.replace(assignment(), **fields)


def test_a_horizon_without_time_for_its_slices_is_refused():
    with pytest.raises(InvalidRequest, match="longer horizon"):
        build_strategy("twap", {}, Assignment(quantity_lots=10, lot_step=1, start_ns=0, end_ns=19))
