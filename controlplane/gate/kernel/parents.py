"""Parent orders in the gate: the quantity that children may share, and a scope of its own with its own limits.

Row 0 stands for "no parent": it takes the path of a fill whose order nobody knows.
"""

from controlplane.domain.ids import ID_MAX
from controlplane.domain.quantities import QUANTITY_LOTS_CAP
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.families.measuring import note_arrival, note_end
from controlplane.gate.kernel.ledger import find, insert, remove

ALLOWED, DENIED = 1, 2
PARENT = 4


@compiled
def open_parent(s: Words) -> int:
    """Open the parent in the record being made; DENIED when it is malformed, known already, or there is no room."""
    route, quantity, side = s[a.E_ROUTE], s[a.E_QUANTITY], s[a.E_SIDE]
    if not (0 < s[a.E_PARENT] <= ID_MAX and 0 <= route < s[a.ROUTE_COUNT] and 0 < quantity <= QUANTITY_LOTS_CAP):
        return DENIED
    mask = 2 * s[a.PARENT_CAPACITY] - 1
    parent = s[a.PARENT_FREE]
    if not (side == 1 or side == -1) or parent == 0 or find(s, s[a.PARENT_INDEX_AT], mask, s[a.E_PARENT]) != 0:
        return DENIED
    row = s[a.ROUTES_AT] + route * a.ROUTE_WORDS
    s[a.PARENT_FREE] = s[parent + a.PARENT_NEXT_FREE]
    for word in range(a.PARENT_WORDS):
        s[parent + word] = 0
    s[parent + a.PARENT_ID], s[parent + a.PARENT_STATE], s[parent + a.PARENT_ROUTE] = s[a.E_PARENT], a.PARENT_OPEN, row
    s[parent + a.PARENT_SIDE], s[parent + a.PARENT_QUANTITY] = side, quantity
    s[parent + a.PARENT_CHILDREN_MAX], s[parent + a.PARENT_AMENDS_MAX] = (
        s[row + a.ROUTE_CHILDREN_MAX],
        s[row + a.ROUTE_AMENDS_MAX],
    )
    insert(s, s[a.PARENT_INDEX_AT], mask, s[a.E_PARENT], parent)
    start_scope(s, parent, row)
    note_arrival(s, parent, s[row + a.ROUTE_INSTRUMENT])
    return ALLOWED


@compiled
def node_of(s: Words, parent: int) -> int:
    """Return the node of a parent's own scope."""
    return s[a.PARENT_NODE_FIRST] + (parent - s[a.PARENTS_AT]) // a.PARENT_WORDS * a.NODE_WORDS


@compiled
def cell_of(s: Words, parent: int) -> int:
    """Return the cell of a parent's own scope."""
    return s[a.PARENT_CELL_FIRST] + (parent - s[a.PARENTS_AT]) // a.PARENT_WORDS * a.CELL_WORDS


@compiled
def start_scope(s: Words, parent: int, route: int) -> None:
    """Give a parent its empty node and cell with the limits of its strategy, and let price moves reach the cell.

    The cell has no limits in lots: the quantity that the children share is one check, `check_parent`.
    """
    node, cell = node_of(s, parent), cell_of(s, parent)
    for word in range(a.NODE_WORDS):
        s[node + word] = 0
    for word in range(a.CELL_WORDS):
        s[cell + word] = 0
    s[node + a.NODE_KIND] = PARENT
    s[node + a.NODE_ORDER_MICRO_MAX], s[node + a.NODE_GROSS_MAX] = (
        s[route + a.ROUTE_PARENT_ORDER_MICRO],
        s[route + a.ROUTE_PARENT_GROSS],
    )
    s[node + a.NODE_NET_MAX], s[node + a.NODE_OPEN_MAX] = s[route + a.ROUTE_PARENT_NET], s[route + a.ROUTE_PARENT_OPEN]
    s[node + a.NODE_LIVE_MAX], s[node + a.NODE_LOSS_MAX] = (
        s[route + a.ROUTE_PARENT_LIVE],
        s[route + a.ROUTE_PARENT_LOSS],
    )
    s[node + a.NODE_MESSAGES_MAX] = s[route + a.ROUTE_PARENT_MESSAGES]
    s[node + a.NODE_ORDER_MESSAGES_MAX] = s[route + a.ROUTE_PARENT_ORDER_MESSAGES]
    s[node + a.NODE_DENIED_MAX] = s[route + a.ROUTE_PARENT_DENIED]
    instrument = s[route + a.ROUTE_INSTRUMENT]
    s[cell + a.CELL_NODE], s[cell + a.CELL_INSTRUMENT] = node, instrument
    s[cell + a.CELL_ORDER_MAX] = s[cell + a.CELL_LONG_MAX] = s[cell + a.CELL_SHORT_MAX] = a.NO_LIMIT
    s[cell + a.CELL_PARTICIPATION_MAX] = a.NO_LIMIT
    s[cell + a.CELL_NEXT_OF_INSTRUMENT] = s[instrument + a.INSTRUMENT_FIRST_CELL]
    s[instrument + a.INSTRUMENT_FIRST_CELL] = cell


@compiled
def close_parent(s: Words) -> int:
    """Close the parent in the record being made: no new children; its row is given back with its last live child."""
    parent = find(s, s[a.PARENT_INDEX_AT], 2 * s[a.PARENT_CAPACITY] - 1, s[a.E_PARENT])
    if parent == 0 or s[parent + a.PARENT_STATE] != a.PARENT_OPEN:
        return DENIED
    s[parent + a.PARENT_STATE] = a.PARENT_CLOSED_STATE
    note_end(s, parent, node_of(s, parent))
    release_parent(s, parent)
    return ALLOWED


@compiled
def release_parent(s: Words, parent: int) -> None:
    """Give the row of a closed parent back once no child of it is live."""
    if s[parent + a.PARENT_STATE] != a.PARENT_CLOSED_STATE or s[node_of(s, parent) + a.NODE_LIVE] != 0:
        return
    cell = cell_of(s, parent)
    link = s[cell + a.CELL_INSTRUMENT] + a.INSTRUMENT_FIRST_CELL
    while s[link] != cell:
        link = s[link] + a.CELL_NEXT_OF_INSTRUMENT
    s[link] = s[cell + a.CELL_NEXT_OF_INSTRUMENT]
    remove(s, s[a.PARENT_INDEX_AT], 2 * s[a.PARENT_CAPACITY] - 1, s[parent + a.PARENT_ID])
    s[parent + a.PARENT_STATE] = a.PARENT_FREE_STATE
    s[parent + a.PARENT_NEXT_FREE] = s[a.PARENT_FREE]
    s[a.PARENT_FREE] = parent
