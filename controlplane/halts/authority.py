"""What each rung of the stop ladder does, who may press it, and what it takes to lift what it left behind."""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest, NotPermitted, SameApprover, StateConflict
from controlplane.domain.states import TradingState, lifting_needs
from controlplane.halts.effective import ScopeState

REASON_LENGTH_MIN = 3
REASON_LENGTH_MAX = 400


class Rung(StrEnum):
    """The four rungs, from the mildest to the hardest. Anybody who is signed in may press any of them."""

    PAUSE = "pause"
    REDUCE_ONLY = "reduce-only"
    HALT = "halt"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class RungMeaning:
    """What a rung does.

    Fields
        verb      first word of its button
        state     state that the scope is in afterwards
        cancels   whether working orders are cancelled
        effect    what the button promises, after the scope's name
    """

    verb: str
    state: TradingState
    cancels: bool
    effect: str


MEANING: dict[Rung, RungMeaning] = {
    Rung.PAUSE: RungMeaning("Pause", TradingState.PAUSED, False, "block new and amends, keep {count} working"),
    Rung.REDUCE_ONLY: RungMeaning(
        "Reduce only", TradingState.REDUCE_ONLY, False, "block what adds, {count} working, cancel those that add"
    ),
    Rung.HALT: RungMeaning("Halt", TradingState.HALTED, True, "block new, cancel {count} working"),
    Rung.KILL: RungMeaning("Kill", TradingState.HALTED, True, "block new, cancel {count} working"),
}
# A kill of the firm throws the switch of the machine, which voids permits as well.
KILL_OF_FIRM = "throw the machine's switch, void every permit, cancel {count} working"


def rung_of(text: str) -> Rung:
    """The rung of this name; InvalidRequest lists the names when there is none."""
    try:
        return Rung(text)
    except ValueError:
        names = ", ".join(rung.value for rung in Rung)
        raise InvalidRequest(
            f"Expected one of {names} as the way to stop, found {text[:40]!r}.", field="rung"
        ) from None


def checked_reason(text: str) -> str:
    """The reason without surrounding space.

    Errors
        InvalidRequest when it is too short to be one, or too long
    """
    reason = " ".join(text.split())
    if not REASON_LENGTH_MIN <= len(reason) <= REASON_LENGTH_MAX:
        raise InvalidRequest(
            f"Expected a reason of {REASON_LENGTH_MIN} to {REASON_LENGTH_MAX} characters, found {len(reason)}; say "
            "in a few "
            "words why.",
            field="reason",
        )
    return reason


def people_needed(state: TradingState) -> int:
    """How many people it takes to end the state."""
    return lifting_needs(state)


def check_lift_request(current: ScopeState | None, *, scope: str) -> ScopeState:
    """The state that a lift would end.

    Errors
        StateConflict when the scope isn't stopped
    """
    if current is None:
        raise StateConflict(f"Expected {scope} to be stopped, found it active; there is nothing to lift.")
    return current


def check_second_person(*, asked_by: str, confirmed_by: str) -> None:
    """Return when the two are different people.

    Errors
        SameApprover otherwise; no role changes that
    """
    if asked_by == confirmed_by:
        raise SameApprover(
            f"Expected a second person to confirm the lift that {asked_by} asked for, found {confirmed_by} again; ask "
            "somebody else to sign in and confirm."
        )


def check_scope_typed(*, typed: str, scope: str) -> None:
    """Return when the checker typed the name of the scope, the one place where typing slows a person usefully.

    Errors
        InvalidRequest otherwise
    """
    if typed.strip() != scope:
        raise InvalidRequest(
            f"Expected the name of the scope typed as {scope!r}, found {typed.strip()[:80]!r}; type it exactly.",
            field="scope",
        )


def check_unchanged(seen: ScopeState, current: ScopeState | None) -> None:
    """Return when the scope is in the very state that the maker saw.

    Errors
        StateConflict when it was lifted or stopped again since
    """
    if current is None:
        raise StateConflict(
            f"Expected {seen.scope} to be {seen.state.name}, found it active; the lift is no longer needed."
        )
    if (current.state, current.since_ns) != (seen.state, seen.since_ns):
        raise StateConflict(
            f"Expected {seen.scope} as it was when the lift was asked for ({seen.state.name} by "
            f"{seen.by or 'the machine'}), "
            f"found {current.state.name} by {current.by or 'the machine'} since; look at the new stop and ask again."
        )


def check_may_resume(state: TradingState) -> None:
    """Return when one person may end the state alone.

    Errors
        NotPermitted for a halt
    """
    if lifting_needs(state) > 1:
        raise NotPermitted(
            "A halt is lifted by two different people: ask for the lift here and let somebody else confirm it.",
            rule="lift-takes-two",
        )
