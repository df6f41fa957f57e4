"""What moves breakers and dynamic limits: fills, losses, cost, denials, time, what is told, people who free a scope.

The gate measures here what it measures by itself. A cost that can't be counted exactly in 64 bits is left out, since
the compiled gate has no more.
"""

from collections.abc import Mapping, Sequence

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.decisions import Outcome
from controlplane.domain.measures import FIRST_OBSERVED, LAST_OBSERVED, Beat, BreakerState, Measure
from controlplane.domain.quantities import BPS, MICRO, ceil_div
from controlplane.domain.scopes import CrossDimension, Scope
from controlplane.gate.plain.book import Book, Market, Node, Parent, Path
from controlplane.gate.plain.breakers import Breaker, Factor, Guard, Guards
from controlplane.gate.plain.money import CASH_MAX, Refusal, exposure_micro
from controlplane.gate.plain.terms import PRODUCT_MAX, Payoff, RouteTerms
from controlplane.gate.plain.windows import WINDOW_PARTS
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.record import RecordKind

RUN_STARTED = 1 << 8
FILL_MICRO_MAX = OWN_LOTS_MAX = 1 << 48
WORTH_MIN = -(1 << 54)
SMALL_COST_MAX = 1 << 40
OBSERVED_MAX = 1 << 55
COUNTED = (Measure.FILLED_NOTIONAL, Measure.FILLED_LOTS, Measure.DENIED_COUNT, Measure.REJECTED_COUNT)
SILENCES = {
    Measure.SUPERVISOR_SILENCE: Beat.SUPERVISOR,
    Measure.MARKET_DATA_SILENCE: Beat.MARKET_DATA,
    Measure.CLOCK_SILENCE: Beat.CLOCK,
    Measure.JOURNAL_SILENCE: Beat.JOURNAL,
}
# A request that nothing but a stop denied does no harm by being asked again.
STOPS = {
    Code.SCOPE_HALTED, Code.SCOPE_PAUSED, Code.REDUCE_ONLY_EXCEEDED, Code.FILL_VELOCITY_ABOVE_LIMIT,
    Code.DRAWDOWN_ABOVE_LIMIT, Code.LOSS_VELOCITY_ABOVE_LIMIT, Code.BREAKER_OPEN, Code.MODEL_UNCERTAIN,
    Code.SUPERVISION_MISSING,
}  # fmt: skip


def guards_of(snapshot: Snapshot, nodes: Mapping[Scope, Node]) -> Guards:
    """Return the breakers and factors of the limits, and give each scope its guard."""
    guards = Guards()
    for number, rule in enumerate(snapshot.breakers):
        guards.breakers.append(Breaker(rule, number, nodes[rule.scope], guards.moment))
        _guard_of(nodes[rule.scope]).breakers.append(guards.breakers[-1])
    for number, factor in enumerate(snapshot.factors):
        guards.factors.append(Factor(factor, number, guards.moment))
        _guard_of(nodes[factor.scope]).factors.append(guards.factors[-1])
    return guards


def _guard_of(node: Node) -> Guard:
    node.guard = node.guard or Guard()
    return node.guard


def _looking(node: Node, *measures: Measure) -> list[Breaker]:
    return list(node.guard.looking_at(*measures)) if node.guard else []


def _count(book: Book, node: Node, measure: Measure, amount: int) -> None:
    now = book.guards.moment.monotonic_ns
    for breaker in _looking(node, measure):
        breaker.window.count(now, amount)
        breaker.read(breaker.window.total(now))


# --- fills, cost, losses, denials


def note_fill(book: Book, path: Path, route: RouteTerms, side: int, lots: int, price_ticks: int) -> None:
    """GT35: count a fill at its scopes, and look at our share of the volume."""
    market = book.markets[route.route.instrument]
    found = exposure_micro(
        market.terms,
        side,
        lots,
        price_ticks,
        rate_micro=book.rate_micro(market.terms),
        underlying_ticks=book.underlying_ticks(market.terms),
    )
    micro = FILL_MICRO_MAX if isinstance(found, Refusal) else min(FILL_MICRO_MAX, found)
    for place in path.values():
        _count(book, place.node, Measure.FILLED_NOTIONAL, micro)
        _count(book, place.node, Measure.FILLED_LOTS, lots)
    note_share(book, route.route.instrument)


