"""Where pages read from, and who is looking: the two arguments of every page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controlplane.console.views import link
from controlplane.domain.clock import Clock
from controlplane.domain.states import TradingState
from controlplane.halts.board import Lift, Stop
from controlplane.halts.effective import ScopeState, scope_states
from controlplane.halts.readings import GateReadings, Reading
from controlplane.halts.service import Halts
from controlplane.identity.people import Person
from controlplane.supervision.service import Supervision
from controlplane.supervision.units import Names

# The environment in which an order can reach a real venue.
LIVE = "LIVE"


@dataclass(frozen=True, slots=True)
class Sources:
    """Services that pages ask.

    Fields
        environment   SIMULATION or LIVE
        currency      reporting currency of the firm
        kill_command  what stops this machine from a shell
        phone         whom to call, from the policy; empty when it names nobody
        is_database_up  whether the database answered lately; never waits
    """

    environment: str
    clock: Clock
    readings: GateReadings
    halts: Halts
    supervision: Supervision
    is_database_up: Callable[[], bool]
    kill_command: str = "controlplane kill"
    phone: str = ""

    @property
    def names(self) -> Names:
        return self.supervision.names

    def states(self) -> tuple[ScopeState, ...]:
        """Scopes that aren't active, as the gate last said, with the reason where somebody gave it afterwards."""
        return tuple(self.halts.with_reason(row) for row in scope_states(self.readings.get("status").value or {}))

    def firm_state(self) -> tuple[TradingState, bool]:
        """The state of the firm on this machine, and whether its kill switch is thrown."""
        status: Reading = self.readings.get("status")
        is_killed = (status.value or {}).get("state") == "KILLED"
        states = [row.state for row in self.states() if row.scope == "firm:firm"]
        return max(states, default=TradingState.ACTIVE), is_killed

    def open_items(self, person: Person | None, now_ns: int) -> tuple[list[Stop], list[Lift]]:
        """Reasons that this person owes, and lifts that wait for somebody like them."""
        if person is None:
            return [], []
        owed = [stop for stop in self.halts.board.latest_stops() if stop.is_reason_due(now_ns)]
        lifts = [lift for lift in self.halts.board.waiting_lifts() if lift.asked_by != person.name]
        return owed, lifts


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at a page.

    Fields
        path    address without filters
        query   filters by name, as they stand in the address
        now_ns  wall time of the look
    """

    path: str
    query: Mapping[str, str]
    person: Person | None
    now_ns: int

    @property
    def address(self) -> str:
        """The permanent address of what is looked at, filters included."""
        return link(self.path, **self.query)

    def asked(self, name: str, length_max: int = 100) -> str:
        """A filter's value; empty when it isn't set."""
        return self.query.get(name, "").strip()[:length_max]
