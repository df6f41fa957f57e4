"""Rebuilds the state of a gate from its journal, and shows on the way that every decision recomputes to the same bytes.

The records hold everything the state machine was told, so running it again over them gives the state it was in. The
digest that each record carries is compared with the one recomputed; the first difference stops the start.
"""

from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.errors import ChainBroken
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.loading import State
from controlplane.gate.replay import Replay


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal says: the state, or None before the first limits were loaded, and the last readings of the
    clocks.
    """

    state: State | None
    records: int
    last_wall_ns: int
    last_monotonic_ns: int
    fence: int


def recover(directory: Path, *, capacity: a.Capacity, gate_id: int) -> Recovered:
    """Return the state after every record of a gate's log.

    Errors
        ChainBroken when the log is damaged, or a decision doesn't recompute to what was recorded
    """
    replayed = Replay(directory, capacity=capacity, gate_id=gate_id).run()
    if replayed.difference is not None:
        raise ChainBroken(f"{replayed.difference.sentence()} Don't start the gate.")
    return Recovered(
        state=replayed.state,
        records=replayed.records,
        last_wall_ns=replayed.last_wall_ns,
        last_monotonic_ns=replayed.last_monotonic_ns,
        fence=replayed.fence,
    )
