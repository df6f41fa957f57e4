"""What the executor's programs take from the shipped rule book: instruments, allowed routes, fees; never a limit.

The gate alone reads limits. These are the facts that both must agree on, and both read them from the same files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from controlplane.domain.errors import UnknownReference
from controlplane.domain.instruments import Instrument
from controlplane.domain.quantities import MICRO, to_micro
from controlplane.domain.scopes import Route
from controlplane.gate.snapshot import Snapshot
from controlplane.limits.compile import compile_instrument, compile_snapshot
from controlplane.policy.coverage import reachable
from controlplane.policy.load import load_policies
from controlplane.policy.market import FixedRate
from controlplane.policy.schema import Policies
from executor.intake.rest import IntakeRules
from executor.marketdata.readers.recordings import Recording
from executor.simulation.fees import FeeSchedule


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The facts of one policy folder."""

    policies: Policies
    instruments: Mapping[str, Instrument]
    routes: tuple[Route, ...]

    def intake_rules(self, minutes: Decimal = Decimal(10)) -> IntakeRules:
        """Return what a parent order may name."""
        return IntakeRules(instruments=self.instruments, routes=self.routes, minutes=minutes)

    def snapshot(self, as_of_ns: int) -> Snapshot:
        """Return the compiled limits as of a moment, for a gate in this process."""
        return compile_snapshot(self.policies, as_of_ns=as_of_ns, version=1)

    def fees(self, venue: str) -> FeeSchedule:
        """Return what a venue charges."""
        policy = self.policies.venues[venue]
        return FeeSchedule(maker_bps=policy.fee_maker_bps, taker_bps=policy.fee_taker_bps)

    def rates_micro(self) -> dict[str, int]:
        """Return the worth of every currency that has a fixed one; others count as one for the purpose of fees."""
        return {
            name: to_micro(rate.rate, is_exposure=True) if isinstance(rate, FixedRate) else MICRO
            for name, rate in self.policies.currencies.items()
        }

    def venue_of(self, instrument: str) -> str:
        """Return the one venue that lists an instrument; UnknownReference when there is none or more than one."""
        venues = sorted({route.venue for route in self.routes if route.instrument == instrument})
        if len(venues) != 1:
            raise UnknownReference(
                f"Expected one venue for {instrument} in the rule book, found {', '.join(venues) or 'none'}; name it."
            )
        return venues[0]

    def listed(self, recording: Recording) -> Instrument:
        """Return our instrument for what a recording holds: the one of the same contract, grid and currencies.

        Errors
            UnknownReference when the rule book has no such instrument, or more than one
        """
        wanted = _facts(recording.instrument)
        fitting = [one for one in self.instruments.values() if _facts(one) == wanted]
        if len(fitting) != 1:
            found = ", ".join(one.name for one in fitting) or "none"
            raise UnknownReference(
                f"Expected one instrument of the rule book for the recording {recording.name} of "
                f"{recording.instrument.name}, found {found}; add it to policies/instruments.toml."
            )
        return fitting[0]


def open_rule_book(directory: Path) -> RuleBook:
    """Return the rule book of a policy folder; PolicyInvalid says what is wrong with it."""
    policies = load_policies(directory)
    return RuleBook(
        policies=policies,
        instruments={name: compile_instrument(name, policies) for name in sorted(policies.instruments)},
        routes=tuple(reachable(policies)),
    )


def _facts(instrument: Instrument) -> tuple[object, ...]:
    return (
        instrument.contract,
        instrument.underlying,
        instrument.currency,
        instrument.settlement_currency,
        instrument.is_inverse,
        instrument.tick_size,
        instrument.lot_size,
        instrument.multiplier,
    )
