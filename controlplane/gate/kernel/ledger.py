"""Positions, reservations and the exposure of every scope, kept current with each order, fill and price.

A cell is one scope in one instrument: confirmed position, live buys, live sells, and what they are worth. A node is one
scope over all its instruments. Buys and sells never net: the worst long of a cell is what it holds long plus every live
buy, the worst short what it holds short plus every live sell, and its gross is the larger of the two.
"""

from controlplane.domain.states import TradingState
from controlplane.gate.kernel.arrays import (
    CELL_BUY,
    CELL_BUY_MICRO,
    CELL_CASH_RAW,
    CELL_FEES_MICRO,
    CELL_HELD_LONG_MICRO,
    CELL_HELD_SHORT_MICRO,
    CELL_INSTRUMENT,
    CELL_NEXT_OF_INSTRUMENT,
    CELL_NODE,
    CELL_POSITION,
    CELL_SELL,
    CELL_SELL_MICRO,
    CELL_VALUE,
    INDEX_WORDS,
    INSTRUMENT_FIRST_CELL,
    INSTRUMENT_HIGH,
    INSTRUMENT_KIND,
    INSTRUMENT_LOW,
    INSTRUMENT_NODE,
    INSTRUMENT_UNDERLYING_NODE,
    INVERSE,
    MONEY_MAX,
    NO_LIMIT,
    NODE_BASELINE,
    NODE_GROSS,
    NODE_KIND,
    NODE_LIVE,
    NODE_LONG,
    NODE_LOSS_MAX,
    NODE_OPEN_BUY,
    NODE_OPEN_SELL,
    NODE_SHORT,
    NODE_STATE,
    NODE_VALUE,
    NOTICE_COUNT,
    PATH_CELLS,
    PATH_NODES,
    SCOPES,
)
from controlplane.gate.kernel.compiled import Words, compiled, inlined
from controlplane.gate.kernel.families.measuring import read_worth
from controlplane.gate.kernel.hashing import index_hash
from controlplane.gate.kernel.valuation import CASH_MAX, cash_of_fill, is_possible, notional_micro, value_micro

HALTED = int(TradingState.HALTED)
FIRM, INSTRUMENT_SCOPE, UNDERLYING_SCOPE = 0, 5, 6


@inlined
def place_of(key: int, mask: int) -> int:
    """Return the word, counted from the start of an index, at which the search for a key begins."""
    return (index_hash(key) & mask) * INDEX_WORDS


@compiled
def find(s: Words, at: int, mask: int, key: int) -> int:
    """Return the row an index holds for a key, 0 when it holds none."""
    place = index_hash(key) & mask
    while True:
        entry = at + place * INDEX_WORDS
        held = s[entry]
        if held == key:
            return s[entry + 1]
        if held == 0:
            return 0
        place = (place + 1) & mask


@compiled
def insert(s: Words, at: int, mask: int, key: int, row: int) -> None:
    """Put a key that the index doesn't hold; the index has twice as many places as rows, so one is free."""
    place = index_hash(key) & mask
    while s[at + place * INDEX_WORDS] != 0:
        place = (place + 1) & mask
    s[at + place * INDEX_WORDS] = key
    s[at + place * INDEX_WORDS + 1] = row


@compiled
def remove(s: Words, at: int, mask: int, key: int) -> None:
    """Take a key out and close the gap, so that a search never meets a tombstone."""
    place = index_hash(key) & mask
    while s[at + place * INDEX_WORDS] != key:
        if s[at + place * INDEX_WORDS] == 0:
            return
        place = (place + 1) & mask
    hole = place
    follower = (place + 1) & mask
    while s[at + follower * INDEX_WORDS] != 0:
        home = index_hash(s[at + follower * INDEX_WORDS]) & mask
        if ((follower - home) & mask) >= ((follower - hole) & mask):
            s[at + hole * INDEX_WORDS] = s[at + follower * INDEX_WORDS]
            s[at + hole * INDEX_WORDS + 1] = s[at + follower * INDEX_WORDS + 1]
            hole = follower
        follower = (follower + 1) & mask
    s[at + hole * INDEX_WORDS] = 0
    s[at + hole * INDEX_WORDS + 1] = 0


@inlined
def cell_long(s: Words, cell: int) -> int:
    """Return the worst long of a cell in millionths."""
    return s[cell + CELL_HELD_LONG_MICRO] + s[cell + CELL_BUY_MICRO]


@inlined
def cell_short(s: Words, cell: int) -> int:
    """Return the worst short of a cell in millionths."""
    return s[cell + CELL_HELD_SHORT_MICRO] + s[cell + CELL_SELL_MICRO]


@compiled
def reserve(s: Words, side: int, lots: int, micro: int, orders: int) -> None:
    """Move live exposure of the whole path by signed amounts: taken at every scope or, called with minus, freed.

    Arguments
        side    +1 buy, -1 sell
        lots    change of live lots
        micro   change of reserved millionths
        orders  change of the number of live orders
    """
    firm_gross = 0
    for scope in range(SCOPES):
        node = s[PATH_NODES + scope]
        if scope in (INSTRUMENT_SCOPE, UNDERLYING_SCOPE):
            change = firm_gross
        else:
            cell = s[PATH_CELLS + scope]
            change = -max(cell_long(s, cell), cell_short(s, cell))
            if side > 0:
                s[cell + CELL_BUY] += lots
                s[cell + CELL_BUY_MICRO] += micro
            else:
                s[cell + CELL_SELL] += lots
                s[cell + CELL_SELL_MICRO] += micro
            change += max(cell_long(s, cell), cell_short(s, cell))
            if scope == FIRM:
                firm_gross = change
        s[node + NODE_GROSS] += change
        s[node + NODE_LIVE] += orders
        if side > 0:
            s[node + NODE_LONG] += micro
            s[node + NODE_OPEN_BUY] += micro
        else:
            s[node + NODE_SHORT] += micro
            s[node + NODE_OPEN_SELL] += micro