def note_share(book: Book, instrument: str) -> None:
    """D5: read our share of an instrument's volume over all venues."""
    node = book.nodes.get(Scope(CrossDimension.INSTRUMENT, instrument))
    if node is not None and node.guard is not None:
        share = _share_bps(book, instrument)
        for breaker in _looking(node, Measure.PARTICIPATION):
            breaker.read(share)


def _share_bps(book: Book, instrument: str) -> int:
    volume, now = book.volumes[instrument, None], book.guards.moment.monotonic_ns
    market, own = volume.market.total(now), min(volume.own.total(now), OWN_LOTS_MAX)
    if volume.first_ns is None or now - volume.first_ns < WINDOW_PARTS * volume.market.part_ns:
        market = max(market, volume.floor_lots)
    if own == 0:
        return 0
    return ceil_div(own * BPS, market) if market else BPS


def note_cost(book: Book, path: Path, parent: Parent, side: int, lots: int, price_ticks: int) -> None:
    """GT40: what the fills of a parent order cost against its arrival, and how far the market had gone by then."""
    market = book.markets[parent.route.route.instrument]
    if market.terms.payoff is Payoff.OPTION:
        return
    both = market.high_ticks + market.low_ticks
    if parent.arrival <= 0 and book.guards.are_any:
        parent.arrival = both
    arrival, counted = parent.arrival, parent.counted_lots + lots
    if arrival <= 0 or not market.terms.is_price_possible(price_ticks):
        return
    if counted * max(arrival, abs(both), 2 * abs(price_ticks)) > PRODUCT_MAX:
        return
    parent.counted_lots = counted
    parent.cost = _within_cash(parent.cost + side * lots * (2 * price_ticks - arrival))
    parent.drift = _within_cash(parent.drift + side * lots * (both - arrival))
    for place in path.values():
        for breaker in _looking(place.node, Measure.SLIPPAGE):
            breaker.read(_millionths(parent.cost, counted * arrival))
        for breaker in _looking(place.node, Measure.IMPACT):
            breaker.read(_millionths(parent.drift, counted * arrival))


def _within_cash(amount: int) -> int:
    return max(-CASH_MAX, min(CASH_MAX, amount))


def _millionths(cost: int, base: int) -> int:
    if base >= MICRO:
        return cost // (base // MICRO)
    return max(-SMALL_COST_MAX, min(SMALL_COST_MAX, cost)) * MICRO // base


def arrival_of(market: Market) -> int:
    """Return bid and ask of this moment, added."""
    return market.high_ticks + market.low_ticks


def read_worth(node: Node) -> None:
    """GT38, GT39: drawdown and loss, unless some position of the scope has no worth."""
    if node.guard is None or node.is_loss_unknown or node.worth_micro <= WORTH_MIN:
        return
    worth = node.worth_micro
    for breaker in node.guard.breakers:
        if breaker.rule.measure == Measure.DRAWDOWN:
            breaker.read(breaker.fallen_below_mark(worth))
        elif breaker.rule.measure == Measure.LOSS_IN_WINDOW:
            breaker.read(breaker.fallen_in_window(worth))


def note_end(book: Book, parent: Parent) -> None:
    """GT39: count the parent orders in a row that ended with a loss, at every scope above one that ends."""
    if parent.filled_lots == 0:
        return
    is_lost = parent.place.node.worth_micro < 0
    for place in book.path_without_parent(parent.route).values():
        for breaker in _looking(place.node, Measure.LOSING_STREAK):
            breaker.streak = breaker.streak + 1 if is_lost else 0
            breaker.read(breaker.streak)


def note_denial(book: Book, path: Path, code: Code) -> None:
    """GATE case 35: count a denied request at its scopes."""
    if code not in STOPS:
        for place in path.values():
            _count(book, place.node, Measure.DENIED_COUNT, 1)


