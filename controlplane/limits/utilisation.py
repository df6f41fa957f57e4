"""How much of every limit is in use, as a gate reports it: checked, in order of concern, rolled up the scope tree.

A limit whose use can't be computed is the worst news of all and sorts above a breach, which sorts above a near one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.scopes import FIRM, Scope, parse_scope
from controlplane.limits.hierarchy import scope_above
from controlplane.limits.kinds import Unit


class Standing(IntEnum):
    """What a row asks of a person; a larger number is worse."""

    NORMAL = 0
    NEAR = 1
    BREACH = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Use of one limit in one scope; numbers in `unit`, `share_bps` of the limit and rounded up.

    `headroom` is what is left after used and reserved, negative in a breach. Where `is_unknown`, the numbers are the
    last ones known and nothing may be concluded from them.
    """

    limit: str
    scope: Scope
    instrument: str | None
    unit: Unit
    used: int
    reserved: int
    limit_value: int
    headroom: int
    share_bps: int
    is_near: bool
    is_unknown: bool

    @property
    def standing(self) -> Standing:
        if self.is_unknown:
            return Standing.UNKNOWN
        if self.headroom < 0:
            return Standing.BREACH
        return Standing.NEAR if self.is_near else Standing.NORMAL


@dataclass(frozen=True, slots=True)
class ScopeUse:
    """One scope of the tree with its own rows, the worst standing in or below it, and the row that causes it."""

    scope: Scope
    standing: Standing
    worst: Utilisation
    rows: tuple[Utilisation, ...]
    children: tuple["ScopeUse", ...]


def rows_from(answer: Mapping[str, object]) -> tuple[Utilisation, ...]:
    """Return the rows of a gate's `utilisation` answer, the most concerning first.

    Errors
        InvalidRequest when the answer isn't of that form; names row and field
    """
    rows = answer.get("rows")
    if not isinstance(rows, list):
        raise InvalidRequest(
            'A utilisation answer has a list "rows", found none; ask a gate of this version.', field="rows"
        )
    return by_concern(_row(position, row) for position, row in enumerate(rows))


def by_concern(rows: Iterable[Utilisation]) -> tuple[Utilisation, ...]:
    """Return the rows worst first: by standing, by share of the limit, then by scope and name so that ties stay put."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (-row.standing, -row.share_bps, row.scope, row.limit, row.instrument or ""),
        )
    )


def rolled_up(rows: Iterable[Utilisation]) -> ScopeUse | None:
    """Return the scope tree from the firm down, each scope with the worst standing in or below it; None without rows.

    Scopes without rows of their own appear where rows below them need them.
    """
    own: dict[Scope, list[Utilisation]] = {}
    below: dict[Scope, set[Scope]] = {}
    for row in by_concern(rows):
        own.setdefault(row.scope, []).append(row)
        scope, above = row.scope, scope_above(row.scope)
        while above is not None:
            below.setdefault(above, set()).add(scope)
            scope, above = above, scope_above(above)
    return _tree(FIRM, own, below) if own else None


def _tree(scope: Scope, own: Mapping[Scope, list[Utilisation]], below: Mapping[Scope, set[Scope]]) -> ScopeUse:
    # at most four levels deep: scope names hold no longer path
    children = tuple(_tree(child, own, below) for child in sorted(below.get(scope, set())))
    rows = tuple(own.get(scope, ()))
    worst = by_concern([*rows, *(child.worst for child in children)])[0]
    return ScopeUse(scope=scope, standing=worst.standing, worst=worst, rows=rows, children=children)


def _row(position: int, row: object) -> Utilisation:
    if not isinstance(row, Mapping):
        raise InvalidRequest(
            f"Row {position} of a utilisation answer must be an object, found {type(row).__name__}; ask again.",
            field="rows",
        )
    instrument = row.get("instrument")
    if instrument is not None and not isinstance(instrument, str):
        raise _malformed(position, "instrument", "a name or null", instrument)
    unit = _text(position, row, "unit")
    if unit not in {known.value for known in Unit}:
        raise _malformed(position, "unit", f"one of {', '.join(Unit)}", unit)
    return Utilisation(
        limit=_text(position, row, "limit"),
        scope=parse_scope(_text(position, row, "scope")),
        instrument=instrument,
        unit=Unit(unit),
        used=_integer(position, row, "used"),
        reserved=_integer(position, row, "reserved"),
        limit_value=_integer(position, row, "limit_value"),
        headroom=_integer(position, row, "headroom"),
        share_bps=_integer(position, row, "share_bps"),
        is_near=_flag(position, row, "is_near"),
        is_unknown=_flag(position, row, "is_unknown"),
    )


def _text(position: int, row: Mapping[str, object], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise _malformed(position, field, "text", value)
    return value


def _integer(position: int, row: Mapping[str, object], field: str) -> int:
    """Return a whole number, which the wire writes as text where it is wider than a JSON number can carry exactly."""
    value = row.get(field)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) <= 20 and value.isascii():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _malformed(position, field, "a whole number", value)
    return value


def _flag(position: int, row: Mapping[str, object], field: str) -> bool:
    value = row.get(field)
    if not isinstance(value, bool):
        raise _malformed(position, field, "true or false", value)
    return value


def _malformed(position: int, field: str, expected: str, found: object) -> InvalidRequest:
    return InvalidRequest(
        f"Row {position} of a utilisation answer must have {field} as {expected}, found {found!r:.60}; ask again.",
        field=field,
    )
