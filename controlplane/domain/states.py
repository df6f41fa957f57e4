"""Trading states from free to closed, and what each lets through. An order's state is the most restrictive of its
scopes.
"""

from enum import IntEnum


class TradingState(IntEnum):
    """Stop states; a larger number is more restrictive."""

    ACTIVE = 0
    PROBATION = 1
    REDUCE_ONLY = 2
    PAUSED = 3
    HALTED = 4


def most_restrictive(states: list[TradingState]) -> TradingState:
    """Return the most restrictive of the states; active when there is none."""
    return max(states, default=TradingState.ACTIVE)


def lifting_needs(state: TradingState) -> int:
    """Return how many people it takes to end the state: a halt two, any other stop one, active none."""
    if state is TradingState.ACTIVE:
        return 0
    return 2 if state is TradingState.HALTED else 1
