"""What must hold after every command of generated histories, read from the inside of the compiled gate.

Each history comes from one seed, which a failure names. The judge has no part in this: sums are formed from the live
orders, limits are read from the limits.
"""

from collections.abc import Iterator

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.orders import CommandKind
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import CrossDimension, Level
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.kernel import arrays as a
from controlplane.gate.snapshot import NO_LIMIT
from controlplane.journal.record import failed_codes
from tests.support.gate_commands import Stream
from tests.support.gate_machines import Command, CompiledMachine, Reply
from tests.support.gate_state import FIRM_WIDE, SCOPES, Inside, Live, faults
from tests.support.gate_universes import TINY, USUAL, WIDE, universe

SEEDS = (301, 302, 303, 305)
ENTERS = (CommandKind.NEW, CommandKind.QUOTE_ACCEPTANCE)
# About this very request: another quantity makes it another one.
REPEATS = {DenialCode.DUPLICATE_ORDER, DenialCode.REJECT_LOOP}
NO_SIZE_HELPS = {DenialCode.MALFORMED_REQUEST, DenialCode.ARITHMETIC_OVERFLOW}
# Amounts of a scope that a denial must leave alone; windows and states may move.
NODE_AMOUNTS = range(a.NODE_LONG, a.NODE_BASELINE + 1)
CELL_AMOUNTS = range(a.CELL_POSITION, a.CELL_VALUE + 1)


def history(
    seed: int, commands: int, **changes: object
) -> Iterator[tuple[CompiledMachine, CompiledMachine, Command, Reply]]:
    """Yield machine before (where the command was an order), machine after, command and reply."""
    snapshot = universe(seed, (TINY, USUAL, WIDE, USUAL)[seed % 4], **changes)
    machine, stream = CompiledMachine(snapshot), Stream(seed, snapshot)
    for _ in range(commands):
        command = stream.next()
        before = machine.fork() if is_order(command) else machine
        reply = machine.apply(command)
        stream.saw(command, reply)
        yield before, machine, command, reply


def is_order(command: Command) -> bool:
    return command.words[0] & 0xFF == w.ORDER_DECIDED


def kind_of(command: Command) -> int:
    return command.words[0] >> 8 & 0xFF


def order_of(inside: Inside, child_id: int) -> Live:
    return next(order for order in inside.orders() if order.child_id == child_id)


def says(seed: int, command: Command, what: str) -> str:
    return f"seed {seed}: {what} after {command}"


# --- the ledger -------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-22")
@pytest.mark.parametrize("seed", SEEDS)
def test_reserved_quantity_over_orders_equals_the_ledger_at_every_step(seed: int) -> None:
    for _, machine, command, _ in history(seed, 1_200):
        assert list(faults(machine.state)) == [], says(seed, command, "the ledger is off")


@pytest.mark.case("GATE-24")
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_stays_reserved_once_every_order_has_ended(seed: int) -> None:
    *_, (_, machine, last, _) = history(seed, 1_500)
    assert Inside(machine.state).orders(), "the history left nothing to end"

    for order in Inside(machine.state).orders():
        machine.apply(_report(last, ReportKind.CANCELLED, order))
    for order in Inside(machine.state).orders():
        machine.apply(_report(last, ReportKind.FILLED, order, lots=order.reserved_lots, execution=order.row))

    inside = Inside(machine.state)
    assert inside.orders() == []
    assert list(faults(machine.state)) == []
    assert all(inside.words[volume + a.VOLUME_LIVE] == 0 for volume in inside.volumes())
    assert all(inside.words[node + a.NODE_OPEN_BUY] == 0 for node in inside.nodes())
    assert all(inside.words[parent + a.PARENT_LIVE] == 0 for parent in inside.parents())


