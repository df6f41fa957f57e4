"""An empty book for a set of limits: every scope, every cell that an order can reach, every window, nothing in them."""

from controlplane.domain.quantities import ceil_div
from controlplane.domain.scopes import CrossDimension, Level, Scope, scope_kind
from controlplane.gate.plain.book import (
    Behaviour,
    Book,
    Cell,
    Holding,
    Market,
    Node,
    Parent,
    Place,
    Rate,
    Volume,
)
from controlplane.gate.plain.guarding import arrival_of, guards_of
from controlplane.gate.plain.terms import RouteTerms, Terms, routes_of, terms_of
from controlplane.gate.plain.windows import WINDOW_PARTS, Recents, Window
from controlplane.gate.snapshot import NO_LIMIT, InstrumentLimits, ParentLimits, Snapshot

FIRM_WIDE = (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING)


def empty_book(snapshot: Snapshot, *, parents_max: int) -> Book:
    """Return a book in which nothing has happened yet."""
    terms = {one.name: one for one in terms_of(snapshot)}
    routes = routes_of(snapshot)
    nodes = _nodes(snapshot)
    _give_cells(snapshot, routes, terms, nodes)
    windows = (snapshot.message_window_ns, snapshot.denied_window_ns, snapshot.participation_window_ns)
    return Book(
        routes=routes,
        markets={name: Market(one, one.rules.static_reference_ticks or 0) for name, one in terms.items()},
        rates={rate.currency: Rate(rate.rate_micro, 0, rate.is_fixed) for rate in snapshot.rates},
        nodes=nodes,
        holdings={name: _holdings(name, nodes) for name in terms},
        volumes=_volumes(snapshot, routes),
        # The place given back last is given out first; the first parent of all gets place 1.
        free_slots=list(range(parents_max, 0, -1)),
        window_ns=windows,
        duplicates=Recents(snapshot.duplicate_window_ns),
        rejects=Recents(snapshot.reject_window_ns),
        guards=guards_of(snapshot, nodes),
    )


def _nodes(snapshot: Snapshot) -> dict[Scope, Node]:
    return {
        node.scope: Node(
            scope_kind(node.scope.kind),
            number,
            node.limits,
            messages=window(snapshot.message_window_ns),
            denials=window(snapshot.denied_window_ns),
            behaviour=_behaviour(snapshot) if node.limits.has_behaviour else None,
        )
        for number, node in enumerate(snapshot.nodes)
    }


def _behaviour(snapshot: Snapshot) -> Behaviour:
    length = snapshot.ratio_window_ns
    return Behaviour(window(length), window(length), window(length), snapshot.ratio_orders_min)


def _give_cells(
    snapshot: Snapshot, routes: tuple[RouteTerms, ...], terms: dict[str, Terms], nodes: dict[Scope, Node]
) -> None:
    """Give every scope a cell in every instrument that a route brings; instrument and underlying share the firm's."""
    limits = {node.scope: dict(node.instrument_limits) for node in snapshot.nodes}
    for route in routes:
        name = route.route.instrument
        for scope in route.scopes:
            if scope.kind not in FIRM_WIDE:
                cell = Cell(terms[name], limits[scope].get(name, InstrumentLimits()))
                nodes[scope].cells.setdefault(name, cell)
        for scope in route.scopes:
            if scope.kind in FIRM_WIDE:
                nodes[scope].cells[name] = nodes[route.scopes[0]].cells[name]


def _holdings(name: str, nodes: dict[Scope, Node]) -> list[Holding]:
    owners = [node for node in nodes.values() if node.kind not in FIRM_WIDE and name in node.cells]
    return [
        Holding(owner.cells[name], tuple(node for node in nodes.values() if node.cells.get(name) is owner.cells[name]))
        for owner in owners
    ]


def _volumes(snapshot: Snapshot, routes: tuple[RouteTerms, ...]) -> dict[tuple[str, str | None], Volume]:
    floors = {rules.instrument.name: rules.participation_floor_lots for rules in snapshot.instruments}
    names: list[tuple[str, str | None]] = [(name, None) for name in floors]
    names += [(route.route.instrument, route.route.venue) for route in routes]
    length = snapshot.participation_window_ns
    return {name: Volume(floors[name[0]], market=window(length), own=window(length)) for name in names}


def window(length_ns: int) -> Window:
    """Return an empty window whose whole parts cover at least the length."""
    return Window(ceil_div(length_ns, WINDOW_PARTS))


def parent_of(book: Book, parent_id: int, route: RouteTerms, side: int, quantity_lots: int) -> Parent:
    """Return a new parent order with the scope of its own, in the place that is next to be given out.

    Its cell has no limits in lots: the quantity that the children share is a check of its own (GT15).
    """
    slot = book.free_slots.pop()
    limits: ParentLimits = route.parent_limits
    terms = book.markets[route.route.instrument].terms
    own = InstrumentLimits(
        order_quantity_lots_max=NO_LIMIT,
        position_long_lots_max=NO_LIMIT,
        position_short_lots_max=NO_LIMIT,
        participation_bps_max=NO_LIMIT,
    )
    cell = Cell(terms, own)
    messages_ns, denied_ns, _ = book.window_ns
    node = Node(
        Level.PARENT,
        len(book.nodes) + slot,
        limits.limits,
        messages=window(messages_ns),
        denials=window(denied_ns),
        cells={terms.name: cell},
    )
    arrival = arrival_of(book.markets[terms.name])
    return Parent(parent_id, slot, route, side, quantity_lots, limits, Place(node, cell), arrival=arrival)
