"""What the executor's programs take from the shipped rule book: instruments, allowed routes, fees, expected volumes.

Never a limit: the gate alone reads those. What both need, both read from the same files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import UnknownReference
from controlplane.domain.instruments import Instrument
from controlplane.domain.quantities import MICRO, to_micro
from controlplane.domain.scopes import Route
from controlplane.gate.snapshot import Snapshot
from controlplane.limits.compile import compile_instrument, compile_snapshot
from controlplane.limits.sessions import covered_sessions
from controlplane.policy.coverage import reachable
from controlplane.policy.load import load_policies
from controlplane.policy.market import NO_CURVE, AlwaysCalendar, FixedRate
from controlplane.policy.schema import Policies
from executor.intake.rest import IntakeRules
from executor.marketdata.readers.recordings import Recording
from executor.simulation.fees import FeeSchedule
from executor.strategies.volume_curve import Session, VolumeCurve


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The facts of one policy folder; `volume_curves` is by instrument, without those that have none."""

    policies: Policies
    instruments: Mapping[str, Instrument]
    routes: tuple[Route, ...]
    volume_curves: Mapping[str, VolumeCurve]

    def intake_rules(self, minutes: Decimal = Decimal(10)) -> IntakeRules:
        """Return what a parent order may name."""
        return IntakeRules(
            instruments=self.instruments, routes=self.routes, minutes=minutes, volume_curves=self.volume_curves
        )

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
        volume_curves=_volume_curves(policies),
    )


def _volume_curves(policies: Policies) -> dict[str, VolumeCurve]:
    """Return the curve of every instrument that names one; instruments of one curve share it."""
    used = {instrument.volume_curve for instrument in policies.instruments.values()} - {NO_CURVE}
    curves = {name: compile_curve(name, policies) for name in sorted(used)}
    return {
        name: curves[instrument.volume_curve]
        for name, instrument in policies.instruments.items()
        if instrument.volume_curve in curves
    }


def compile_curve(name: str, policies: Policies) -> VolumeCurve:
    """Return one volume curve of the rule book with the sessions of its calendar, for every year that is covered.

    Rounding
        a session that is longer than its bins, where clocks are set back, ends with the last bin
    """
    curve = policies.volume_curves[name]
    calendar, bin_ns = policies.calendars[curve.calendar], curve.bin_minutes * 60 * NS_PER_S
    if isinstance(calendar, AlwaysCalendar):
        return VolumeCurve(name, bin_ns, curve.weights, None)
    bins = [hours.minutes // curve.bin_minutes for hours in calendar.sessions]
    sessions = tuple(
        Session(open_ns, min(close_ns, open_ns + bins[place] * bin_ns), sum(bins[:place]))
        for place, open_ns, close_ns in covered_sessions(calendar)
    )
    return VolumeCurve(name, bin_ns, curve.weights, sessions)


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
