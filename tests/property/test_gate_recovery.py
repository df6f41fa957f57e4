"""A gate that is opened over its journal is the gate that wrote it, under the same limits and under others.

The journals are written by generated streams, so that every kind of record, repeat and refusal is in them.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.errors import SnapshotMismatch
from controlplane.domain.orders import CommandKind
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import CrossDimension, Level, Scope
from controlplane.gate import words as w
from controlplane.gate.gate import Gate
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.loading import State
from controlplane.gate.kernel.requests import REPEATED
from controlplane.gate.snapshot import NO_LIMIT, InstrumentLimits, Node, NodeLimits, Snapshot
from tests.support.gate_commands import Stream
from tests.support.gate_machines import SMALL, Command, CompiledMachine, Reply
from tests.support.gate_state import Inside, faults
from tests.support.gate_universes import SECOND_NS, USUAL, WIDE, universe
from tests.support.rig import TwoClocks

SEGMENT_BYTES = 1 << 17
COMMANDS = 900
# What a run knows and the journal doesn't: addresses, the words in hand, and permit codes under the old run's key.
OF_THE_RUN = (
    a.CURSOR_ADDRESS, a.SWITCH_ADDRESS, a.KEY_ADDRESS, a.CRC_ADDRESS, a.PERMIT_LOW, a.PERMIT_HIGH, a.LAST_SEQUENCE,
)  # fmt: skip
CODE_WORDS = (3, 4)

OpenGate = Callable[[Snapshot], Gate]


class Run:
    """A stream that is sent to a gate on disk."""

    def __init__(self, gate: Gate, stream: Stream, clock: TwoClocks) -> None:
        self.gate, self.stream, self.clock = gate, stream, clock
        self.commands: list[Command] = []

    def send(self, count: int) -> "Run":
        for _ in range(count):
            command = self.stream.next()
            self.stream.saw(command, self.tell(command.words, command.wall_ns, command.monotonic_ns))
            self.commands.append(command)
        self.gate.commit()
        return self

    def tell(self, words: tuple[int, ...], wall_ns: int, monotonic_ns: int) -> Reply:
        self.clock.wall, self.clock.steady = wall_ns, monotonic_ns
        head = self.gate.apply(words)
        entry = tuple(int(word) for word in self.gate.entry)
        return Reply(entry, bool(head & REPEATED), self.gate.sequence, self.gate.permit_code)


@pytest.fixture
def clock() -> TwoClocks:
    return TwoClocks()


@pytest.fixture
def open_gate(tmp_path: Path, clock: TwoClocks) -> OpenGate:
    """Opens a gate over the one folder of this test; the caller closes it."""

    def opened(snapshot: Snapshot) -> Gate:
        return Gate.open(snapshot, directory=tmp_path, clock=clock, capacity=SMALL, segment_bytes=SEGMENT_BYTES)

    return opened


def memory(state: State) -> list[int]:
    """Return the words of a state that a journal has to bring back."""
    words = state.words.copy()
    words[list(OF_THE_RUN)] = 0
    words[a.ENTRY_AT : a.TABLES_AT] = 0
    rows = range(
        int(words[a.REQUESTS_AT]), int(words[a.REQUESTS_AT]) + SMALL.requests * a.REQUEST_WORDS, a.REQUEST_WORDS
    )
    for row in rows:
        words[row + CODE_WORDS[0] : row + CODE_WORDS[1] + 1] = 0
    result: list[int] = words.tolist()
    return result


def twin(state: State) -> CompiledMachine:
    """Return a machine of its own in a gate's state."""
    machine = object.__new__(CompiledMachine)
    machine.connect(dataclasses.replace(state, words=state.words.copy()))
    return machine


