"""The Almgren-Chriss trade-off: expected cost against its variance, in closed form.

Everything here is a formula over floats: which trades a risk aversion asks for,
what a schedule is expected to cost, and where the efficient frontier is lowest.
No lots and no caps: `lot_schedule.py` turns the trade-off into whole lots.

Units are the caller's, as long as they agree: one currency for prices, one unit
for quantities, one for time. With dollars, shares and days the worked figures of
the paper come out.

Source: R. Almgren and N. Chriss (2000), "Optimal execution of portfolio
transactions", Journal of Risk 3(2), sections 1 to 4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.domain.errors import InvalidRequest

NORMAL_QUANTILE_95 = 1.645
"""One-sided 95 % quantile of the standard normal, to the digits the paper uses."""

SEARCH_KAPPA_TAU_MIN = 1e-4
SEARCH_KAPPA_TAU_MAX = 40.0
SEARCH_POINTS = 400
SEARCH_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactModel:
    """Linear impact over equal periods, the setting of the paper's section 1.2.

    Arguments
        quantity            what must be traded, > 0
        horizon             time until it must be done, > 0
        periods             number of equal periods, >= 1
        volatility          price per square root of time, >= 0
        half_spread         price given up on every unit traded, >= 0
        permanent_impact    price per unit traded, stays, >= 0
        temporary_impact    price per unit of trading rate, gone after its period, > 0
    Errors
        InvalidRequest      a value out of range, or permanent impact so large that
                            one period of it outweighs the temporary impact
    """

    quantity: float
    horizon: float
    periods: int
    volatility: float
    half_spread: float
    permanent_impact: float
    temporary_impact: float

    def __post_init__(self) -> None:
        for name in ("quantity", "horizon", "temporary_impact"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InvalidRequest(
                    f"{name} must be a finite number above zero, found {value}; correct the model.", field=name
                )
        for name in ("volatility", "half_spread", "permanent_impact"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidRequest(f"{name} must be finite and not negative, found {value}; correct the model.")
        if self.periods < 1:
            raise InvalidRequest(f"periods must be at least 1, found {self.periods}; ask for one period or more.")
        if self.temporary_impact_net <= 0:
            raise InvalidRequest(
                "temporary_impact must exceed half the permanent impact of one period, found "
                f"{self.temporary_impact} against {self.permanent_impact * self.period / 2}; use shorter periods."
            )

    @property
    def period(self) -> float:
        """Length of one period, tau."""
        return self.horizon / self.periods

    @property
    def temporary_impact_net(self) -> float:
        """Temporary impact less half a period of permanent impact, the paper's eta tilde."""
        return self.temporary_impact - self.permanent_impact * self.period / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleCost:
    """What one schedule costs under a model, before anything has been traded."""

    expected: float
    variance: float
    objective: float

    @property
    def deviation(self) -> float:
        """Standard deviation of the cost."""
        return math.sqrt(self.variance)

    def value_at_risk(self, quantile: float = NORMAL_QUANTILE_95) -> float:
        """Cost that is not exceeded with the probability of the normal quantile, 95 % by default."""
        return self.expected + quantile * self.deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """One risk aversion with the optimal trades it asks for and what they cost."""

    risk_aversion: float
    trades: tuple[float, ...]
    cost: ScheduleCost


def optimal_trades(model: ImpactModel, risk_aversion: float) -> tuple[float, ...]:
    """Quantity for each period that minimises expected cost plus risk aversion times variance.

    Negative risk aversion (a trader who likes variance) takes the cosine branch and is
    accepted as long as a minimum exists.

    Errors
        InvalidRequest      risk aversion is not finite, or so negative that no minimum exists
    Source
        Almgren and Chriss (2000), section 2.2, explicit construction of optimal strategies
    """
    angle = kappa_tau(model, risk_aversion)
    shares = _shares_cosine(angle, model.periods) if risk_aversion < 0 else shares_of_periods(angle, model.periods)
    return tuple(model.quantity * share for share in shares)


