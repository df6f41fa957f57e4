"""The inside of a compiled gate as objects, read from its state array: what the ledger says, and what it should say.

What it should say is summed up from the live orders, one by one, with nothing taken from the totals.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from controlplane.domain.scopes import CrossDimension, Level
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.loading import State

SCOPES = range(a.SCOPES)
FIRM_WIDE = (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING)


@dataclass(frozen=True, slots=True)
class Live:
    """A live order with the rows of its path: nodes and cells by kind of scope."""

    child_id: int
    row: int
    parent: int
    route: int
    side: int
    total_lots: int
    filled_lots: int
    reserved_lots: int
    reserved_micro: int
    state: int
    nodes: tuple[int, ...]
    cells: tuple[int, ...]
    volumes: tuple[int, int]
    is_aggressive: bool


@dataclass(slots=True)
class Inside:
    """The words of a state, as numbers of unbounded size."""

    state: State
    words: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words = self.state.words.tolist()

    def orders(self) -> list[Live]:
        """Return every order that counts as live."""
        first, count = self.words[a.ORDERS_AT], self.state.capacity.orders
        rows = range(first, first + count * a.ORDER_WORDS, a.ORDER_WORDS)
        return [self.order(row) for row in rows if self.words[row + a.ORDER_STATE] != a.FREE]

    def order(self, row: int) -> Live:
        words, at = self.words, self.words[row : row + a.ORDER_WORDS]
        route = words[a.ROUTES_AT] + at[a.ORDER_ROUTE] * a.ROUTE_WORDS
        slot = (at[a.ORDER_PARENT] - words[a.PARENTS_AT]) // a.PARENT_WORDS
        nodes = words[route + a.ROUTE_NODES : route + a.ROUTE_NODES + a.SCOPES]
        cells = words[route + a.ROUTE_CELLS : route + a.ROUTE_CELLS + a.SCOPES]
        nodes[Level.PARENT] = words[a.PARENT_NODE_FIRST] + slot * a.NODE_WORDS
        cells[Level.PARENT] = words[a.PARENT_CELL_FIRST] + slot * a.CELL_WORDS
        everywhere = words[words[route + a.ROUTE_INSTRUMENT] + a.INSTRUMENT_VOLUME]
        return Live(
            at[a.ORDER_ID], row, at[a.ORDER_PARENT], at[a.ORDER_ROUTE], at[a.ORDER_SIDE], at[a.ORDER_TOTAL],
            at[a.ORDER_FILLED], at[a.ORDER_RESERVED], at[a.ORDER_MICRO], at[a.ORDER_STATE], tuple(nodes), tuple(cells),
            (everywhere, words[route + a.ROUTE_VOLUME]), bool(at[a.ORDER_IS_AGGRESSIVE]),
        )  # fmt: skip

    def parents(self) -> list[int]:
        """Return the rows of parent orders that aren't free."""
        first = self.words[a.PARENTS_AT]
        rows = range(first + a.PARENT_WORDS, first + (self.state.capacity.parents + 1) * a.PARENT_WORDS, a.PARENT_WORDS)
        return [row for row in rows if self.words[row + a.PARENT_STATE] != a.PARENT_FREE_STATE]

    def nodes(self) -> list[int]:
        """Return the rows of all scopes, those of parents that aren't free included."""
        words = self.words
        own = [words[a.NODES_AT] + number * a.NODE_WORDS for number in range(words[a.NODE_COUNT])]
        return own + [self.parent_node(parent) for parent in self.parents()]

    def cells(self) -> list[int]:
        """Return the rows of all scopes in an instrument, those of parents that aren't free included."""
        words = self.words
        own = [words[a.CELLS_AT] + number * a.CELL_WORDS for number in range(words[a.CELL_COUNT])]
        return own + [self.parent_cell(parent) for parent in self.parents()]

    def parent_node(self, parent: int) -> int:
        slot = (parent - self.words[a.PARENTS_AT]) // a.PARENT_WORDS
        return self.words[a.PARENT_NODE_FIRST] + slot * a.NODE_WORDS

    def parent_cell(self, parent: int) -> int:
        slot = (parent - self.words[a.PARENTS_AT]) // a.PARENT_WORDS
        return self.words[a.PARENT_CELL_FIRST] + slot * a.CELL_WORDS

    def volumes(self) -> list[int]:
        words = self.words
        return [words[a.VOLUMES_AT] + number * a.VOLUME_WORDS for number in range(words[a.VOLUME_COUNT])]

    def indexed(self, at: int, rows: int) -> dict[int, int]:
        """Return what an index holds: rows by key."""
        first = self.words[at]
        entries = range(first, first + 2 * rows * a.INDEX_WORDS, a.INDEX_WORDS)
        return {self.words[entry]: self.words[entry + 1] for entry in entries if self.words[entry] != 0}


