"""Replays: merged by receipt, guarded, from a moment on, moved to another date, paced by a clock."""

from collections.abc import Iterator
from itertools import islice

import pytest

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import InvalidRequest
from executor.marketdata.events import BookSnapshot, Fault, FaultKind, Mark, MarketEvent, Remedy, Trade
from executor.marketdata.validate import ValidationLimits
from executor.simulation.replay import Replay, paced, shifted
from tests.support.market import FEED, NAME, ListFeed, a_delta, a_snapshot, a_trade

S = 1_000_000_000


def of_feed(feed: str, event: Trade) -> Trade:
    return Trade(
        event.instrument,
        feed,
        event.exchange_ns,
        event.receive_ns,
        event.sequence,
        event.price_ticks,
        1,
        event.aggressor,
    )


def test_feeds_are_merged_in_the_order_of_receipt() -> None:
    first = ListFeed([a_trade(at_ns=1_000, receive_ns=5_000), a_trade(at_ns=8_000, sequence=2)])
    second = ListFeed([of_feed("other", a_trade(at_ns=2_000, receive_ns=4_000))], feed="other")

    steps = list(Replay([first, second]))

    assert [(time_ns, item.feed) for time_ns, item in steps] == [(4_000, "other"), (5_000, FEED), (8_000, FEED)]


def test_what_a_guard_withholds_does_not_come_out_and_its_fault_does_once() -> None:
    gap = a_delta(sequence=20, before=19, at_ns=2_000)
    replay = Replay(
        [ListFeed([a_snapshot(), gap, a_delta(sequence=21, at_ns=3_000), a_snapshot(sequence=30, at_ns=4_000)])]
    )

    items = [item for _, item in replay]

    assert [type(item).__name__ for item in items] == ["BookSnapshot", "Fault", "BookSnapshot"]
    assert replay.guards[FEED].resync_count == 1


def test_silence_shows_at_its_time_before_the_event_that_ends_it() -> None:
    feed = ListFeed([a_snapshot(at_ns=S), a_delta(at_ns=90 * S)])

    steps = list(Replay([feed], limits=ValidationLimits(silence_ns_max=10 * S)))

    (_, _), (fault_ns, fault), (delta_ns, _) = steps
    assert isinstance(fault, Fault)
    assert (fault.kind, fault_ns, delta_ns) == (FaultKind.STALE, 11 * S, 90 * S)


def test_silence_of_one_feed_shows_while_another_speaks() -> None:
    silent = ListFeed([a_snapshot(at_ns=S)])
    busy = ListFeed(
        [of_feed("busy", a_trade(at_ns=number * S, sequence=number)) for number in range(1, 20)], feed="busy"
    )

    faults = [
        (time_ns, item)
        for time_ns, item in Replay([silent, busy], limits=ValidationLimits(silence_ns_max=5 * S))
        if isinstance(item, Fault)
    ]

    ((time_ns, fault),) = faults
    assert isinstance(fault, Fault)
    assert (fault.feed, time_ns) == (FEED, 6 * S)


def test_time_never_goes_back_when_several_feeds_fell_silent() -> None:
    later = ListFeed([a_snapshot(at_ns=2 * S)])
    earlier = ListFeed([of_feed("earlier", a_trade(at_ns=S))], feed="earlier")
    speaking = ListFeed([of_feed("speaking", a_trade(at_ns=90 * S))], feed="speaking")

    steps = list(Replay([later, earlier, speaking], limits=ValidationLimits(silence_ns_max=5 * S)))

    assert [item.receive_ns for _, item in steps] == [S, 2 * S, 7 * S, 6 * S, 90 * S]
    assert [time_ns for time_ns, _ in steps] == [S, 2 * S, 7 * S, 7 * S, 90 * S]


def test_replay_from_a_moment_starts_with_the_book_of_that_moment() -> None:
    events = [
        a_snapshot(at_ns=S),
        a_delta(bids=((99, 3),), at_ns=2 * S),
        a_delta(bids=((99, 8),), sequence=12, at_ns=4 * S),
    ]

    (start_ns, book), (later_ns, _) = Replay([ListFeed(events)], start_ns=3 * S)

    assert isinstance(book, BookSnapshot)
    assert (start_ns, book.bids[0], book.sequence, book.exchange_ns) == (3 * S, (99, 3), 11, 2 * S)
    assert later_ns == 4 * S