def kappa_tau(model: ImpactModel, risk_aversion: float) -> float:
    """Urgency per period: kappa times tau, from the discrete relation; for negative aversion its circular twin.

    Solves 2 (cosh(kappa tau) - 1) = risk aversion volatility^2 tau^2 / eta tilde through the
    half angle, which keeps full precision when the right side is tiny.
    """
    if not math.isfinite(risk_aversion):
        raise InvalidRequest(f"risk_aversion must be finite, found {risk_aversion}; give a number.")
    ratio = urgency_ratio(model, risk_aversion)
    if ratio >= 0:
        return kappa_tau_of_ratio(ratio)
    half_sine = math.sqrt(-ratio) / 2.0
    # Below minus the smallest eigenvalue of the second difference the objective has no minimum.
    if half_sine >= math.sin(math.pi / (2 * model.periods)):
        raise InvalidRequest(
            f"risk_aversion {risk_aversion} is too negative for {model.periods} periods: the objective has no "
            "minimum; use a value closer to zero."
        )
    return 2.0 * math.asin(half_sine)


def urgency_ratio(model: ImpactModel, risk_aversion: float) -> float:
    """Weight of one unit held for a period against one unit traded in a period; the only number the shape needs."""
    return risk_aversion * (model.volatility * model.period) ** 2 / model.temporary_impact_net


def kappa_tau_of_ratio(ratio: float) -> float:
    """Urgency per period that belongs to an urgency ratio >= 0."""
    return 2.0 * math.asinh(math.sqrt(ratio) / 2.0)


def ratio_of_kappa_tau(angle: float) -> float:
    """Urgency ratio that belongs to an urgency per period, the inverse of `kappa_tau_of_ratio`."""
    return 4.0 * math.sinh(angle / 2.0) ** 2


def shares_of_periods(angle: float, periods: int) -> tuple[float, ...]:
    """Share of the quantity for each period at urgency `angle` per period; equal shares at zero.

    Written with decaying exponentials only, so that no urgency overflows.
    """
    if angle == 0.0:
        return (1.0 / periods,) * periods
    # 2 sinh(a) cosh(b) / sinh(c) with a + b <= c
    half = angle / 2.0
    whole = angle * periods
    scale = math.expm1(-2.0 * half) / math.expm1(-2.0 * whole)
    distances = [angle * (periods - index - 0.5) for index in range(periods)]
    return tuple(scale * (1.0 + math.exp(-2.0 * b)) * math.exp(half + b - whole) for b in distances)


def _shares_cosine(angle: float, periods: int) -> tuple[float, ...]:
    """Share of the quantity for each period on the circular branch, growing instead of shrinking."""
    scale = 2.0 * math.sin(angle / 2.0) / math.sin(angle * periods)
    return tuple(scale * math.cos(angle * (periods - index - 0.5)) for index in range(periods))


def holdings_after(trades: Sequence[float], quantity: float) -> tuple[float, ...]:
    """What is still held after each trade, added up from the end so that the last is exactly zero.

    Errors
        InvalidRequest      trades do not add up to the quantity within rounding
    """
    held = [0.0]
    for trade in reversed(trades[1:]):
        held.append(held[-1] + trade)
    if trades and not math.isclose(held[-1] + trades[0], quantity, rel_tol=1e-9):
        raise InvalidRequest(
            f"trades must add up to {quantity}, found {held[-1] + trades[0]}; schedule the whole quantity."
        )
    return tuple(reversed(held))


def cost_of_trades(
    model: ImpactModel, trades: Sequence[float], *, risk_aversion: float, drift: float = 0.0
) -> ScheduleCost:
    """Expected cost, variance and objective of any schedule under the model.

    Arguments
        trades          quantity of each period, len = periods, adding up to the quantity
        drift           expected price change per unit of time in favour of waiting (for a
                        seller: upwards); lowers the expected cost of what is held
    Source
        Almgren and Chriss (2000), sections 1.3 and 1.4 for cost and variance, 4.1 for the drift
    """
    if len(trades) != model.periods:
        raise InvalidRequest(f"trades must hold {model.periods} periods, found {len(trades)}; give one per period.")
    held = holdings_after(trades, model.quantity)
    expected = (
        model.permanent_impact * model.quantity**2 / 2
        + model.half_spread * math.fsum(abs(trade) for trade in trades)
        + model.temporary_impact_net / model.period * math.fsum(trade**2 for trade in trades)
        - drift * model.period * math.fsum(held)
    )
    variance = model.volatility**2 * model.period * math.fsum(holding**2 for holding in held)
    return ScheduleCost(expected=expected, variance=variance, objective=expected + risk_aversion * variance)


