"""Numbers, units, times, ages and states into text and signs; the only place where either is chosen."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import urlencode

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.quantities import micro_to_decimal
from controlplane.domain.states import TradingState
from controlplane.supervision.orders import ChildState, ParentState
from controlplane.supervision.trail import StepState

NO_LIMIT = 1 << 62
MINUTE, HOUR, DAY = 60, 3_600, 86_400
MINUS = "−"
DASH = "–"


class Sign(StrEnum):
    """How much attention a state asks for; each has a shape, a colour and a place in the order of severity."""

    NORMAL = "normal"
    INFO = "info"
    PAUSED = "paused"
    CAUTION = "caution"
    UNKNOWN = "unknown"
    ALARM = "alarm"
    STOPPED = "stopped"


SEVERITY = {sign: rank for rank, sign in enumerate(Sign)}


@dataclass(frozen=True, slots=True)
class Mark:
    """A state as a page shows it: sign and word."""

    sign: Sign
    word: str

    def plain(self) -> dict[str, str]:
        """The mark as a fact of a page."""
        return {"sign": self.sign.value, "word": self.word}


_TRADING = {
    TradingState.ACTIVE: Mark(Sign.NORMAL, "active"),
    TradingState.PROBATION: Mark(Sign.CAUTION, "probation"),
    TradingState.REDUCE_ONLY: Mark(Sign.CAUTION, "reduce-only"),
    TradingState.PAUSED: Mark(Sign.PAUSED, "paused"),
    TradingState.HALTED: Mark(Sign.STOPPED, "halted"),
}
_CHILD = {
    ChildState.ASKED: Sign.INFO,
    ChildState.DENIED: Sign.CAUTION,
    ChildState.REFUSED: Sign.ALARM,
    ChildState.PERMITTED: Sign.INFO,
    ChildState.IN_FLIGHT: Sign.INFO,
    ChildState.UNKNOWN: Sign.UNKNOWN,
    ChildState.WORKING: Sign.NORMAL,
    ChildState.PARTLY_FILLED: Sign.NORMAL,
    ChildState.CANCEL_PENDING: Sign.INFO,
    ChildState.FILLED: Sign.NORMAL,
    ChildState.CANCELLED: Sign.NORMAL,
    ChildState.REJECTED: Sign.CAUTION,
    ChildState.EXPIRED: Sign.NORMAL,
    ChildState.NOT_SENT: Sign.CAUTION,
}
_PARENT = {
    ParentState.WORKING: Mark(Sign.NORMAL, "working"),
    ParentState.PAUSED: Mark(Sign.PAUSED, "paused"),
    ParentState.FINISHED: Mark(Sign.NORMAL, "finished"),
}
_STEP = {
    StepState.DONE: Mark(Sign.NORMAL, "done"),
    StepState.STOPPED: Mark(Sign.ALARM, "stopped here"),
    StepState.NOT_REACHED: Mark(Sign.UNKNOWN, "not reached"),
    StepState.NOT_KEPT: Mark(Sign.INFO, "nothing kept"),
    StepState.AWAITED: Mark(Sign.INFO, "awaited"),
}


def trading_mark(state: TradingState, *, is_killed: bool = False) -> Mark:
    """The sign of a trading state; a kill is a halt with its own word."""
    return Mark(Sign.STOPPED, "killed") if is_killed else _TRADING[state]


def child_mark(state: ChildState) -> Mark:
    """The sign of a child order's state."""
    return Mark(_CHILD[state], state.value)


def parent_mark(state: ParentState) -> Mark:
    """The sign of a parent order's state."""
    return _PARENT[state]


def step_mark(state: StepState) -> Mark:
    """The sign of one of the eighteen steps."""
    return _STEP[state]


def outcome_mark(outcome: str) -> Mark:
    """The sign of a decision's outcome."""
    return Mark(Sign.NORMAL, "allowed") if outcome == "ALLOWED" else Mark(Sign.CAUTION, "denied")


def limit_mark(*, share_bps: int, is_near: bool, is_unknown: bool) -> Mark:
    """The sign of a limit's utilisation; what can't be computed stands above what is near."""
    if is_unknown:
        return Mark(Sign.UNKNOWN, "unknown")
    if share_bps > 10_000:
        return Mark(Sign.ALARM, "breach")
    return Mark(Sign.CAUTION, "near") if is_near else Mark(Sign.NORMAL, "within")