def note_rejection(book: Book, path: Path) -> None:
    """Count an order that its venue rejected at its scopes."""
    for place in path.values():
        _count(book, place.node, Measure.REJECTED_COUNT, 1)


def note_market_data(book: Book) -> None:
    """A price that was taken is a beat."""
    if book.guards.are_any:
        book.guards.beats[Beat.MARKET_DATA] = book.guards.moment.steady


# --- time, what is told, people


def pass_guards(book: Book, words: Sequence[int]) -> None:
    """Let time pass for every breaker and factor."""
    guards = book.guards
    if not guards.are_any:
        return
    moment = guards.moment
    now, step = moment.steady, 0
    if guards.last is not None:
        step = abs(moment.wall_ns - guards.last[0] - (now - guards.last[1]))
    guards.last = (moment.wall_ns, now)
    mask = words[9] if words[0] & 0xFF == RecordKind.TIME_PASSED else 0
    if mask & RUN_STARTED:
        step = 0
        _start_run(guards, now)
    for beat in Beat:
        if mask >> beat & 1 or (beat is not Beat.MARKET_DATA and beat not in guards.beats):
            guards.beats[beat] = now
    for breaker in guards.breakers:
        _pass_breaker(book, breaker, step)
    guards.beats[Beat.CLOCK] = now
    for factor in guards.factors:
        factor.pass_time()


def _start_run(guards: Guards, now: int) -> None:
    """GATE case 88: half-open comes up open; how long the gate was away is nobody's silence."""
    guards.beats = dict.fromkeys(guards.beats, now)
    for breaker in guards.breakers:
        if breaker.state is BreakerState.HALF_OPEN:
            breaker.move(BreakerState.OPEN)


def _pass_breaker(book: Book, breaker: Breaker, step: int) -> None:
    measure, node, moment = Measure(breaker.rule.measure), breaker.node, book.guards.moment
    if measure in COUNTED:
        breaker.read(breaker.window.total(moment.monotonic_ns))
    elif measure is Measure.LOSS_IN_WINDOW:
        if not node.is_loss_unknown and node.worth_micro > WORTH_MIN:
            breaker.read(breaker.fallen_in_window(node.worth_micro))
    elif measure is Measure.PARTICIPATION:
        breaker.read(_share_bps(book, breaker.rule.scope.name))
    elif measure is Measure.CLOCK_STEP:
        breaker.read(step)
    elif measure in SILENCES:
        last = book.guards.beats.get(SILENCES[measure])
        breaker.read(0 if last is None else moment.steady - last)
    else:
        breaker.look_at_age()
        breaker.judge()


def observe_measure(book: Book, words: Sequence[int]) -> Outcome:
    """Take a number that another program measured; denied when nobody looks at it or it is no news."""
    kind, number, value, as_of_ns = words[0] >> 8 & 0xFF, words[5], words[9], words[15]
    nodes = list(book.nodes.values())
    if not FIRST_OBSERVED <= kind <= LAST_OBSERVED or not 0 <= number < len(nodes) or as_of_ns <= 0:
        return Outcome.DENIED
    guard = nodes[number].guard
    if guard is None or abs(value) > OBSERVED_MAX:
        return Outcome.DENIED
    took = [one.observe(value, as_of_ns) for one in guard.breakers if one.rule.measure == kind]
    took += [factor.observe(value, as_of_ns) for factor in guard.factors if factor.rule.measure == kind]
    return Outcome.ALLOWED if any(took) else Outcome.DENIED


def reset_guards(node: Node) -> None:
    """People freed a scope: its open breakers start afresh."""
    for breaker in node.guard.breakers if node.guard else []:
        breaker.reset()


def roll_guards(book: Book) -> None:
    """Breakers of the day start afresh at its roll; what is open stays open (M11)."""
    for breaker in book.guards.breakers:
        if breaker.rule.is_daily:
            breaker.mark = breaker.previous = breaker.node.worth_micro
            breaker.streak = 0
