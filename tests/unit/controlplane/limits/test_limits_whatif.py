"""A recorded day under other limits: what changes, by which limit, and how what follows a changed answer is treated."""

import dataclasses
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import Scope
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.reader import read_parts
from controlplane.limits.whatif import TREATMENT, Group, Outcomes, lines, run_under
from tests.support.builders import (
    ELSEWHERE,
    LOT_MICRO,
    OTHER_STRATEGY,
    PRICE,
    SECOND_VENUE,
    phase,
    roomy_snapshot,
    tightened,
    volume,
    with_rules,
    with_second_venue,
)
from tests.support.rig import Rig

DESK, STRATEGY = "desk:crypto", "strategy:crypto/twap"

Open = Callable[..., Rig]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens one gate over a folder of this test, and closes it at its end."""
    rigs: list[Rig] = []

    def open_one(snapshot: Snapshot | None = None, **settings: object) -> Rig:
        rigs.append(Rig.open(tmp_path / "state", snapshot, **settings))  # type: ignore[arg-type]
        return rigs[-1]

    yield open_one
    for rig in rigs:
        rig.close()


def under(rig: Rig, limits_of: Callable[[Snapshot], Snapshot]) -> Outcomes:
    """Return what other limits make of everything that a gate has recorded so far."""
    rig.gate.commit()
    return run_under(limits_of, read_parts(rig.directory / "journal" / "gate-0"))


def limit(scope: str, **limits: int) -> Callable[[Snapshot], Snapshot]:
    return lambda recorded: tightened(recorded, scope, **limits)


def counted(groups: tuple[Group, ...]) -> list[tuple[str, str, int]]:
    return [(group.code, group.level, group.count) for group in groups]


def test_the_recorded_limits_change_nothing(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), DESK, order_quantity_lots_max=20, live_orders_max=3))
    rig.hold(10)
    rig.buy(21)
    rig.amend(rig.work(lots=5), quantity_lots=9)
    rig.cancel(rig.work(Side.SELL, 4))
    rig.stop(DESK, "HALTED")
    rig.buy(1)

    found = under(rig, lambda recorded: recorded)

    assert (found.denied, found.allowed, found.other_reason) == ((), (), 0)
    assert found.decisions == {"ALLOWED": 5, "DENIED": 2}
    assert set(found.left_out.values()) == {0}


def test_tighter_limit_names_code_level_and_the_first_few_orders(opened: Open) -> None:
    rig = opened()
    for lots in (10, 11, 12, 13, 9):
        rig.buy(lots)

    found = under(rig, limit(DESK, order_quantity_lots_max=9))

    assert counted(found.denied) == [("ORDER_QUANTITY_ABOVE_LIMIT", "desk", 4)]
    examples = found.denied[0].examples
    assert [one.request for one in examples] == [
        f"buy {lots} BTC-PERP at 60000.0 for crypto/twap" for lots in (Decimal("0.010"), "0.011", "0.012")
    ]
    assert examples[0].reason.startswith("The quantity 10 lots of BTC-PERP is above the order limit of 9 lots")
    assert examples[0].time.startswith("2024-08-08 23:54:15")
    assert found.decisions == {"ALLOWED": 5, "DENIED": 0}


def test_looser_limit_names_the_denial_that_would_be_gone(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), STRATEGY, order_quantity_lots_max=9))
    rig.buy(10)
    rig.buy(9)

    found = under(rig, limit(STRATEGY, order_quantity_lots_max=10))

    assert counted(found.allowed) == [("ORDER_QUANTITY_ABOVE_LIMIT", "strategy", 1)]
    assert "above the order limit of 9 lots for strategy:crypto/twap" in found.allowed[0].examples[0].reason
    assert found.denied == ()


def test_order_that_would_not_exist_has_no_fills_so_that_a_later_order_finds_room(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), DESK, position_long_lots_max=10))
    rig.hold(10)
    assert rig.buy(1).codes == (DenialCode.POSITION_ABOVE_LIMIT,)

    found = under(rig, limit(DESK, position_long_lots_max=9))

    assert counted(found.denied) == [("POSITION_ABOVE_LIMIT", "desk", 1)]
    assert counted(found.allowed) == [("POSITION_ABOVE_LIMIT", "desk", 1)]
    assert found.left_out == {"requests": 0, "reports": 2, "fills": 1}


def test_amends_and_cancels_of_an_order_that_would_not_exist_are_left_out_and_are_no_denials(opened: Open) -> None:
    rig = opened()
    child = rig.work(lots=10)
    rig.amend(child, quantity_lots=8)
    rig.tell(ReportKind.AMENDED, child, quantity_lots=8)
    rig.cancel(child)
    rig.tell(ReportKind.CANCELLED, child)

    found = under(rig, limit(DESK, order_quantity_lots_max=9))

    assert counted(found.denied) == [("ORDER_QUANTITY_ABOVE_LIMIT", "desk", 1)]
    assert found.left_out == {"requests": 2, "reports": 3, "fills": 0}
    assert found.decisions == {"ALLOWED": 3, "DENIED": 0}


def test_order_that_would_be_allowed_is_taken_back_and_takes_no_room_from_the_next(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), DESK, open_notional_micro_max=0))
    rig.buy(10)
    rig.buy(10)

    found = under(rig, limit(DESK, open_notional_micro_max=11 * LOT_MICRO))

    assert counted(found.allowed) == [("OPEN_NOTIONAL_ABOVE_LIMIT", "desk", 2)]


def test_amend_that_would_be_denied_leaves_its_order_as_it_was(opened: Open) -> None:
    rig = opened()
    child = rig.work(lots=8)
    assert rig.amend(child, quantity_lots=12).is_allowed
    rig.tell(ReportKind.AMENDED, child, quantity_lots=12)
    rig.buy(2)

    found = under(rig, limit(DESK, position_long_lots_max=10))

    assert counted(found.denied) == [("POSITION_ABOVE_LIMIT", "desk", 1)]
    assert found.denied[0].examples[0].request.startswith("amend to buy 0.012")
    assert set(found.left_out.values()) == {0}


def test_amend_that_would_be_allowed_is_taken_back_so_that_its_order_may_be_amended_again(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), DESK, order_quantity_lots_max=9))
    child = rig.work(lots=8)
    rig.amend(child, quantity_lots=12)
    rig.amend(child, quantity_lots=11)
    rig.amend(child, quantity_lots=9)

    found = under(rig, limit(DESK, order_quantity_lots_max=12))

    assert counted(found.allowed) == [("ORDER_QUANTITY_ABOVE_LIMIT", "desk", 2)]
    assert found.denied == ()


def test_order_denied_both_times_for_another_reason_is_counted_apart(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), DESK, order_quantity_lots_max=9))
    rig.buy(10)

    found = under(rig, lambda recorded: with_rules(roomy_snapshot(), is_restricted=True))

    assert (found.denied, found.allowed, found.other_reason) == ((), (), 1)


def test_names_keep_their_meaning_where_their_numbers_move(opened: Open) -> None:
    """Routes, scopes and venues stand elsewhere in the other limits; orders, fills, volumes and halts find them all."""
    rig = opened()
    rig.hold(10)
    rig.hold(5, on=OTHER_STRATEGY)
    rig.stop("strategy:crypto/pov", "HALTED")
    rig.buy(1)
    assert not rig.buy(1, on=OTHER_STRATEGY).is_allowed
    rig.lift("strategy:crypto/pov")
    assert rig.sell(5, on=OTHER_STRATEGY).is_allowed

    def other(recorded: Snapshot) -> Snapshot:
        wider = with_second_venue(recorded)
        another = dataclasses.replace(wider.nodes[1], scope=Scope(wider.nodes[1].scope.kind, "a-desk"))
        nodes = tuple(sorted((*wider.nodes, another), key=lambda node: node.scope))
        return dataclasses.replace(wider, nodes=nodes, routes=wider.routes[::-1])

    found = under(rig, other)

    assert (found.denied, found.allowed, found.other_reason) == ((), (), 0)
    assert found.decisions == {"ALLOWED": 4, "DENIED": 1}


def test_volume_of_a_venue_is_found_where_a_venue_before_it_is_gone(opened: Open) -> None:
    rig = opened(with_second_venue(roomy_snapshot()), is_market_open=False)
    rig.quote(PRICE - 1, PRICE + 1)
    rig.gate.observe(phase())
    rig.gate.observe(volume(venue=SECOND_VENUE))
    rig.hold(10, on=ELSEWHERE)

    def second_alone(recorded: Snapshot) -> Snapshot:
        return dataclasses.replace(recorded, routes=tuple(one for one in recorded.routes if one.venue == SECOND_VENUE))

    found = under(rig, second_alone)

    assert (found.denied, found.decisions) == ((), {"ALLOWED": 1, "DENIED": 0})


def test_route_that_the_other_limits_close_denies_its_orders(opened: Open) -> None:
    rig = opened()
    rig.buy(1)
    rig.buy(1, on=OTHER_STRATEGY)

    def without(recorded: Snapshot) -> Snapshot:
        return dataclasses.replace(recorded, routes=tuple(one for one in recorded.routes if one != OTHER_STRATEGY))

    found = under(rig, without)

    assert [(group.code, group.count) for group in found.denied] == [("ROUTE_UNKNOWN", 1)]


def test_limits_that_were_changed_during_the_day_are_replaced_as_well(opened: Open) -> None:
    rig = opened()
    rig.buy(10)
    rig.restart(tightened(roomy_snapshot(version=2), DESK, order_quantity_lots_max=9))
    rig.buy(10)

    found = under(rig, limit(DESK, order_quantity_lots_max=10))

    assert counted(found.allowed) == [("ORDER_QUANTITY_ABOVE_LIMIT", "desk", 1)]
    assert found.denied == ()


def test_many_orders_that_would_not_exist_are_all_remembered(opened: Open) -> None:
    rig = opened(capacity=Capacity(orders=1 << 10, parents=8, requests=1 << 11, executions=64))
    children = [rig.work(lots=2) for _ in range(700)]
    for child in children:
        rig.tell(ReportKind.CANCELLED, child)

    found = under(rig, limit(DESK, order_quantity_lots_max=1))

    assert counted(found.denied) == [("ORDER_QUANTITY_ABOVE_LIMIT", "desk", 700)]
    assert found.left_out == {"requests": 0, "reports": 1_400, "fills": 0}


def test_limits_that_change_what_a_lot_is_worth_are_refused(opened: Open) -> None:
    rig = opened()
    rig.buy(1)

    with pytest.raises(InvalidRequest, match=r"Expected BTC-PERP with the lot_size 0.001 .* found 0.01"):
        under(rig, lambda recorded: with_rules(recorded, lot_size=Decimal("0.01")))


def test_result_for_people_has_both_tables_and_says_what_was_assumed(opened: Open) -> None:
    rig = opened(tightened(roomy_snapshot(), DESK, order_quantity_lots_max=12))
    rig.buy(10)
    rig.buy(13, price=PRICE - 5)
    found = under(rig, limit(DESK, order_quantity_lots_max=9)).document()

    told = "\n".join(lines({"log": "gate-0", "limits": {"folder": "proposed"}, **found}))

    assert "gate-0: 2 requests from 2024-08-08 23:54:15 to 2024-08-08 23:54:15 UTC, decided under proposed." in told
    assert "Allowed then, would be denied: 1 of 1." in told
    assert "Denied then, would be allowed: 0 of 1." in told
    assert "desk         ORDER_QUANTITY_ABOVE_LIMIT" in told
    assert f"record {found['would_be_denied']['groups'][0]['examples'][0]['sequence']}, buy 0.010 BTC-PERP" in told
    assert all(sentence in told for sentence in TREATMENT)