def test_replay_from_a_moment_passes_its_own_guard_again() -> None:
    events = [
        a_snapshot(at_ns=S),
        a_delta(bids=((99, 3),), at_ns=2 * S),
        a_delta(bids=((99, 8),), sequence=12, at_ns=4 * S),
    ]
    items = [item for _, item in Replay([ListFeed(events)], start_ns=3 * S)]

    again = Replay([ListFeed(items)])

    assert [item for _, item in again] == items


def test_replay_repeats_itself() -> None:
    replay = Replay([ListFeed([a_snapshot(), a_delta(), a_trade(at_ns=3_000)])])

    assert list(replay) == list(replay)


def test_guards_are_there_before_the_first_step_and_new_when_played_again() -> None:
    replay = Replay([ListFeed([a_snapshot()])])
    guard = replay.guards[FEED]

    list(replay)
    assert guard.book.is_ready
    list(replay)

    assert replay.guards[FEED] is not guard


@pytest.mark.parametrize("feeds", [[], [ListFeed([]), ListFeed([])]])
def test_replay_needs_feeds_with_names_of_their_own(feeds: list[ListFeed]) -> None:
    with pytest.raises(InvalidRequest, match="at least one feed, each with a name of its own"):
        Replay(feeds)


def test_shifted_replay_keeps_distances_over_speed_and_latencies() -> None:
    steps: list[tuple[int, MarketEvent | Fault]] = [
        (item.receive_ns, item)
        for item in (a_trade(at_ns=S - 5, receive_ns=S), a_trade(at_ns=5 * S - 9, receive_ns=5 * S, sequence=2))
    ]

    first, second = shifted(iter(steps), begin_ns=100 * S, speed=2.0)

    assert (first[0], first[1].receive_ns) == (100 * S, 100 * S)
    assert (second[0], second[1].receive_ns) == (102 * S, 102 * S)
    assert isinstance(second[1], Trade)
    assert second[1].receive_ns - second[1].exchange_ns == 9


def test_shifted_mark_moves_its_funding_and_a_fault_its_time() -> None:
    mark = Mark(NAME, FEED, S, S, 1, 5, 5, 5, 60 * S)
    fault = Fault(FaultKind.GAP, Remedy.SNAPSHOT, FEED, NAME, 2 * S, "x")

    (_, moved), (_, moved_fault) = shifted(iter([(S, mark), (2 * S, fault)]), begin_ns=11 * S)

    assert isinstance(moved, Mark)
    assert moved.funding_ns == 70 * S
    assert moved_fault.receive_ns == 12 * S


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(InvalidRequest, match="speed must lie above 0"):
        next(shifted(iter([(1, a_trade())]), begin_ns=0, speed=speed))


def test_paced_replay_waits_for_the_clock_in_short_steps() -> None:
    clock, waits = ManualClock(S), []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance_to(clock.now_ns + int(seconds * S))

    steps: Iterator[tuple[int, MarketEvent | Fault]] = iter(
        [(S, a_trade()), (S + S // 4, a_trade()), (S + 1, a_trade())]
    )
    seen = [(clock.now_ns, time_ns) for time_ns, _ in paced(steps, clock=clock, sleep=sleep)]

    assert waits == [0.1, 0.1, 0.05]
    assert seen == [(S, S), (S + S // 4, S + S // 4), (S + S // 4, S + 1)]


def test_endless_feed_is_replayed_as_far_as_it_is_taken() -> None:
    def endless() -> Iterator[MarketEvent | Fault]:
        number = 0
        while True:
            number += 1
            yield a_trade(at_ns=1_000 + number, sequence=number)

    class Endless(ListFeed):
        def events(self) -> Iterator[MarketEvent | Fault]:
            return endless()

    assert len(list(islice(Replay([Endless([])]), 50))) == 50
