"""What can happen to the loop and what the loop may want done: plain values, both ways.

Market events and faults come from `marketdata/events.py`, venue messages from `venues/port.py`, as they are. The
rest is here. Time isn't in an event: `on_event` gets it beside the event.
"""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.decisions import Verdict
from controlplane.domain.measures import MeasureObserved
from controlplane.domain.observations import PhaseObserved, RateObserved, ReferenceObserved, VolumeObserved
from controlplane.domain.orders import Side
from controlplane.domain.reports import VenueReport
from controlplane.domain.scopes import Route
from controlplane.domain.states import TradingState
from executor.marketdata.events import Fault, MarketEvent
from executor.venues.port import OrderStatus, WorkingList

Observation = ReferenceObserved | VolumeObserved | PhaseObserved | RateObserved | MeasureObserved


@dataclass(frozen=True, slots=True)
class ParentInstruction:
    """A block order as it was handed in, checked for shape and counted in ticks and lots.

    Fields
        reference          the sender's own key; the same reference twice is one parent order; empty for none
        route              names that decide which limits meet its children
        horizon_ns         how long it may take, from the moment it is accepted
        limit_ticks        worst price the parent may pay; 0 for none
        participation_bps_max  largest share of the market volume, ours included; 0 for no cap of its own
        parameters         parameters of the strategy, names with text, in the order given
        decision_ticks     price on which the order was decided; 0 when that is the arrival price
        entered_by         who handed it in
    """

    reference: str
    route: Route
    side: Side
    quantity_lots: int
    horizon_ns: int
    limit_ticks: int = 0
    participation_bps_max: int = 0
    parameters: tuple[tuple[str, str], ...] = ()
    decision_ticks: int = 0
    entered_by: str = ""


def strategy_name(route_strategy: str) -> str:
    """Return the strategy that a route's strategy runs: `crypto/pov` of the crypto desk runs `pov`."""
    return route_strategy.rpartition("/")[2]


class Operation(StrEnum):
    """What an operator may ask of one parent order. A pause may be resumed by one person; it isn't a halt."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class ParentArrived:
    """A parent order was handed in; `route` is the gate's handle of its route."""

    parent_id: int
    instruction: ParentInstruction
    route: int


@dataclass(frozen=True, slots=True)
class ParentOpened:
    """The gate knows the parent order."""

    parent_id: int


@dataclass(frozen=True, slots=True)
class ParentRefused:
    """The gate will not have the parent order, and says why."""

    parent_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChildAnswered:
    """What came of asking the gate for a child and of sending it.

    Fields
        report  what the adapter says became of it: sent, not sent or unknown; None when the gate denied it
    """

    child_id: int
    verdict: Verdict
    report: VenueReport | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelAnswered:
    """Whether a cancel left for the venue."""

    child_id: int
    has_left: bool


@dataclass(frozen=True, slots=True)
class OperatorSpoke:
    """An operator's word about one parent order."""

    parent_id: int
    operation: Operation
    reason: str
    spoken_by: str


@dataclass(frozen=True, slots=True)
class ScopeStateChanged:
    """The gate put a scope, written `desk:crypto`, into a state."""

    scope: str
    state: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class MachineStopped:
    """The kill switch of this machine was thrown; the fence moved."""

    fence: int


@dataclass(frozen=True, slots=True)
class MachineArmed:
    """The kill switch of this machine is armed again."""

    fence: int


@dataclass(frozen=True, slots=True)
class GateReturned:
    """The gate answers again after an absence or a restart."""

    fence: int


@dataclass(frozen=True, slots=True)
class VenueReturned:
    """The connection to a venue stands again; what it said meanwhile is lost and has to be asked for."""

    venue: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing else happened, but it is later."""


Event = (
    MarketEvent
    | Fault
    | VenueReport
    | OrderStatus
    | WorkingList
    | ParentArrived
    | ParentOpened
    | ParentRefused
    | ChildAnswered
    | CancelAnswered
    | OperatorSpoke
    | ScopeStateChanged
    | MachineStopped
    | MachineArmed
    | GateReturned
    | VenueReturned
    | TimePassed
)


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """Append this to the journal before anything that follows it."""

    payload: dict[str, object]


@dataclass(frozen=True, slots=True)
class OpenParent:
    """Make the parent order known to the gate."""

    parent_id: int


@dataclass(frozen=True, slots=True)
class CloseParent:
    """Tell the gate that no more children will come."""

    parent_id: int


@dataclass(frozen=True, slots=True)
class SubmitChild:
    """Ask the gate for this child and send it when allowed."""

    child_id: int


@dataclass(frozen=True, slots=True)
class CancelChild:
    """Cancel this child at its venue; nothing is asked first."""

    child_id: int
    request_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class QueryChild:
    """Ask the venue what became of this child."""

    child_id: int


@dataclass(frozen=True, slots=True)
class QueryWorking:
    """Ask a venue for the list of our working orders."""

    venue: str


@dataclass(frozen=True, slots=True)
class TellGate:
    """Pass a report on to the gate; kept and delivered in order while the gate is away."""

    report: VenueReport


@dataclass(frozen=True, slots=True)
class Observe:
    """Pass an observation on to the gate."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class MeasureParent:
    """The parent has ended: reckon its shortfall and record it."""

    parent_id: int


Action = (
    WriteRecord
    | OpenParent
    | CloseParent
    | SubmitChild
    | CancelChild
    | QueryChild
    | QueryWorking
    | TellGate
    | Observe
    | MeasureParent
)
