"""Which strategies there are, by the names people use, and how one is built for a parent.

To add a strategy: one file, one row here, its permission and limits in `policies/limits/strategies.toml`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.domain.errors import InvalidRequest
from executor.strategies.base import Assignment, Strategy
from executor.strategies.implementation_shortfall import AlmgrenChrissParameters, almgren_chriss
from executor.strategies.parameters import ParameterRule, read_parameters, rules_of
from executor.strategies.pov import PovParameters, pov
from executor.strategies.twap import TwapParameters, twap
from executor.strategies.vwap import VwapParameters, check_vwap, vwap


def _anywhere(parameters: object, instrument: str, *, has_curve: bool) -> None:
    """Return: a strategy that knows what it needs can work any instrument."""


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """One strategy.

    Fields
        parameters  the class of its parameters
        build       its factory
        purpose     what it is for
        check       raises InvalidRequest when its parameters can't work an instrument, named and with or without a
                    volume curve
    """

    parameters: type[Any]
    build: Callable[[Any, Assignment], Strategy]
    purpose: str
    check: Callable[..., None] = _anywhere


STRATEGIES: Mapping[str, StrategyRow] = {
    "twap": StrategyRow(TwapParameters, twap, "the same quantity in every slice of time"),
    "vwap": StrategyRow(VwapParameters, vwap, "quantity in proportion to the expected market volume", check_vwap),
    "pov": StrategyRow(PovParameters, pov, "a share of the market volume as it happens, never more"),
    "almgren-chriss": StrategyRow(
        AlmgrenChrissParameters, almgren_chriss, "more early when risk weighs more than impact"
    ),
}


def build_strategy(name: str, given: Mapping[str, object], assignment: Assignment) -> Strategy:
    """Return the named strategy for one parent, with the given parameters and defaults for the others.

    Errors
        InvalidRequest   an unknown strategy or parameter, a value out of bounds, or too short a horizon
    """
    row = _row(name)
    return row.build(read_parameters(row.parameters, given), assignment)


def check_order(name: str, given: Mapping[str, object], instrument: str, *, has_curve: bool) -> None:
    """Return when an order names parameters that its strategy takes for this instrument; when it starts is still open.

    Arguments
        has_curve   whether the rule book has a volume curve of the instrument
    Errors
        InvalidRequest   as `build_strategy`, without what depends on the horizon
    """
    row = _row(name)
    row.check(read_parameters(row.parameters, given), instrument, has_curve=has_curve)


def parameters_of(name: str) -> tuple[ParameterRule, ...]:
    """Return the parameters a strategy takes, with defaults, bounds and meaning.

    Errors
        InvalidRequest   an unknown strategy
    """
    return rules_of(_row(name).parameters)


def _row(name: str) -> StrategyRow:
    if name not in STRATEGIES:
        raise InvalidRequest(
            f"strategy must be one of {', '.join(STRATEGIES)}, found {name[:40]!r}; choose one of these.",
            field="strategy",
        )
    return STRATEGIES[name]
