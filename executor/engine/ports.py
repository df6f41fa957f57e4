"""What the engine needs of the world outside it: a journal, the gate, the venues. Tests hand in small working fakes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controlplane.gate.client import GatePort
from executor.venues.port import VenueAdapter


class JournalPort(Protocol):
    """The executor's own log."""

    def append_json(self, payload: Mapping[str, object]) -> int:
        """Return the sequence of a record that now stands in the log; JournalUnavailable is final."""
        ...

    def commit(self) -> None:
        """Return once everything appended is as durable as the policy says."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world outside. `venues` are the adapters by the names that stand in routes."""

    journal: JournalPort
    gate: GatePort
    venues: Mapping[str, VenueAdapter]
