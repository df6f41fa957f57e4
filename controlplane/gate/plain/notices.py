"""What the gate is told besides orders and reports: prices, volumes, phases, rates, parents, stop states, time and day.

What is out of range, or older than what is already held, changes nothing, and the record says so.
"""

from collections.abc import Sequence

from controlplane.domain.decisions import Outcome
from controlplane.domain.ids import ID_MAX
from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.quantities import BPS, QUANTITY_LOTS_CAP
from controlplane.domain.scopes import Level
from controlplane.domain.states import TradingState
from controlplane.gate.plain.behaviour import forget_turnover
from controlplane.gate.plain.book import Book, Market, Parent, Reference
from controlplane.gate.plain.guarding import (
    note_end,
    note_market_data,
    note_share,
    pass_guards,
    reset_guards,
    roll_guards,
)
from controlplane.gate.plain.ledger import revalue, revalue_instruments
from controlplane.gate.plain.opening import parent_of
from controlplane.gate.plain.prices import see_price

RATE_MICRO_MAX = 10**12


def observe_reference(book: Book, words: Sequence[int], now_ns: int, monotonic_ns: int, walk_part_ns: int) -> Outcome:
    """GT12: take best bid and ask of one source; with what is no reference the source has none from then on."""
    names, number = list(book.markets), words[6]
    subkind = words[0] >> 8 & 0xFF
    if not 0 <= number < len(names) or subkind not in set(ReferenceSource):
        return Outcome.DENIED
    market, source = book.markets[names[number]], ReferenceSource(subkind)
    exchange_ns, receive_ns = words[15], words[13]
    held = market.references.get(source)
    if exchange_ns <= 0 or receive_ns <= 0 or (held is not None and exchange_ns < held.exchange_ns):
        return Outcome.DENIED
    # A time far ahead would make every later, true one look old.
    if max(exchange_ns, receive_ns) - now_ns > market.terms.rules.reference_age_ns_max:
        return Outcome.DENIED
    bid, ask = words[10], words[11]
    is_healthy = _is_reference(market, source, bid, ask, words[9], words[12])
    note_market_data(book)
    market.references[source] = Reference(bid, ask, exchange_ns, receive_ns, is_healthy)
    if is_healthy:
        see_price(
            market, source, bid, ask, words[9], words[12], now_ns=now_ns, monotonic_ns=monotonic_ns,
            walk_part_ns=walk_part_ns,
        )  # fmt: skip
        _take_price(book, market, source, bid, ask, now_ns)
    return Outcome.ALLOWED


def _is_reference(market: Market, source: ReferenceSource, bid: int, ask: int, bid_lots: int, ask_lots: int) -> bool:
    """Return whether prices may serve as a reference: in range; a book also two-sided, uncrossed, narrow enough."""
    if not (0 < bid <= market.terms.instrument.price_max_ticks and 0 < ask <= market.terms.instrument.price_max_ticks):
        return False
    if source is ReferenceSource.LAST_TRADE and market.phase == Phase.AUCTION:
        return False  # indicative: nothing has traded there yet
    if source is not ReferenceSource.BOOK:
        return bid == ask
    has_sizes = 0 < bid_lots <= QUANTITY_LOTS_CAP and 0 < ask_lots <= QUANTITY_LOTS_CAP
    # Spread over mid, in hundredths of a per cent, multiplied out.
    is_narrow = (ask - bid) * 2 * BPS <= market.terms.rules.spread_bps_max * (bid + ask)
    return has_sizes and bid < ask and is_narrow


def _take_price(book: Book, market: Market, source: ReferenceSource, bid: int, ask: int, now_ns: int) -> None:
    """Value positions at a healthy price: the book's always, another's only while the book is no fresh reference."""
    if source is ReferenceSource.BOOK and market.static_ticks == 0:
        market.static_ticks = (bid + ask) // 2
    best = market.references.get(ReferenceSource.BOOK)
    has_book = any(reference is best for reference, _ in market.fresh_references(now_ns))
    if source is not ReferenceSource.BOOK and has_book:
        return
    market.high_ticks, market.low_ticks = ask, bid
    # What an option is worth its own market says; the price of its underlying moves the exposure of those sold short.
    for option in [other.terms.name for other in book.markets.values() if other.terms.underlying == market.terms.name]:
        for holding in book.held(option):
            if holding.cell.is_in_use:
                revalue(book, holding.cell)
    revalue_instruments(book, [market.terms.name])


