"""Which schedule of whole lots is cheapest when a period may not take more than its cap.

The Almgren-Chriss objective over whole lots is, up to a factor, half the sum of squared trades plus half the urgency
ratio times the sum of squared holdings. Holdings are sums of trades over nested groups of periods, each squared by a
convex function, so the objective is laminar convex, a member of the M-convex family. For that family a schedule that
no exchange of one lot between two periods improves is the best of all schedules. The search therefore exchanges
lots, in large steps first and single lots last, and stops only when no exchange helps.

Source: K. Murota (2003), "Discrete Convex Analysis", SIAM, chapter 6: laminar convex functions, and the criterion that
makes a local minimum of an M-convex function a global one.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.invariants import require
from controlplane.domain.quantities import QUANTITY_LOTS_CAP
from executor.strategies.almgren_chriss import kappa_tau_of_ratio, shares_of_periods
from executor.strategies.schedule import largest_remainder

PERIODS_MAX = 200
"""Most periods of one search: its tables grow with the square, its worst measured time at this bound is 0.25 s."""

EXCHANGES_PER_PERIOD_MAX = 1_000
"""Bound of the search at one step size, per period; a search that needs more is a bug, not a hard problem."""


def cheapest_lots(
    total_lots: int, *, periods: int, urgency_ratio: float, lots_max: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the whole-lot schedule with the least expected cost plus risk, each period within its cap.

    Two schedules whose objectives agree to the last digits of a float count as equally cheap.

    Arguments
        total_lots      what must be traded, 0 to 2^40
        urgency_ratio   `almgren_chriss.urgency_ratio`, >= 0: weight of a lot held against a lot traded
        lots_max        most lots of each period, len = periods; None for no caps
    Errors
        InvalidRequest  a value out of range, or caps that add up to less than the total
    """
    caps = _checked_caps(total_lots, periods, urgency_ratio, lots_max)
    wanted = largest_remainder(total_lots, shares_of_periods(kappa_tau_of_ratio(urgency_ratio), periods))
    trades = np.array(_spill(wanted, caps), dtype=np.int64)
    step = 1 << max(total_lots.bit_length() - 1, 0)
    while step:
        _exchange_until_best(trades, np.array(caps, dtype=np.int64), step, urgency_ratio)
        step //= 2
    lots = tuple(int(trade) for trade in trades)
    require(sum(lots) == total_lots, f"A lot schedule must add up to {total_lots}, found {sum(lots)} in {lots}.")
    return lots


def _checked_caps(
    total_lots: int, periods: int, urgency_ratio: float, lots_max: Sequence[int] | None
) -> tuple[int, ...]:
    """Return one cap per period after checking every argument."""
    if not 0 <= total_lots <= QUANTITY_LOTS_CAP:
        raise InvalidRequest(
            f"total_lots must lie between 0 and {QUANTITY_LOTS_CAP}, found {total_lots}.", field="total_lots"
        )
    if not 1 <= periods <= PERIODS_MAX:
        raise InvalidRequest(f"periods must lie between 1 and {PERIODS_MAX}, found {periods}.", field="periods")
    if not 0 <= urgency_ratio < float("inf"):
        raise InvalidRequest(
            f"urgency_ratio must be finite and not negative, found {urgency_ratio}.", field="urgency_ratio"
        )
    caps = (total_lots,) * periods if lots_max is None else tuple(min(cap, total_lots) for cap in lots_max)
    if len(caps) != periods or any(cap < 0 for cap in caps):
        raise InvalidRequest(
            f"lots_max must hold {periods} caps of 0 or more, found {list(caps)[:20]}.", field="lots_max"
        )
    if sum(caps) < total_lots:
        raise InvalidRequest(
            f"lots_max must add up to at least {total_lots} lots, found {sum(caps)}; raise the cap or add periods.",
            field="lots_max",
        )
    return caps


def _spill(wanted: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Return a schedule within the caps: what does not fit waits for the next period, then for earlier ones."""
    lots = []
    carried = 0
    for want, cap in zip(wanted, caps, strict=True):
        lots.append(min(want + carried, cap))
        carried += want - lots[-1]
    for index in reversed(range(len(lots))):
        extra = min(carried, caps[index] - lots[index])
        lots[index] += extra
        carried -= extra
    return lots


def _exchange_until_best(
    trades: npt.NDArray[np.int64], caps: npt.NDArray[np.int64], step: int, urgency_ratio: float
) -> None:
    """Move `step` lots between two periods, best pair first, until no such move lowers the objective.

    Floats pick the pair, exact fractions confirm that it helps, so the objective falls with every move and the
    search ends.
    """
    ratio = Fraction(urgency_ratio)
    for _ in range(EXCHANGES_PER_PERIOD_MAX * len(trades)):
        gains = _changes(trades, caps, step, urgency_ratio)
        giver, taker = divmod(int(np.argmin(gains)), len(trades))
        if gains[giver, taker] >= 0 or _exact_change(trades, giver, taker, step, ratio) >= 0:
            return
        trades[giver] -= step
        trades[taker] += step
    require(False, f"The lot search did not settle at step {step} for {len(trades)} periods.")


def _changes(
    trades: npt.NDArray[np.int64], caps: npt.NDArray[np.int64], step: int, urgency_ratio: float
) -> npt.NDArray[np.float64]:
    """Return the change of the halved objective per lot for moving `step` lots from row period to column period.

    A move to a later period raises every holding in between by `step`, a move to an earlier one lowers it. Moves
    that would pass a cap or go below zero are infinite.
    """
    held_before = _held_before(trades)
    index = np.arange(len(trades))
    distance = index[None, :] - index[:, None]
    held_between = held_before[None, :] - held_before[:, None]
    change = (trades[None, :] - trades[:, None] + step) + urgency_ratio * (held_between + np.abs(distance) * (step / 2))
    is_open = (trades[:, None] >= step) & (trades[None, :] + step <= caps[None, :]) & (distance != 0)
    return np.where(is_open, change, np.inf)


def _exact_change(trades: npt.NDArray[np.int64], giver: int, taker: int, step: int, ratio: Fraction) -> Fraction:
    """Return one entry of `_changes` without rounding."""
    held_before = _held_before(trades)
    held = Fraction(int(held_before[taker] - held_before[giver])) + Fraction(step * abs(taker - giver), 2)
    return int(trades[taker] - trades[giver]) + step + ratio * held


def _held_before(trades: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each period the sum of the holdings after all earlier periods."""
    held_after = trades.sum() - np.cumsum(trades)
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(held_after)[:-1]))