# --- the same limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [501, 502, 503, 504])
def test_a_reopened_gate_remembers_every_word_and_decides_on_as_before(
    seed: int, open_gate: OpenGate, clock: TwoClocks
) -> None:
    snapshot = universe(seed, (USUAL, WIDE)[seed % 2])
    gate = open_gate(snapshot)
    stream = Run(gate, Stream(seed, snapshot), clock).send(COMMANDS).stream
    first, before = twin(gate.state), memory(gate.state)
    gate.close()

    reopened = open_gate(snapshot)

    assert memory(reopened.state) == before
    second = twin(reopened.state)
    for _ in range(400):
        command = stream.next()
        one, other = first.apply(command), second.apply(command)
        assert (one.words, one.is_repeated) == (other.words, other.is_repeated), f"seed {seed}: {command}"
        stream.saw(command, one)
    reopened.close()


def test_a_gate_restarted_again_and_again_ends_where_one_that_ran_through_does(
    open_gate: OpenGate, clock: TwoClocks
) -> None:
    snapshot = universe(511)
    stream = Stream(511, snapshot)
    commands: list[Command] = []
    for _ in range(4):
        gate = open_gate(snapshot)
        commands += Run(gate, stream, clock).send(250).commands
        last = memory(gate.state)
        fence = gate.fence()
        gate.close()

    reopened = open_gate(snapshot)

    assert memory(reopened.state) == last
    assert reopened.fence() > fence
    assert list(faults(reopened.state)) == []
    reopened.close()


@pytest.mark.case("GATE-26")
def test_a_report_about_nothing_after_a_repeated_request_does_not_stop_the_restart(
    open_gate: OpenGate, clock: TwoClocks
) -> None:
    """A repeated request leaves no record but cleared the path in hand, and a report that touched nothing folded that
    path into its digest: replay, which never sees the repeat, computed another digest and refused the journal.
    """
    snapshot = universe(1, WIDE)
    gate = open_gate(snapshot)
    run = Run(gate, Stream(1, snapshot), clock).send(60)
    wall, steady = run.stream.wall_ns, run.stream.monotonic_ns
    order = _malformed_nowhere(wall)
    run.tell(order, wall, steady)
    run.tell(_report(ReportKind.FILLED, 5, execution=77, lots=1, route=0, side=1), wall, steady)
    again = (w.ORDER_DECIDED | CommandKind.CANCEL << 8, 0, 0, _request(wall, 900), 12345, 0, *[0] * 10)
    assert not run.tell(again, wall, steady).is_repeated
    run.tell(_report(ReportKind.FILLED, 6, execution=78, lots=1, route=0, side=1), wall, steady)
    assert run.tell(again, wall, steady).is_repeated
    run.tell(_report(ReportKind.ACKNOWLEDGED, 4711), wall, steady)
    digest = int(gate.state.words[a.STATE_DIGEST])
    gate.close()

    reopened = open_gate(snapshot)

    assert int(reopened.state.words[a.STATE_DIGEST]) == digest
    reopened.close()


def _malformed_nowhere(wall_ns: int) -> tuple[int, ...]:
    return (w.ORDER_DECIDED | CommandKind.NEW << 8, 0, 0, _request(wall_ns, 800), 3, 0, 0, 7, *[0] * 8)


