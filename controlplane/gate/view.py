"""Reads the state array for people and programs: the state of every scope, and every order that counts as live."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from controlplane.domain.ids import to_text
from controlplane.domain.orders import Side
from controlplane.domain.states import TradingState
from controlplane.gate.breakers.view import guard_state
from controlplane.gate.client import LiveOrder, Notice
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.loading import State


def scope_states(state: State) -> dict[str, int]:
    """Return the state of every scope, the stricter of what people and what breakers say; parents by identifier."""
    words = state.words
    found = {}
    for number, scope in enumerate(state.handles.scopes):
        node = int(words[a.NODES_AT]) + number * a.NODE_WORDS
        found[scope] = max(int(words[node + a.NODE_STATE]), guard_state(state, node))
    for slot in range(1, state.capacity.parents + 1):
        parent = int(words[a.PARENTS_AT]) + slot * a.PARENT_WORDS
        if words[parent + a.PARENT_STATE] != a.PARENT_FREE_STATE:
            node = int(words[a.PARENT_NODE_FIRST]) + slot * a.NODE_WORDS
            found[f"parent:{int(words[parent + a.PARENT_ID]):016x}"] = int(words[node + a.NODE_STATE])
    return found


def behaviour_uses(state: State, node: Sequence[int]) -> list[tuple[str, str, int, int, int, bool]]:
    """Return what a scope uses of its limits over time: name, unit, used, reserved, limit, and that it is known.

    Arguments
        node  the words of its node
    """
    row = node[a.NODE_BEHAVIOUR]
    if row == 0:
        return []
    own = [int(value) for value in state.words[row : row + a.BEHAVIOUR_WORDS]]
    live = node[a.NODE_OPEN_BUY] + node[a.NODE_OPEN_SELL]
    return [
        ("turnover", "micro", own[a.BEHAVIOUR_TURNOVER], live, own[a.BEHAVIOUR_TURNOVER_MAX], False),
        ("repeated_executions", "count", own[a.BEHAVIOUR_REPEATS], 0, own[a.BEHAVIOUR_REPEATS_MAX], False),
    ]


def live_orders(state: State) -> list[LiveOrder]:
    """Return every order that counts as live, in the order of their rows."""
    words = state.words
    first, stride = int(words[a.ORDERS_AT]), a.ORDER_WORDS
    states = words[first + a.ORDER_STATE : first + state.capacity.orders * stride : stride]
    return [_live_order(state, first + int(number) * stride) for number in np.flatnonzero(states)]


def _live_order(state: State, row: int) -> LiveOrder:
    words = state.words
    return LiveOrder(
        child_id=int(words[row + a.ORDER_ID]),
        parent_id=int(words[words[row + a.ORDER_PARENT] + a.PARENT_ID]),
        route=int(words[row + a.ORDER_ROUTE]),
        side=Side(int(words[row + a.ORDER_SIDE])),
        remaining_lots=max(0, int(words[row + a.ORDER_TOTAL] - words[row + a.ORDER_FILLED])),
        reserved_lots=int(words[row + a.ORDER_RESERVED]),
        price_ticks=int(words[row + a.ORDER_PRICE]),
        state=a.ORDER_STATE_NAMES[int(words[row + a.ORDER_STATE])],
    )


def order_row(order: LiveOrder) -> dict[str, object]:
    """Return a live order as JSON holds it."""
    return asdict(order) | {"child_id": to_text(order.child_id), "parent_id": to_text(order.parent_id)}


def notice_row(notice: Notice) -> dict[str, object]:
    """Return a notice as JSON holds it."""
    return asdict(notice) | {"state": notice.state.name}


def standing_rows(stops: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return every stop in force, as notices for a program that has just come; a kill shows as a halt."""
    states = [TradingState.__members__.get(stop["state"], TradingState.HALTED) for stop in stops]
    return [
        notice_row(Notice("state", stop["scope"], state, stop["reason"], int(stop["since_ns"])))
        for stop, state in zip(stops, states, strict=True)
    ]