def static_holding(model: ImpactModel, *, risk_aversion: float, drift: float) -> float:
    """Position worth keeping for ever under a known drift: drift over twice risk aversion times variance rate.

    Errors
        InvalidRequest      risk aversion or volatility is not above zero: no finite position is best
    Source
        Almgren and Chriss (2000), section 4.1
    """
    denominator = 2.0 * risk_aversion * model.volatility**2
    if not denominator > 0:
        raise InvalidRequest(
            f"risk_aversion and volatility must both be above zero for a drift, found {risk_aversion} and "
            f"{model.volatility}; raise them or set the drift to zero."
        )
    return drift / denominator


def drift_aware_trades(model: ImpactModel, *, risk_aversion: float, drift: float) -> tuple[float, ...]:
    """Optimal trades when the price is known to drift: the plain trades bent around the static holding.

    Source
        Almgren and Chriss (2000), section 4.1, gain from drift
    """
    target = static_holding(model, risk_aversion=risk_aversion, drift=drift)
    shares = shares_of_periods(kappa_tau(model, risk_aversion), model.periods)
    # The bend is the same shape read from both ends: sell down to the target and give the target back.
    return tuple(
        model.quantity * forward + target * (backward - forward)
        for forward, backward in zip(shares, reversed(shares), strict=True)
    )


def drift_gain(model: ImpactModel, *, risk_aversion: float, drift: float) -> float:
    """Objective saved by using the drift instead of ignoring it, never negative."""
    blind = cost_of_trades(model, optimal_trades(model, risk_aversion), risk_aversion=risk_aversion, drift=drift)
    aware = cost_of_trades(
        model,
        drift_aware_trades(model, risk_aversion=risk_aversion, drift=drift),
        risk_aversion=risk_aversion,
        drift=drift,
    )
    return blind.objective - aware.objective


def frontier_point(model: ImpactModel, risk_aversion: float) -> FrontierPoint:
    """Optimal trades and their cost at one risk aversion."""
    trades = optimal_trades(model, risk_aversion)
    cost = cost_of_trades(model, trades, risk_aversion=risk_aversion)
    return FrontierPoint(risk_aversion=risk_aversion, trades=trades, cost=cost)


def lowest_value_at_risk(model: ImpactModel, quantile: float = NORMAL_QUANTILE_95) -> FrontierPoint:
    """Point of the efficient frontier with the smallest expected cost plus quantile times deviation.

    A coarse scan over the urgency per period finds the valley, a golden section its floor;
    the scan comes first because the curve may have more than one valley. Its range reaches
    from a straight line to practically everything in the first period.

    Errors
        InvalidRequest      no volatility: then no risk aversion differs from another
    """
    if model.volatility == 0:
        raise InvalidRequest("volatility must be above zero to weigh risk, found 0; correct the model.")

    def risk_at(log_angle: float) -> float:
        return _point_at(model, log_angle).cost.value_at_risk(quantile)

    low, high = math.log(SEARCH_KAPPA_TAU_MIN), math.log(SEARCH_KAPPA_TAU_MAX)
    grid = [low + (high - low) * index / (SEARCH_POINTS - 1) for index in range(SEARCH_POINTS)]
    best = min(range(SEARCH_POINTS), key=lambda index: risk_at(grid[index]))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, SEARCH_POINTS - 1)]
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(SEARCH_STEPS):
        width = golden * (right - left)
        if risk_at(right - width) <= risk_at(left + width):
            right = left + width
        else:
            left = right - width
    return _point_at(model, (left + right) / 2.0)


def _point_at(model: ImpactModel, log_angle: float) -> FrontierPoint:
    """Frontier point whose urgency per period has the given logarithm."""
    ratio = ratio_of_kappa_tau(math.exp(log_angle))
    return frontier_point(model, ratio * model.temporary_impact_net / (model.volatility * model.period) ** 2)


def uniform_horizon_best(model: ImpactModel, risk_aversion: float) -> float:
    """Horizon at which trading at a constant rate minimises the continuous-time objective.

    Times the continuous kappa this is the square root of three, whatever the model.

    Source
        the minimum over T of temporary X^2 / T + risk aversion volatility^2 X^2 T / 3
    """
    return math.sqrt(3.0) / kappa_continuous(model, risk_aversion)


def kappa_continuous(model: ImpactModel, risk_aversion: float) -> float:
    """Urgency per unit of time when periods become infinitely short.

    Errors
        InvalidRequest      risk aversion or volatility not above zero
    """
    rate = risk_aversion * model.volatility**2 / model.temporary_impact
    if not rate > 0:
        raise InvalidRequest(
            f"risk_aversion and volatility must be above zero, found {risk_aversion} and {model.volatility}; "
            "without risk there is no best horizon."
        )
    return math.sqrt(rate)
