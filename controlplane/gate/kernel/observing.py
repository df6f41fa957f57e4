"""What the gate is told besides orders and reports: prices, volumes, phases, rates, states of scopes, time and day.

An observation that is out of range, or older than the one already held, changes nothing and says so. A price that is no
reference (one-sided, crossed, locked, empty or too wide) is kept as such: from then on that source has none.
"""

from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.quantities import QUANTITY_LOTS_CAP
from controlplane.domain.states import TradingState
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, inlined
from controlplane.gate.kernel.families.behaviour import forget_turnover
from controlplane.gate.kernel.families.measuring import note_market_data, note_share
from controlplane.gate.kernel.families.passing_time import pass_guards, reset_guards, roll_guards
from controlplane.gate.kernel.families.prices import see_price
from controlplane.gate.kernel.ledger import HALTED, find, halt_losers, revalue_instrument
from controlplane.gate.kernel.parents import PARENT, node_of
from controlplane.gate.kernel.valuation import BPS
from controlplane.gate.kernel.windows import count

ALLOWED, DENIED = 1, 2
BOOK, LAST_TRADE = int(ReferenceSource.BOOK), int(ReferenceSource.LAST_TRADE)
AUCTION = int(Phase.AUCTION)
RATE_MICRO_MAX = 10**12
VENUE_NUMBER_MAX = 0xFFFFF
ACTIVE = int(TradingState.ACTIVE)
PHASE_UNKNOWN, PHASE_LAST = int(Phase.UNKNOWN), int(Phase.VENUE_HALT)
FIRM = 0


@compiled
def observe_reference(s: Words) -> int:
    """Take best bid and ask of one source and value every position in the instrument again."""
    number, source = s[a.E_ROUTE], s[a.E_HEAD] >> 8 & 0xFF
    if not (0 <= number < s[a.INSTRUMENT_COUNT] and 0 <= source < a.SOURCES):
        return DENIED
    instrument = s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS
    row = instrument + a.INSTRUMENT_REFERENCES + source * a.REFERENCE_WORDS
    if s[a.E_EXCHANGE] <= 0 or s[a.E_EXCHANGE] < s[row + 2] or s[a.E_EXECUTION] <= 0:
        return DENIED
    if max(s[a.E_EXCHANGE], s[a.E_EXECUTION]) - s[a.E_WALL] > s[instrument + a.INSTRUMENT_REFERENCE_AGE_MAX]:
        return DENIED  # kept, one wrong time far ahead would make every later price of this source an older one
    bid, ask = s[a.E_PRICE], s[a.E_TRIGGER]
    s[row], s[row + 1], s[row + 2], s[row + 3] = bid, ask, s[a.E_EXCHANGE], s[a.E_EXECUTION]
    s[row + 4] = is_reference(s, instrument, source, bid, ask)
    note_market_data(s)
    if s[row + 4] == 0:
        return ALLOWED
    see_price(s, instrument, source, bid, ask, s[a.E_QUANTITY], s[a.E_MODEL])
    if source == BOOK and s[instrument + a.INSTRUMENT_STATIC_TICKS] == 0:
        s[instrument + a.INSTRUMENT_STATIC_TICKS] = (bid + ask) // 2
    if source == BOOK or not is_book_fresh(s, instrument):
        s[instrument + a.INSTRUMENT_HIGH], s[instrument + a.INSTRUMENT_LOW] = ask, bid
        revalue_instrument(s, instrument)
        if s[instrument + a.INSTRUMENT_HAS_OPTIONS] != 0:
            revalue_options(s, instrument)
        halt_losers(s, instrument)
    return ALLOWED


@compiled
def is_reference(s: Words, instrument: int, source: int, bid: int, ask: int) -> int:
    """Return 1 when the prices may serve as a reference (GT12)."""
    most = s[instrument + a.INSTRUMENT_PRICE_MAX]
    if bid <= 0 or ask <= 0 or bid > most or ask > most:
        return 0
    if source == LAST_TRADE and s[instrument + a.INSTRUMENT_PHASE] == AUCTION:
        return 0  # indicative: nothing has traded there yet
    if source != BOOK:
        return 1 if bid == ask else 0
    is_two_sided = 0 < s[a.E_QUANTITY] <= QUANTITY_LOTS_CAP and 0 < s[a.E_MODEL] <= QUANTITY_LOTS_CAP
    is_narrow = 2 * (ask - bid) * BPS <= s[instrument + a.INSTRUMENT_SPREAD_BPS_MAX] * (bid + ask)
    return 1 if is_two_sided and ask > bid and is_narrow else 0


