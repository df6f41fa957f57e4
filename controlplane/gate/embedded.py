"""A gate inside the caller's process: the same class, made durable after every call, for simulation, tests and lowest
latency.
"""

from controlplane.domain.decisions import Verdict
from controlplane.domain.orders import OrderCommand
from controlplane.domain.reports import VenueReport
from controlplane.gate.gate import Gate


class EmbeddedGate(Gate):
    """A gate whose answers leave at once, so each one is committed first."""

    def decide(self, command: OrderCommand) -> Verdict:
        verdict = super().decide(command)
        self.commit()
        return verdict

    def report(self, report: VenueReport) -> None:
        super().report(report)
        self.commit()
