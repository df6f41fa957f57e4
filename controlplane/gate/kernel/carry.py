"""Moves a gate's state from one snapshot of limits to the next: what happened stays, only the limits change.

Positions, reservations, windows, stop states and remembered requests are found again by name, since every number
may have moved. New limits that leave a live order or a position without a scope are refused, and the gate keeps the
old ones.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.domain.errors import SnapshotMismatch
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import entry, words_at
from controlplane.gate.kernel.families.loading import carry_guards
from controlplane.gate.kernel.families.own_book import enter_own_book
from controlplane.gate.kernel.ledger import insert, revalue_instrument
from controlplane.gate.kernel.loading import State
from controlplane.gate.kernel.observing import listing_key

HEADER_KEPT = (
    a.REQUEST_CURSOR,
    a.EXECUTION_CURSOR,
    a.NOTICE_COUNT,
    a.LAST_SEQUENCE,
    a.GATE_ID,
    a.CURSOR_ADDRESS,
    a.SWITCH_ADDRESS,
    a.KEY_ADDRESS,
)
NODE_KEPT = (a.NODE_STATE, a.NODE_LONG, a.NODE_SHORT, a.NODE_GROSS, a.NODE_OPEN_BUY, a.NODE_OPEN_SELL, a.NODE_LIVE,
             a.NODE_VALUE, a.NODE_BASELINE, a.NODE_IS_LOSS_UNKNOWN)  # fmt: skip
CELL_KEPT = range(a.CELL_POSITION, a.CELL_VALUE + 1)
CONTRACT_FIELDS = (
    "underlying", "contract", "currency", "settlement_currency", "tick_size", "lot_size", "multiplier", "is_inverse",
    "option",
)  # fmt: skip
INSTRUMENT_KEPT = (a.INSTRUMENT_PHASE, a.INSTRUMENT_PHASE_NS, a.INSTRUMENT_HIGH, a.INSTRUMENT_LOW)


def carry_over(old: State, new: State) -> None:
    """Fill a fresh state with everything that happened under the old limits.

    Errors
        SnapshotMismatch when something live or held has no place under the new limits; the new state is then unusable
    """
    if old.capacity != new.capacity:
        raise SnapshotMismatch(
            "The capacity of a running gate can't change; restart it with the capacity its journal was written with."
        )
    rows = _Rows(old, new)
    for word in HEADER_KEPT:
        new.words[word] = old.words[word]
    new.words[a.PROGRAMS_AT : a.PROGRAMS_AT + 256] = old.words[a.PROGRAMS_AT : a.PROGRAMS_AT + 256]
    _copy_nodes(rows)
    _copy_instruments(rows)
    _copy_cells(rows)
    _copy_parents(rows)
    _copy_orders(rows)
    _copy_remembered(rows)
    for table in (a.DUPLICATES_AT, a.REJECTS_AT):
        before, after = int(old.words[table]), int(new.words[table])
        new.words[after : after + a.RECENT_WORDS] = old.words[before : before + a.RECENT_WORDS]
    carry_guards(old, new)
    new.words[a.STATE_DIGEST] = old.words[a.STATE_DIGEST]


class _Rows:
    """The same thing's row under old and new limits."""

    def __init__(self, old: State, new: State) -> None:
        self.old, self.new = old, new
        self.before, self.after = old.words, new.words
        self.routes = self._pairs(old.handles.routes, new.handles.routes, a.ROUTES_AT, a.ROUTE_WORDS)
        self.nodes = self._pairs(old.handles.scopes, new.handles.scopes, a.NODES_AT, a.NODE_WORDS)
        self.instruments = self._pairs(
            old.handles.instruments, new.handles.instruments, a.INSTRUMENTS_AT, a.INSTRUMENT_WORDS
        )
        self.rates = self._pairs(old.handles.currencies, new.handles.currencies, a.RATES_AT, a.RATE_WORDS)
        self.parents = {
            self.before[a.PARENTS_AT] + slot * a.PARENT_WORDS: self.after[a.PARENTS_AT] + slot * a.PARENT_WORDS
            for slot in range(old.capacity.parents + 1)
        }

    def _pairs(self, old: tuple[Any, ...], new: tuple[Any, ...], at: int, stride: int) -> dict[int, int]:
        numbers = {name: number for number, name in enumerate(new)}
        return {
            int(self.before[at]) + number * stride: int(self.after[at]) + numbers[name] * stride
            for number, name in enumerate(old)
            if name in numbers
        }

    def node(self, row: int) -> int | None:
        """Return the new row of a node, a parent's own included."""
        first = int(self.before[a.PARENT_NODE_FIRST])
        if first <= row < first + (self.old.capacity.parents + 1) * a.NODE_WORDS:
            return row - first + int(self.after[a.PARENT_NODE_FIRST])
        return self.nodes.get(row)