def _request(wall_ns: int, step: int) -> int:
    return ((wall_ns // 1_000 << 8) + (step << 18)) | 200


def _report(
    kind: ReportKind, child: int, *, execution: int = 0, lots: int = 0, route: int = 0, side: int = 0
) -> tuple[int, ...]:
    return (w.REPORT_APPLIED | kind << 8, 0, 0, 0, child, 0, route, side, 0, lots, 600_000, 0, 0, execution, 0, 0)


# --- other limits -----------------------------------------------------------------------------------------------------


def grown(snapshot: Snapshot, **changes: object) -> Snapshot:
    """Return the limits with another venue before all others, nodes and routes in another order: every number moves."""
    fresh = [
        dataclasses.replace(route, venue="ANNEX", counterparty="CLEAR")
        for route in snapshot.routes
        if (route.strategy, route.venue) == ("alpha", "EAST")
    ]
    limits = NodeLimits(*[NO_LIMIT] * 7, 0, NO_LIMIT)
    lots = InstrumentLimits(*[NO_LIMIT] * 4)
    names = [rules.instrument.name for rules in snapshot.instruments]
    annex = Node(Scope(CrossDimension.VENUE, "ANNEX"), limits, tuple((name, lots) for name in names))
    nodes = (snapshot.nodes[0], annex, *reversed(snapshot.nodes[1:]))
    routes = (*fresh, *reversed(snapshot.routes))
    return dataclasses.replace(
        snapshot,
        version=snapshot.version + 1,
        nodes=nodes,
        routes=routes,
        **changes,  # type: ignore[arg-type]
    )


def named(state: State) -> dict[str, Any]:
    """Return what is live, held, stopped and counted, by names that no change of limits moves."""
    inside, handles = Inside(state), state.handles
    words = inside.words
    at = {words[a.NODES_AT] + number * a.NODE_WORDS: scope for number, scope in enumerate(handles.scopes)}
    nodes = {scope: words[node : node + a.NODE_WORDS] for node, scope in at.items()}
    cells = {}
    for cell in (cell for cell in inside.cells() if words[cell + a.CELL_NODE] in at):
        name = handles.instruments[(words[cell + a.CELL_INSTRUMENT] - words[a.INSTRUMENTS_AT]) // a.INSTRUMENT_WORDS]
        cells[at[words[cell + a.CELL_NODE]], name] = words[cell + a.CELL_POSITION : cell + a.CELL_VALUE + 1]
    return {
        "orders": {
            order.child_id: (handles.routes[order.route], order.side, order.total_lots, order.filled_lots,
                             order.reserved_lots, order.reserved_micro, order.state)
            for order in inside.orders()
        },
        "amounts": {scope: node[a.NODE_STATE : a.NODE_IS_LOSS_UNKNOWN + 1] for scope, node in nodes.items()},
        "windows": {scope: node[a.NODE_MESSAGES : a.NODE_DENIED + a.WINDOW_WORDS] for scope, node in nodes.items()},
        "cells": cells,
        "parents": {words[parent]: _of_parent(inside, parent) for parent in inside.parents()},
        "programs": words[a.PROGRAMS_AT : a.PROGRAMS_AT + 256],
        "executions": sorted(inside.indexed(a.EXECUTION_INDEX_AT, state.capacity.executions)),
        "requests": sorted(inside.indexed(a.REQUEST_INDEX_AT, state.capacity.requests)),
    }  # fmt: skip


def _of_parent(inside: Inside, parent: int) -> list[int]:
    node, cell, words = inside.parent_node(parent), inside.parent_cell(parent), inside.words
    own = words[parent + a.PARENT_SIDE : parent + a.PARENT_AMENDS + 1]
    return (
        own
        + words[node + a.NODE_STATE : node + a.NODE_IS_LOSS_UNKNOWN + 1]
        + words[cell + a.CELL_POSITION : cell + a.CELL_VALUE]
    )


@pytest.mark.parametrize("seed", [521, 522, 523])
def test_under_new_limits_nothing_live_held_stopped_or_counted_is_lost(
    seed: int, open_gate: OpenGate, clock: TwoClocks
) -> None:
    snapshot = universe(seed, WIDE)
    gate = open_gate(snapshot)
    Run(gate, Stream(seed, snapshot), clock).send(COMMANDS)
    before = named(gate.state)
    assert before["orders"]
    gate.close()

    changed = open_gate(grown(snapshot))

    after = named(changed.state)
    assert list(faults(changed.state)) == []
    for what in ("orders", "parents", "programs", "executions", "requests"):
        assert after[what] == before[what], what
    for what in ("amounts", "windows", "cells"):
        assert {name: after[what][name] for name in before[what]} == before[what], what
    changed.close()


@pytest.mark.parametrize("seed", [531, 532])
def test_a_gate_goes_on_under_new_limits_and_its_journal_of_both_still_recomputes(
    seed: int, open_gate: OpenGate, clock: TwoClocks
) -> None:
    snapshot = universe(seed, WIDE)
    gate = open_gate(snapshot)
    stream = Run(gate, Stream(seed, snapshot), clock).send(500).stream
    gate.close()
    wider = grown(snapshot, message_window_ns=7 * SECOND_NS, participation_window_ns=11 * SECOND_NS)
    second = open_gate(wider)
    later = Stream(seed + 1, wider, wall_ns=stream.wall_ns, monotonic_ns=stream.monotonic_ns)
    Run(second, later, clock).send(500)
    before = memory(second.state)
    second.close()

    third = open_gate(wider)

    assert memory(third.state) == before
    assert list(faults(third.state)) == []
    third.close()


def _with_a_live_order(open_gate: OpenGate, clock: TwoClocks, snapshot: Snapshot) -> tuple[Gate, Run]:
    """Return a gate whose stream has left at least one order live in the middle of things."""
    gate = open_gate(snapshot)
    run = Run(gate, Stream(7, snapshot), clock).send(300)
    assert Inside(gate.state).orders()
    return gate, run


def test_a_fill_reported_again_after_the_limits_changed_is_booked_once(open_gate: OpenGate, clock: TwoClocks) -> None:
    """Fills were remembered by the row of their venue's node, which moves with the limits: the replay that venues send
    after a reconnect was booked a second time.
    """
    snapshot = universe(7, WIDE)
    gate, run = _with_a_live_order(open_gate, clock, snapshot)
    order = Inside(gate.state).orders()[0]
    wall, steady = run.stream.wall_ns, run.stream.monotonic_ns
    fill = _report(ReportKind.FILLED, order.child_id, execution=424242, lots=1, route=order.route, side=order.side)
    assert run.tell(fill, wall, steady).is_allowed
    assert not run.tell(fill, wall, steady).is_allowed
    gate.close()

    changed = open_gate(grown(snapshot))
    route = changed.state.handles.route(gate.state.handles.routes[order.route])
    fill = _report(ReportKind.FILLED, order.child_id, execution=424242, lots=1, route=route, side=order.side)
    again = Run(changed, run.stream, clock).tell(fill, wall, steady)

    assert not again.is_allowed
    changed.close()


def test_a_window_under_another_length_keeps_what_was_counted(open_gate: OpenGate, clock: TwoClocks) -> None:
    """Counts stand in parts of the window; under another length the parts have other numbers, and a longer window would
    have held its count for years, a shorter one have dropped it at once.
    """
    snapshot = universe(7, WIDE)
    gate, run = _with_a_live_order(open_gate, clock, snapshot)
    firm = int(gate.state.words[a.NODES_AT])
    sent = int(gate.state.words[firm + a.NODE_MESSAGES + a.WINDOW_TOTAL])
    assert sent > 0
    gate.close()

    for length in (snapshot.message_window_ns * 5, snapshot.message_window_ns // 4):
        changed = open_gate(dataclasses.replace(snapshot, version=length, message_window_ns=length))
        window = changed.state.words[firm + a.NODE_MESSAGES : firm + a.NODE_MESSAGES + a.WINDOW_WORDS]
        newest = run.stream.monotonic_ns // int(changed.state.words[a.MESSAGE_BUCKET_NS])
        assert int(window[a.WINDOW_TOTAL]) == sent
        assert int(window[a.WINDOW_FIRST :].sum()) == sent
        assert newest - a.WINDOW_BUCKETS < int(window[a.WINDOW_LAST]) <= newest
        changed.close()


def test_tighter_limits_of_parents_hold_for_those_that_are_open(open_gate: OpenGate, clock: TwoClocks) -> None:
    snapshot = universe(7, WIDE)
    gate, _ = _with_a_live_order(open_gate, clock, snapshot)
    gate.close()
    tighter = tuple(
        (name, dataclasses.replace(limits, limits=dataclasses.replace(limits.limits, live_orders_max=1)))
        for name, limits in snapshot.parent_limits
    )

    changed = open_gate(dataclasses.replace(snapshot, version=99, parent_limits=tighter))

    inside = Inside(changed.state)
    assert inside.parents()
    assert {inside.words[inside.parent_node(parent) + a.NODE_LIVE_MAX] for parent in inside.parents()} == {1}
    changed.close()


def test_limits_without_a_place_for_a_live_order_are_refused_and_the_old_ones_go_on(
    open_gate: OpenGate, clock: TwoClocks
) -> None:
    snapshot = universe(7, WIDE)
    gate, _ = _with_a_live_order(open_gate, clock, snapshot)
    before = memory(gate.state)
    lost = gate.state.handles.routes[Inside(gate.state).orders()[0].route]
    gate.close()
    routes = tuple(route for route in snapshot.routes if route != lost)

    with pytest.raises(SnapshotMismatch, match="no place for"):
        open_gate(dataclasses.replace(snapshot, version=99, routes=routes))

    again = open_gate(snapshot)
    assert memory(again.state) == before
    again.close()


@pytest.mark.case("GATE-49")
def test_a_contract_that_was_traded_keeps_what_its_lots_and_ticks_are_worth(
    open_gate: OpenGate, clock: TwoClocks
) -> None:
    snapshot = universe(7, WIDE)
    gate, _ = _with_a_live_order(open_gate, clock, snapshot)
    traded = gate.state.handles.routes[Inside(gate.state).orders()[0].route].instrument
    gate.close()
    split = tuple(
        dataclasses.replace(
            rules, instrument=dataclasses.replace(rules.instrument, multiplier=rules.instrument.multiplier * 10)
        )
        if rules.instrument.name == traded
        else rules
        for rules in snapshot.instruments
    )

    with pytest.raises(SnapshotMismatch, match=f"a lot or a tick of {traded} is worth, and it has been traded"):
        open_gate(dataclasses.replace(snapshot, version=99, instruments=split))


def test_positions_of_parents_are_valued_anew_like_all_others(open_gate: OpenGate, clock: TwoClocks) -> None:
    """Under another worth of the currency every exposure changes; parents' own cells were left at the old one."""
    snapshot = universe(7, WIDE)
    gate, _ = _with_a_live_order(open_gate, clock, snapshot)
    gate.close()
    rates = tuple(
        dataclasses.replace(rate, rate_micro=2_000_000) if rate.currency == "USD" else rate for rate in snapshot.rates
    )

    changed = open_gate(dataclasses.replace(snapshot, version=99, rates=rates))

    inside = Inside(changed.state)
    held = [
        (inside.parent_cell(parent), route_cell)
        for parent in inside.parents()
        for route_cell in [inside.words[inside.words[parent + a.PARENT_ROUTE] + a.ROUTE_CELLS + Level.FIRM]]
        if inside.words[inside.parent_cell(parent) + a.CELL_POSITION] != 0
    ]
    assert held
    assert list(faults(changed.state)) == []
    for cell, firm_cell in held:
        words = inside.words
        if words[cell + a.CELL_POSITION] * words[firm_cell + a.CELL_POSITION] > 0:
            mine = words[cell + a.CELL_HELD_LONG_MICRO] + words[cell + a.CELL_HELD_SHORT_MICRO]
            whole = words[firm_cell + a.CELL_HELD_LONG_MICRO] + words[firm_cell + a.CELL_HELD_SHORT_MICRO]
            expected = whole * abs(words[cell + a.CELL_POSITION]) // abs(words[firm_cell + a.CELL_POSITION])
            assert abs(mine - expected) <= 2
    changed.close()
