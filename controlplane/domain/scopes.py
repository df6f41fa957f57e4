"""What a limit or a stop state applies to: five levels, four cross dimensions, and the path one order takes through
them.
"""

from dataclasses import dataclass
from enum import IntEnum

from controlplane.domain.errors import InvalidRequest


class Level(IntEnum):
    """Ranks of the hierarchy, the highest first. A higher level always overrides a lower one."""

    FIRM = 0
    DESK = 1
    STRATEGY = 2
    MODEL = 3
    PARENT = 4


class CrossDimension(IntEnum):
    """Dimensions that cut across the hierarchy; numbered after the levels so that one number names any scope kind."""

    INSTRUMENT = 5
    UNDERLYING = 6
    VENUE = 7
    COUNTERPARTY = 8


ScopeKind = Level | CrossDimension
SCOPE_KINDS: tuple[ScopeKind, ...] = (*Level, *CrossDimension)


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One node: a kind and a name, written `desk:crypto`. The firm has the single name `firm`."""

    kind: int
    name: str

    def __str__(self) -> str:
        return f"{scope_kind(self.kind).name.lower()}:{self.name}"


FIRM = Scope(Level.FIRM, "firm")


@dataclass(frozen=True, slots=True)
class Route:
    """The names that decide which limits meet an order; becomes an integer handle once, outside the order path."""

    desk: str
    strategy: str
    model: str
    instrument: str
    venue: str
    counterparty: str

    def scopes(self, underlying: str) -> tuple[Scope, ...]:
        """Return the scopes of the route above the parent order, highest level first, then the cross dimensions."""
        return (
            FIRM,
            Scope(Level.DESK, self.desk),
            Scope(Level.STRATEGY, self.strategy),
            Scope(Level.MODEL, self.model),
            Scope(CrossDimension.INSTRUMENT, self.instrument),
            Scope(CrossDimension.UNDERLYING, underlying),
            Scope(CrossDimension.VENUE, self.venue),
            Scope(CrossDimension.COUNTERPARTY, self.counterparty),
        )


def scope_kind(number: int) -> ScopeKind:
    """Return the level or cross dimension with this number; InvalidRequest when there is none."""
    if 0 <= number <= Level.PARENT:
        return Level(number)
    if Level.PARENT < number <= CrossDimension.COUNTERPARTY:
        return CrossDimension(number)
    raise InvalidRequest(
        f"Scope kind {number} is unknown; kinds are 0 to {int(CrossDimension.COUNTERPARTY)}.", field="scope"
    )


def parse_scope(text: str) -> Scope:
    """Return the scope written as `kind:name`; InvalidRequest names the kinds when the text isn't of that form."""
    kind_text, separator, name = text.partition(":")
    names = {kind.name.lower(): int(kind) for kind in SCOPE_KINDS}
    if not separator or kind_text not in names or not 0 < len(name) <= 80:
        raise InvalidRequest(
            f"A scope is written kind:name with kind one of {', '.join(names)}; found {text[:80]!r}.", field="scope"
        )
    return Scope(names[kind_text], name)