def _report(last: Command, kind: ReportKind, order: Live, *, lots: int = 0, execution: int = 0) -> Command:
    words = (
        w.REPORT_APPLIED | kind << 8, 0, 0, 0, order.child_id, 0, order.route, order.side, 0, lots, 100, 0, 0,
        1 << 40 | execution, 0, 0,
    )  # fmt: skip
    return Command(words, last.wall_ns, last.monotonic_ns)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_denied_order_moves_no_amount_anywhere(seed: int) -> None:
    for before, machine, command, reply in history(seed, 1_200):
        if not is_order(command) or reply.is_allowed:
            continue

        old, new = Inside(before.state), Inside(machine.state)

        assert new.orders() == old.orders(), says(seed, command, "orders changed")
        for rows, amounts in ((new.nodes(), NODE_AMOUNTS), (new.cells(), CELL_AMOUNTS)):
            moved = [row + word for row in rows for word in amounts if new.words[row + word] != old.words[row + word]]
            assert moved == [], says(seed, command, f"words {moved} moved")


# --- what an allowed order may do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_an_allowed_order_is_reserved_in_full_and_alone_has_a_permit(seed: int) -> None:
    for _, machine, command, reply in history(seed, 1_500):
        if reply.is_repeated:
            continue
        kind, is_asked = kind_of(command), is_order(command)
        needs_permit = is_asked and reply.is_allowed and kind != CommandKind.CANCEL

        assert (reply.code != bytes(16)) == needs_permit, says(seed, command, "permit")
        if needs_permit:
            order = order_of(Inside(machine.state), command.words[4])
            wanted = max(0, command.words[9] - order.filled_lots)
            assert order.reserved_lots >= wanted, says(seed, command, "too little is reserved")
            assert kind not in ENTERS or (order.reserved_lots, order.state) == (command.words[9], a.RESERVED)
            assert order.reserved_micro > 0 or order.reserved_lots == 0, says(seed, command, "it weighs nothing")


@pytest.mark.parametrize("seed", [*SEEDS, 305, 306])
def test_exposure_with_reservations_is_inside_every_limit_when_an_order_has_passed(seed: int) -> None:
    for before, machine, command, reply in history(seed, 1_500):
        is_more = is_order(command) and reply.is_allowed and not reply.is_repeated
        if is_more and kind_of(command) != CommandKind.CANCEL:
            found = list(_breaches(Inside(before.state), Inside(machine.state), command, reply))
            assert found == [], says(seed, command, "; ".join(found))


def _breaches(old: Inside, new: Inside, command: Command, reply: Reply) -> Iterator[str]:
    """Yield every limit that an allowed order passed although its own part of it has grown."""
    order = order_of(new, command.words[4])
    is_new = kind_of(command) in ENTERS
    earlier = None if is_new else order_of(old, command.words[4])
    has_more_lots = earlier is None or order.reserved_lots > earlier.reserved_lots
    has_more_money = earlier is None or order.reserved_micro > earlier.reserved_micro
    parent = new.words[order.parent : order.parent + a.PARENT_WORDS]
    if has_more_lots and parent[a.PARENT_FILLED] + parent[a.PARENT_LIVE] > parent[a.PARENT_QUANTITY]:
        yield "the parent's quantity is exceeded"
    for scope in SCOPES:
        if has_more_lots and scope not in FIRM_WIDE:
            yield from _breaches_in_lots(new, order, order.cells[scope], scope, command.words[9])
        if has_more_money:
            yield from _breaches_in_money(old, new, order, order.nodes[scope], scope, reply.words[28])
        if is_new and new.words[order.nodes[scope] + a.NODE_LIVE] > new.words[order.nodes[scope] + a.NODE_LIVE_MAX]:
            yield f"too many live orders at {scope}"


def _breaches_in_lots(new: Inside, order: Live, cell: int, scope: int, total: int) -> Iterator[str]:
    words = new.words
    if total > words[cell + a.CELL_ORDER_MAX]:
        yield f"the order is too large for {scope}"
    if order.side > 0 and words[cell + a.CELL_POSITION] + words[cell + a.CELL_BUY] > words[cell + a.CELL_LONG_MAX]:
        yield f"the worst long of {scope} is above its limit"
    if order.side < 0 and words[cell + a.CELL_SELL] - words[cell + a.CELL_POSITION] > words[cell + a.CELL_SHORT_MAX]:
        yield f"the worst short of {scope} is above its limit"