def _copy_nodes(rows: _Rows) -> None:
    for before, after in rows.nodes.items():
        for word in NODE_KEPT:
            rows.after[after + word] = rows.before[before + word]
        _copy_window(rows, before + a.NODE_MESSAGES, after + a.NODE_MESSAGES, a.MESSAGE_BUCKET_NS)
        _copy_window(rows, before + a.NODE_DENIED, after + a.NODE_DENIED, a.DENIED_BUCKET_NS)
        _copy_behaviour(rows, int(rows.before[before + a.NODE_BEHAVIOUR]), int(rows.after[after + a.NODE_BEHAVIOUR]))
    gone = [row for row in _rows_of(rows.before, a.NODES_AT, a.NODE_COUNT, a.NODE_WORDS) if row not in rows.nodes]
    for row in gone:
        if any(rows.before[row + word] for word in (a.NODE_LIVE, a.NODE_LONG, a.NODE_SHORT, a.NODE_STATE)):
            number = (row - int(rows.before[a.NODES_AT])) // a.NODE_WORDS
            raise _no_place(f"the scope {rows.old.handles.scopes[number]}")


def _copy_behaviour(rows: _Rows, before: int, after: int) -> None:
    """Copy what a scope has done over time, where both limits bound it."""
    if before and after:
        for word in (a.BEHAVIOUR_TURNOVER, a.BEHAVIOUR_REPEATS, a.BEHAVIOUR_IS_FILLED):
            rows.after[after + word] = rows.before[before + word]
        for window in (a.BEHAVIOUR_ORDERS, a.BEHAVIOUR_CANCELS, a.BEHAVIOUR_FILLS):
            _copy_window(rows, before + window, after + window, a.RATIO_PART_NS)


def _copy_window(rows: _Rows, before: int, after: int, part_ns: int) -> None:
    """Copy one window; under another length its whole count becomes newest, so that none of it is released early."""
    rows.after[after : after + a.WINDOW_WORDS] = rows.before[before : before + a.WINDOW_WORDS]
    part_before, part_after = int(rows.before[part_ns]), int(rows.after[part_ns])
    if part_before == part_after:
        return
    newest = int(rows.before[before + a.WINDOW_LAST]) * part_before // part_after
    rows.after[after + a.WINDOW_LAST] = newest
    rows.after[after + a.WINDOW_FIRST : after + a.WINDOW_WORDS] = 0
    rows.after[after + a.WINDOW_FIRST + newest % a.WINDOW_BUCKETS] = rows.before[before + a.WINDOW_TOTAL]


def _copy_instruments(rows: _Rows) -> None:
    names = (a.INSTRUMENT_REFERENCES, a.INSTRUMENT_REFERENCES + a.SOURCES * a.REFERENCE_WORDS)
    for before, after in rows.instruments.items():
        if not _is_same_contract(rows, before, after):
            continue  # nothing of it is held, and its ticks and lots mean something else now
        for word in INSTRUMENT_KEPT:
            rows.after[after + word] = rows.before[before + word]
        rows.after[after + names[0] : after + names[1]] = rows.before[before + names[0] : before + names[1]]
        if (
            rows.after[after + a.INSTRUMENT_IS_STATIC_FIXED] == 0
            and rows.before[before + a.INSTRUMENT_IS_STATIC_FIXED] == 0
        ):
            rows.after[after + a.INSTRUMENT_STATIC_TICKS] = rows.before[before + a.INSTRUMENT_STATIC_TICKS]
        _copy_prices(rows, int(rows.before[before + a.INSTRUMENT_PRICES]), int(rows.after[after + a.INSTRUMENT_PRICES]))
        _copy_volume(rows, int(rows.before[before + a.INSTRUMENT_VOLUME]), int(rows.after[after + a.INSTRUMENT_VOLUME]))
    for before, after in rows.rates.items():
        if rows.after[after + a.RATE_IS_FIXED] == 0:
            rows.after[after : after + 2] = rows.before[before : before + 2]
    for key, before, after in _listings(rows):
        if key:
            _copy_volume(rows, before, after)


