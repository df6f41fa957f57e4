"""A bad feed is cut off with its reason and comes back by its remedy."""

from executor.marketdata.events import Fault, FaultKind, Remedy
from executor.marketdata.quarantine import FeedGuard, FeedState
from executor.marketdata.validate import ValidationLimits
from tests.support.market import FEED, NAME, a_delta, a_quote, a_snapshot, a_trade


def a_guard(*, silence_ns_max: int = 30_000_000_000) -> FeedGuard:
    guard = FeedGuard(FEED, NAME, ValidationLimits(silence_ns_max=silence_ns_max))
    assert guard.admit(a_snapshot()) is not None
    return guard


def test_trusted_events_pass_and_move_the_book() -> None:
    guard, delta = a_guard(), a_delta(bids=((99, 3),))

    assert guard.admit(delta) is delta
    assert guard.book.bid_lots == 3
    assert guard.state is FeedState.HEALTHY


def test_gap_cuts_the_feed_off_with_its_reason_and_empties_the_book() -> None:
    guard = a_guard()

    fault = guard.admit(a_delta(sequence=20, before=19))

    assert isinstance(fault, Fault)
    assert guard.state is FeedState.QUARANTINED
    assert guard.fault == fault
    assert "follows update 10, found one that follows 19" in fault.sentence
    assert not guard.book.is_ready


def test_everything_of_a_quarantined_feed_is_withheld_silently() -> None:
    guard = a_guard()
    guard.admit(a_delta(sequence=20, before=19))

    later = [guard.admit(event) for event in (a_delta(sequence=21), a_trade(), a_quote())]

    assert later == [None, None, None]
    assert guard.withheld_count == 4


def test_snapshot_ends_the_quarantine_and_deltas_go_on_from_it() -> None:
    guard = a_guard()
    guard.admit(a_delta(sequence=20, before=19))

    fresh, following = a_snapshot(sequence=30, at_ns=3_000), a_delta(bids=((99, 1),), sequence=31, at_ns=4_000)

    assert guard.admit(fresh) is fresh
    assert guard.admit(following) is following
    assert (guard.state, guard.resync_count, guard.book.bid_lots) == (FeedState.HEALTHY, 1, 1)


def test_crossed_snapshot_does_not_end_the_quarantine() -> None:
    guard = a_guard()
    guard.admit(a_delta(sequence=20, before=19))

    again = guard.admit(a_snapshot(bids=((105, 1),), sequence=30, at_ns=3_000))

    assert isinstance(again, Fault)
    assert again.kind is FaultKind.CROSSED
    assert (guard.state, guard.resync_count) == (FeedState.QUARANTINED, 0)


def test_delta_that_crosses_the_book_cuts_the_feed_off() -> None:
    guard = a_guard()

    fault = guard.admit(a_delta(bids=((103, 1),)))

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CROSSED
    assert not guard.book.is_ready


def test_event_that_is_only_withheld_leaves_the_feed_healthy() -> None:
    guard = a_guard()

    fault = guard.admit(a_trade(quantity_lots=0))

    assert isinstance(fault, Fault)
    assert guard.state is FeedState.HEALTHY
    assert guard.admit(a_delta()) is not None


def test_fault_of_a_reader_cuts_the_feed_off_once() -> None:
    guard = a_guard()
    broken = Fault(FaultKind.MALFORMED, Remedy.SNAPSHOT, FEED, NAME, 2_000, "line 3: expected JSON, found 'x'.")

    assert guard.admit(broken) == broken
    assert guard.admit(broken) is None
    assert guard.faults[FaultKind.MALFORMED] == 2


def test_silent_feed_is_stale_until_it_speaks_again() -> None:
    guard = a_guard(silence_ns_max=1_000)

    in_time, stale, again = guard.check_age(2_000), guard.check_age(2_001), guard.check_age(2_002)

    assert in_time is None
    assert isinstance(stale, Fault)
    assert (stale.kind, stale.receive_ns) == (FaultKind.STALE, 2_000)
    assert again is None
    assert guard.admit(a_delta(at_ns=3_000)) is not None
    assert (guard.state, guard.resync_count) == (FeedState.HEALTHY, 1)


def test_stale_feed_that_comes_back_with_a_gap_stays_cut_off() -> None:
    guard = a_guard(silence_ns_max=1_000)
    guard.check_age(5_000)

    fault = guard.admit(a_delta(sequence=20, before=19, at_ns=6_000))

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.GAP
    assert guard.state is FeedState.QUARANTINED