def faults(state: State) -> Iterator[str]:
    """Yield one sentence for every amount in the ledger that isn't the sum of its parts."""
    inside = Inside(state)
    wanted: dict[int, int] = defaultdict(int)
    for order in inside.orders():
        _reserve(wanted, order)
    for row, words in _moved_words(inside):
        for word in words:
            if inside.words[row + word] != wanted[row + word]:
                yield f"word {word} of row {row} is {inside.words[row + word]}, its orders say {wanted[row + word]}"
    for node, cells in _parts(inside):
        for word, total in _totals(inside, cells).items():
            if inside.words[node + word] != total:
                yield f"word {word} of scope {node} is {inside.words[node + word]}, its cells say {total}"
    live = {order.child_id: order.row for order in inside.orders()}
    if inside.indexed(a.ORDER_INDEX_AT, state.capacity.orders) != live:
        yield "the index of orders names others than are live"
    if inside.words[a.LIVE_COUNT] != len(live):
        yield f"{inside.words[a.LIVE_COUNT]} orders are counted as live, {len(live)} are"
    if _free_rows(inside) != state.capacity.orders - len(live):
        yield f"{_free_rows(inside)} rows for orders are free beside {len(live)} live ones"


def _reserve(wanted: dict[int, int], order: Live) -> None:
    """Add up what one live order should have taken of everything."""
    buy = order.side > 0
    for scope in SCOPES:
        node, cell = order.nodes[scope], order.cells[scope]
        wanted[node + a.NODE_LIVE] += 1
        wanted[node + (a.NODE_OPEN_BUY if buy else a.NODE_OPEN_SELL)] += order.reserved_micro
        if scope not in FIRM_WIDE:
            wanted[cell + (a.CELL_BUY if buy else a.CELL_SELL)] += order.reserved_lots
            wanted[cell + (a.CELL_BUY_MICRO if buy else a.CELL_SELL_MICRO)] += order.reserved_micro
    wanted[order.parent + a.PARENT_LIVE] += order.reserved_lots
    if order.is_aggressive:
        for volume in order.volumes:
            wanted[volume + a.VOLUME_LIVE] += order.reserved_lots


def _moved_words(inside: Inside) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield every row that orders take from, and the words they take."""
    for node in inside.nodes():
        yield node, (a.NODE_LIVE, a.NODE_OPEN_BUY, a.NODE_OPEN_SELL)
    for cell in inside.cells():
        yield cell, (a.CELL_BUY, a.CELL_SELL, a.CELL_BUY_MICRO, a.CELL_SELL_MICRO)
    for parent in inside.parents():
        yield parent, (a.PARENT_LIVE,)
    for volume in inside.volumes():
        yield volume, (a.VOLUME_LIVE,)


def _parts(inside: Inside) -> Iterator[tuple[int, list[int]]]:
    """Yield every scope with the cells that it is the sum of: its own, or some of the firm's."""
    words = inside.words
    firm = words[a.NODES_AT]
    for node in inside.nodes():
        kind = words[node + a.NODE_KIND]
        if kind in FIRM_WIDE:
            link = a.INSTRUMENT_NODE if kind == CrossDimension.INSTRUMENT else a.INSTRUMENT_UNDERLYING_NODE
            cells = [cell for cell in inside.cells() if words[cell + a.CELL_NODE] == firm]
            yield node, [cell for cell in cells if words[words[cell + a.CELL_INSTRUMENT] + link] == node]
        else:
            yield node, [cell for cell in inside.cells() if words[cell + a.CELL_NODE] == node]


def _totals(inside: Inside, cells: list[int]) -> dict[int, int]:
    words: Any = inside.words
    longs = [words[cell + a.CELL_HELD_LONG_MICRO] + words[cell + a.CELL_BUY_MICRO] for cell in cells]
    shorts = [words[cell + a.CELL_HELD_SHORT_MICRO] + words[cell + a.CELL_SELL_MICRO] for cell in cells]
    return {
        a.NODE_LONG: sum(longs),
        a.NODE_SHORT: sum(shorts),
        a.NODE_GROSS: sum(map(max, longs, shorts)),
        a.NODE_VALUE: sum(words[cell + a.CELL_VALUE] for cell in cells),
    }


def _free_rows(inside: Inside) -> int:
    count, row = 0, inside.words[a.ORDER_FREE]
    while row != 0 and count <= inside.state.capacity.orders:
        count, row = count + 1, inside.words[row + a.ORDER_NEXT_FREE]
    return count