@compiled
def settle(s: Words, instrument: int, side: int, lots: int, price_ticks: int, fee_micro: int) -> None:
    """Turn a fill into position, cash and fees at every cell of the path, and let a breached loss limit halt its
    scope.
    """
    if s[instrument + INSTRUMENT_HIGH] == 0 and is_possible(s, instrument, price_ticks):
        s[instrument + INSTRUMENT_HIGH] = price_ticks
        s[instrument + INSTRUMENT_LOW] = price_ticks
    cash = cash_of_fill(s, instrument, side, lots, price_ticks)
    for scope in range(SCOPES):
        if scope != INSTRUMENT_SCOPE and scope != UNDERLYING_SCOPE:
            cell = s[PATH_CELLS + scope]
            if cell != 0:
                s[cell + CELL_POSITION] += side * lots
                s[cell + CELL_CASH_RAW] = max(-CASH_MAX, min(CASH_MAX, s[cell + CELL_CASH_RAW] + cash))
                s[cell + CELL_FEES_MICRO] = max(-MONEY_MAX, min(MONEY_MAX, s[cell + CELL_FEES_MICRO] + fee_micro))
                revalue_cell(s, cell)
    for scope in range(SCOPES):
        if s[PATH_CELLS + scope] != 0:
            halt_on_loss(s, s[PATH_NODES + scope])


@compiled
def revalue_cell(s: Words, cell: int) -> None:
    """Value the position of a cell again and carry every change to its node; the firm's also to instrument and
    underlying.
    """
    instrument = s[cell + CELL_INSTRUMENT]
    position = s[cell + CELL_POSITION]
    price = (
        s[instrument + INSTRUMENT_LOW]
        if s[instrument + INSTRUMENT_KIND] == INVERSE
        else s[instrument + INSTRUMENT_HIGH]
    )
    held_long, held_short = 0, 0
    if position > 0:
        held_long = _saturated(notional_micro(s, instrument, 1, position, price))
    elif position < 0:
        held_short = _saturated(notional_micro(s, instrument, -1, -position, price))
    gross_before = max(cell_long(s, cell), cell_short(s, cell))
    long_change = held_long - s[cell + CELL_HELD_LONG_MICRO]
    short_change = held_short - s[cell + CELL_HELD_SHORT_MICRO]
    s[cell + CELL_HELD_LONG_MICRO] = held_long
    s[cell + CELL_HELD_SHORT_MICRO] = held_short
    gross_change = max(cell_long(s, cell), cell_short(s, cell)) - gross_before
    value = max(value_micro(s, instrument, position, s[cell + CELL_CASH_RAW]) - s[cell + CELL_FEES_MICRO], -MONEY_MAX)
    value_change = value - s[cell + CELL_VALUE]
    s[cell + CELL_VALUE] = value
    node = s[cell + CELL_NODE]
    _carry(s, node, long_change, short_change, gross_change, value_change)
    if s[node + NODE_KIND] == FIRM:
        _carry(s, s[instrument + INSTRUMENT_NODE], long_change, short_change, gross_change, value_change)
        _carry(s, s[instrument + INSTRUMENT_UNDERLYING_NODE], long_change, short_change, gross_change, value_change)


@inlined
def _saturated(micro: int) -> int:
    """Return an exposure; one that can't be valued counts as the largest there is."""
    return MONEY_MAX if micro < 0 else micro


@compiled
def _carry(s: Words, node: int, long_change: int, short_change: int, gross_change: int, value_change: int) -> None:
    s[node + NODE_LONG] += long_change
    s[node + NODE_SHORT] += short_change
    s[node + NODE_GROSS] += gross_change
    s[node + NODE_VALUE] += value_change


@compiled
def halt_on_loss(s: Words, node: int) -> None:
    """Latch a scope as halted when its loss of the day is above its limit; its breakers read its worth."""
    limit = s[node + NODE_LOSS_MAX]
    if limit != NO_LIMIT and s[node + NODE_BASELINE] - s[node + NODE_VALUE] > limit and s[node + NODE_STATE] != HALTED:
        s[node + NODE_STATE] = HALTED
        s[NOTICE_COUNT] += 1
    read_worth(s, node)


@compiled
def revalue_instrument(s: Words, instrument: int) -> None:
    """Value every position in an instrument again, after its price or its currency moved; `halt_losers` comes after all
    instruments that moved with it, so that no scope is halted for the half of a hedge.
    """
    cell = s[instrument + INSTRUMENT_FIRST_CELL]
    while cell != 0:
        if s[cell + CELL_POSITION] != 0 or s[cell + CELL_CASH_RAW] != 0:
            revalue_cell(s, cell)
        cell = s[cell + CELL_NEXT_OF_INSTRUMENT]


@compiled
def halt_losers(s: Words, instrument: int) -> None:
    """Halt every scope with a position in the instrument whose loss of the day is above its limit."""
    cell = s[instrument + INSTRUMENT_FIRST_CELL]
    while cell != 0:
        if s[cell + CELL_POSITION] != 0 or s[cell + CELL_CASH_RAW] != 0:
            node = s[cell + CELL_NODE]
            halt_on_loss(s, node)
            if s[node + NODE_KIND] == FIRM:
                halt_on_loss(s, s[instrument + INSTRUMENT_NODE])
                halt_on_loss(s, s[instrument + INSTRUMENT_UNDERLYING_NODE])
        cell = s[cell + CELL_NEXT_OF_INSTRUMENT]
