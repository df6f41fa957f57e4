"""What a step of a child order's way is, and what all eighteen of them look at."""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.supervision.orders import Child, ChildState, Entry, Parent
from controlplane.supervision.units import Names, Units


class StepState(StrEnum):
    """How a step stands."""

    DONE = "done"
    STOPPED = "stopped here"
    NOT_REACHED = "not reached"
    NOT_KEPT = "nothing kept"
    AWAITED = "awaited"


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Fields
        number   1 to 18
        title    what happens, in the words of the trade
        where    file and function that do it
        state    how it stands
        at_ns    wall time, 0 when nothing says
        facts    label and value, in reading order
        places   records it is told by, written `gate-0.512`
        note     one sentence, where something needs saying
    """

    number: int
    title: str
    where: str
    state: StepState
    at_ns: int = 0
    facts: tuple[tuple[str, str], ...] = ()
    places: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """What a step looks at: the child, its parent if the record knows it, and how far the record was read.

    Fields
        names    names behind the numbers of the record
        read_ns  wall time of the latest record that was taken in
    """

    child: Child
    parent: Parent | None
    names: Names
    read_ns: int

    @property
    def units(self) -> Units:
        return self.names.units(self.child.instrument)

    @property
    def decision(self) -> Entry | None:
        return self.child.opening_decision

    @property
    def is_denied(self) -> bool:
        return self.child.state is ChildState.DENIED

    @property
    def has_left(self) -> bool:
        return self.child.sent is not None or self.child.last_report is not None
