"""The tables of the families of controls, and what a snapshot of limits puts into them.

Nothing here is on the order path.
"""

import hashlib
from typing import Any

from controlplane.domain.errors import PolicyInvalid
from controlplane.domain.quantities import ceil_div
from controlplane.domain.scopes import Route
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.families.own_book import empty_own_book
from controlplane.gate.kernel.windows import PARTS
from controlplane.gate.snapshot import ParentLimits, Snapshot

OwnBook = tuple[str, str, str]  # instrument, book, beneficial owner


def family_tables(snapshot: Snapshot) -> tuple[tuple[int, int], ...]:
    """Return the header word and the number of words of every table of a family."""
    return (
        (a.DUPLICATES_AT, a.RECENT_WORDS),
        (a.REJECTS_AT, a.RECENT_WORDS),
        # Row 0 is nobody's.
        (a.OWN_BOOKS_AT, (1 + len(own_books(snapshot))) * a.OWN_WORDS),
        (a.PRICES_AT, sum(rules.has_price_rules for rules in snapshot.instruments) * a.PRICES_WORDS),
        (a.BEHAVIOUR_AT, sum(node.limits.has_behaviour for node in snapshot.nodes) * a.BEHAVIOUR_WORDS),
    )


def fill_families(words: Any, snapshot: Snapshot) -> None:
    """Write the limits of every family into a fresh state whose tables have their places."""
    words[a.DUPLICATE_WINDOW_NS] = snapshot.duplicate_window_ns
    words[a.REJECT_WINDOW_NS] = snapshot.reject_window_ns
    words[a.RATIO_PART_NS] = part_ns(snapshot.ratio_window_ns)
    words[a.RATIO_ORDERS_MIN] = snapshot.ratio_orders_min
    words[a.WALK_PART_NS] = part_ns(snapshot.walk_window_ns)
    words[a.DISAGREEMENT_HOLD_NS] = snapshot.disagreement_hold_ns
    _fill_prices(words, snapshot)
    _fill_behaviour(words, snapshot)
    books = own_books(snapshot)
    for number in range(1 + len(books)):
        empty_own_book(words, int(words[a.OWN_BOOKS_AT]) + number * a.OWN_WORDS)
    parents = dict(snapshot.parent_limits)
    for number, route in enumerate(snapshot.routes):
        row = int(words[a.ROUTES_AT]) + number * a.ROUTE_WORDS
        limits = parents.get(route.strategy, ParentLimits())
        words[row + a.ROUTE_DUPLICATES_MAX] = limits.duplicate_orders_max
        words[row + a.ROUTE_REJECTS_MAX] = limits.same_rejects_max
        words[row + a.ROUTE_DIGEST] = route_digest(route)
        owned = own_book_of(snapshot, route)
        if owned is not None:
            words[row + a.ROUTE_OWN_BOOK] = int(words[a.OWN_BOOKS_AT]) + (1 + books.index(owned)) * a.OWN_WORDS


def _fill_prices(words: Any, snapshot: Snapshot) -> None:
    row = int(words[a.PRICES_AT])
    for number, rules in enumerate(snapshot.instruments):
        if not rules.has_price_rules:
            continue
        words[int(words[a.INSTRUMENTS_AT]) + number * a.INSTRUMENT_WORDS + a.INSTRUMENT_PRICES] = row
        words[row + a.PRICES_COLLAR_BPS], words[row + a.PRICES_FRESH_MIN] = (
            rules.dynamic_collar_bps,
            rules.references_min,
        )
        words[row + a.PRICES_APART_BPS], words[row + a.PRICES_WALK_BPS] = rules.disagreement_bps_max, rules.walk_bps_max
        words[row + a.PRICES_DISAGREED_NS] = -1
        row += a.PRICES_WORDS


def _fill_behaviour(words: Any, snapshot: Snapshot) -> None:
    row = int(words[a.BEHAVIOUR_AT])
    for number, node in enumerate(snapshot.nodes):
        limits = node.limits
        if not limits.has_behaviour:
            continue
        words[int(words[a.NODES_AT]) + number * a.NODE_WORDS + a.NODE_BEHAVIOUR] = row
        words[row + a.BEHAVIOUR_TURNOVER_MAX] = limits.turnover_micro_max
        words[row + a.BEHAVIOUR_REPEATS_MAX] = limits.repeated_executions_max
        words[row + a.BEHAVIOUR_CANCEL_BPS_MAX] = limits.cancel_ratio_bps_max
        words[row + a.BEHAVIOUR_PER_TRADE_MAX] = limits.orders_per_trade_max
        words[a.BEHAVIOUR_COUNT] += 1
        row += a.BEHAVIOUR_WORDS


def own_book_of(snapshot: Snapshot, route: Route) -> OwnBook | None:
    """Return instrument, book and beneficial owner of a route's orders; None where they are compared with none."""
    owner, book = dict(snapshot.owners).get(route.desk), dict(snapshot.books).get(route.venue)
    return None if owner is None or book is None else (route.instrument, book, owner)


def own_books(snapshot: Snapshot) -> list[OwnBook]:
    """Return every instrument, book and owner that a route brings, in order."""
    found = (own_book_of(snapshot, route) for route in snapshot.routes)
    return sorted({owned for owned in found if owned is not None})


def route_digest(route: Route) -> int:
    """Return 63 bits that stand for a route by its names, since its number may move with the next limits."""
    names = (route.desk, route.strategy, route.model, route.instrument, route.venue, route.counterparty)
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big") >> 1


def part_ns(window_ns: int) -> int:
    """Return the length of one part of a window, rounded up, so that the parts cover at least the window."""
    if window_ns <= 0:
        raise PolicyInvalid(f"A window of {window_ns} ns measures nothing; give every window a positive length.")
    return ceil_div(window_ns, PARTS)
