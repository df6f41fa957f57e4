"""One breaker, one dynamic limit: what it looks at, in which scope, and what it does, in the gate's own units."""

from dataclasses import dataclass

from controlplane.domain.scopes import Scope

NONE = 1 << 62  # of a threshold: there is none
THRESHOLD_MAX = 1 << 55
CURVE_MAX = 1 << 40


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """A trigger with a state (GT43). Times in nanoseconds on the steady clock, shares in bps, states by their numbers.

    It trips when the measure passes `trip_at` at `readings_min` readings in a row and for `hold_ns`, or `hard_at` once.
    Open, it puts its scope into `action` (active: it only alerts). When `open_ns_min` is over and the measure has been
    at or within `clear_at` for `clean_ns`, it goes half-open for `probation_ns`, then closes. Tripped again while
    half-open, or within `retrip_ns` of the last time, it acts one state stricter, at most `top`. A latched one, and any
    that halts, leaves open by people alone.

    Fields
        is_below                    it trips when the measure falls below, not when it rises above
        window_ns                   what is counted, for measures that are counted in a window; 0 for others
        age_ns_max                  an observed value older than this is unknown; 0 for what the gate measures itself
        missing_state, stale_state  what never having been told, and unknown, puts the scope into
        size_bps                    share of the usual order quantity that passes while open, when the action is
                                    probation; probation_bps the same while half-open or unknown
        is_daily                    it starts afresh at the roll of the day
    """

    name: str
    scope: Scope
    measure: int
    trip_at: int
    clear_at: int
    action: int
    top: int
    is_below: bool = False
    hard_at: int = NONE
    readings_min: int = 1
    hold_ns: int = 0
    window_ns: int = 0
    age_ns_max: int = 0
    missing_state: int = 0
    stale_state: int = 0
    size_bps: int = 0
    probation_bps: int = 0
    open_ns_min: int = 0
    clean_ns: int = 0
    probation_ns: int = 0
    retrip_ns: int = 0
    is_latched: bool = False
    is_daily: bool = False


@dataclass(frozen=True, slots=True)
class FactorRule:
    """A factor on the limits that an order of the scope meets (GT25): between `floor_bps` and the whole.

    Whole as far as `full_at`, `floor_bps` from `floor_at` on, on a straight line between, rounded against us. It falls
    at once, and after `quiet_ns` without need for a lower one rises by `recover_bps_per_minute`. Unknown is the floor.
    Of a measure that is bad when small, `floor_at` is the smaller number.
    """

    name: str
    scope: Scope
    measure: int
    full_at: int
    floor_at: int
    floor_bps: int
    quiet_ns: int
    recover_bps_per_minute: int
    age_ns_max: int
    is_floor_when_missing: bool = True
