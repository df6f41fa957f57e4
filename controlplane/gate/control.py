"""What people and services ask a gate beside its order path: how it is, what is used, and to stop or free a scope.

Each request is a name with fields and gets one JSON answer. Stopping takes one person, lifting a halt or a kill
two; who the two are has been checked by whoever asks, that they are two is checked here.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import InvalidRequest, NotPermitted, StateConflict, UnknownReference
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.observations import ReferenceSource
from controlplane.domain.orders import Side
from controlplane.domain.quantities import BPS, ceil_div
from controlplane.domain.scopes import FIRM, Level, Scope, parse_scope
from controlplane.domain.states import TradingState, lifting_needs
from controlplane.gate.breakers.requests import beat, breakers
from controlplane.gate.breakers.view import guard_state
from controlplane.gate.kernel import arrays as a
from controlplane.gate.view import behaviour_uses, scope_states
from controlplane.gate.words import REPEATS_CLEARED
from controlplane.journal.record import RecordKind

if TYPE_CHECKING:
    from controlplane.gate.gate import Gate

MACHINE = "machine"
TEXT_LETTERS_MAX = 400
STOPS = (TradingState.REDUCE_ONLY, TradingState.PAUSED, TradingState.HALTED)


def answer(gate: "Gate", name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to one control request.

    Errors
        UnknownReference  no request of this name, or a scope that names nothing
        InvalidRequest    a field is missing or malformed
        NotPermitted      a lift that takes two people named one
        StateConflict     the scope isn't in a state from which this leads anywhere
    """
    handler = _REQUESTS.get(name)
    if handler is None:
        raise UnknownReference(f"A gate answers {', '.join(_REQUESTS)}; found {name[:40]!r}.")
    return handler(gate, fields)


def _status(gate: "Gate", _fields: Mapping[str, Any]) -> dict[str, Any]:
    words, tally, now = gate.state.words, gate.tally, gate.clock.wall_ns()
    latencies = np.sort(tally.latencies_ns[: min(tally.decisions, len(tally.latencies_ns))])
    snapshot = gate.state.snapshot
    return {
        "gate_id": gate.gate_id,
        "epoch": gate.epoch,
        "state": "KILLED" if gate.is_killed() else _state_of(gate, FIRM).name,
        "fence": gate.fence(),
        "snapshot_version": snapshot.version,
        "snapshot_digest": snapshot.digest().hex(),
        "snapshot_expires_ns": snapshot.expires_ns,
        "started_ns": gate.started_ns,
        "wall_ns": now,
        "records": gate.writer.next_seq - 1,
        "durability": gate.writer.durability.value,
        "decisions": {Outcome(number).name: count for number, count in sorted(tally.outcomes.items())},
        "codes": {DenialCode(number).name: count for number, count in sorted(tally.codes.items())},
        "latency_ns": {"p50": _percentile(latencies, 50), "p99": _percentile(latencies, 99)},
        "live_orders": int(words[a.LIVE_COUNT]),
        "references": _references(gate, now),
        "states": _stops(gate),
    }


def _percentile(ordered: Any, percent: int) -> int:
    return int(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]) if len(ordered) else 0


def _references(gate: "Gate", now: int) -> list[dict[str, Any]]:
    """Return every reference that was ever observed, with its age by the older of both clocks."""
    words, rows = gate.state.words, []
    for number, name in enumerate(gate.state.handles.instruments):
        instrument = int(words[a.INSTRUMENTS_AT]) + number * a.INSTRUMENT_WORDS
        for source in ReferenceSource:
            row = instrument + a.INSTRUMENT_REFERENCES + int(source) * a.REFERENCE_WORDS
            bid, ask, exchange_ns, receive_ns, is_reference = (
                int(word) for word in words[row : row + a.REFERENCE_WORDS]
            )
            if receive_ns:
                age = max(now - exchange_ns, now - receive_ns)
                is_fresh = age <= words[instrument + a.INSTRUMENT_REFERENCE_AGE_MAX]
                rows.append(
                    {"instrument": name, "source": source.name.lower(), "bid_ticks": bid, "ask_ticks": ask,
                     "age_ns": age, "is_healthy": bool(is_reference and is_fresh)}
                )  # fmt: skip
    return rows


def _stops(gate: "Gate") -> list[dict[str, Any]]:
    rows = []
    for scope, state in scope_states(gate.state).items():
        if state:
            reason, by, since_ns = gate.announcer.stops.get(scope, ("set in an earlier run", "", 0))
            rows.append(
                {"scope": scope, "state": TradingState(state).name, "reason": reason, "by": by, "since_ns": since_ns}
            )
    if gate.is_killed():
        change = gate.switch.last_change()
        rows.append(
            {"scope": MACHINE, "state": "KILLED", "reason": change.reason, "by": change.by, "since_ns": change.wall_ns}
        )
    return rows


