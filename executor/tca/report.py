"""The analysis of one parent for people and programs: a text table, and JSON with exact and rounded numbers.

This is the only place of the analysis where a number is rounded. The JSON carries the exact integers next to the
rounded ones, so that a reader can check that the parts add up.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.quantities import BPS, MICRO
from executor.tca.benchmarks import BenchmarkCost, MarketInterval, benchmark_cost
from executor.tca.components import Components, GroupCost, Markout, decompose
from executor.tca.shortfall import ParentOutcome

CURRENCY_PLACES = 6
BPS_PLACES = 4
TEXT_PLACES = 2
PRECISION_DIGITS = 60


@dataclass(frozen=True, slots=True)
class TcaReport:
    """One parent's cost, ready to be shown."""

    components: Components
    benchmarks: BenchmarkCost | None

    def as_json(self) -> dict[str, object]:
        """Return exact amounts as integers of `unit`, with currency and bps rounded beside them as text."""
        total = self.components.shortfall
        return {
            "ordered_lots": total.ordered_lots,
            "filled_lots": total.filled_lots,
            "first_fill_ns": self.components.first_fill_ns,
            "last_fill_ns": self.components.last_fill_ns,
            "unit": f"1/{total.scale.denominator * MICRO} of the reporting currency",
            "notional": total.notional,
            "total": self._amount(total.total),
            "parts": {name: self._amount(value) for name, value in self._parts()},
            "trading": {name: self._amount(value) for name, value in _trading_parts(self.components.all_fills)},
            "sums": {
                "parts_equal_total": sum(value for _, value in self._parts()) == total.total,
                "trading_parts_equal_trading": sum(value for _, value in _trading_parts(self.components.all_fills))
                == total.trading,
            },
            "venues": [self._group_json(group) for group in self.components.venues],
            "markouts": [self._markout_json(markout) for markout in self.components.markouts],
            "benchmarks": {name: self._benchmark_json(cost) for name, cost in self._benchmark_costs()},
        }

    def as_text(self) -> str:
        """Return a table for people: parts with currency and bps, what trading is made of, markouts, benchmarks."""
        total = self.components.shortfall
        lines = [
            f"filled {total.filled_lots} of {total.ordered_lots} lots",
            f"{'':<22}{'currency':>16}{'bps':>10}",
            *(self._line(name, value) for name, value in self._parts()),
            self._line("total", total.total),
            "trading is made of",
            *(self._line(f"  {name}", value) for name, value in _trading_parts(self.components.all_fills)),
        ]
        for markout in self.components.markouts:
            if markout.filled_lots:
                seconds = markout.horizon_ns // NS_PER_S
                lines.append(f"after {seconds} s, {markout.filled_lots} lots seen")
                lines.append(self._line("  realised spread", markout.realised))
                lines.append(self._line("  price impact", markout.impact))
        for name, cost in self._benchmark_costs():
            lines.append(f"{name:<22}" + ("not measured" if cost is None else f"{_rounded(cost, TEXT_PLACES):>16}"))
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def _parts(self) -> tuple[tuple[str, int], ...]:
        total = self.components.shortfall
        return (
            ("delay", total.delay),
            ("trading", total.trading),
            ("opportunity", total.opportunity),
            ("fees", total.fees),
        )

    def _benchmark_costs(self) -> tuple[tuple[str, Fraction | None], ...]:
        if self.benchmarks is None:
            return ()
        return (
            ("against VWAP", self.benchmarks.vwap),
            ("against others' VWAP", self.benchmarks.vwap_without_own),
            ("against TWAP", self.benchmarks.twap),
        )

    def _amount(self, units: int) -> dict[str, object]:
        """Return one amount three ways: exact, in currency, in bps of the parent's notional."""
        total = self.components.shortfall
        return {
            "units": units,
            "currency": str(_rounded(total.scale.in_currency(units), CURRENCY_PLACES)),
            "bps": str(_rounded(total.bps(units), BPS_PLACES)),
        }

    def _group_json(self, group: GroupCost) -> dict[str, object]:
        parts = (("trading", group.trading), *_trading_parts(group), ("fees", group.fees))
        return {
            "name": group.name,
            "filled_lots": group.filled_lots,
            "slippage_bps": str(_rounded(group.trading_bps, BPS_PLACES)),
            **{name: self._amount(value) for name, value in parts},
        }

    def _markout_json(self, markout: Markout) -> dict[str, object]:
        parts = (("effective", markout.effective), ("realised", markout.realised), ("impact", markout.impact))
        return {
            "horizon_ns": markout.horizon_ns,
            "filled_lots": markout.filled_lots,
            **{name: self._amount(value) for name, value in parts},
        }

    def _benchmark_json(self, cost: Fraction | None) -> dict[str, str] | None:
        if cost is None:
            return None
        notional = self.components.shortfall.scale.in_currency(self.components.shortfall.notional)
        return {
            "currency": str(_rounded(cost, CURRENCY_PLACES)),
            "bps": str(_rounded(cost * BPS / notional, BPS_PLACES)),
        }

    def _line(self, name: str, units: int) -> str:
        total = self.components.shortfall
        currency = _rounded(total.scale.in_currency(units), TEXT_PLACES)
        return f"{name:<22}{currency:>16,}{_rounded(total.bps(units), TEXT_PLACES):>10}"


def analyse(outcome: ParentOutcome, market: MarketInterval | None = None) -> TcaReport:
    """Return the whole analysis of a parent that is over; benchmarks only where the market was measured."""
    return TcaReport(decompose(outcome), None if market is None else benchmark_cost(outcome, market))


def _trading_parts(group: GroupCost) -> tuple[tuple[str, int], ...]:
    return (("spread", group.spread), ("drift", group.drift), ("unsplit", group.unsplit))


def _rounded(value: Fraction, places: int) -> Decimal:
    """Return a fraction as a decimal, half to even."""
    with localcontext() as context:
        context.prec = PRECISION_DIGITS
        return (Decimal(value.numerator) / value.denominator).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