@compiled
def is_book_fresh(s: Words, instrument: int) -> bool:
    """Return whether the book is a reference now; until it isn't, another source doesn't value positions."""
    row = instrument + a.INSTRUMENT_REFERENCES
    age = max(abs(s[a.E_WALL] - s[row + 2]), abs(s[a.E_WALL] - s[row + 3]))
    return s[row + 4] != 0 and age <= s[instrument + a.INSTRUMENT_REFERENCE_AGE_MAX]


@compiled
def revalue_options(s: Words, underlying: int) -> None:
    """Value positions in options on an instrument again: a short option is worth its underlying."""
    for number in range(s[a.INSTRUMENT_COUNT]):
        instrument = s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS
        if s[instrument + a.INSTRUMENT_KIND] == a.OPTION and s[instrument + a.INSTRUMENT_UNDERLYING] == underlying:
            revalue_instrument(s, instrument)


@compiled
def observe_volume(s: Words) -> int:
    """Add traded lots to the market's window on one venue and over all venues."""
    number, lots = s[a.E_ROUTE], s[a.E_QUANTITY]
    if not 0 <= number < s[a.INSTRUMENT_COUNT] or not 0 <= lots <= QUANTITY_LOTS_CAP:
        return DENIED
    if not 0 <= s[a.E_SIDE] <= VENUE_NUMBER_MAX:
        return DENIED
    listing = find(s, s[a.VOLUME_INDEX_AT], s[a.VOLUME_INDEX_MASK], listing_key(number, s[a.E_SIDE]))
    if listing == 0:
        return DENIED
    _add_volume(s, s[s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS + a.INSTRUMENT_VOLUME], lots)
    _add_volume(s, listing, lots)
    note_share(s, s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS)
    return ALLOWED


@inlined
def listing_key(instrument: int, venue: int) -> int:
    """Return the key of an instrument on a venue, both by their numbers; never 0."""
    return (instrument + 1) << 20 | (venue & VENUE_NUMBER_MAX)


