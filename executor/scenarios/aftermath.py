"""What came of a run, in words: the report of a replay, and the cost of a parent order from the journal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controlplane.domain.errors import UnknownReference
from controlplane.domain.ids import from_text, to_text
from executor.engine.cost import from_records, storable
from executor.engine.recovery import records_of
from executor.scenarios.rule_book import RuleBook


def finished_parents(log: Path) -> list[int]:
    """Return the parent orders that have ended, in order of their end."""
    return [from_text(str(record["parent_id"])) for record in records_of(log) if record["kind"] == "ParentFinished"]


def cost_of(log: Path, parent_id: int, rule_book: RuleBook) -> tuple[dict[str, object], str]:
    """Return the cost of a finished parent order for programs and for people.

    Errors
        UnknownReference  the journal has no such parent, or the rule book no such instrument
        InvalidRequest    it hasn't ended, or its cost can't be reckoned
    """
    name = to_text(parent_id)
    accepted = next(
        (one for one in records_of(log) if one["kind"] == "ParentAccepted" and one["parent_id"] == name), None
    )
    if accepted is None:
        raise UnknownReference(f"Parent order {name} is not in {log}; look in another state folder with --state.")
    instrument = rule_book.instruments.get(str(accepted["instrument"]))
    if instrument is None:
        raise UnknownReference(
            f"The rule book has no instrument {accepted['instrument']}; use the one the order was made with."
        )
    report = from_records(records_of(log), parent_id, instrument)
    quantity = instrument.quantity(int(str(accepted["quantity_lots"])))
    heading = f"parent order {name}: {accepted['side']} {quantity} {instrument.name}\n"
    return {"parent_id": name, "instrument": instrument.name, **storable(report.as_json())}, heading + report.as_text()


def replay_text(document: Mapping[str, Any]) -> str:
    """Return the report of a replay as a page of text."""
    order, parent, children = document["order"], document["parent"], document["children"]
    quantity, book = parent["quantity"], document["book"]
    places = ("filled", "working", "in_flight", "unplaced", "cancelled")
    summed = " + ".join(f"{place.replace('_', ' ')} {quantity[place]}" for place in places)
    asked = ", ".join(f"{children[fate]} {fate}" for fate in ("requested", "denied", "refused", "sent"))
    permits = f"{children['allowed_decisions']} allowed decisions, {children['spent_permits']} permits spent"
    differing = f"{book['mismatching']} of {book['compared']} comparisons differ ({book['mismatch_share']})"
    wanted = f"{order['side']} {order['quantity']} {order['instrument']}"
    lines = [
        document["recording"]["choice"],
        f"{wanted} with {order['strategy']} at {order['venue']}: {parent['state']}",
        f"parent     {quantity['ordered']} = {summed}",
        f"children   {asked}; {permits}",
        f"denials    {', '.join(f'{code} {count}' for code, count in children['denied_codes'].items()) or 'none'}",
        f"book       {differing}, crossed {book['crossed']}",
        *(_log_line(log) for log in children["journals"]),
        *_cost_lines(document["tca"]),
        f"time       {document['wall_seconds']} s",
    ]
    return "\n".join([*lines, *(f"FAULT      {fault}" for fault in document["faults"])]) + "\n"


def _log_line(log: Mapping[str, Any]) -> str:
    return f"journal    {log['log']}: {'sound' if log['is_sound'] else 'NOT SOUND'}, {log['records']} records"


def _cost_lines(tca: object) -> list[str]:
    if not isinstance(tca, Mapping):
        return ["shortfall  not on record"]
    if "not_computed" in tca:
        return [f"shortfall  {tca['not_computed']}"]
    parts = ", ".join(f"{name} {amount['currency']}" for name, amount in tca["parts"].items())
    return [f"shortfall  {tca['total']['currency']} ({tca['total']['bps']} bps) = {parts}"]