def utc(moment_ns: int) -> str:
    """A moment as `2026-11-20 10:27:03`, in UTC; a dash for none."""
    return f"{_at(moment_ns):%Y-%m-%d %H:%M:%S}" if moment_ns > 0 else DASH


def utc_time(moment_ns: int) -> str:
    """The time of day of a moment as `10:27:03`, in UTC."""
    return f"{_at(moment_ns):%H:%M:%S}" if moment_ns > 0 else DASH


def utc_precise(moment_ns: int) -> str:
    """The time of day of a moment to the microsecond, in UTC."""
    if moment_ns <= 0:
        return DASH
    return f"{_at(moment_ns):%H:%M:%S}.{moment_ns % NS_PER_S // 1_000:06d}"


def iso(moment_ns: int) -> str:
    """A moment for the `datetime` attribute of a time element."""
    return f"{_at(moment_ns):%Y-%m-%dT%H:%M:%SZ}" if moment_ns > 0 else ""


def age(moment_ns: int, now_ns: int) -> str:
    """How long ago, in the largest whole units: `4 s`, `3 min 05 s`, `2 h 07 min`, `3 d 4 h`."""
    if moment_ns <= 0:
        return "never"
    return duration(max(0, now_ns - moment_ns))


def duration(length_ns: int) -> str:
    """A length of time in the two largest units."""
    seconds = length_ns // NS_PER_S
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min {seconds % MINUTE:02d} s"
    if seconds < DAY:
        return f"{seconds // HOUR} h {seconds % HOUR // MINUTE:02d} min"
    return f"{seconds // DAY} d {seconds % DAY // HOUR} h"


def count(number: int) -> str:
    """A whole number with separators."""
    return f"{number:,}".replace("-", MINUS)


def percent(share_bps: int) -> str:
    """A share given in hundredths of a per cent, to one place: `81.5 %`."""
    return f"{share_bps / 100:,.1f} %".replace("-", MINUS)


def signed_bps(tenths: int) -> str:
    """Tenths of a basis point with their sign, always: `+3.2 bps`."""
    return f"{tenths / 10:+,.1f} bps".replace("-", MINUS)


def signed_money(micro: int, currency: str) -> str:
    """Money with its sign, always."""
    return f"{micro_to_decimal(micro).quantize(_CENT):+,} {currency}".replace("-", MINUS).rstrip()


def measured(value: int, unit: str, currency: str, *, beside: int = 0) -> str:
    """A limit's number in its unit: money short from a million on, counts whole, shares in per cent.

    Arguments
        beside  number that stands in the same row and decides how money is shortened
    """
    if abs(value) >= NO_LIMIT:
        return "no limit"
    if unit == "micro":
        return short_money(value, currency, beside=beside)
    if unit == "bps":
        return percent(value)
    if unit == "ns":
        return f"{value / NS_PER_S:,.3f} s".replace("-", MINUS)
    return f"{count(value)} lots" if unit == "lots" else count(value)


def short_money(micro: int, currency: str, *, beside: int = 0) -> str:
    """Money as `1,250.00 USD`, `1.250 M USD` from a million on; the exact number stands in the JSON twin."""
    value = micro_to_decimal(abs(micro))
    size = max(value, micro_to_decimal(abs(beside)))
    sign = MINUS if micro < 0 else ""
    if size >= 1_000_000_000:
        text = f"{value / 1_000_000_000:,.3f} bn"
    elif size >= 1_000_000:
        text = f"{value / 1_000_000:,.3f} M"
    else:
        text = f"{value:,.2f}"
    return f"{sign}{text} {currency}".rstrip()


def link(path: str, anchor: str = "", **query: str) -> str:
    """An address of ours with its filters; those that are blank are left out."""
    kept = urlencode({name: value for name, value in query.items() if value})
    return path + (f"?{kept}" if kept else "") + (f"#{anchor}" if anchor else "")


def words(name: str) -> str:
    """A code name as words: `GROSS_NOTIONAL_ABOVE_LIMIT` becomes `gross notional above limit`."""
    return name.replace("_", " ").lower()


def plural(number: int, singular: str, many: str = "") -> str:
    """A count with its noun: `1 order`, `3 orders`."""
    return f"{count(number)} {singular if number == 1 else many or singular + 's'}"


def _at(moment_ns: int) -> datetime:
    return datetime.fromtimestamp(moment_ns // NS_PER_S, UTC)


_CENT = micro_to_decimal(10_000)