# --- utilisation ------------------------------------------------------------------------------------------------------


def _utilisation(gate: "Gate", _fields: Mapping[str, Any]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for scope, node in _nodes(gate):
        rows.extend(_node_rows(gate, scope, node))
    for scope, instrument, cell in _cells(gate):
        rows.extend(_cell_rows(gate, scope, instrument, cell))
    return {"wall_ns": gate.clock.wall_ns(), "rows": rows}


def _nodes(gate: "Gate") -> list[tuple[str, int]]:
    """Return every scope with its node, open parents included."""
    words, handles = gate.state.words, gate.state.handles
    found = [(scope, int(words[a.NODES_AT]) + number * a.NODE_WORDS) for number, scope in enumerate(handles.scopes)]
    for slot, parent in _open_parents(gate):
        found.append(
            (
                f"parent:{to_text(int(words[parent + a.PARENT_ID]))}",
                int(words[a.PARENT_NODE_FIRST]) + slot * a.NODE_WORDS,
            )
        )
    return found


def _open_parents(gate: "Gate") -> list[tuple[int, int]]:
    words = gate.state.words
    rows = (
        (slot, int(words[a.PARENTS_AT]) + slot * a.PARENT_WORDS) for slot in range(1, gate.state.capacity.parents + 1)
    )
    return [(slot, row) for slot, row in rows if words[row + a.PARENT_STATE] != a.PARENT_FREE_STATE]


def _cells(gate: "Gate") -> list[tuple[str, str, int]]:
    words, handles = gate.state.words, gate.state.handles
    found = []
    for number in range(int(words[a.CELL_COUNT])):
        cell = int(words[a.CELLS_AT]) + number * a.CELL_WORDS
        node = (int(words[cell + a.CELL_NODE]) - int(words[a.NODES_AT])) // a.NODE_WORDS
        instrument = (int(words[cell + a.CELL_INSTRUMENT]) - int(words[a.INSTRUMENTS_AT])) // a.INSTRUMENT_WORDS
        found.append((handles.scopes[node], handles.instruments[instrument], cell))
    return found


def _node_rows(gate: "Gate", scope: str, node: int) -> list[dict[str, Any]]:
    word = [int(value) for value in gate.state.words[node : node + a.NODE_WORDS]]
    is_unknown = bool(word[a.NODE_IS_LOSS_UNKNOWN])
    live_buy, live_sell = word[a.NODE_OPEN_BUY], word[a.NODE_OPEN_SELL]
    net, net_live = max((word[a.NODE_LONG], live_buy), (word[a.NODE_SHORT], live_sell))
    gross_live = min(word[a.NODE_GROSS], live_buy + live_sell)
    loss = max(0, word[a.NODE_BASELINE] - word[a.NODE_VALUE])
    messages = word[a.NODE_MESSAGES + a.WINDOW_TOTAL]
    denied = word[a.NODE_DENIED + a.WINDOW_TOTAL]
    uses = (
        ("gross_notional", "micro", word[a.NODE_GROSS] - gross_live, gross_live, word[a.NODE_GROSS_MAX], is_unknown),
        ("net_notional", "micro", net - net_live, net_live, word[a.NODE_NET_MAX], is_unknown),
        ("open_notional", "micro", 0, max(live_buy, live_sell), word[a.NODE_OPEN_MAX], False),
        ("live_orders", "count", 0, word[a.NODE_LIVE], word[a.NODE_LIVE_MAX], False),
        ("daily_loss", "micro", loss, 0, word[a.NODE_LOSS_MAX], is_unknown),
        ("message_count", "count", messages, 0, word[a.NODE_MESSAGES_MAX], False),
        ("denied_count", "count", denied, 0, word[a.NODE_DENIED_MAX], False),
        *behaviour_uses(gate.state, word),
    )
    return [_row(gate, scope, None, *use) for use in uses if use[4] != a.NO_LIMIT]


def _cell_rows(gate: "Gate", scope: str, instrument: str, cell: int) -> list[dict[str, Any]]:
    word = [int(value) for value in gate.state.words[cell : cell + a.CELL_WORDS]]
    position = word[a.CELL_POSITION]
    uses = (
        (
            "position_long",
            "lots",
            max(0, position),
            max(0, word[a.CELL_BUY] + min(0, position)),
            word[a.CELL_LONG_MAX],
            False,
        ),
        (
            "position_short",
            "lots",
            max(0, -position),
            max(0, word[a.CELL_SELL] - max(0, position)),
            word[a.CELL_SHORT_MAX],
            False,
        ),
    )
    rows = [_row(gate, scope, instrument, *use) for use in uses if use[4] != a.NO_LIMIT]
    if word[a.CELL_PARTICIPATION_MAX] != a.NO_LIMIT:
        rows.append(_participation_row(gate, scope, instrument, word))
    return rows


def _participation_row(gate: "Gate", scope: str, instrument: str, word: list[int]) -> dict[str, Any]:
    """Return our share of the market's volume in the window, in hundredths of a per cent, as it was last counted."""
    words = gate.state.words
    volume = int(words[word[a.CELL_INSTRUMENT] + a.INSTRUMENT_VOLUME])
    market = int(words[volume + a.VOLUME_MARKET + a.WINDOW_TOTAL])
    own, live = int(words[volume + a.VOLUME_OWN + a.WINDOW_TOTAL]), int(words[volume + a.VOLUME_LIVE])
    is_unknown = market == 0 and (own > 0 or live > 0)
    used = ceil_div(own * BPS, market) if market else 0
    reserved = ceil_div(live * BPS, market) if market else 0
    return _row(
        gate, scope, instrument, "participation", "bps", used, reserved, word[a.CELL_PARTICIPATION_MAX], is_unknown
    )


def _row(
    gate: "Gate",
    scope: str,
    instrument: str | None,
    limit: str,
    unit: str,
    used: int,
    reserved: int,
    limit_value: int,
    is_unknown: bool,
) -> dict[str, Any]:
    """Return one row of the answer; `share_bps` is rounded up, and use of a limit of zero is above it."""
    taken = used + reserved
    share = ceil_div(taken * BPS, limit_value) if limit_value else (0 if taken == 0 else BPS + 1)
    return {
        "limit": limit, "scope": scope, "instrument": instrument, "unit": unit, "used": used, "reserved": reserved,
        "limit_value": limit_value, "headroom": limit_value - taken, "share_bps": share,
        "is_near": share >= gate.state.snapshot.near_bps, "is_unknown": is_unknown,
    }  # fmt: skip


# --- working orders, stops --------------------------------------------------------------------------------------------


def _working(gate: "Gate", _fields: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for order in gate.working():
        route = gate.state.handles.routes[order.route]
        rows.append(
            {"child_id": to_text(order.child_id), "parent_id": to_text(order.parent_id), "instrument": route.instrument,
             "desk": route.desk, "strategy": route.strategy, "model": route.model, "venue": route.venue,
             "counterparty": route.counterparty, "side": Side(order.side).name, "remaining_lots": order.remaining_lots,
             "reserved_lots": order.reserved_lots, "price_ticks": order.price_ticks, "state": order.state}
        )  # fmt: skip
    return {"wall_ns": gate.clock.wall_ns(), "rows": rows}


def _set_state(gate: "Gate", fields: Mapping[str, Any]) -> dict[str, Any]:
    started = gate.clock.monotonic_ns()
    scope, reason, by = parse_scope(_text(fields, "scope")), _text(fields, "reason"), _text(fields, "by")
    name = _text(fields, "state").upper()
    if name not in {state.name for state in STOPS}:
        raise InvalidRequest(
            f"A scope is put into {', '.join(state.name for state in STOPS)}; found {name[:40]!r}.", field="state"
        )
    # What a breaker did may end by itself: a person's stop stands beside it, also when it is no stricter.
    wanted, present = TradingState[name], TradingState(int(gate.state.words[_node_row(gate, scope) + a.NODE_STATE]))
    if wanted < present:
        raise StateConflict(f"{scope} is {present.name} already, which stops more than {wanted.name}; lift it first.")
    if wanted > present:
        gate.set_state(_scope_words(gate, scope), wanted, reason=reason, by=by)
    return _stopped(gate, scope, started)


def _lift(gate: "Gate", fields: Mapping[str, Any]) -> dict[str, Any]:
    started = gate.clock.monotonic_ns()
    name, reason, by = _text(fields, "scope"), _text(fields, "reason"), _text(fields, "by")
    second = _text(fields, "second") if fields.get("second") else ""
    if name == MACHINE and not gate.is_killed():
        raise StateConflict("The machine isn't killed; there is nothing to lift.")
    if name == MACHINE or (name == str(FIRM) and gate.is_killed()):
        _require_two(by, second, "a kill")
        gate.switch.arm(reason=reason, by=f"{by} and {second}", fence=_fence(gate, fields))
        gate.notice_switch()
        gate.commit()
        return _stopped(gate, FIRM, started)
    scope = parse_scope(name)
    present = _state_of(gate, scope)
    if present is TradingState.ACTIVE:
        raise StateConflict(f"{scope} is active; there is nothing to lift.")
    if lifting_needs(present) == 2:
        _require_two(by, second, "a halt")
    gate.set_state(
        _scope_words(gate, scope), TradingState.ACTIVE, reason=reason, by=f"{by} and {second}" if second else by
    )
    return _stopped(gate, scope, started)


def _require_two(by: str, second: str, what: str) -> None:
    if not second or second.casefold() == by.casefold():
        raise NotPermitted(
            f"Lifting {what} takes two different people; found {by!r} and {second!r}.", rule="lift-needs-two"
        )


def _enable(gate: "Gate", fields: Mapping[str, Any]) -> dict[str, Any]:
    """GT30: let a scope go on that went on after its fills as often as it may; a named person's act."""
    scope, reason, by = parse_scope(_text(fields, "scope")), _text(fields, "reason"), _text(fields, "by")
    scopes = gate.state.handles.scopes
    number = scopes.index(str(scope)) if str(scope) in scopes else -1
    if gate.apply([REPEATS_CLEARED, *[0] * 4, number, *[0] * 10]) >> 16 & 0xFFFF != Outcome.ALLOWED:
        raise StateConflict(f"{scope} has no limit on repeated execution; there is nothing to enable.")
    kind = RecordKind.SCOPE_ENABLED
    gate.writer.append_json({"kind": kind.text, "scope": str(scope), "reason": reason, "by": by})
    gate.commit()
    return {"scope": str(scope), "by": by, "sequence": gate.writer.next_seq - 1}


def _kill(gate: "Gate", fields: Mapping[str, Any]) -> dict[str, Any]:
    started = gate.clock.monotonic_ns()
    name = str(fields.get("scope") or FIRM)
    reason, by = _text(fields, "reason"), _text(fields, "by")
    if name in ("firm", str(FIRM), MACHINE):
        gate.switch.kill(reason=reason, by=by)
        blocked = gate.clock.monotonic_ns() - started
        gate.notice_switch()  # durable when it returns
        return {**_stopped(gate, FIRM, started), "blocked_ns": blocked}
    return _set_state(gate, {**fields, "scope": name, "state": TradingState.HALTED.name})


def _stopped(gate: "Gate", scope: Scope, started: int) -> dict[str, Any]:
    """Return what a stop or a lift did: how long until it held, and how many orders are working in the scope."""
    return {
        "blocked_ns": gate.clock.monotonic_ns() - started, "working": _working_in(gate, scope),
        "sequence": gate.writer.next_seq - 1,
        "fence": gate.fence(), "state": _state_of(gate, scope).name, "scope": str(scope),
    }  # fmt: skip


def _working_in(gate: "Gate", scope: Scope) -> int:
    return int(gate.state.words[_node_row(gate, scope) + a.NODE_LIVE])


def _state_of(gate: "Gate", scope: Scope) -> TradingState:
    """Return the state of a scope, the stricter of what people and what breakers say."""
    node = _node_row(gate, scope)
    return TradingState(max(int(gate.state.words[node + a.NODE_STATE]), guard_state(gate.state, node)))


def _node_row(gate: "Gate", scope: Scope) -> int:
    rows = dict(_nodes(gate))
    if str(scope) not in rows:
        raise UnknownReference(f"The gate knows no scope {scope}; see the scopes of `controlplane status --json`.")
    return rows[str(scope)]


def _scope_words(gate: "Gate", scope: Scope) -> tuple[int, int]:
    """Return kind and number of a scope for the machine: a parent by its identifier, any other by its node."""
    if scope.kind == Level.PARENT:
        return int(scope.kind), from_text(scope.name)
    return int(scope.kind), gate.state.handles.scopes.index(str(scope))


def _fence(gate: "Gate", fields: Mapping[str, Any]) -> int:
    """Return the fence that the two people saw; the present one when they don't say."""
    seen = fields.get("fence")
    if seen is None:
        return gate.fence()
    if isinstance(seen, bool) or not isinstance(seen, int):
        raise InvalidRequest(
            f"fence must be the whole number that `controlplane status` shows, found {type(seen).__name__}; state it.",
            field="fence",
        )
    return seen


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= TEXT_LETTERS_MAX:
        raise InvalidRequest(
            f"{name} must be text of 1 to {TEXT_LETTERS_MAX} letters, found {type(value).__name__}; state it.",
            field=name,
        )
    return value.strip()


_REQUESTS: Mapping[str, Callable[["Gate", Mapping[str, Any]], dict[str, Any]]] = {
    "status": _status,
    "utilisation": _utilisation,
    "working": _working,
    "set_state": _set_state,
    "lift": _lift,
    "enable": _enable,
    "kill": _kill,
    "breakers": breakers,
    "beat": beat,
}
