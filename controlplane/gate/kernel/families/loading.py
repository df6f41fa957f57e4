"""Breakers and dynamic limits into the state, and from one set of limits to the next. Not on the order path."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.errors import PolicyInvalid, SnapshotMismatch
from controlplane.domain.measures import EVENTS, WINDOWED, Measure
from controlplane.domain.quantities import BPS, ceil_div
from controlplane.domain.scopes import CrossDimension, Scope
from controlplane.domain.states import TradingState
from controlplane.gate.breakers.rules import NONE, BreakerRule, FactorRule
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import entry, words_at
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.families.breakers import refresh
from controlplane.gate.kernel.windows import PARTS
from controlplane.gate.snapshot import Snapshot

if TYPE_CHECKING:
    from controlplane.gate.kernel.loading import State

# Which denial an open breaker is, by what it measures; BREAKER_OPEN for every other measure.
CODES = {
    Measure.FILLED_NOTIONAL: Code.FILL_VELOCITY_ABOVE_LIMIT,
    Measure.DRAWDOWN: Code.DRAWDOWN_ABOVE_LIMIT,
    Measure.LOSS_IN_WINDOW: Code.LOSS_VELOCITY_ABOVE_LIMIT,
    Measure.MODEL_UNCERTAINTY: Code.MODEL_UNCERTAIN,
    Measure.SUPERVISOR_SILENCE: Code.SUPERVISION_MISSING,
    Measure.MARKET_DATA_SILENCE: Code.SUPERVISION_MISSING,
    Measure.CLOCK_SILENCE: Code.SUPERVISION_MISSING,
    Measure.JOURNAL_SILENCE: Code.SUPERVISION_MISSING,
}
RowOf = Callable[[Scope], int]


def guard_words(snapshot: Snapshot) -> int:
    """Return how many words the block of breakers and factors takes."""
    return (
        p.HEAD_WORDS
        + len(_scopes(snapshot)) * p.GUARD_WORDS
        + len(snapshot.breakers) * p.BREAKER_WORDS
        + len(snapshot.factors) * p.FACTOR_WORDS
    )


def fill_guards(words: Any, snapshot: Snapshot, node_row: RowOf, instrument_row: Callable[[int], int]) -> None:
    """Lay the block out and fill it: every breaker closed, every factor whole, what was never told as the rules say.

    Errors
        PolicyInvalid when a share of the volume is looked at in a scope that is no instrument
    """
    block, scopes = int(words[a.GUARDS_AT]), _scopes(snapshot)
    rows = block + p.HEAD_WORDS
    breakers = rows + len(scopes) * p.GUARD_WORDS
    factors = breakers + len(snapshot.breakers) * p.BREAKER_WORDS
    end = factors + len(snapshot.factors) * p.FACTOR_WORDS
    words[block : block + 6] = breakers, factors, factors, end, rows, breakers
    words[a.GUARD_ROWS] = len(scopes)
    guards = {scope: rows + number * p.GUARD_WORDS for number, scope in enumerate(scopes)}
    for scope, guard in guards.items():
        words[guard + p.GUARD_NODE] = node_row(scope)
        words[node_row(scope) + a.NODE_GUARD] = guard
    names = [rules.instrument.name for rules in snapshot.instruments]
    for number, rule in reversed(list(enumerate(snapshot.breakers))):
        row = breakers + number * p.BREAKER_WORDS
        _fill_breaker(words, row, number, rule, guards[rule.scope])
        if rule.measure == Measure.PARTICIPATION:
            if rule.scope.kind != CrossDimension.INSTRUMENT:
                raise PolicyInvalid(
                    f"Breaker {rule.name} looks at our share of the volume at {rule.scope}; only an instrument has one."
                )
            words[row + p.SUBJECT] = instrument_row(names.index(rule.scope.name))
    for number, factor in reversed(list(enumerate(snapshot.factors))):
        _fill_factor(words, factors + number * p.FACTOR_WORDS, number, factor, guards[factor.scope])
    for guard in guards.values():
        _first_cut(words, guard)


def _scopes(snapshot: Snapshot) -> list[Scope]:
    breakers, factors = (rule.scope for rule in snapshot.breakers), (rule.scope for rule in snapshot.factors)
    return list(dict.fromkeys((*breakers, *factors)))


def _fill_breaker(words: Any, row: int, number: int, rule: BreakerRule, guard: int) -> None:
    sign = -1 if rule.is_below else 1
    pairs = (
        (p.GUARD, guard), (p.INPUT, rule.measure), (p.NEXT, words[guard + p.GUARD_BREAKER]), (p.NUMBER, number),
        (p.SIGN, sign), (p.TRIP, sign * rule.trip_at), (p.CLEAR, sign * rule.clear_at),
        (p.HARD, NONE if rule.hard_at == NONE else sign * rule.hard_at), (p.HOLD_NS, rule.hold_ns),
        (p.READINGS_MIN, rule.readings_min), (p.PART_NS, max(1, ceil_div(rule.window_ns, PARTS))),
        (p.AGE_MAX, rule.age_ns_max), (p.MISSING, rule.missing_state), (p.STALE, rule.stale_state),
        (p.ACTION, rule.action), (p.TOP, rule.top), (p.SIZE_CUT, BPS - rule.size_bps),
        (p.PROBATION_CUT, BPS - rule.probation_bps), (p.OPEN_NS_MIN, rule.open_ns_min), (p.CLEAN_NS_MIN, rule.clean_ns),
        (p.PROBATION_NS, rule.probation_ns), (p.RETRIP_NS, rule.retrip_ns), (p.IS_LATCHED, int(rule.is_latched)),
        (p.IS_DAILY, int(rule.is_daily)), (p.IS_EVENT, int(rule.measure in EVENTS)),
        (p.CODE, int(CODES.get(Measure(rule.measure), Code.BREAKER_OPEN))), (p.LIMIT_SHOWN, rule.trip_at),
        (p.UNKNOWN, rule.missing_state),
    )  # fmt: skip
    for word, value in pairs:
        words[row + word] = value
    words[guard + p.GUARD_BREAKER] = row


def _fill_factor(words: Any, row: int, number: int, rule: FactorRule, guard: int) -> None:
    sign = 1 if rule.floor_at > rule.full_at else -1
    floor_cut = BPS - rule.floor_bps
    missing = floor_cut if rule.is_floor_when_missing else 0
    pairs = (
        (p.F_GUARD, guard), (p.F_INPUT, rule.measure), (p.F_NEXT, words[guard + p.GUARD_FACTOR]), (p.F_NUMBER, number),
        (p.F_SIGN, sign), (p.F_FULL, sign * rule.full_at), (p.F_FLOOR, sign * rule.floor_at),
        (p.F_FLOOR_CUT, floor_cut), (p.F_MISSING_CUT, missing), (p.F_QUIET_NS, rule.quiet_ns),
        (p.F_RECOVER, rule.recover_bps_per_minute), (p.F_AGE_MAX, rule.age_ns_max),
        (p.F_CUT, missing), (p.F_WANTED, missing),
    )  # fmt: skip
    for word, value in pairs:
        words[row + word] = value
    words[guard + p.GUARD_FACTOR] = row


def _first_cut(words: Any, guard: int) -> None:
    """Let what was never told hold from the first command on."""
    breaker, factor = int(words[guard + p.GUARD_BREAKER]), int(words[guard + p.GUARD_FACTOR])
    while breaker:
        state = int(words[breaker + p.UNKNOWN])
        words[guard + p.GUARD_STATE] = max(int(words[guard + p.GUARD_STATE]), state)
        if state == TradingState.PROBATION:
            cut = max(int(words[guard + p.GUARD_SIZE_CUT]), int(words[breaker + p.PROBATION_CUT]))
            words[guard + p.GUARD_SIZE_CUT] = cut
        breaker = int(words[breaker + p.NEXT])
    while factor:
        words[guard + p.GUARD_LIMIT_CUT] = max(int(words[guard + p.GUARD_LIMIT_CUT]), int(words[factor + p.F_CUT]))
        factor = int(words[factor + p.F_NEXT])
    words[a.IS_GUARDED] += int(any(words[guard : guard + p.GUARD_BREAKER]))


# --- from one set of limits to the next -------------------------------------------------------------------------------


def carry_guards(old: "State", new: "State") -> None:
    """Carry what breakers and factors remember over, found again by name and scope.

    Errors
        SnapshotMismatch when the new limits leave out a breaker that is open
    """
    before, after = old.words, new.words
    head, target = int(before[a.GUARDS_AT]), int(after[a.GUARDS_AT])
    for word in range(p.LAST_WALL_NS, p.BEATS + p.BEAT_COUNT):
        after[target + word] = before[head + word]
    after[a.GUARD_DIGEST] = before[a.GUARD_DIGEST]
    held, wanted = _breaker_rows(old), _breaker_rows(new)
    for (name, scope), row in held.items():
        if (name, scope) in wanted:
            _carry_breaker(before, after, row, wanted[name, scope])
        elif before[row + p.STATE] != p.CLOSED:
            raise SnapshotMismatch(
                f"The new limits leave out the breaker {name} of {scope}, which isn't closed; keep it in the policy "
                "until it is."
            )
    for names, row in wanted.items():
        if names not in held:
            worth = after[after[after[row + p.GUARD] + p.GUARD_NODE] + a.NODE_VALUE]
            after[row + p.MARK] = after[row + p.PREVIOUS] = worth
            if after[row + p.INPUT] == Measure.LOSS_IN_WINDOW:
                after[row + p.WINDOW + a.WINDOW_FIRST : row + p.WINDOW + a.WINDOW_WORDS] = worth
    factors = _factor_rows(new)
    for names, row in _factor_rows(old).items():
        if names in factors:
            target = factors[names]
            after[target + p.F_CUT : target + p.F_VALUE + 1] = before[row + p.F_CUT : row + p.F_VALUE + 1]
            after[target + p.F_CUT] = min(int(after[target + p.F_CUT]), int(after[target + p.F_FLOOR_CUT]))
    refresh_guards(new.address)


def _carry_breaker(before: Any, after: Any, row: int, target: int) -> None:
    last = p.WINDOW + a.WINDOW_WORDS
    after[target + p.STATE : target + last] = before[row + p.STATE : row + last]
    if after[target + p.READ] == 0:
        after[target + p.UNKNOWN] = after[target + p.MISSING]
    old_part, new_part = int(before[row + p.PART_NS]), int(after[target + p.PART_NS])
    if old_part == new_part or Measure(int(after[target + p.INPUT])) not in WINDOWED:
        return
    # Under another length everything counts as newest, so that none of it is released early.
    window, first = target + p.WINDOW, target + p.WINDOW + a.WINDOW_FIRST
    parts = before[row + p.WINDOW + a.WINDOW_FIRST : row + last]
    newest = int(before[row + p.WINDOW + a.WINDOW_LAST]) * old_part // new_part
    after[window + a.WINDOW_LAST] = newest
    if after[target + p.INPUT] == Measure.LOSS_IN_WINDOW:
        after[first : first + a.WINDOW_BUCKETS] = parts.max()
    else:
        after[first : first + a.WINDOW_BUCKETS] = 0
        after[first + newest % a.WINDOW_BUCKETS] = before[row + p.WINDOW + a.WINDOW_TOTAL]


def _breaker_rows(state: "State") -> dict[tuple[str, Scope], int]:
    first = int(state.words[int(state.words[a.GUARDS_AT]) + p.BREAKERS_AT])
    rules = state.snapshot.breakers
    return {(rule.name, rule.scope): first + number * p.BREAKER_WORDS for number, rule in enumerate(rules)}


def _factor_rows(state: "State") -> dict[tuple[str, Scope], int]:
    first = int(state.words[int(state.words[a.GUARDS_AT]) + p.FACTORS_AT])
    rules = state.snapshot.factors
    return {(rule.name, rule.scope): first + number * p.FACTOR_WORDS for number, rule in enumerate(rules)}


@entry
def refresh_guards(address: int) -> int:
    """Return how many scopes have breakers or factors, after working out again what those come to."""
    s = words_at(address)
    block = s[a.GUARDS_AT]
    for guard in range(s[block + p.ROWS_AT], s[block + p.ROWS_END], p.GUARD_WORDS):
        refresh(s, guard)
    return s[a.GUARD_ROWS]