@compiled
def _add_volume(s: Words, volume: int, lots: int) -> None:
    s[volume + a.VOLUME_NS] = s[a.E_WALL]
    if s[volume + a.VOLUME_FIRST_NS] == 0:
        s[volume + a.VOLUME_FIRST_NS] = max(1, s[a.E_MONOTONIC])
    count(s, volume + a.VOLUME_MARKET, s[a.E_MONOTONIC] // s[a.PARTICIPATION_BUCKET_NS], lots)


@compiled
def observe_phase(s: Words) -> int:
    """Take the trading phase of an instrument as its venue states it."""
    number, phase = s[a.E_ROUTE], s[a.E_QUANTITY]
    if not 0 <= number < s[a.INSTRUMENT_COUNT]:
        return DENIED
    instrument = s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS
    s[instrument + a.INSTRUMENT_PHASE] = phase if PHASE_UNKNOWN <= phase <= PHASE_LAST else PHASE_UNKNOWN
    s[instrument + a.INSTRUMENT_PHASE_NS] = s[a.E_WALL]
    return ALLOWED


@compiled
def observe_rate(s: Words) -> int:
    """Take the worth of a currency and value every position settled in it again; a fixed rate isn't observed."""
    number, rate_micro = s[a.E_ROUTE], s[a.E_PRICE]
    if not 0 <= number < s[a.RATE_COUNT] or not 0 < rate_micro <= RATE_MICRO_MAX:
        return DENIED
    rate = s[a.RATES_AT] + number * a.RATE_WORDS
    if s[rate + a.RATE_IS_FIXED] != 0:
        return DENIED
    s[rate + a.RATE_MICRO], s[rate + a.RATE_NS] = rate_micro, s[a.E_WALL]
    for index in range(s[a.INSTRUMENT_COUNT]):
        instrument = s[a.INSTRUMENTS_AT] + index * a.INSTRUMENT_WORDS
        if s[instrument + a.INSTRUMENT_RATE] == rate:
            revalue_instrument(s, instrument)
    for index in range(s[a.INSTRUMENT_COUNT]):
        instrument = s[a.INSTRUMENTS_AT] + index * a.INSTRUMENT_WORDS
        if s[instrument + a.INSTRUMENT_RATE] == rate:
            halt_losers(s, instrument)
    return ALLOWED


@compiled
def set_scope_state(s: Words) -> int:
    """Put one scope into a stop state, or free it; who may do so was settled before this was called."""
    kind, number, state = s[a.E_CHILD], s[a.E_PARENT], s[a.E_HEAD] >> 8 & 0xFF
    if not ACTIVE <= state <= HALTED:
        return DENIED
    if kind == PARENT:
        parent = find(s, s[a.PARENT_INDEX_AT], 2 * s[a.PARENT_CAPACITY] - 1, number)
        if parent == 0:
            return DENIED
        node = node_of(s, parent)
    elif 0 <= number < s[a.NODE_COUNT]:
        node = s[a.NODES_AT] + number * a.NODE_WORDS
    else:
        return DENIED
    s[node + a.NODE_STATE] = state
    if state == ACTIVE:
        reset_guards(s, node)
    return ALLOWED


@compiled
def pass_time(s: Words) -> int:
    """Mark the loss of every scope as unknown that holds a position without a fresh reference (GATE case 95)."""
    for node in range(s[a.NODES_AT], nodes_end(s), a.NODE_WORDS):
        s[node + a.NODE_IS_LOSS_UNKNOWN] = 0
    for number in range(s[a.INSTRUMENT_COUNT]):
        instrument = s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS
        if not has_fresh_reference(s, instrument):
            _mark_unknown(s, instrument)
    pass_guards(s)
    return ALLOWED


@inlined
def nodes_end(s: Words) -> int:
    """Return where the nodes end: those of parents stand behind those of the limits."""
    return s[a.PARENT_NODE_FIRST] + (s[a.PARENT_CAPACITY] + 1) * a.NODE_WORDS


@compiled
def has_fresh_reference(s: Words, instrument: int) -> bool:
    """Return whether any source is a reference at the time of the record being made."""
    for source in range(a.SOURCES):
        row = instrument + a.INSTRUMENT_REFERENCES + source * a.REFERENCE_WORDS
        age = max(abs(s[a.E_WALL] - s[row + 2]), abs(s[a.E_WALL] - s[row + 3]))
        if s[row + 4] != 0 and age <= s[instrument + a.INSTRUMENT_REFERENCE_AGE_MAX]:
            return True
    return False


@compiled
def _mark_unknown(s: Words, instrument: int) -> None:
    cell = s[instrument + a.INSTRUMENT_FIRST_CELL]
    while cell != 0:
        if s[cell + a.CELL_POSITION] != 0:
            node = s[cell + a.CELL_NODE]
            s[node + a.NODE_IS_LOSS_UNKNOWN] = 1
            if s[node + a.NODE_KIND] == FIRM:
                s[s[instrument + a.INSTRUMENT_NODE] + a.NODE_IS_LOSS_UNKNOWN] = 1
                s[s[instrument + a.INSTRUMENT_UNDERLYING_NODE] + a.NODE_IS_LOSS_UNKNOWN] = 1
        cell = s[cell + a.CELL_NEXT_OF_INSTRUMENT]


@compiled
def roll_day(s: Words) -> int:
    """Anchor the day's loss on the worth before the roll; a scope whose worth is unknown is halted instead of
    guessed.
    """
    pass_time(s)
    for node in range(s[a.NODES_AT], nodes_end(s), a.NODE_WORDS):
        if s[node + a.NODE_IS_LOSS_UNKNOWN] != 0 and s[node + a.NODE_STATE] != HALTED:
            s[node + a.NODE_STATE] = HALTED
            s[a.NOTICE_COUNT] += 1
        s[node + a.NODE_BASELINE] = s[node + a.NODE_VALUE]
    for number in range(s[a.INSTRUMENT_COUNT]):
        instrument = s[a.INSTRUMENTS_AT] + number * a.INSTRUMENT_WORDS
        if s[instrument + a.INSTRUMENT_IS_STATIC_FIXED] == 0:
            s[instrument + a.INSTRUMENT_STATIC_TICKS] = 0
    forget_turnover(s)
    roll_guards(s)
    return ALLOWED