def _breaches_in_money(old: Inside, new: Inside, order: Live, node: int, scope: int, notional: int) -> Iterator[str]:
    words, is_buy = new.words, order.side > 0
    if notional > words[node + a.NODE_ORDER_MICRO_MAX]:
        yield f"the order's notional is too large for {scope}"
    if words[node + (a.NODE_OPEN_BUY if is_buy else a.NODE_OPEN_SELL)] > words[node + a.NODE_OPEN_MAX]:
        yield f"the live notional of {scope} is above its limit"
    if is_proved_reduction(new, order):
        return
    has_grown = words[node + a.NODE_GROSS] > old.words[node + a.NODE_GROSS]
    if has_grown and words[node + a.NODE_GROSS] > words[node + a.NODE_GROSS_MAX]:
        yield f"the gross notional of {scope} is above its limit"
    if words[node + (a.NODE_LONG if is_buy else a.NODE_SHORT)] > words[node + a.NODE_NET_MAX]:
        yield f"the net notional of {scope} is above its limit"
    limit = words[node + a.NODE_LOSS_MAX]
    if limit != NO_LIMIT and words[node + a.NODE_BASELINE] - words[node + a.NODE_VALUE] > limit:
        yield f"the loss of {scope} is above its limit"


def is_proved_reduction(inside: Inside, order: Live) -> bool:
    """Return whether everything live on the order's side only reduces, at firm, desk, strategy and model."""
    words = inside.words
    cells = order.cells[: Level.PARENT]
    if order.side > 0:
        return all(-words[cell + a.CELL_POSITION] >= words[cell + a.CELL_BUY] for cell in cells)
    return all(words[cell + a.CELL_POSITION] >= words[cell + a.CELL_SELL] for cell in cells)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_most_restrictive_state_over_all_scopes_of_an_order_wins(seed: int) -> None:
    seen: set[int] = set()

    for before, machine, command, reply in history(seed, 2_000):
        is_asked = is_order(command) and kind_of(command) in ENTERS and not reply.is_repeated
        if not is_asked or not reply.is_allowed:
            continue
        inside = Inside(machine.state)
        order, old = order_of(inside, command.words[4]), Inside(before.state)
        states = [old.words[node + a.NODE_STATE] for node in order.nodes]
        seen.add(max(states))
        assert max(states) <= TradingState.REDUCE_ONLY, says(seed, command, f"states {states}")
        for cell in (
            cell for cell, state in zip(order.cells, states, strict=True) if state == TradingState.REDUCE_ONLY
        ):
            side = a.CELL_BUY if order.side > 0 else a.CELL_SELL
            position = -order.side * inside.words[cell + a.CELL_POSITION]
            assert inside.words[cell + side] <= position, says(seed, command, "more than a reduction passed")

    assert TradingState.ACTIVE in seen


@pytest.mark.case("GATE-94")
@pytest.mark.parametrize("seed", SEEDS)
def test_every_well_formed_cancel_passes_in_every_state(seed: int) -> None:
    passed = 0

    for _, _, command, reply in history(seed, 1_500):
        if is_order(command) and kind_of(command) == CommandKind.CANCEL:
            is_malformed = DenialCode.MALFORMED_REQUEST in failed_codes(reply.words)
            assert reply.is_allowed or is_malformed, says(seed, command, "a cancel was denied")
            passed += reply.is_allowed

    assert passed > 0


