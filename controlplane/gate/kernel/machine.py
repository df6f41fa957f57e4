"""The compiled entry of the gate: one command of any kind in, state moved, record written, permit made.

This is the whole deterministic state machine: its result depends on the state, the sixteen words of the command and
nothing else, so replaying the records gives the same bytes.
"""

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, entry, seldom, words_at
from controlplane.gate.kernel.decision import (
    ALLOWED,
    ARMED,
    CANCEL,
    DENIED,
    SWITCH_FENCE,
    SWITCH_STATE,
    decide,
)
from controlplane.gate.kernel.families.behaviour import clear_repeats
from controlplane.gate.kernel.families.passing_time import observe_measure
from controlplane.gate.kernel.frames import has_room, issue_permit, write_frame
from controlplane.gate.kernel.observing import (
    observe_phase,
    observe_rate,
    observe_reference,
    observe_volume,
    pass_time,
    roll_day,
    set_scope_state,
)
from controlplane.gate.kernel.parents import close_parent, open_parent
from controlplane.gate.kernel.requests import REPEATED, remember
from controlplane.gate.kernel.settlement import apply_report
from controlplane.journal import record
from controlplane.journal.record import RecordKind

NO_ROOM = -1
INPUT_WORDS, ANSWER_WORDS = 16, 4
(ORDER_DECIDED, REPORT_APPLIED, REFERENCE_APPLIED, VOLUME_APPLIED, PHASE_APPLIED, RATE_APPLIED, PARENT_OPENED,
 PARENT_CLOSED, SCOPE_STATE_SET, TIME_PASSED, DAY_ROLLED, REPEATS_CLEARED, MEASURE_APPLIED) = (
    int(RecordKind(number)) for number in range(1, 14)
)  # fmt: skip


@entry
def apply(
    address: int, wall_ns: int, monotonic_ns: int, head: int, request_id: int, child_id: int, parent_id: int,
    route: int, side: int,
    order_type: int, quantity_lots: int, price_ticks: int, trigger_ticks: int, model_digest: int, execution_id: int,
    fee_micro: int,
    exchange_ns: int,
) -> int:  # fmt: skip
    """Return the head of the record of one command, or NO_ROOM when the journal needs a new segment first.

    Arguments
        address       of the state array
        wall_ns       wall time of the gate; monotonic_ns its time that never steps
        head          kind | subkind << 8; the other words as `journal/record.py` names them
    """
    s = words_at(address)
    if not has_room(s):
        return NO_ROOM
    for word in range(a.ENTRY_AT + record.WORD_SNAPSHOT_VERSION, a.ENTRY_AT + a.ENTRY_WORDS):
        s[word] = 0
    s[a.E_HEAD], s[a.E_WALL], s[a.E_MONOTONIC] = head & 0xFFFF, wall_ns, monotonic_ns
    s[a.E_REQUEST], s[a.E_CHILD], s[a.E_PARENT], s[a.E_ROUTE], s[a.E_SIDE] = (
        request_id,
        child_id,
        parent_id,
        route,
        side,
    )
    s[a.E_TYPE], s[a.E_QUANTITY], s[a.E_PRICE], s[a.E_TRIGGER] = order_type, quantity_lots, price_ticks, trigger_ticks
    s[a.E_MODEL], s[a.E_EXECUTION], s[a.E_FEE], s[a.E_EXCHANGE] = model_digest, execution_id, fee_micro, exchange_ns
    s[a.PERMIT_LOW], s[a.PERMIT_HIGH] = 0, 0
    if head & 0xFF == ORDER_DECIDED:
        outcome = decide(s)
        if outcome == REPEATED:
            return s[a.E_HEAD] | REPEATED
    else:
        outcome = take_notice(s, head & 0xFF)
        s[a.E_HEAD] |= outcome << 16
    return finish(s, address, outcome)


@entry
def apply_batch(
    address: int, wall_ns: int, monotonic_ns: int, commands_address: int, count: int, answers_address: int
) -> int:
    """Return how many of the commands were applied; fewer than asked when the journal needs a new segment first.

    Arguments
        commands_address  of `count` rows of 16 int64, the words of `apply`; words 1 and 2 are not read
        answers_address   of `count` rows of 4 int64: head, sequence, and the two words of the permit code
    """
    s = words_at(address)
    commands, answers = words_at(commands_address), words_at(answers_address)
    for number in range(count):
        c, r = number * INPUT_WORDS, number * ANSWER_WORDS
        head = apply(
            address, wall_ns, monotonic_ns, commands[c], commands[c + 3], commands[c + 4], commands[c + 5],
            commands[c + 6], commands[c + 7], commands[c + 8], commands[c + 9], commands[c + 10], commands[c + 11],
            commands[c + 12], commands[c + 13], commands[c + 14], commands[c + 15],
        )  # fmt: skip
        if head == NO_ROOM:
            return number
        answers[r], answers[r + 1] = head, s[a.LAST_SEQUENCE]
        answers[r + 2], answers[r + 3] = s[a.PERMIT_LOW], s[a.PERMIT_HIGH]
    return count


@compiled
def take_notice(s: Words, kind: int) -> int:
    """Return the outcome of a command that is no order: applied, or refused without a change."""
    seldom()
    if kind == REPORT_APPLIED:
        return apply_report(s)
    if kind == REFERENCE_APPLIED:
        return observe_reference(s)
    if kind == VOLUME_APPLIED:
        return observe_volume(s)
    if kind == PHASE_APPLIED:
        return observe_phase(s)
    if kind == RATE_APPLIED:
        return observe_rate(s)
    if kind == PARENT_OPENED:
        return open_parent(s)
    if kind == PARENT_CLOSED:
        return close_parent(s)
    if kind == SCOPE_STATE_SET:
        return set_scope_state(s)
    if kind == TIME_PASSED:
        return pass_time(s)
    if kind == DAY_ROLLED:
        return roll_day(s)
    return take_family_notice(s, kind)


@compiled
def take_family_notice(s: Words, kind: int) -> int:
    """Return the outcome of a command that a family of controls has for itself."""
    if kind == REPEATS_CLEARED:
        return clear_repeats(s)
    if kind == MEASURE_APPLIED:
        return observe_measure(s)
    return DENIED


@compiled
def finish(s: Words, address: int, outcome: int) -> int:
    """Complete the record, write the frame with the digest carried forward, make the permit if one is due."""
    s[a.E_HEAD] |= record.SCHEMA << 56
    s[a.E_SNAPSHOT] = s[a.SNAPSHOT_VERSION]
    switch = words_at(s[a.SWITCH_ADDRESS])
    s[a.E_FENCE] = switch[SWITCH_FENCE] if switch[SWITCH_STATE] == ARMED else -switch[SWITCH_FENCE]
    sequence = write_frame(s)
    if s[a.E_HEAD] & 0xFF == ORDER_DECIDED:
        if outcome == ALLOWED and s[a.COMMAND] != CANCEL:
            issue_permit(s, address, sequence)
        remember(s, sequence)
    return s[a.E_HEAD]
