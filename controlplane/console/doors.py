"""Which route a request meets, and what its door asks: the table against the routes that really exist."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route, compile_path

from controlplane.domain.invariants import require
from controlplane.identity.access import Access
from controlplane.identity.guard import undeclared

# A HEAD is a GET without its body and asks the same.
IMPLIED = {"HEAD": "GET"}


@dataclass(frozen=True, slots=True)
class _Door:
    method: str
    path: str
    pattern: re.Pattern[str]


class Doors:
    """The routes of an application in the order in which they are tried.

    Arguments
        routes  routes of the application
        table   what each method and path pattern asks

    Errors
        InvariantBroken when a route stands in no line of the table, or a line names no route: such a service doesn't
        start
    """

    def __init__(self, routes: Iterable[BaseRoute], table: Mapping[tuple[str, str], Access]) -> None:
        self._table = dict(table)
        self._doors = [
            _Door(method, path, compile_path(path)[0]) for method, path in sorted_pairs(routes) if method not in IMPLIED
        ]
        existing = {(door.method, door.path) for door in self._doors}
        missing = undeclared(existing, self._table)
        require(not missing, f"routes without a line in the table of doors: {', '.join(missing)}")
        left = sorted(f"{method} {path}" for method, path in self._table.keys() - existing)
        require(not left, f"lines in the table of doors without a route: {', '.join(left)}")

    def find(self, method: str, path: str) -> Access | None:
        """What a request needs; None when no route would answer it."""
        door = self._match(method, path)
        return None if door is None else self._table[door.method, door.path]

    def pattern(self, method: str, path: str) -> str | None:
        """The path pattern of the route that would answer; None when none would."""
        door = self._match(method, path)
        return None if door is None else door.path

    def all(self) -> dict[tuple[str, str], Access]:
        """Every line of the table."""
        return dict(self._table)

    def _match(self, method: str, path: str) -> _Door | None:
        wanted = IMPLIED.get(method, method)
        return next((door for door in self._doors if door.method == wanted and door.pattern.match(path)), None)


def sorted_pairs(routes: Iterable[BaseRoute]) -> list[tuple[str, str]]:
    """Method and path pattern of every route, in the order in which they are tried.

    Errors
        InvariantBroken for a route that isn't a plain one: a mount or a websocket has no line in the table
    """
    pairs = []
    for route in routes:
        require(isinstance(route, Route), f"route {route!r} is no plain HTTP route and has no line in the table")
        if isinstance(route, Route):
            pairs += [(method, route.path) for method in sorted(route.methods or ())]
    return pairs