def test_a_cancel_passes_while_the_machine_is_killed_and_every_scope_halted() -> None:
    *_, (_, machine, last, _) = history(302, 1_500)
    for number in range(len(machine.state.snapshot.nodes)):
        halt = (w.SCOPE_STATE_SET | TradingState.HALTED << 8, 0, 0, 0, 0, number, *[0] * 10)
        machine.apply(Command(halt, last.wall_ns, last.monotonic_ns))

    for step, order in enumerate(Inside(machine.state).orders()):
        request = (last.wall_ns // 1_000 << 8) + 256 * step + 9
        words = (w.ORDER_DECIDED | CommandKind.CANCEL << 8, 0, 0, request, order.child_id, 0, order.route, *[0] * 9)
        reply = machine.apply(Command(words, last.wall_ns, last.monotonic_ns, is_armed=False))

        assert reply.is_allowed


# --- what would pass --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*SEEDS, 307, 308])
def test_the_largest_passing_quantity_passes_and_one_lot_step_more_is_denied(seed: int) -> None:
    asked = 0

    for before, _, command, reply in history(seed, 1_500):
        codes = set(failed_codes(reply.words))
        is_asked = is_order(command) and kind_of(command) != CommandKind.CANCEL and not reply.is_repeated
        if not is_asked or codes & NO_SIZE_HELPS:
            continue
        passing, step, least = reply.words[23], *_grid(before, command)
        if passing:
            assert _passes(before, command, passing), says(seed, command, f"{passing} doesn't pass")
            assert not _ask(before, command, passing + step).is_allowed, says(
                seed, command, f"{passing} isn't the most"
            )
            asked += 1
        elif not codes & {DenialCode.REQUEST_ID_REUSED, *REPEATS}:
            assert not _ask(before, command, least).is_allowed, says(seed, command, f"{least} passes")
        assert not reply.is_allowed or passing >= command.words[9] or kind_of(command) == CommandKind.AMEND

    assert asked > 20


def _grid(machine: CompiledMachine, command: Command) -> tuple[int, int]:
    """Return lot step and smallest quantity of what a command is about; one lot where its route is unknown."""
    snapshot, route = machine.state.snapshot, command.words[6]
    if not 0 <= route < len(snapshot.routes):
        return 1, 1
    name = snapshot.routes[route].instrument
    instrument = next(rules.instrument for rules in snapshot.instruments if rules.instrument.name == name)
    least = max(1, instrument.quantity_min_lots)
    return instrument.lot_step, least + -least % instrument.lot_step


def _passes(machine: CompiledMachine, command: Command, total: int) -> bool:
    """Return whether a quantity passes, but for being asked for once too often."""
    reply = _ask(machine, command, total)
    return reply.is_allowed or bool(set(failed_codes(reply.words)) <= REPEATS)


def _ask(machine: CompiledMachine, command: Command, lots: int) -> Reply:
    """Return the answer to the same order of another quantity, at the same moment and in the same state."""
    words = (*command.words[:9], lots, *command.words[10:])
    asked = Command(words, command.wall_ns, command.monotonic_ns, command.fence, command.is_armed)
    return machine.fork().apply(asked)


# --- parents ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_parent_quantities_reconcile_with_the_fills_of_their_children(seed: int) -> None:
    filled: dict[int, int] = {}
    parent_of: dict[int, int] = {}

    for _, machine, command, reply in history(seed, 1_500):
        words, is_fill = command.words, command.words[0] & 0xFFFF == (w.REPORT_APPLIED | ReportKind.FILLED << 8)
        if is_fill and reply.is_allowed and words[4] in parent_of:
            filled[parent_of[words[4]]] = filled.get(parent_of[words[4]], 0) + words[9]
        inside = Inside(machine.state)
        parent_of = {order.child_id: inside.words[order.parent + a.PARENT_ID] for order in inside.orders()}
        for parent in inside.parents():
            parent_id = inside.words[parent + a.PARENT_ID]
            assert inside.words[parent + a.PARENT_FILLED] == filled.get(parent_id, 0), says(seed, command, "parent")

    assert sum(filled.values()) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_instrument_and_venue_scopes_see_what_the_firm_sees(seed: int) -> None:
    *_, (_, machine, _, _) = history(seed, 1_500)
    inside = Inside(machine.state)

    by_instrument = [node for node in inside.nodes() if inside.words[node + a.NODE_KIND] == CrossDimension.INSTRUMENT]

    firm = inside.words[a.NODES_AT]
    for word in (a.NODE_LONG, a.NODE_SHORT, a.NODE_GROSS, a.NODE_OPEN_BUY, a.NODE_OPEN_SELL, a.NODE_LIVE):
        assert sum(inside.words[node + word] for node in by_instrument) == inside.words[firm + word]
