"""Breakers and dynamic limits as objects (GT25, GT43): what they remember, and how readings and time move them.

A scope with any has a guard, which answers for all of them together; nothing it says is stored but what the breakers
remember.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.measures import EVENTS, FIRST_OBSERVED, Beat, BreakerState, Measure
from controlplane.domain.quantities import BPS, ceil_div
from controlplane.domain.states import TradingState
from controlplane.gate.breakers.rules import NONE, BreakerRule, FactorRule
from controlplane.gate.plain.digest import fold, signed
from controlplane.gate.plain.windows import WINDOW_PARTS, Window

if TYPE_CHECKING:
    from controlplane.gate.plain.book import Node

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
FACTOR_BASE = 1 << 20  # added to the number of a factor in the digest


@dataclass(slots=True)
class Moment:
    """The clocks of the command in hand, and the digest over everything that breakers and factors have done."""

    wall_ns: int = 0
    monotonic_ns: int = 0
    digest: int = 0

    @property
    def steady(self) -> int:
        return max(1, self.monotonic_ns)

    def tell(self, number: int, what: int, value: int) -> None:
        """Carry a change; the order of changes within one command doesn't matter."""
        self.digest = signed(self.digest + fold(fold(number, what), value))


@dataclass(slots=True, eq=False)
class Breaker:
    """One breaker. Times are steady, None is never.

    Fields
        over_since, clean_since  of the readings without a break that passed the threshold, or were all clear
        readings_over            how many they are
        mark, previous           high-water mark of the worth, and the last worth that was read
        highest                  highest worth of each part of the window, by the number of the part
    """

    rule: BreakerRule
    number: int
    node: "Node"
    moment: Moment
    state: BreakerState = BreakerState.CLOSED
    since: int = 0
    over_since: int | None = None
    clean_since: int | None = None
    readings_over: int = 0
    tripped: int | None = None
    rung: int = 0
    value: int = 0
    read_at: int | None = None
    as_of_ns: int = 0
    unknown: int = 0
    mark: int = 0
    previous: int = 0
    streak: int = 0
    window: Window = field(init=False)
    highest: dict[int, int] = field(default_factory=dict)
    newest_part: int = 0

    def __post_init__(self) -> None:
        self.window = Window(max(1, ceil_div(self.rule.window_ns, WINDOW_PARTS)))
        self.unknown = self.rule.missing_state

    # --- what it comes to

    @property
    def acts(self) -> int:
        """The state that its being open puts the scope into."""
        return min(self.rule.top, self.rule.action + self.rung) if self.rule.action else TradingState.ACTIVE

    @property
    def stops(self) -> int:
        """The state that it puts the scope into by being open or not knowing, half-open left out."""
        return max(self.acts if self.state is BreakerState.OPEN else TradingState.ACTIVE, self.unknown)

    @property
    def size_bps(self) -> int:
        """Share of the usual order quantity that it lets pass now."""
        shares = [BPS]
        if self.state is BreakerState.OPEN and self.acts == TradingState.PROBATION:
            shares.append(self.rule.size_bps)
        if self.state is BreakerState.HALF_OPEN or self.unknown == TradingState.PROBATION:
            shares.append(self.rule.probation_bps)
        return min(shares)

    @property
    def code(self) -> Code:
        match self.rule.measure:
            case Measure.FILLED_NOTIONAL:
                return Code.FILL_VELOCITY_ABOVE_LIMIT
            case Measure.DRAWDOWN:
                return Code.DRAWDOWN_ABOVE_LIMIT
            case Measure.LOSS_IN_WINDOW:
                return Code.LOSS_VELOCITY_ABOVE_LIMIT
            case Measure.MODEL_UNCERTAINTY:
                return Code.MODEL_UNCERTAIN
        return Code.SUPERVISION_MISSING if "SILENCE" in Measure(self.rule.measure).name else Code.BREAKER_OPEN

    # --- readings and time

    def read(self, value: int) -> None:
        """Take one reading in."""
        now, rule = self.moment.steady, self.rule
        is_event = rule.measure in EVENTS
        self.value, self.read_at = value, now
        is_over = _is_beyond(value, rule.trip_at, rule)
        if is_over:
            self.readings_over += 1
            self.clean_since = None
            self.over_since = now if self.over_since is None else self.over_since
        else:
            self.readings_over, self.over_since = 0, None
            if not is_event:
                is_clean = not _is_beyond(value, rule.clear_at, rule)
                self.clean_since = (self.clean_since or now) if is_clean else None
        self.judge(is_hard=rule.hard_at != NONE and _is_beyond(value, rule.hard_at, rule))
        if is_event and is_over:
            self.over_since, self.clean_since = None, now

    def judge(self, *, is_hard: bool = False) -> None:
        """Open, or let go, by what was read and by the time."""
        now, rule = self.moment.steady, self.rule
        is_held = self.over_since is not None and now - self.over_since >= rule.hold_ns
        if is_hard or (is_held and self.readings_over >= rule.readings_min):
            if self.state is not BreakerState.OPEN:
                self._trip()
            return
        if self.clean_since is None or now - self.clean_since < rule.clean_ns:
            return
        if self.state is BreakerState.OPEN:
            is_free = not rule.is_latched and self.acts != TradingState.HALTED
            if is_free and now - self.since >= rule.open_ns_min:
                self._let_go()
        elif self.state is BreakerState.HALF_OPEN and now - self.since >= rule.probation_ns:
            self.move(BreakerState.CLOSED)

    def _trip(self) -> None:
        now = self.moment.steady
        is_soon = self.tripped is not None and now - self.tripped <= self.rule.retrip_ns
        is_again = self.state is BreakerState.HALF_OPEN or is_soon
        self.rung = min(TradingState.HALTED, self.rung + 1) if is_again else 0
        self.tripped = now
        self.move(BreakerState.OPEN)

    def _let_go(self) -> None:
        self.move(BreakerState.HALF_OPEN if self.rule.probation_ns else BreakerState.CLOSED)

    def move(self, state: BreakerState) -> None:
        self.state, self.since = state, self.moment.steady
        self._tell()

    def know(self, unknown: int) -> None:
        """Let the measure be unknown with a consequence, or, with none, known."""
        if unknown != self.unknown:
            self.unknown = unknown
            self._tell()

    def _tell(self) -> None:
        self.moment.tell(self.number + 1, self.state + 8 * self.rung + 64 * self.unknown, self.value)

    def look_at_age(self) -> None:
        """An observed measure that was never told, or is too old, is unknown: neither over nor clean."""
        if self.rule.measure < FIRST_OBSERVED:
            return
        if self.read_at is None:
            self.know(self.rule.missing_state)
        elif _is_old(self.moment, self.as_of_ns, self.read_at, self.rule.age_ns_max):
            self.over_since = self.clean_since = None
            self.readings_over = 0
            self.know(self.rule.stale_state)

    def observe(self, value: int, as_of_ns: int) -> bool:
        """Return whether a value that was told is news; then it has been read."""
        if as_of_ns < self.as_of_ns or abs(self.moment.wall_ns - as_of_ns) > self.rule.age_ns_max:
            return False
        self.as_of_ns = as_of_ns
        self.read(value)
        self.know(TradingState.ACTIVE)
        return True

    def reset(self) -> None:
        """People freed the scope: an open breaker starts afresh."""
        if self.state is not BreakerState.OPEN:
            return
        self.over_since, self.readings_over, self.streak = None, 0, 0
        self.clean_since = self.moment.steady
        self.mark = self.previous = self.node.worth_micro
        self.window.counted.clear()
        self.highest = {self.newest_part - back: self.previous for back in range(WINDOW_PARTS + 1)}
        self._let_go()

    # --- worth

    def fallen_below_mark(self, worth: int) -> int:
        """Return the drawdown; the mark rises to what two readings in a row have reached."""
        self.mark = max(self.mark, min(self.previous, worth))
        self.previous = worth
        return max(0, self.mark - worth)

    def fallen_in_window(self, worth: int) -> int:
        """Return how far the worth is below its highest in the window; a part without a reading had the one before."""
        part = max(self.newest_part, self.moment.monotonic_ns // self.window.part_ns)
        if not self.highest:
            self.highest = {self.newest_part - back: self.previous for back in range(WINDOW_PARTS + 1)}
        kept = range(part - WINDOW_PARTS, part + 1)
        self.highest = {number: self.highest.get(number, self.previous) for number in kept}
        self.newest_part = part
        self.highest[part] = max(self.highest[part], worth)
        self.previous = worth
        return max(worth, *self.highest.values()) - worth


@dataclass(slots=True, eq=False)
class Factor:
    """One dynamic limit: what it takes away now and what it wants to, in bps; `fell` is when it last held back."""

    rule: FactorRule
    number: int
    moment: Moment
    cut: int = 0
    wanted: int = 0
    fell: int = 0
    recovered: int = 0
    read_at: int | None = None
    as_of_ns: int = 0

    def __post_init__(self) -> None:
        self.cut = self.wanted = self._missing

    @property
    def _floor_cut(self) -> int:
        return BPS - self.rule.floor_bps

    @property
    def _missing(self) -> int:
        return self._floor_cut if self.rule.is_floor_when_missing else 0

    def observe(self, value: int, as_of_ns: int) -> bool:
        """Return whether a value that was told is news; a smaller factor holds at once."""
        if as_of_ns < self.as_of_ns or abs(self.moment.wall_ns - as_of_ns) > self.rule.age_ns_max:
            return False
        self.as_of_ns, self.read_at = as_of_ns, self.moment.steady
        rule = self.rule
        span, beyond = rule.floor_at - rule.full_at, value - rule.full_at
        if span < 0:
            span, beyond = -span, -beyond
        self._want(ceil_div(self._floor_cut * min(span, max(0, beyond)), span))
        return True

    def _want(self, cut: int) -> None:
        self.wanted = cut
        if cut > 0 and cut >= self.cut:
            self.fell = self.recovered = self.moment.steady
        if cut > self.cut:
            self._set(cut)

    def pass_time(self) -> None:
        """Want the floor while unknown; give back at the rule's rate once it has been quiet for long enough."""
        if self.read_at is None:
            self._want(self._missing)
        elif _is_old(self.moment, self.as_of_ns, self.read_at, self.rule.age_ns_max):
            self._want(self._floor_cut)
        since = max(self.fell + self.rule.quiet_ns, self.recovered)
        if self.wanted >= self.cut or self.moment.steady <= since:
            return
        rate = self.rule.recover_bps_per_minute
        gained = min(HOUR_NS, self.moment.steady - since) * rate // MINUTE_NS
        if gained:
            self.recovered = since + ceil_div(gained * MINUTE_NS, rate)
            self._set(max(self.wanted, self.cut - gained))

    def _set(self, cut: int) -> None:
        self.cut = cut
        self.moment.tell(FACTOR_BASE + self.number, cut, self.wanted)


@dataclass(slots=True, eq=False)
class Guard:
    """All breakers and factors of one scope."""

    breakers: list[Breaker] = field(default_factory=list)
    factors: list[Factor] = field(default_factory=list)

    @property
    def size_bps(self) -> int:
        return min((breaker.size_bps for breaker in self.breakers), default=BPS)

    @property
    def limit_cut(self) -> int:
        return max((factor.cut for factor in self.factors), default=0)

    def looking_at(self, *measures: Measure) -> Iterator[Breaker]:
        return (breaker for breaker in self.breakers if breaker.rule.measure in measures)


@dataclass(slots=True)
class Guards:
    """Every breaker and factor of a gate, in the order of the limits.

    Fields
        beats  steady time of the last sign of life; missing until there was one
        last   wall and steady time of the last record of passed time
    """

    moment: Moment = field(default_factory=Moment)
    breakers: list[Breaker] = field(default_factory=list)
    factors: list[Factor] = field(default_factory=list)
    beats: dict[Beat, int] = field(default_factory=dict)
    last: tuple[int, int] | None = None

    @property
    def are_any(self) -> bool:
        return bool(self.breakers or self.factors)


def _is_beyond(value: int, threshold: int, rule: BreakerRule) -> bool:
    return value < threshold if rule.is_below else value > threshold


def _is_old(moment: Moment, as_of_ns: int, received: int, age_ns_max: int) -> bool:
    return abs(moment.wall_ns - as_of_ns) > age_ns_max or moment.steady - received > age_ns_max
