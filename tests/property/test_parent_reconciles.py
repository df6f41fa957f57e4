"""Parent quantities reconcile after every report, through any sequence of placements, reports and acts.

A second, much simpler account runs beside the code: the set of distinct executions. Whatever the order of reports, the
parent's filled lots must be the lots of that set.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind, VenueReport
from executor.orders.child import AT_VENUE, Child, ChildState, Oddity, apply_report, decide_child, request_child
from executor.orders.parent import (
    MOVES,
    Parent,
    ParentAct,
    ParentState,
    absorb_change,
    accept_parent,
    act_on_parent,
    place_child,
)
from executor.orders.reconcile import reconcile

ORDERED_LOTS = 60
WORDS = tuple(kind for kind in ReportKind if kind is not ReportKind.FILLED)
ACTS = tuple(ParentAct)
BEYOND_ORDER = frozenset({Oddity.FILL_ABOVE_REMAINING, Oddity.FILL_AFTER_END, Oddity.FILL_WITHOUT_PERMIT})


@dataclass
class World:
    """A parent, its children, the executions that happened, and how its venue behaves.

    A reckless venue may fill what it should not; it stays faithful until it does.
    """

    parent: Parent
    children: list[Child] = field(default_factory=list)
    executions: dict[int, VenueReport] = field(default_factory=dict)
    is_venue_reckless: bool = False
    is_venue_faithful: bool = True


def step(world: World, kind: int, choice: int, lots: int) -> None:
    """Do one thing: mostly reports of every kind, among them repeated executions and fills that are too large."""
    if kind < 3:
        place(world, lots)
    elif kind < 4:
        act = ACTS[choice % len(ACTS)]
        if world.parent.state in MOVES[act] and (lots % 4 == 0 or act in (ParentAct.START, ParentAct.RESUME)):
            world.parent = act_on_parent(world.parent, act)
    elif world.children:
        position = choice % len(world.children)
        if kind < 6:
            decide(world, position, is_allowed=lots % 4 != 0)
        elif kind < 8:
            answer(world, position, ReportKind.ACKNOWLEDGED, lots=0, claimed=0)
        elif kind < 12:
            fill(world, position, lots, claimed=choice % 3)
        elif kind < 13 and world.executions:
            repeat(world, choice)
        else:
            claimed = lots if choice % 7 == 0 else 0
            answer(world, position, WORDS[(choice // 5) % len(WORDS)], lots=lots + 1, claimed=claimed)


def place(world: World, lots: int) -> None:
    wanted = min(lots % 23 + 1, world.parent.unplaced_lots)
    if wanted and world.parent.state is ParentState.ACTIVE:
        child = request_child(child_id=len(world.children), parent_id=1, side=Side.BUY, quantity_lots=wanted)
        world.parent = place_child(world.parent, child)
        world.children.append(child)


def decide(world: World, position: int, *, is_allowed: bool) -> None:
    if world.children[position].state is ChildState.REQUESTED:
        change(world, position, decide_child(world.children[position], is_allowed=is_allowed))


def fill(world: World, position: int, lots: int, *, claimed: int) -> None:
    child = world.children[position]
    if not world.is_venue_reckless and (child.state not in AT_VENUE or not child.remaining_lots):
        return
    size = lots % max(child.remaining_lots, 1) + 1 if lots % 16 or not world.is_venue_reckless else lots % 9 + 1
    report = VenueReport(
        kind=ReportKind.FILLED,
        child_id=position,
        execution_id=len(world.executions) + 1,
        quantity_lots=size,
        price_ticks=100,
        cumulative_lots=child.filled_lots + size if claimed else 0,
    )
    world.executions[report.execution_id] = report
    deliver(world, report)


def repeat(world: World, choice: int) -> None:
    deliver(world, world.executions[choice % len(world.executions) + 1])


def answer(world: World, position: int, kind: ReportKind, *, lots: int, claimed: int) -> None:
    child = world.children[position]
    if not world.is_venue_reckless:
        lots, claimed = lots % child.quantity_lots, 0
    amended = lots % 23 + 1 if kind is ReportKind.AMENDED else 0
    if amended > child.quantity_lots:
        world.is_venue_faithful = False
    deliver(world, VenueReport(kind=kind, child_id=position, quantity_lots=amended, cumulative_lots=claimed))


def deliver(world: World, report: VenueReport) -> None:
    result = apply_report(world.children[report.child_id], report)
    before = world.children[report.child_id]
    claims_after_end = before.has_ended and result.child.awaited_lots > before.awaited_lots
    claims_beyond_order = result.child.venue_filled_lots > before.quantity_lots
    if BEYOND_ORDER & set(result.oddities) or claims_after_end or claims_beyond_order:
        world.is_venue_faithful = False
    change(world, report.child_id, result.child)


def change(world: World, position: int, child: Child) -> None:
    world.parent = absorb_change(world.parent, before=world.children[position], after=child)
    world.children[position] = child


def check(world: World) -> None:
    places = reconcile(world.parent, world.children)
    executed = sum(report.quantity_lots for report in world.executions.values())

    assert places.filled_lots == executed
    assert (
        places.filled_lots + places.working_lots + places.in_flight_lots + places.unplaced_lots + places.cancelled_lots
        == (ORDERED_LOTS + places.excess_lots)
    )
    assert places.excess_lots == 0 or not world.is_venue_faithful
    assert not world.parent.has_ended or places.unplaced_lots == 0


@pytest.mark.case("T51")
@given(script=st.binary(min_size=30, max_size=150))
@settings(max_examples=5_000, deadline=None)
def test_quantities_reconcile_after_every_step_of_any_sequence(script):
    parent = accept_parent(
        parent_id=1,
        instrument="ETH-PERP",
        side=Side.BUY,
        quantity_lots=ORDERED_LOTS,
        limit_price_ticks=None,
        accepted_ns=0,
        start_ns=0,
        end_ns=1,
    )
    world = World(act_on_parent(parent, ParentAct.START), is_venue_reckless=script[0] % 2 == 1)
    for position in range(1, len(script) - 2, 3):
        step(world, script[position] % 16, script[position + 1], script[position + 2])
        check(world)
