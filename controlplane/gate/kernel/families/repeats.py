"""GT31, GT32: the same order again and again, and the same request that the venue has rejected for the same reason.

Only what was allowed counts as a duplicate, so a program that is denied for it isn't held longer by asking on.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.denials import PARENT, deny
from controlplane.gate.kernel.families.recents import count_same_reason, count_since, note
from controlplane.gate.kernel.hashing import fold

NEW_REQUEST, AMEND_REQUEST = 1, 2


@compiled
def check_repeats(s: Words) -> None:
    """GT31, GT32: not as often as its parent may ask for equal orders, nor what its venue rejects time and again."""
    limit = s[s[a.ROUTE_ROW] + a.ROUTE_DUPLICATES_MAX]
    if limit != a.NO_LIMIT and s[a.IS_AMEND] == 0:
        equal = count_since(s, s[a.DUPLICATES_AT], duplicate_key(s), s[a.MONOTONIC_NS], s[a.DUPLICATE_WINDOW_NS], limit)
        if equal + 1 > limit:
            deny(s, Code.DUPLICATE_ORDER, PARENT, equal + 1, limit)
    limit = s[s[a.ROUTE_ROW] + a.ROUTE_REJECTS_MAX]
    if limit != a.NO_LIMIT and s[s[a.REJECTS_AT] + a.RECENT_COUNT] != 0:
        rejects = count_same_reason(s, s[a.REJECTS_AT], request_key(s), s[a.MONOTONIC_NS], s[a.REJECT_WINDOW_NS])
        if rejects >= limit:
            deny(s, Code.REJECT_LOOP, PARENT, rejects, limit)


@compiled
def note_order(s: Words) -> None:
    """Remember an order that was allowed."""
    if s[s[a.ROUTE_ROW] + a.ROUTE_DUPLICATES_MAX] != a.NO_LIMIT:
        note(s, s[a.DUPLICATES_AT], duplicate_key(s), s[a.MONOTONIC_NS], 0)


@compiled
def duplicate_key(s: Words) -> int:
    """Return what makes two orders equal: parent (and with it instrument and side), price and quantity."""
    return key_of(fold(fold(s[a.E_PARENT], s[a.PRICE]), s[a.TOTAL_LOTS]))


@compiled
def request_key(s: Words) -> int:
    """Return what makes two requests the same one for a venue."""
    if s[a.IS_AMEND] != 0:
        return key_of_amend(s[a.E_CHILD], s[a.TOTAL_LOTS], s[a.PRICE], s[a.TRIGGER])
    return key_of_order(
        s[s[a.ROUTE_ROW] + a.ROUTE_DIGEST], s[a.E_PARENT], s[a.E_TYPE], s[a.TOTAL_LOTS], s[a.PRICE], s[a.TRIGGER]
    )


@compiled
def note_reject(s: Words, order: int, is_amend: bool) -> None:
    """Remember a request that the venue has rejected, with its reason; the order still has the terms asked for."""
    route = s[a.ROUTES_AT] + s[order + a.ORDER_ROUTE] * a.ROUTE_WORDS
    if s[route + a.ROUTE_REJECTS_MAX] == a.NO_LIMIT:
        return
    total, price, trigger = s[order + a.ORDER_TOTAL], s[order + a.ORDER_PRICE], s[order + a.ORDER_TRIGGER]
    if is_amend:
        key = key_of_amend(s[order + a.ORDER_ID], total, price, trigger)
    else:
        parent = s[s[order + a.ORDER_PARENT] + a.PARENT_ID]
        key = key_of_order(s[route + a.ROUTE_DIGEST], parent, s[order + a.ORDER_TYPE], total, price, trigger)
    note(s, s[a.REJECTS_AT], key, s[a.E_MONOTONIC], s[a.E_MODEL])


@compiled
def key_of_order(route_digest: int, parent_id: int, order_type: int, total: int, price: int, trigger: int) -> int:
    """Return the key of a new order: route, parent, type, quantity, price and trigger."""
    first = fold(fold(fold(NEW_REQUEST, route_digest), parent_id), order_type)
    return key_of(fold(fold(fold(first, total), price), trigger))


@compiled
def key_of_amend(child_id: int, total: int, price: int, trigger: int) -> int:
    """Return the key of an amend: order, quantity, price and trigger."""
    return key_of(fold(fold(fold(fold(AMEND_REQUEST, child_id), total), price), trigger))


@compiled
def key_of(digest: int) -> int:
    """Return a digest as a key; 0 stands for no event."""
    return digest if digest != 0 else 1