def _copy_prices(rows: _Rows, before: int, after: int) -> None:
    """Copy what was seen of a price; under a walk window of another length the walk begins anew at the latest price."""
    if not before or not after:
        return
    kept = range(a.PRICES_DISAGREED_NS, a.PRICES_WORDS)
    rows.after[after + kept.start : after + kept.stop] = rows.before[before + kept.start : before + kept.stop]
    if rows.before[a.WALK_PART_NS] != rows.after[a.WALK_PART_NS]:
        starts = after + a.PRICES_STARTS
        rows.after[starts : starts + a.WINDOW_BUCKETS] = rows.before[before + a.PRICES_LATEST]
        moment = int(rows.before[before + a.PRICES_PART]) * int(rows.before[a.WALK_PART_NS])
        rows.after[after + a.PRICES_PART] = moment // int(rows.after[a.WALK_PART_NS])


def _copy_volume(rows: _Rows, before: int, after: int) -> None:
    for word in (a.VOLUME_NS, a.VOLUME_FIRST_NS, a.VOLUME_LIVE):
        rows.after[after + word] = rows.before[before + word]
    for window in (a.VOLUME_MARKET, a.VOLUME_OWN):
        _copy_window(rows, before + window, after + window, a.PARTICIPATION_BUCKET_NS)