def observe_volume(book: Book, words: Sequence[int], now_ns: int, monotonic_ns: int) -> Outcome:
    """Add lots that the whole market traded to the instrument's window on one venue and over all venues."""
    names, venues = list(book.markets), sorted({route.route.venue for route in book.routes})
    number, venue, lots = words[6], words[7], words[9]
    if not 0 <= number < len(names) or not 0 <= venue < len(venues) or not 0 <= lots <= QUANTITY_LOTS_CAP:
        return Outcome.DENIED
    on_venue = book.volumes.get((names[number], venues[venue]))
    if on_venue is None:
        return Outcome.DENIED
    for volume in (book.volumes[names[number], None], on_venue):
        volume.observed_ns = now_ns
        if volume.first_ns is None:
            volume.first_ns = max(1, monotonic_ns)
        volume.market.count(monotonic_ns, lots)
    note_share(book, names[number])
    return Outcome.ALLOWED


def observe_phase(book: Book, words: Sequence[int], now_ns: int) -> Outcome:
    """Take the trading phase of an instrument; one that we don't know by name is unknown."""
    names, number, phase = list(book.markets), words[6], words[9]
    if not 0 <= number < len(names):
        return Outcome.DENIED
    market = book.markets[names[number]]
    market.phase, market.phase_ns = phase if phase in set(Phase) else Phase.UNKNOWN, now_ns
    return Outcome.ALLOWED


def observe_rate(book: Book, words: Sequence[int], now_ns: int) -> Outcome:
    """Take the worth of a currency and value every position counted in it again; a fixed rate isn't observed."""
    names, number, rate_micro = list(book.rates), words[6], words[10]
    if not 0 <= number < len(names) or not 0 < rate_micro <= RATE_MICRO_MAX or book.rates[names[number]].is_fixed:
        return Outcome.DENIED
    rate = book.rates[names[number]]
    rate.micro, rate.observed_ns = rate_micro, now_ns
    revalue_instruments(book, [name for name, market in book.markets.items() if market.terms.currency == names[number]])
    return Outcome.ALLOWED


def open_parent(book: Book, words: Sequence[int]) -> Outcome:
    """Open a parent order: well-formed, not known, and room for it."""
    parent_id, route, side, quantity_lots = words[5], words[6], words[7], words[9]
    is_good = 0 < parent_id <= ID_MAX and 0 <= route < len(book.routes) and 0 < quantity_lots <= QUANTITY_LOTS_CAP
    if not is_good or side not in (1, -1) or not book.free_slots or parent_id in book.parents:
        return Outcome.DENIED
    book.parents[parent_id] = parent_of(book, parent_id, book.routes[route], side, quantity_lots)
    return Outcome.ALLOWED


def close_parent(book: Book, words: Sequence[int]) -> Outcome:
    """Let no more children of a parent pass."""
    parent = book.parents.get(words[5])
    if parent is None or not parent.is_open:
        return Outcome.DENIED
    parent.is_open = False
    note_end(book, parent)
    release_parent(book, parent)
    return Outcome.ALLOWED


def release_parent(book: Book, parent: Parent) -> None:
    """Forget a closed parent once no child of it is live."""
    if not parent.is_open and parent.place.node.live_orders == 0:
        del book.parents[parent.parent_id]
        book.free_slots.append(parent.slot)


def set_scope_state(book: Book, words: Sequence[int]) -> Outcome:
    """Put one scope into a stop state, or free it; who may do so was settled before."""
    kind, number, state = words[4], words[5], words[0] >> 8 & 0xFF
    if state not in set(TradingState):
        return Outcome.DENIED
    nodes = list(book.nodes.values())
    if kind == Level.PARENT:
        if number not in book.parents:
            return Outcome.DENIED
        book.parents[number].place.node.state = state
    elif 0 <= number < len(nodes):
        nodes[number].state = state
    else:
        return Outcome.DENIED
    if state == TradingState.ACTIVE and kind != Level.PARENT:
        reset_guards(nodes[number])
    return Outcome.ALLOWED


def pass_time(book: Book, words: Sequence[int], now_ns: int) -> Outcome:
    """Mark the loss of every scope as unknown that holds a position without a fresh reference (GATE case 95)."""
    for node in book.nodes.values():
        node.is_loss_unknown = False
    for parent in book.parents.values():
        parent.place.node.is_loss_unknown = False
    for name, market in book.markets.items():
        if not market.fresh_references(now_ns):
            for holding in book.held(name):
                for node in holding.nodes:
                    node.is_loss_unknown |= holding.cell.position_lots != 0
    pass_guards(book, words)
    return Outcome.ALLOWED


def roll_day(book: Book, words: Sequence[int], now_ns: int) -> Outcome:
    """Anchor every scope's loss on its worth before the roll; a scope whose worth is unknown is halted (GATE case 99).

    A static reference that the policy doesn't state is taken anew from the first healthy book.
    """
    pass_time(book, words, now_ns)
    for node in (*book.nodes.values(), *(parent.place.node for parent in book.parents.values())):
        if node.is_loss_unknown:
            node.state = TradingState.HALTED
        node.baseline_micro = node.worth_micro
    for market in book.markets.values():
        if market.terms.rules.static_reference_ticks is None:
            market.static_ticks = 0
    forget_turnover(book)
    roll_guards(book)
    return Outcome.ALLOWED
