"""Which working orders lie in a scope, and what has become of those that a stop found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.scopes import FIRM, parse_scope
from controlplane.halts.effective import MACHINE

# The name under which a row of working orders carries the dimension of a scope.
FIELD_OF_KIND = {
    "desk": "desk",
    "strategy": "strategy",
    "model": "model",
    "parent": "parent_id",
    "instrument": "instrument",
    "underlying": "underlying",
    "venue": "venue",
    "counterparty": "counterparty",
}


class Fate(StrEnum):
    """What became of an order that was working when a stop was pressed."""

    WORKING = "working"
    CANCEL_SENT = "cancel sent"
    CANCELLED = "cancelled"
    FILLED = "filled before cancel"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ChildFate:
    """One order of a stop's list with the reason when it still works."""

    child_id: str
    fate: Fate
    venue: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stop has come; counts of child orders."""

    total: int
    cancel_sent: int
    confirmed: int
    filled: int
    ended: int
    still_working: tuple[ChildFate, ...]

    @property
    def is_done(self) -> bool:
        return not self.still_working


def lies_in(row: Mapping[str, object], scope: str, parents: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a working order lies in a scope.

    Arguments
        row      one row of a gate's answer to `working`
        scope    `desk:crypto`
        parents  names of known parent orders' routes by identifier, for what the row itself doesn't carry

    An order of which the dimension isn't known counts as inside: a stop's label may count too many, never too few.
    """
    if scope in (str(FIRM), MACHINE):
        return True
    kind, _, name = str(parse_scope(scope)).partition(":")
    field = FIELD_OF_KIND[kind]
    value = row.get(field) or parents.get(str(row.get("parent_id", "")), {}).get(field)
    return not value or str(value) == name


def in_scope(
    rows: Iterable[Mapping[str, object]], scope: str, parents: Mapping[str, Mapping[str, str]]
) -> list[Mapping[str, object]]:
    """The working orders that lie in a scope."""
    return [row for row in rows if lies_in(row, scope, parents)]


def progress_of(
    children: Iterable[str], rows: Iterable[Mapping[str, object]], known: Mapping[str, str], *, cancels: bool
) -> Progress:
    """How far a stop has come.

    Arguments
        children  the orders that were working when it was pressed
        rows      what the gate counts as working now
        known     state of child orders by identifier, as the record tells it; what isn't in it isn't known
        cancels   whether the stop cancels at all
    """
    now_working = {str(row.get("child_id")): row for row in rows}
    fates = [_fate(child_id, now_working.get(child_id), known.get(child_id, ""), cancels) for child_id in children]
    counted = {fate: sum(1 for row in fates if row.fate is fate) for fate in Fate}
    return Progress(
        total=len(fates),
        # Whatever was confirmed as cancelled had its cancel sent, seen by us or not.
        cancel_sent=counted[Fate.CANCEL_SENT] + counted[Fate.CANCELLED],
        confirmed=counted[Fate.CANCELLED],
        filled=counted[Fate.FILLED],
        ended=counted[Fate.ENDED],
        still_working=tuple(row for row in fates if row.fate in (Fate.WORKING, Fate.CANCEL_SENT)),
    )


def _fate(child_id: str, row: Mapping[str, object] | None, state: str, cancels: bool) -> ChildFate:
    if row is None:
        if state == "cancelled":
            return ChildFate(child_id, Fate.CANCELLED)
        return ChildFate(child_id, Fate.FILLED if state == "filled" else Fate.ENDED)
    venue = str(row.get("venue", ""))
    if bool(row.get("is_cancelling")) or "cancel" in str(row.get("state", "")).lower() or state == "cancel pending":
        return ChildFate(child_id, Fate.CANCEL_SENT, venue, "the venue has not confirmed the cancel yet")
    why = "the executor has not sent the cancel yet" if cancels else "this stop leaves working orders in place"
    return ChildFate(child_id, Fate.WORKING, venue, why)