def _is_same_contract(rows: _Rows, before: int, after: int) -> bool:
    """Return whether ticks and lots of an instrument are worth what they were.

    Errors
        SnapshotMismatch when they aren't and something is held, live or earned: converting it takes an event of its own
    """
    first, stride = int(rows.before[a.INSTRUMENTS_AT]), a.INSTRUMENT_WORDS
    held = rows.old.snapshot.instruments[(before - first) // stride].instrument
    wanted = rows.new.snapshot.instruments[(after - int(rows.after[a.INSTRUMENTS_AT])) // stride].instrument
    if all(getattr(held, name) == getattr(wanted, name) for name in CONTRACT_FIELDS):
        return True
    cell = int(rows.before[before + a.INSTRUMENT_FIRST_CELL])
    while cell != 0:
        if any(rows.before[cell + word] for word in CELL_KEPT):
            raise SnapshotMismatch(
                f"The new limits change what a lot or a tick of {held.name} is worth, and it has been traded; "
                "keep its contract as it was and give the changed one a name of its own."
            )
        cell = int(rows.before[cell + a.CELL_NEXT_OF_INSTRUMENT])
    return False


def _listings(rows: _Rows) -> Iterator[tuple[int, int, int]]:
    """Yield the key and both rows of every instrument on a venue that both limits know."""
    held, wanted = _listing_rows(rows.old), _listing_rows(rows.new)
    for names, (key, before) in held.items():
        if names in wanted:
            yield key, before, wanted[names][1]


def _listing_rows(state: State) -> Mapping[tuple[str, str], tuple[int, int]]:
    words, handles = state.words, state.handles
    at, mask = int(words[a.VOLUME_INDEX_AT]), int(words[a.VOLUME_INDEX_MASK])
    index = {
        int(words[at + place * a.INDEX_WORDS]): int(words[at + place * a.INDEX_WORDS + 1]) for place in range(mask + 1)
    }
    found = {}
    for instrument, name in enumerate(handles.instruments):
        for venue, venue_name in enumerate(handles.venues):
            key = listing_key(instrument, venue)
            if key in index:
                found[(name, venue_name)] = (key, index[key])
    return found


def _copy_cells(rows: _Rows) -> None:
    targets = {_cell_names(rows.new, row): row for row in _rows_of(rows.after, a.CELLS_AT, a.CELL_COUNT, a.CELL_WORDS)}
    for before in _rows_of(rows.before, a.CELLS_AT, a.CELL_COUNT, a.CELL_WORDS):
        target = targets.get(_cell_names(rows.old, before))
        if target is None:
            if any(rows.before[before + word] for word in (a.CELL_POSITION, a.CELL_BUY, a.CELL_SELL)):
                raise _no_place("a position in " + " of ".join(reversed(_cell_names(rows.old, before))))
            continue
        for word in CELL_KEPT:
            rows.after[target + word] = rows.before[before + word]


def _cell_names(state: State, row: int) -> tuple[str, str]:
    words = state.words
    node = (int(words[row + a.CELL_NODE]) - int(words[a.NODES_AT])) // a.NODE_WORDS
    instrument = (int(words[row + a.CELL_INSTRUMENT]) - int(words[a.INSTRUMENTS_AT])) // a.INSTRUMENT_WORDS
    return state.handles.scopes[node], state.handles.instruments[instrument]


def _copy_parents(rows: _Rows) -> None:
    rows.after[a.PARENT_FREE] = rows.parents.get(int(rows.before[a.PARENT_FREE]), 0)
    mask = 2 * rows.new.capacity.parents - 1
    for before, after in rows.parents.items():
        rows.after[after : after + a.PARENT_WORDS] = rows.before[before : before + a.PARENT_WORDS]
        rows.after[after + a.PARENT_NEXT_FREE] = rows.parents.get(int(rows.before[before + a.PARENT_NEXT_FREE]), 0)
        slot = (before - int(rows.before[a.PARENTS_AT])) // a.PARENT_WORDS
        if rows.before[before + a.PARENT_STATE] == a.PARENT_FREE_STATE:
            continue
        route = rows.routes.get(int(rows.before[before + a.PARENT_ROUTE]))
        if route is None:
            raise _no_place(f"the route of parent order {int(rows.before[before + a.PARENT_ID]):016x}")
        rows.after[after + a.PARENT_ROUTE] = route
        rows.after[after + a.PARENT_CHILDREN_MAX] = rows.after[route + a.ROUTE_CHILDREN_MAX]
        rows.after[after + a.PARENT_AMENDS_MAX] = rows.after[route + a.ROUTE_AMENDS_MAX]
        insert(rows.after, int(rows.after[a.PARENT_INDEX_AT]), mask, int(rows.before[before + a.PARENT_ID]), after)
        _copy_parent_scope(rows, slot, route)


def _copy_parent_scope(rows: _Rows, slot: int, route: int) -> None:
    """Copy what happened in a parent's own scope; its limits are those that its strategy gives to parents now."""
    node_before = int(rows.before[a.PARENT_NODE_FIRST]) + slot * a.NODE_WORDS
    node_after = int(rows.after[a.PARENT_NODE_FIRST]) + slot * a.NODE_WORDS
    cell_before = int(rows.before[a.PARENT_CELL_FIRST]) + slot * a.CELL_WORDS
    cell_after = int(rows.after[a.PARENT_CELL_FIRST]) + slot * a.CELL_WORDS
    rows.after[node_after : node_after + a.NODE_WORDS] = rows.before[node_before : node_before + a.NODE_WORDS]
    rows.after[cell_after : cell_after + a.CELL_WORDS] = rows.before[cell_before : cell_before + a.CELL_WORDS]
    for limit in range(a.NODE_MESSAGES_MAX - a.NODE_ORDER_MICRO_MAX + 1):
        rows.after[node_after + a.NODE_ORDER_MICRO_MAX + limit] = rows.after[route + a.ROUTE_PARENT_ORDER_MICRO + limit]
    instrument = rows.instruments[int(rows.before[cell_before + a.CELL_INSTRUMENT])]
    rows.after[cell_after + a.CELL_NODE], rows.after[cell_after + a.CELL_INSTRUMENT] = node_after, instrument
    rows.after[cell_after + a.CELL_NEXT_OF_INSTRUMENT] = rows.after[instrument + a.INSTRUMENT_FIRST_CELL]
    rows.after[instrument + a.INSTRUMENT_FIRST_CELL] = cell_after


def _copy_orders(rows: _Rows) -> None:
    shift = int(rows.after[a.ORDERS_AT]) - int(rows.before[a.ORDERS_AT])
    first, count = int(rows.before[a.ORDERS_AT]), rows.old.capacity.orders
    rows.after[a.LIVE_COUNT] = rows.before[a.LIVE_COUNT]
    rows.after[a.ORDER_FREE] = rows.before[a.ORDER_FREE] + shift if rows.before[a.ORDER_FREE] else 0
    for row in range(first, first + count * a.ORDER_WORDS, a.ORDER_WORDS):
        after = row + shift
        rows.after[after : after + a.ORDER_WORDS] = rows.before[row : row + a.ORDER_WORDS]
        if rows.before[row + a.ORDER_NEXT_FREE]:
            rows.after[after + a.ORDER_NEXT_FREE] = rows.before[row + a.ORDER_NEXT_FREE] + shift
        if rows.before[row + a.ORDER_STATE] == a.FREE:
            continue
        route_row = int(rows.before[a.ROUTES_AT]) + int(rows.before[row + a.ORDER_ROUTE]) * a.ROUTE_WORDS
        if route_row not in rows.routes:
            raise _no_place(f"the route of child order {int(rows.before[row + a.ORDER_ID]):016x}")
        rows.after[after + a.ORDER_ROUTE] = (rows.routes[route_row] - int(rows.after[a.ROUTES_AT])) // a.ROUTE_WORDS
        rows.after[after + a.ORDER_PARENT] = rows.parents[int(rows.before[row + a.ORDER_PARENT])]
        insert(rows.after, int(rows.after[a.ORDER_INDEX_AT]), 2 * count - 1, int(rows.before[row + a.ORDER_ID]), after)


def _copy_remembered(rows: _Rows) -> None:
    """Requests and executions refer to nothing else: their tables move as they are, only the rows named by an index
    shift.
    """
    for at, index_at, capacity, stride in (
        (a.REQUESTS_AT, a.REQUEST_INDEX_AT, rows.old.capacity.requests, a.REQUEST_WORDS),
        (a.EXECUTIONS_AT, a.EXECUTION_INDEX_AT, rows.old.capacity.executions, a.EXECUTION_WORDS),
    ):
        before, after = int(rows.before[at]), int(rows.after[at])
        rows.after[after : after + capacity * stride] = rows.before[before : before + capacity * stride]
        length = 2 * capacity * a.INDEX_WORDS
        source, target = int(rows.before[index_at]), int(rows.after[index_at])
        rows.after[target : target + length] = rows.before[source : source + length]
        held = rows.after[target : target + length : a.INDEX_WORDS] != 0
        rows.after[target + 1 : target + length : a.INDEX_WORDS][held] += after - before


def revalue_all(state: State) -> None:
    """Value every position again under new terms, and hang every live order into the book of its owner again."""
    revalue_cells(state.address)


@entry
def revalue_cells(address: int) -> int:
    """Return of how many instruments the positions were valued again, those of parent orders included."""
    s = words_at(address)
    for number in range(s[a.INSTRUMENT_COUNT]):
        revalue_instrument(s, s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS)
    for order in range(s[a.ORDERS_AT], s[a.ORDERS_AT] + s[a.ORDER_CAPACITY] * a.ORDER_WORDS, a.ORDER_WORDS):
        if s[order + a.ORDER_STATE] != a.FREE:
            enter_own_book(s, order)
    return s[a.INSTRUMENT_COUNT]


def _rows_of(words: Any, at: int, count: int, stride: int) -> range:
    first = int(words[at])
    return range(first, first + int(words[count]) * stride, stride)


def _no_place(what: str) -> SnapshotMismatch:
    return SnapshotMismatch(
        f"The new limits have no place for {what}, which is in use; "
        "keep it in the policy until it is flat, then remove it."
    )
