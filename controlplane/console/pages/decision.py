"""One decision: why."""

from controlplane.console.pages.child import binding_facts, check_facts
from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import outcome_mark, utc_precise, words
from controlplane.domain.errors import UnknownReference
from controlplane.supervision.orders import Child, Entry
from controlplane.supervision.projection import SIDE_NAMES, whole
from controlplane.supervision.service import parse_place
from controlplane.supervision.units import Units, milliseconds


def read(sources: Sources, visit: Visit, place: str) -> Page:
    """The page. A decision never changes, so nothing on it grows old.

    Errors
        InvalidRequest, UnknownReference, DatabaseUnavailable
    """
    entry = sources.supervision.decision(place)
    if entry.kind != "OrderDecided":
        raise UnknownReference(f"Record {place} is no decision but {entry.kind}; the Decisions page lists decisions.")
    route = sources.names.route_names.get(whole(entry.facts, "route"), {})
    instrument = route.get("instrument", "")
    units = sources.names.units(instrument)
    child = Child(str(entry.facts.get("child_id", "")), instrument=instrument)
    is_denied = entry.facts.get("outcome") == "DENIED"
    verdict: dict[str, object] = {
        "outcome": outcome_mark(str(entry.facts.get("outcome"))).plain(),
        "explanation": _explanation(entry, sources, is_denied=is_denied),
        "tightest": binding_facts(entry, instrument, sources),
        "largest_passing": units.quantity(whole(entry.facts, "largest_passing_lots")) if is_denied else "",
        "is_denied": is_denied,
    }
    # The outcome above says these two already.
    checks = check_facts(entry, child, sources) | {"explanation": "", "tightest": None, "is_open": True}
    panels = (
        Panel("verdict", "Outcome", verdict),
        Panel("request", "The order as it was asked", _request(entry, route, units)),
        Panel("market", "The market as the gate saw it", _market(entry, units)),
        Panel("checks", "What the gate looked for, in order of precedence", checks),
        Panel("evidence", "Evidence", _evidence(entry)),
    )
    title = f"Decision {place}: {'denied' if is_denied else 'allowed'}"
    facts = {
        "place": place,
        "parent_id": str(entry.facts.get("parent_id") or ""),
        "child_id": str(entry.facts.get("child_id") or ""),
    }
    scope = f"strategy:{route['strategy']}" if route.get("strategy") else "firm:firm"
    sequence = sources.supervision.following.sequence
    return Page("decision", title, visit.address, "one-decision", panels, facts=facts, scope=scope, sequence=sequence)


def _explanation(entry: Entry, sources: Sources, *, is_denied: bool) -> str:
    if not is_denied:
        return "Every check passed; exposure was reserved and a permit issued for exactly this order."
    code = words(str(entry.facts.get("code") or "an unnamed check"))
    return sources.names.explanation(entry.words) or f"Denied by the check {code}."


def _request(entry: Entry, route: dict[str, str], units: Units) -> dict[str, object]:
    facts = entry.facts
    digest = str(facts.get("model_digest") or "")
    return {
        "rows": _given(
            ("What", words(str(facts.get("subkind") or ""))),
            ("Side", SIDE_NAMES.get(str(facts.get("side")), "")),
            ("Quantity", units.quantity(whole(facts, "quantity_lots"))),
            ("Limit price", units.price(whole(facts, "price_ticks")) if whole(facts, "price_ticks") else "none"),
            ("Order type", words(f"{facts.get('order_type', '')}, {facts.get('time_in_force', '')}")),
            ("Notional", units.money(whole(facts, "notional_micro")) if whole(facts, "notional_micro") else ""),
            ("Instrument", route.get("instrument", "")),
            ("Venue", route.get("venue", "")),
            ("Counterparty", route.get("counterparty", "")),
            ("Desk", route.get("desk", "")),
            ("Strategy", route.get("strategy", "")),
            ("Model", route.get("model", "")),
            ("Model digest", digest if digest.strip("0") else "none: no learned model asked"),
            ("Request", str(facts.get("request_id") or "")),
        )
    }


def _market(entry: Entry, units: Units) -> dict[str, object]:
    facts = entry.facts
    bid, ask = whole(facts, "reference_bid_ticks"), whole(facts, "reference_ask_ticks")
    if not bid and not ask:
        return {"rows": [{"label": "Reference price", "value": "none was used"}]}
    return {
        "rows": _given(
            ("Bid", units.price(bid) if bid else "none"),
            ("Ask", units.price(ask) if ask else "none"),
            ("Age at the decision", milliseconds(whole(facts, "reference_age_ns"))),
        )
    }


def _evidence(entry: Entry) -> dict[str, object]:
    facts = entry.facts
    log, seq = parse_place(entry.place)
    expiry_ns = whole(facts, "permit_expiry_ns")
    return {
        "rows": _given(
            ("Record", entry.place),
            ("Decided", f"{utc_precise(entry.wall_ns)} UTC"),
            ("Limits version", str(facts.get("snapshot_version") or "")),
            ("Fence", str(facts.get("fence") or "")),
            ("Permit valid for", milliseconds(expiry_ns - entry.wall_ns) if expiry_ns else "no permit"),
            ("State before", str(facts.get("digest_before") or "")),
            ("State after", str(facts.get("digest_after") or "")),
        ),
        "previous": f"{log}.{seq - 1}" if seq > 1 else "",
        "next": f"{log}.{seq + 1}",
        "log": log,
    }


def _given(*facts: tuple[str, str]) -> list[dict[str, str]]:
    return [{"label": label, "value": value} for label, value in facts if value]
